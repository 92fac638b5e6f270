"""INFaaS's dispatch, case by case."""

import pytest

from tradewind.serving.variants.selection.infaas import InfaasSelection
from tradewind.serving.variants.selection.interface import Query
from tradewind.serving.variants.states import State
from variant_makers import rated, standing

FAST = rated("fast", accuracy=0.7, per_row=0.001, fixed=0.001, load=5.0, max_batch=16)
MIDDLE = rated("middle", accuracy=0.8, per_row=0.020, fixed=0.010, load=1.0)
SLOW = rated("slow", accuracy=0.9, per_row=0.060, fixed=0.010, load=2.0, max_batch=4)
RULE = InfaasSelection()
TASK = Query(0.090, task="t")


def pick(query, *standings, memory=None):
    return RULE.choose(query, standings, memory or RULE.recall())


def test_the_least_slack_of_those_that_run():
    found, memory = pick(TASK, standing(FAST, 1), standing(MIDDLE, 1), standing(SLOW, 1))
    assert found.variant == "slow" and not found.start
    assert memory.recent == (("t", ("slow",)),)
    found, _ = pick(TASK, standing(FAST, 1), standing(MIDDLE, 1), standing(SLOW))
    assert found.variant == "middle"
    found, _ = pick(TASK, standing(FAST, 1), standing(MIDDLE, 1, unloading=True), standing(SLOW))
    assert found.variant == "fast"


def test_a_recent_pick_that_still_does_comes_first():
    _, memory = pick(TASK, standing(FAST, 1), standing(MIDDLE), standing(SLOW))
    every = [standing(each, 1) for each in (FAST, MIDDLE, SLOW)]
    found, same = pick(TASK, *every, memory=memory)
    assert found.variant == "fast" and same == memory
    found, memory = pick(Query(0.090, task="t", accuracy=0.75), *every, memory=memory)
    assert found.variant == "slow" and memory.recent == (("t", ("slow", "fast")),)
    ill = [standing(SLOW, 1, state=State.INTERFERED), *every[:2]]
    assert pick(TASK, *ill, memory=memory)[0].variant == "fast"


def test_the_five_latest_are_remembered():
    memory = RULE.recall()
    for at in range(7):
        one = standing(rated(f"v{at}", per_row=0.01 + at * 0.001), 1)
        _, memory = pick(TASK, one, memory=memory)
    assert memory.recent == (("t", ("v6", "v5", "v4", "v3", "v2")),)


def test_an_architectures_quick_way_prefers_slow_hardware_for_loose_bounds():
    parts = [
        rated(f"{at:03}ms", architecture="net", per_row=at / 2000, fixed=at / 2000)
        for at in (60, 90, 110, 120)
    ]
    every = [standing(each, 1) for each in parts]
    assert pick(Query(0.200, architecture="net"), *every)[0].variant == "110ms"  # 100 to 200 ms, quickest
    assert pick(Query(0.095, architecture="net"), *every)[0].variant == "060ms"  # up to 95 ms
    # none between 100 and 105 ms: the scan, with the least slack
    assert pick(Query(0.105, architecture="net"), *every)[0].variant == "090ms"


def test_rows_and_accelerators_are_judged_by_the_batch():
    gpu = rated("gpu", hardware="gpu", per_row=0.001, fixed=0.010, max_batch=64)
    # at min(32, 64) rows it takes 42 ms
    assert pick(Query(0.043, task="t"), standing(gpu, 1), standing(FAST, 1))[0].variant == "gpu"
    assert pick(Query(0.060, task="t"), standing(gpu, 1), standing(MIDDLE, 1))[0].variant == "gpu"
    found, _ = pick(Query(0.090, task="t", rows=5), standing(SLOW, 1), standing(FAST, 1))
    assert found.variant == "fast"  # five rows are too many for slow


def test_cpus_are_passed_over_where_the_bound_is_tight():
    gpu = rated("gpu", hardware="gpu", per_row=0.001, fixed=0.001, max_batch=4)
    every = (standing(gpu, 1), standing(rated("cpu", per_row=0.020), 1))
    assert pick(Query(0.050, task="t"), *every)[0].variant == "gpu"
    assert pick(Query(0.051, task="t"), *every)[0].variant == "cpu"
    loose = InfaasSelection(cpu_from=0.0)
    assert loose.choose(Query(0.050, task="t"), every, loose.recall())[0].variant == "cpu"


@pytest.mark.parametrize("state", [State.OVERLOADED, State.INTERFERED])
def test_of_the_blacklisted_one_query_in_ten_sees_whether_it_recovers(state):
    every = (standing(MIDDLE, 1, state=state), standing(FAST), standing(SLOW))
    memory, went = RULE.recall(), []
    for _ in range(20):
        found, memory = pick(TASK, *every, memory=memory)
        assert found.start == "slow"  # the smallest batch that does
        went.append(found.variant)
    assert went == ([*["slow"] * 9, "middle"]) * 2
    found, _ = pick(TASK, every[0])
    assert found.variant == "middle" and found.start == "middle"


def test_where_nothing_runs_the_quickest_to_load_and_answer_is_loaded():
    found, memory = pick(TASK, standing(FAST), standing(MIDDLE), standing(SLOW))
    assert found.variant == found.start == "middle"  # 1.030 s; fast 5.002, slow 2.070
    assert memory.recent == (("t", ("middle",)),)
