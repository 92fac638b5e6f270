"""Last value: the laws, who goes on, and the figures that were measured for it elsewhere."""

import gzip
import json

import numpy as np
import pytest
from stopping_laws import LENGTH, StoppingLaws

from tradewind.errors import Misuse
from tradewind.tuning.stopping.last_value import LastValue
from tradewind.tuning.stopping.replay import replay
from tradewind.tuning.trial import COMPLETED, PAUSED


class TestLaws(StoppingLaws):
    order_free = True

    @staticmethod
    def make() -> LastValue:
        return LastValue(LENGTH, share=0.3, top=2)


def test_the_best_at_the_share_go_on() -> None:
    losses = np.linspace(1, 2, 6)[:, None] * np.linspace(1, 0.5, 20)
    found = replay(LastValue(20, share=0.25, top=2), losses.tolist())
    assert [each.state for each in found.trials] == [COMPLETED] * 2 + [PAUSED] * 4
    assert [len(each.steps) for each in found.trials] == [20, 20, 5, 5, 5, 5]


def test_only_losses_up_to_the_share_count() -> None:
    slow = [5.0] * 4 + [0.0] * 16
    fast = [1.0] * 20
    found = replay(LastValue(20, share=0.2, top=1), [slow, fast], speeds=[1, 7])
    assert found.chosen == 1


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"max_steps": 0}, "max_steps"),
        ({"max_steps": True}, "max_steps"),
        ({"max_steps": 5, "share": 0.0}, "share"),
        ({"max_steps": 5, "share": 40}, "share"),
        ({"max_steps": 5, "share": float("nan")}, "share"),
        ({"max_steps": 5, "top": 0}, "top"),
    ],
)
def test_bad_arguments(arguments, field) -> None:
    with pytest.raises(Misuse, match=field):
        LastValue(**arguments)


def test_hits_on_recorded_curves(bench_data) -> None:
    """At a fifth of the steps it names the best of 16 about seven times in ten, its three best the more."""
    hits = {1: [], 3: []}
    for path in sorted(bench_data("curves/taskset").glob("*.json.gz")):
        with gzip.open(path) as file:
            losses = np.array([each["valid"]["loss"] for each in json.load(file)], np.float64)
        losses = losses[np.isfinite(losses).all(axis=1)]
        for seed in range(20):
            drawn = losses[np.random.default_rng(seed).choice(len(losses), 16, replace=False)]
            for top, each in hits.items():
                found = replay(LastValue(51, share=0.2, top=top), drawn.tolist())
                each.append(drawn[found.chosen, -1] == drawn[:, -1].min())
                assert found.reports == 16 * 11 + top * 40
    assert np.mean(hits[1]) == pytest.approx(0.70, abs=0.12)
    assert np.mean(hits[3]) == pytest.approx(0.86, abs=0.10)
