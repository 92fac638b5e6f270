"""The laws of measurers: what `advice.measuring.interface.Measurer` promises, as tests with real commands.

Subclass `MeasurerLaws`, say how a measurer is made, and let pytest collect the subclass. A law that an
implementation cannot keep is set to None in the subclass, with the reason beside it.
"""

# ruff: noqa: D102 -- a law's name is its sentence

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tradewind import clock
from tradewind.advice.measuring.interface import INTERRUPTED, Measured, Measurer, Order, Room
from tradewind.errors import Misuse
from tradewind.market.measured_runs import DONE, FAILED, STOPPED, TIMED_OUT

MIB = 2**20


class MeasurerLaws:
    """What every measurer keeps to. Runs are of one processor, and last parts of a second."""

    @pytest.fixture(autouse=True)
    def _made(self, tmp_path: Path) -> Iterator[None]:
        self.folder = tmp_path
        self.work = tmp_path / "probes"
        self.measurer = self.make()
        yield
        self.measurer.close()

    def make(self) -> Measurer:
        """A new measurer."""
        raise NotImplementedError

    def order(
        self, *command: str, limit: float | None = None, at_limit: str = STOPPED, memory: int | None = None,
        name: str = "001-1",
    ) -> Order:  # fmt: skip
        """An order for a command, on one processor."""
        room = Room(1.0, memory)
        told = {"TRADEWIND_VCPUS": "1"}
        return Order(name, command, str(self.folder), told, room, limit, at_limit, "fits")

    def measured(self, *command: str, stop: Callable[[], bool] = lambda: False, **more: object) -> Measured:
        """How a command goes."""
        return self.measurer.measure(self.order(*command, **more), self.work, stop)  # type: ignore[arg-type]

    def made_there(self, name: str) -> Path:
        """A file that a command makes in its working directory, whether or not it is there yet."""
        return self.folder / name

    def marked(self, word: str) -> list[int]:
        """The living processes whose command has a word."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
                there = word.encode() in (folder / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if there and state != "Z":
                found.append(int(folder.name))
        return found

    def test_1_what_cannot_be_had_is_refused_before_anything_runs(self) -> None:
        self.measurer.check("fits", Room(1.0, 16 * MIB), 1)
        for room in (Room(1e6, None), Room(1.0, 2**60)):
            with pytest.raises(Misuse):
                self.measurer.check("too large", room, 1)

    def test_2_a_run_to_its_end_is_done_and_tells_what_was_seen(self) -> None:
        code = "import os; e = os.environ['TRADEWIND_VCPUS']; print(len(os.sched_getaffinity(0)), e)"
        burn = "import time\nwhile time.process_time() < 0.2: pass"
        found = self.measured(
            sys.executable, "-c", f"{code}\n{burn}\nopen('out', 'w').write(str(os.getpid()))"
        )
        assert found.status == DONE, found.words
        assert found.seconds >= 0.2 and 0 < found.seen["cpu_user"] <= 1.1
        assert found.seconds * (found.seen["cpu_user"] + found.seen["cpu_system"]) >= 0.19
        assert self.made_there("out").read_text().isdigit()

    def test_2_a_run_has_one_processor_if_it_is_given_one(self) -> None:
        # Two burners of 0.2 s of a processor cannot be through before 0.4 s on one.
        burner = f"{sys.executable} -c 'import time\nwhile time.process_time() < 0.2: pass'"
        found = self.measured("sh", "-c", f"{burner} & {burner} & wait")
        assert found.status == DONE and found.seconds >= 0.4

    def test_2_one_that_fails_has_failed_and_its_last_words_are_kept(self) -> None:
        found = self.measured("sh", "-c", "echo there is no data; exit 3")
        assert found.status == FAILED and "3" in found.words and "there is no data" in found.words

    def test_2_one_that_cannot_be_started_has_failed(self) -> None:
        found = self.measured(str(self.folder / "absent"))
        assert found.status == FAILED and "absent" in found.words

    def test_2_one_that_holds_more_than_its_memory_has_failed(self) -> None:
        code = "import time; held = bytearray(60 << 20); time.sleep(30)"
        found = self.measured(sys.executable, "-c", code, memory=40 * MIB)
        assert found.status == FAILED and found.seconds < 25
        assert (
            self.measured(sys.executable, "-c", "bytearray(20 << 20)", memory=40 * MIB, name="2").status
            == DONE
        )

    def test_2_at_its_limit_of_time_it_is_ended_with_all_that_it_started(self) -> None:
        word = f"3{os.getpid()}.1"
        found = self.measured(
            "sh", "-c", f"setsid sleep {word} & sleep {word}", limit=0.3, at_limit=TIMED_OUT
        )
        assert found.status == TIMED_OUT and 0.3 <= found.seconds < 5 and not self.marked(word)

    def test_2_what_it_leaves_behind_ends_with_it(self) -> None:
        word = f"3{os.getpid()}.2"
        found = self.measured("sh", "-c", f"(setsid sleep {word} &) ; sleep 0.05")
        assert found.status == DONE and not self.marked(word)

    def test_2_it_is_interrupted_when_it_is_asked_to_stop(self) -> None:
        word = f"3{os.getpid()}.3"
        begun: Callable[[], bool] = lambda: self.made_there("begun").exists()  # noqa: E731
        found = self.measured("sh", "-c", f"touch begun; sleep {word}", stop=begun)
        assert found.status == INTERRUPTED and found.seconds < 25 and not self.marked(word)

    def test_3_nothing_runs_on_when_its_driver_is_killed(self) -> None:
        word = f"3{os.getpid()}.4"
        order = self.order("sh", "-c", f"touch begun; setsid sleep {word} & sleep {word}")
        driver = os.fork()
        if not driver:
            try:
                self.make().measure(order, self.work, lambda: False)
            finally:
                os._exit(1)
        passed = clock.stopwatch()
        while not (self.made_there("begun").exists() and len(self.marked(word)) >= 2):
            assert passed() < 20, "it was never started"
        os.kill(driver, signal.SIGKILL)
        os.waitpid(driver, 0)
        found = self.measurer.recover(order, self.work, lambda: True)
        assert found is not None and found.status == INTERRUPTED and 0 < found.seconds < 25
        assert not self.marked(word)

    def test_3_an_attempt_that_ended_before_its_driver_was_killed_is_told_as_it_ended(self) -> None:
        order = self.order("sh", "-c", "exit 4")
        found = self.measurer.measure(order, self.work, lambda: False)
        assert self.make().recover(order, self.work, lambda: False) == found and found.status == FAILED

    def test_3_one_that_never_began_is_not_known(self) -> None:
        assert self.measurer.recover(self.order("true"), self.work, lambda: False) is None
