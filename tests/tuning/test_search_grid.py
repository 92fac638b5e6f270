"""Grid search: every combination once, whatever was tried before."""

import itertools

import pytest

from tradewind.errors import Misuse
from tradewind.tuning.search.grid import FullGrid
from tradewind.tuning.space import Space
from tradewind.tuning.trial import Trial

SPACE = Space.of(
    {
        "a": [True, 1],
        "x": {"low": 0.0, "high": 1.0},
        "n": {
            "low": 1,
            "high": 2,
        },
    }
)


def through(search, space, begun=()):
    trials = list(begun)
    for number in itertools.count(len(trials)):
        setting = search.propose(space, trials, number)
        if setting is None:
            return trials
        trials.append(Trial(number, setting))


def test_it_ends_after_every_combination():
    trials = through(FullGrid(3), SPACE)
    assert [each.setting for each in trials] == list(SPACE.grid(3))
    assert len(trials) == 12


def test_what_was_tried_is_not_tried_again():
    first = Trial(0, {"a": True, "x": 0.5, "n": 2})
    foreign = Trial(1, {"a": True, "x": 0.0, "n": 1}, foreign="old")
    trials = through(FullGrid(3), SPACE, [first])
    assert len(trials) == 12
    assert FullGrid(3).propose(SPACE, [foreign], 0) == {"a": True, "x": 0.0, "n": 1}


def test_what_it_keeps_changes_nothing():
    search = FullGrid(2)
    trials = through(search, SPACE)
    for count in (0, 5, 3, len(trials)):
        assert search.propose(SPACE, trials[:count], count) == FullGrid(2).propose(
            SPACE, trials[:count], count
        )
    other = Space.of({"c": ["x", "y"]})
    assert search.propose(other, [], 0) == {"c": "x"}
    search.propose(other, [], 0)["c"] = "spoilt"
    assert search.propose(other, [], 0) == {"c": "x"}


def test_a_grid_beyond_counting_begins_at_once():
    space = Space.of({f"n{i}": {"low": 1, "high": 1000} for i in range(9)})
    assert FullGrid(1).propose(space, [], 0) == {f"n{i}": 1 for i in range(9)}


@pytest.mark.parametrize("points", [0, 2.5, True, "3"])
def test_bad_points_are_told(points):
    with pytest.raises(Misuse, match="points"):
        FullGrid(points)
