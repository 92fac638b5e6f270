"""Tasks: their order, and what is refused."""

import pytest
from msgspec.structs import replace

from tradewind.advice.renting.tasks import Task, in_order
from tradewind.errors import Misuse
from tradewind.market.resources import Resources

TASK = Task(id="t", arrival=1.0, resources=Resources(vcpus=1), run_time=5.0)


def test_tasks_are_taken_by_arrival_then_as_given():
    tasks = [
        replace(TASK, id="late", arrival=9.0),
        replace(TASK, id="b"),
        replace(TASK, id="a", after=("late",)),
    ]
    assert [task.id for task in in_order(tasks)] == ["b", "a", "late"]


@pytest.mark.parametrize(
    "field,value",
    [
        ("run_time", 0.0),
        ("run_time", float("nan")),
        ("run_time", float("inf")),
        ("arrival", float("inf")),
        ("after", ("nobody",)),
        ("after", ("t",)),
    ],
)
def test_a_wrong_task_is_refused_by_field(field, value):
    with pytest.raises(Misuse, match=field):
        in_order([replace(TASK, **{field: value})])


@pytest.mark.parametrize(
    "amounts,field",
    [({"gpus": 1.5}, "gpus"), ({"vcpus": -1.0}, "vcpus"), ({"memory_gib": float("nan")}, "memory")],
)
def test_a_wrong_amount_is_refused(amounts, field):
    with pytest.raises(Misuse, match=field):
        in_order([replace(TASK, resources=Resources(**amounts))])


def test_two_of_one_name_and_circles_are_refused():
    with pytest.raises(Misuse, match="two tasks are named 't'"):
        in_order([TASK, TASK])
    circle = [replace(TASK, id=one, after=(other,)) for one, other in ("ab", "bc", "ca")]
    with pytest.raises(Misuse, match="waits for itself"):
        in_order([*circle, replace(TASK, id="d", after=("a",))])
