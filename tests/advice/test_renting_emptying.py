"""Whether the tasks of an instance could be elsewhere."""

from msgspec.structs import replace
from renting_stage import HUGE, INFINITE, LARGE, SMALL, held, placed, view

from tradewind.advice.renting.emptying import homes_elsewhere


def homes(seen, which=0):
    found = homes_elsewhere(seen, seen.held[which], {each.id: each.room for each in seen.held})
    return None if found is None else [(task.id, home) for task, home in found]


TWO_SMALL = (placed("a", 0.5), placed("b", 1.5))


def test_all_or_none_the_largest_first():
    seen = view(held("i0", HUGE, *TWO_SMALL), held("i1", SMALL, placed("c", 1.0)), held("i2", SMALL))
    assert homes(seen) == [("b", "i2"), ("a", "i1")]
    assert homes(view(held("i0", HUGE, *TWO_SMALL), held("i2", SMALL, placed("c", 1.0)))) is None


def test_not_onto_what_is_not_ready_nor_off_what_waits():
    assert homes(view(held("i0", HUGE, placed("a")), held("i1", LARGE, launching=True))) is None
    going = replace(placed("a"), going="i2")
    assert homes(view(held("i0", HUGE, going), held("i1", LARGE))) is None


def test_where_tasks_cannot_be_moved_only_the_idle_are_empty():
    seen = view(held("i0", HUGE, placed("a")), held("i1", LARGE), moving=INFINITE)
    assert homes(seen) is None
    assert homes(seen, 1) == []
