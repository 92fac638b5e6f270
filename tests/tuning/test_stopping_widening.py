"""The widening race: the laws, that nothing is run twice, and what it reaches beside a race."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stopping_laws import FEW, LENGTH, StoppingLaws

from tradewind.errors import Misuse
from tradewind.tuning.stopping.race import Race
from tradewind.tuning.stopping.replay import replay
from tradewind.tuning.stopping.widening import Widening
from tradewind.tuning.trial import COMPLETED, STOPPED


class TestLaws(StoppingLaws):
    # Trends through shifted losses are rounded otherwise, and equal ones may change places.
    shift_free = False
    order_free = False

    @staticmethod
    def make() -> Widening:
        return Widening(LENGTH, share=0.5, width=6)


def drawn(seed: int, count: int, length: int) -> list[list[float]]:
    chance = np.random.default_rng(seed)
    k = np.arange(1, length + 1)
    found = chance.random((count, 1)) + chance.random((count, 1)) * k ** -chance.uniform(0.1, 1, (count, 1))
    return (found + chance.normal(0, 0.01, found.shape)).tolist()


@settings(FEW, max_examples=8)
@given(st.integers(0, 10**6), st.integers(4, 12), st.floats(0.2, 0.9), st.integers(1, 12))
def test_the_share_ends_it_and_arrival_changes_nothing(seed, count, share, workers) -> None:
    rule = Widening(40, share=share, width=count)
    losses = drawn(seed, count, 40)
    found = replay(rule, losses, workers=workers)
    assert any(each.state == COMPLETED for each in found.trials)
    assert found.reports >= share * count * 40 - 1e-9
    # what runs when the share is reached goes on to its next comparison at most
    assert found.reports <= max(share * count * 40, count + 39) + 10 * count
    assert [each.state for each in found.trials] == [each.state for each in replay(rule, losses).trials]


def test_a_share_of_one_runs_everything() -> None:
    found = replay(Widening(30, share=1.0, width=8), drawn(0, 8, 30))
    assert all(each.state == COMPLETED for each in found.trials)
    assert found.reports == 8 * 30


def test_no_step_is_run_twice_and_rounds_widen() -> None:
    losses = drawn(3, 12, 40)
    narrow, wide = (replay(Widening(40, share=share, width=12), losses) for share in (0.15, 0.6))
    assert narrow.reports < wide.reports <= 12 * 40
    for few, many in zip(narrow.trials, wide.trials, strict=True):
        assert many.steps[: len(few.steps)] == few.steps
        assert list(many.steps) == list(range(1, len(many.steps) + 1))
    assert any(each.state == STOPPED or each.state == "paused" for each in narrow.trials)


def test_one_is_finished_long_before_a_race_of_the_share_finishes_any() -> None:
    """The settings end in the order in which they begin, so the first to finish is the best."""
    k = np.arange(1, 51)
    losses = [(level + 0.5 / np.sqrt(k)).tolist() for level in np.linspace(0.2, 0.9, 16)]

    def steps_before_the_first_end(rule: Race) -> int:
        found = replay(rule, losses)
        return next(at for at, (number, step, _) in enumerate(found.order) if step == 50 and number == 0)

    early = steps_before_the_first_end(Widening(50, share=0.5, width=16))
    late = steps_before_the_first_end(Race(50, share=0.5, width=16))
    assert early < 0.5 * late


@pytest.mark.parametrize(
    "arguments", [{"start": 0.0}, {"growth": 1.0}, {"growth": float("nan")}, {"share": 0}]
)
def test_mistakes(arguments) -> None:
    with pytest.raises(Misuse):
        Widening(10, **arguments)
