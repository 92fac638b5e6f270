"""What a network draws comes from the seed of whoever asked, and from nothing else."""

from __future__ import annotations

import threading

import pytest
import torch
from torch import nn

from tradewind.algorithms.deep.seeded import Seeded, seeded


def test_what_torch_draws_belongs_to_the_thread_that_asked():
    drawn: dict[int, list[torch.Tensor]] = {}

    def draw(seed: int) -> list[torch.Tensor]:
        with seeded(seed):
            return [
                torch.rand(3), torch.randn(3), torch.randint(9, (3,)), torch.randperm(5),
                torch.rand_like(torch.zeros(3)), torch.randn_like(torch.zeros(3)),
                nn.functional.dropout(torch.ones(9), 0.5), nn.Linear(2, 2).weight.detach(),
                torch.bernoulli(torch.full((3,), 0.5)), torch.multinomial(torch.ones(4), 2),
                torch.randint(3, 9, (3,)),
            ]  # fmt: skip

    torch.manual_seed(5)
    before = torch.get_rng_state()
    threads = [
        threading.Thread(target=lambda seed=seed: drawn.__setitem__(seed, draw(seed))) for seed in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert torch.equal(before, torch.get_rng_state())
    for seed, found in drawn.items():
        assert all(torch.equal(one, other) for one, other in zip(found, draw(seed), strict=True))
    assert not torch.equal(drawn[0][0], drawn[1][0])
    torch.manual_seed(3)
    plain = torch.rand(3)
    assert torch.equal(plain, draw(3)[0])


@pytest.mark.parametrize(
    "draw",
    [
        lambda: nn.functional.dropout(torch.ones(50), 0.3, training=True),
        lambda: torch.empty(9).uniform_(), lambda: torch.empty(9).normal_(),
        lambda: torch.empty(9).exponential_(), lambda: torch.normal(torch.zeros(9), torch.ones(9)),
        lambda: torch.poisson(torch.full((9,), 3.0)), lambda: nn.functional.gumbel_softmax(torch.zeros(2, 9)),
        lambda: nn.functional.rrelu(-torch.ones(9), training=True),
        lambda: nn.init.kaiming_uniform_(torch.empty(3, 3)), lambda: nn.init.orthogonal_(torch.empty(3, 3)),
        lambda: nn.LSTM(2, 3).weight_hh_l0 * 1, lambda: torch.randint_like(torch.zeros(30), 9),
    ],
)  # fmt: skip
def test_every_way_of_drawing_is_seeded(draw):
    with seeded(1):
        first = draw()
    torch.manual_seed(99)
    with seeded(1):
        again = draw()
    with seeded(2):
        other = draw()
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_a_slope_through_what_was_drawn_is_as_torch_has_it():
    x = torch.ones(40, requires_grad=True)
    with seeded(4):
        kept = nn.functional.dropout(x, 0.5, training=True)
        kept.sum().backward()
    assert x.grad is not None and torch.equal(x.grad, kept.detach())


def test_what_is_drawn_goes_on_within():
    with Seeded(torch.Generator().manual_seed(3)):
        first, second = torch.rand(5), torch.rand(5)
    torch.manual_seed(3)
    assert torch.equal(first, torch.rand(5)) and torch.equal(second, torch.rand(5))
