"""The heuristics by name."""

import pytest

from tradewind.advice.scheduling.heuristics import HEURISTICS, heuristic
from tradewind.advice.scheduling.weighted_fair import WeightedFair
from tradewind.errors import Misuse


def test_each_has_a_name_of_its_own():
    names = [each.name for each in HEURISTICS]
    assert len(set(names)) == len(names) >= 11
    assert heuristic("weighted_fair -0.5") == WeightedFair(-0.5, "weighted_fair -0.5")


def test_unknown_names_meet_a_suggestion():
    with pytest.raises(Misuse, match=r"no heuristic 'fare'.*'fair'"):
        heuristic("fare")
