"""Types with room for several tasks."""

import pytest
from renting_stage import HUGE, LARGE, SMALL, asked, offer

from tradewind.advice.renting.room import whole
from tradewind.advice.renting.shapes import cheapest_for, fitting_order, room_for_all
from tradewind.errors import NoCapacity
from tradewind.market.resources import Resources

GPUS = whole(Resources(vcpus=99, memory_gib=99, gpus=2))


def test_the_cheapest_with_room_for_all_and_of_equals_the_first():
    twin = offer("twin", 4, 0.2)
    assert cheapest_for((HUGE, LARGE, twin, SMALL), [Resources(vcpus=2)] * 2) == LARGE
    assert cheapest_for((twin, LARGE), [Resources(vcpus=2)]) == twin
    with pytest.raises(NoCapacity, match="2 tasks"):
        cheapest_for((SMALL,), [Resources(vcpus=2)] * 2)


def test_whole_devices_go_first_whatever_the_order():
    asked_for = [Resources(gpus=0.3), Resources(gpus=0.5), Resources(gpus=1)]
    assert room_for_all(GPUS, asked_for) is not None
    assert room_for_all(GPUS, [*asked_for, Resources(gpus=0.3)]) is None


def test_the_order_in_which_they_are_put():
    tasks = [asked("a", gpus=0.3), asked("b", gpus=2), asked("c"), asked("d", gpus=0.3)]
    assert [task.id for task in fitting_order(tasks)] == ["b", "a", "d", "c"]
