"""Our rule of selection: figures by hand, and what must hold in any fleet."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tradewind.serving.variants.selection.cheapest_in_time import CheapestInTime, dollars_of, seconds_until
from tradewind.serving.variants.selection.infaas import InfaasSelection
from tradewind.serving.variants.selection.interface import Impossible, Query, Selection, feasible
from tradewind.serving.variants.states import State
from variant_makers import rated, standing

CHEAP = rated("cheap", accuracy=0.8, per_row=0.010, fixed=0.010, price=1.0)
DEAR = rated("dear", accuracy=0.9, per_row=0.001, fixed=0.001, price=36.0)
RULE = CheapestInTime(margin=0.0)
TASK = Query(0.065, task="t")


def pick(query, *standings):
    return RULE.choose(query, standings, None)[0]


def test_when_the_answer_is_there():
    assert seconds_until(TASK, standing(CHEAP, 1)) == pytest.approx(0.020)
    busy = standing(CHEAP, 1, idle=0, batch=4.0)
    # half of a batch of 4 (50 ms), then a batch of one
    assert seconds_until(TASK, busy) == pytest.approx(0.025 + 0.020)
    # 19 wait for one replica: half a batch of 4, two of 8 (90 ms each), then 3 and ours
    long = standing(CHEAP, 1, idle=0, batch=4.0, waiting=19)
    assert seconds_until(TASK, long) == pytest.approx(0.025 + 0.180 + 0.050)
    # for two replicas 9.5 each: a third of a batch, one of 8, then 1.5 and ours
    two = standing(CHEAP, 2, idle=0, batch=4.0, waiting=19)
    assert seconds_until(TASK, two) == pytest.approx(0.050 / 3 + 0.090 + 0.035)
    assert seconds_until(TASK, standing(CHEAP, 1, slowdown=2.0)) == pytest.approx(0.040)
    unsure = rated("u", per_row=0.010, fixed=0.010, deviation=0.010)
    sure = Query(0.065, task="t", confidence=0.975)
    assert seconds_until(sure, standing(unsure, 1)) == pytest.approx(0.020 + 0.0196, abs=1e-5)


def test_what_it_costs():
    # a dollar an hour; alone 20 ms, in a batch of four 50 / 4 ms
    assert dollars_of(TASK, standing(CHEAP, 1)) == pytest.approx(0.020 / 3600)
    assert dollars_of(TASK, standing(CHEAP, 1, batch=4.0)) == pytest.approx(0.0125 / 3600)
    assert dollars_of(TASK, standing(CHEAP, 1, batch=50.0)) == pytest.approx(0.090 / 8 / 3600)
    assert dollars_of(TASK, standing(DEAR, 1)) == pytest.approx(36 * 0.002 / 3600)
    assert dollars_of(TASK, standing(CHEAP, 1, slowdown=3.0)) == pytest.approx(0.060 / 3600)


def test_the_cheapest_in_time_and_the_dear_one_where_it_is_not():
    dear = standing(DEAR, 1)
    assert pick(TASK, standing(CHEAP, 1), dear).variant == "cheap"
    crowded = standing(CHEAP, 1, idle=0, batch=8.0, waiting=8)
    assert pick(TASK, crowded, dear).variant == "dear"
    assert pick(TASK, standing(CHEAP, 1, slowdown=4.0), dear).variant == "dear"
    assert pick(TASK, standing(CHEAP, 1, unloading=True), dear).variant == "dear"
    assert pick(Query(0.065, task="t", accuracy=0.85), standing(CHEAP, 1), dear).variant == "dear"
    assert pick(Query(0.015, task="t"), standing(CHEAP, 1), dear).variant == "dear"
    assert (
        CheapestInTime(margin=0.5).choose(Query(0.039, task="t"), (standing(CHEAP, 1), dear), None)[0].variant
        == "dear"
    )


def test_the_least_late_and_a_start_where_none_is_in_time():
    crowded = standing(CHEAP, 1, idle=0, batch=8.0, waiting=80)
    found = pick(TASK, crowded, standing(DEAR))
    assert found.variant == "cheap" and found.start == "cheap"
    coming = standing(CHEAP, 1, idle=0, batch=8.0, waiting=80, starting=0.5)
    assert pick(TASK, coming, standing(DEAR)).start == ""
    worse = standing(DEAR, 1, idle=0, batch=8.0, waiting=800)
    assert pick(TASK, crowded, worse).variant == "dear"


def test_where_nothing_runs_the_cheapest_is_started():
    found = pick(TASK, standing(CHEAP), standing(DEAR))
    assert found == Selection("cheap", "nothing runs; the cheapest that does it", start="cheap")


STANDINGS = st.lists(
    st.tuples(
        st.floats(0.5, 1.0), st.floats(1e-4, 0.05), st.floats(1e-4, 0.05), st.floats(0.1, 10.0),
        st.integers(0, 3), st.integers(0, 40), st.sampled_from([State.ACTIVE, State.OVERLOADED]),
        st.integers(1, 16), st.booleans(),
    ),
    min_size=1, max_size=6,
)  # fmt: skip


@pytest.mark.parametrize("rule", [CheapestInTime(), InfaasSelection(), InfaasSelection(0.0)])
@settings(max_examples=40, deadline=None)
@given(rows=STANDINGS, floor=st.floats(0.4, 1.0), latency=st.floats(0.001, 0.3), size=st.integers(1, 8))
def test_laws(rule, rows, floor, latency, size):
    """The three rules of the seam."""
    every = []
    for at, (accuracy, per_row, fixed, price, count, waiting, state, largest, gone) in enumerate(rows):
        one = rated(f"v{at}", accuracy=accuracy, per_row=per_row, fixed=fixed, price=price, max_batch=largest)
        state = state if count else State.INACTIVE
        every.append(
            standing(one, count, idle=0, waiting=waiting if count else 0, state=state, unloading=gone)
        )
    query = Query(latency, task="t", accuracy=floor, rows=size)
    found, memory = rule.choose(query, every, rule.recall())
    assert rule.choose(query, tuple(every), rule.recall()) == (found, memory)
    able = {each.name for each in every if feasible(query, each.rated)}
    if isinstance(found, Impossible):
        assert not able
        return
    assert found.variant in able and (not found.start or found.start in able)
    runs = {each.name for each in every if each.replicas}
    assert found.variant in runs or found.start == found.variant
