"""The laws of measurers on this machine, and what is its own."""

import sys

import pytest

from tradewind.advice.measuring.interface import Measurer, Order, Room
from tradewind.advice.measuring.keeper import ALIVE, END
from tradewind.advice.measuring.local import LocalMeasurer, environment_of, task_of
from tradewind.errors import Misuse
from tradewind.market.measured_runs import DONE, STOPPED
from tradewind.testing.measurers import MeasurerLaws


class TestLocal(MeasurerLaws):
    def make(self) -> Measurer:
        return LocalMeasurer()

    def test_a_misfit_is_named_with_its_field(self):
        with pytest.raises(Misuse) as told:
            self.measurer.check("huge", Room(512.0, None), 4)
        assert (told.value.source, told.value.field) == ("candidates", "vcpus") and "huge" in str(told.value)

    def test_what_runs_together_counts_what_it_shares_once(self):
        code = (
            "import os, time; held = bytearray(b'x') * (24 << 20)\n"
            "children = [os.fork() for _ in range(2)]\n"
            "time.sleep(0.3)"
        )
        found = self.measured(sys.executable, "-c", code, memory=100 << 20)
        assert found.status == DONE and 0.02 < found.seen["held_gib"] < 0.06

    def test_half_a_processor_takes_twice_as_long(self):
        order = Order(
            "half", (sys.executable, "-c", "import time\nwhile time.process_time() < 0.3: pass"),
            str(self.folder), {}, Room(0.5), None, STOPPED,
        )  # fmt: skip
        found = self.measurer.measure(order, self.work, lambda: False)
        assert found.status == DONE and found.seconds >= 0.45

    def test_of_a_driver_whose_keeper_was_killed_too_the_last_word_counts(self):
        order = self.order("sleep", "9")
        folder = self.work / order.name
        self.measurer.measure(order, self.work, folder.joinpath(ALIVE).exists)
        folder.joinpath(END).unlink()
        assert folder.joinpath(ALIVE).exists()
        found = self.measurer.recover(order, self.work, lambda: False)
        assert found is not None and found.status == "interrupted" and 0.4 < found.seconds < 9


def test_a_part_of_a_processor_is_kept_within_whole_ones(tmp_path):
    def task(cores):
        return task_of(Order("a", ("x",), ".", {}, Room(cores), None, ""), tmp_path)

    assert len(task(1.0).cores) == 1 and task(1.0).share is None
    assert len(task(0.3).cores) == 1 and task(0.3).share == 0.3
    assert task(None).share is None and len(task(None).cores) >= len(task(1.0).cores)


def test_a_command_is_told_where_it_runs():
    told = environment_of({"machines": 2, "memory_gib": 0.5, "family": "m5"}, "2xm5")
    assert told == {
        "TRADEWIND_CONFIGURATION": "2xm5", "TRADEWIND_MACHINES": "2", "TRADEWIND_MEMORY_GIB": "0.5",
        "TRADEWIND_FAMILY": "m5",
    }  # fmt: skip
