from __future__ import annotations

import math
from pathlib import Path

import pytest

import tradewind
from tradewind.data.histories.instance_lives import dealt, lives_of_csv, tells_lives
from tradewind.errors import Misuse
from tradewind.market.instances import Pool

TRACE = Path(tradewind.__file__).parent / "data" / "samples" / "bamboo-p3.csv"
POOLS = tuple(Pool("p3.2xlarge", f"us-east-1{letter}") for letter in "bcd")


def test_each_instance_lives_from_its_add_to_its_remove():
    text = "0,add,a\n0,add,b\n1500,remove,a\n2000,add,a\n2500,add,c\n2500,remove,c\n"
    assert lives_of_csv("here", text) == [("a", 0.0, 1.5), ("b", 0.0, math.inf), ("a", 2.0, math.inf)]
    assert tells_lives(text) and not tells_lives("zone,instance_type,time,price\n")


def test_the_real_trace_is_what_a_plain_count_says():
    text = TRACE.read_text()
    lives = lives_of_csv("bamboo-p3.csv", text)
    lines = text.splitlines()
    assert len(lives) == sum(",add," in line for line in lines) == 177
    assert sum(math.isfinite(end) for _, _, end in lives) == sum(",remove," in line for line in lines) == 167
    assert min(end for _, _, end in lives) == 2040.0
    assert [name for name, start, _ in lives if start == 0.0] == [f"node{k}" for k in range(1, 19)]


def test_lives_are_dealt_in_turn():
    capacities = dealt("here", [("a", 0, 5), ("b", 1, math.inf), ("c", 2, 9), ("d", 3, 4)], POOLS, 100.0)
    assert [[slot.id for slot in each.all_slots()] for each in capacities] == [["a", "d"], ["b"], ["c"]]
    assert {each.end for each in capacities} == {109.0}
    assert capacities[1].slots(109.0)[0].end == math.inf


@pytest.mark.parametrize(
    ("lives", "pools"), [([], POOLS), ([("a", 0, 5)], ()), ([("a", 0, 5)], POOLS[:1] * 2)]
)
def test_nothing_to_deal_is_refused(lives, pools):
    with pytest.raises(Misuse, match="here"):
        dealt("here", lives, pools, 0.0)
