"""The driver of a grid: it asks the study what to run, and runs each trial as a job in a process of its own.

Everything that it knows lies in the study and in the runs' folders, so that it may be killed at any moment.
The processes of its trials pause themselves then; the next driver waits for them, ends what hangs, and goes
on.
"""

from __future__ import annotations

import contextlib
import math
import os
import selectors
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from tradewind import clock
from tradewind.data.trial_records import CLAIMED, FAILURE, MOVE, StoredTrial, Trials
from tradewind.data.trial_store import Superseded
from tradewind.errors import Temporary
from tradewind.providers import local_leftovers
from tradewind.runtimes.wire import Garbled, Inbox, Message
from tradewind.session import durations
from tradewind.session.cleaning import LOGS, lives
from tradewind.session.grid.trial import PATIENCE, Order
from tradewind.session.spec import TrainSpec
from tradewind.tuning.attempt import Asked
from tradewind.tuning.interface import GO_ON, PAUSE
from tradewind.tuning.study import Study
from tradewind.tuning.trial import FAILED, OPEN, RUNNING, STOPPED, Setting

POLL = 0.2
"""Seconds between two looks at what is wanted."""
GRACE = 2.5
"""Seconds that a job has to pause when it is to end; then it is killed."""
FAILURES = 3
"""How often the process of a trial may die before the trial has failed."""


class _Ending(msgspec.Struct, frozen=True):
    """Why a trial's process is being ended, and what becomes of the trial."""

    state: str
    """A final state, or empty where the trial waits to go on."""
    reason: str
    lost: bool = False
    """Whether the trial is not ours any more."""


class _Job:
    """A trial that runs."""

    def __init__(self, asked: Asked, process: subprocess.Popen[bytes], batch: int, failures: int) -> None:
        self.asked, self.process, self.batch, self.failures = asked, process, batch, failures
        self.inbox, self.messages = Inbox(), deque[Message]()
        self.passed = clock.stopwatch()
        self.directory = asked.checkpoint
        self.step, self.loss, self.workers = -1, math.nan, -1
        self.end: Message | None = None
        """What it told of its end."""
        self.ending: _Ending | None = None
        self.due = math.inf
        """Seconds of `passed` at which it is killed."""
        self.closed = False
        """Whether its process is gone, with all that it told."""

    def signal(self, number: signal.Signals) -> None:
        """Send its process group a signal; until it is reaped nobody else has its number."""
        if self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)

    def let_end(self, ending: _Ending) -> None:
        """Have it pause, and be killed if it does not."""
        if self.ending is None:
            self.ending, self.due = ending, self.passed() + GRACE
            self.signal(signal.SIGTERM)


class GridDriver:
    """Runs the trials of a study until all are over.

    Args:
        study: it, with its rules; used by the thread of `drive` alone.
        spec: the job of a trial, from its number and its setting.
        folder: of the runs; processes that hang are known by it.
        together: how many trials run at a time; asked again and again.
        timeout: seconds of the wall that a trial may take in one go.
    """

    def __init__(
        self,
        study: Study,
        spec: Callable[[int, Setting], TrainSpec],
        folder: Path,
        together: Callable[[], int],
        timeout: float | None = None,
    ) -> None:
        self._study, self._spec, self._folder = study, spec, folder
        self._together, self._timeout = together, timeout
        self._jobs: list[_Job] = []
        self._known = Trials()
        self._selector = selectors.DefaultSelector()
        self._beat = clock.stopwatch()
        self._rested = clock.stopwatch()
        self._idle = False

    def drive(self, stop: Callable[[], bool] = lambda: False) -> bool:
        """Run until nothing is left, or `stop` says so; whether nothing is left.

        Whatever is raised, KeyboardInterrupt among it, every trial that runs is paused and given back, and no
        process is left.
        """
        try:
            self._take_over()
            while not stop():
                self._fill()
                if not self._jobs and self._finished():
                    return True
                self._look()
            return False
        finally:
            self._leave()

    # beginning

    def _take_over(self) -> None:
        """Have wait what a driver ran that is gone, once its processes are."""
        trials = self._read()
        for driver in {each.driver for each in trials if each.state == RUNNING}:
            if lives(driver) is not False:
                continue
            theirs = [each for each in trials if each.driver == driver and each.state == RUNNING]
            passed = clock.stopwatch()
            for each in theirs:
                mark = self._mark(driver, each.number)
                while local_leftovers.leftovers(mark) and passed() < PATIENCE + 1:
                    self._selector.select(POLL)
                self._end_processes(driver, each.number, each.checkpoint)
            self._study.store.release(self._study.name, driver, moment=clock.wall())

    def _mark(self, driver: str, number: int) -> Path:
        """By which the processes of a trial that a driver ran are known."""
        return self._folder / driver.replace("/", "+") / str(number)

    def _end_processes(self, driver: str, number: int, directory: str) -> None:
        """End what is left of a trial on this machine, its own process and those of its leases."""
        local_leftovers.end(self._mark(driver, number))
        if directory:
            local_leftovers.end(Path(directory) / LOGS)

    def _fill(self) -> None:
        """Begin as many trials as may run."""
        if self._idle and self._rested() < 1.0:
            return  # there was nothing to do a moment ago
        self._idle = False
        while len(self._jobs) < self._together():
            try:
                asked = self._study.ask()
            except Temporary:
                asked = None
            if asked is None:
                self._idle, self._rested = True, clock.stopwatch()
                return
            self._begin(asked)

    def _begin(self, asked: Asked) -> None:
        spec = self._spec(asked.number, asked.setting)
        if asked.claim.attempt > 1:  # a driver that hangs has lost it, and what it began must not go on too
            for event in self._study.store.history(self._study.name):
                if event.kind == CLAIMED and event.number == asked.number:
                    self._end_processes(event.driver, asked.number, asked.checkpoint)
        mark = self._mark(self._study.driver, asked.number)
        logs = self._folder / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        with (logs / f"trial-{asked.number}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "tradewind.session.grid.trial"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, start_new_session=True,
                env=local_leftovers.marked(os.environ, mark, self._study.name),
            )  # fmt: skip
        failures = self._read()[asked.number].failures
        job = _Job(asked, process, spec.batch, failures)
        self._jobs.append(job)
        assert process.stdin is not None and process.stdout is not None
        os.set_blocking(process.stdout.fileno(), False)
        self._selector.register(process.stdout, selectors.EVENT_READ, job)
        with contextlib.suppress(BrokenPipeError):  # it is dead already, which is seen like any other death
            process.stdin.write(msgspec.json.encode(Order(spec, asked.checkpoint)) + b"\n")
            process.stdin.flush()

    # going on

    def _look(self) -> None:
        """Hear what the trials tell and what is wanted of them, for a moment."""
        for key, _ in self._selector.select(POLL):
            self._receive(key.data)
        try:
            if self._beat() > self._study.lease / 4:
                self._study.heartbeat()
                self._beat = clock.stopwatch()
            trials = self._read()
        except Temporary:
            trials = ()
        for job in list(self._jobs):
            stored = trials[job.asked.number] if trials else None
            if stored is not None and stored.stop_wanted:
                job.let_end(_Ending(STOPPED, stored.stop_wanted))
            elif stored is not None and stored.attempt != job.asked.claim.attempt:
                job.let_end(_Ending("", "another driver has it", lost=True))
            elif self._timeout is not None and job.passed() > self._timeout:
                took = durations.text(self._timeout)
                job.let_end(_Ending(STOPPED, f"its time is up: it took longer than {took}"))
            if job.passed() > job.due:
                job.signal(signal.SIGKILL)
            self._hear(job)
            if job.closed and not job.messages:
                self._end(job)

    def _receive(self, job: _Job) -> None:
        stream = job.process.stdout
        assert stream is not None
        try:
            received = os.read(stream.fileno(), 1 << 16)
        except BlockingIOError:
            return
        try:
            job.messages.extend(job.inbox.feed(received))
        except Garbled:
            received = b""
        if not received:
            self._selector.unregister(stream)
            stream.close()
            try:
                job.process.wait(1.0)
            except subprocess.TimeoutExpired:
                job.signal(signal.SIGKILL)  # it cannot tell anything any more
                job.process.wait()
            assert job.process.stdin is not None
            with contextlib.suppress(BrokenPipeError):
                job.process.stdin.close()
            job.closed = True

    def _hear(self, job: _Job) -> None:
        """Take in what a trial told; what the store cannot take now is kept for later."""
        while job.messages:
            try:
                self._take(job, job.messages[0])
            except Temporary:
                return
            except Superseded:
                job.let_end(_Ending("", "another driver has it", lost=True))
            if job.messages:
                job.messages.popleft()

    def _take(self, job: _Job, message: Message) -> None:
        if message["tells"] in ("ended", "failed"):
            job.end = message
        elif job.ending is not None:
            return
        elif message["tells"] == "began":
            job.directory = message["run"]
            if job.asked.checkpoint != job.directory:
                self._study.checkpoint(job.asked, job.asked.step, job.directory)
        elif message["tells"] == "at":
            workers = max(0, message["leases"] - 1)  # one lease keeps the model
            if workers != job.workers:
                job.workers = workers
                self._note(job, "workers", {"workers": workers})
            self._report(job, message)

    def _report(self, job: _Job, message: Message) -> None:
        step, loss = int(message["done"] // job.batch), message.get("loss")
        if loss is None or step <= job.step:
            return
        verdict = self._study.report(
            job.asked, step, loss, dollars=message["dollars"], seconds=message["seconds"],
            keep=lambda: self._pause_now(job, step),
        )  # fmt: skip
        job.step, job.loss = step, loss
        if verdict.action != GO_ON:
            # It is on record already what becomes of it.
            job.let_end(_Ending("" if verdict.action == PAUSE else STOPPED, verdict.reason, lost=True))

    def _note(self, job: _Job, text: str, document: dict[str, Any]) -> None:
        number, name = job.asked.number, self._study.name
        self._study.store.note(name, text, number=number, document=document, moment=clock.wall())

    # ending

    def _pause_now(self, job: _Job, step: int) -> None:
        """Pause a job and wait until it is gone, for whoever goes on may be another driver."""
        job.let_end(_Ending("", "it waits for others", lost=True))
        self._await([job])
        if job.directory:
            self._study.checkpoint(job.asked, step, job.directory)

    def _await(self, jobs: list[_Job]) -> None:
        """Wait until the processes of jobs that are ending are gone."""
        while any(not job.closed for job in jobs):
            for key, _ in self._selector.select(POLL / 4):
                self._receive(key.data)
            for job in jobs:
                if job.passed() > job.due:
                    job.signal(signal.SIGKILL)
        for job in jobs:
            self._clean(job)

    def _clean(self, job: _Job) -> None:
        """End what the leases of a job may have left whose process is gone."""
        if job.directory:
            local_leftovers.end(Path(job.directory) / LOGS)

    def _end(self, job: _Job) -> None:
        """Put on record how a trial ended whose process is gone."""
        self._clean(job)
        with contextlib.suppress(Superseded):
            try:
                self._told_end(job)
            except Temporary:
                return  # the next look tries again
        self._jobs.remove(job)
        self._idle = False

    def _told_end(self, job: _Job) -> None:
        study, asked, end = self._study, job.asked, job.end or {}
        if job.ending is not None and job.ending.lost:
            return
        if job.workers > 0:
            job.workers = 0
            self._note(job, "workers", {"workers": 0})
        spent: dict[str, Any] = {"dollars": end.get("dollars"), "seconds": end.get("seconds")}
        if end.get("outcome") == "done":
            if "quality" in end:
                self._note(job, "quality", {"quality": end["quality"], "metric": end["metric"]})
            study.tell(asked, job.loss, **spent)
        elif job.ending is not None and job.ending.state:
            study.tell(asked, state=job.ending.state, reason=job.ending.reason, **spent)
        elif job.ending is not None:
            study.requeue(asked, job.ending.reason, MOVE)
        elif "outcome" in end:
            study.tell(asked, state=STOPPED, reason=end.get("reason") or "it paused", **spent)
        elif end:
            study.tell(asked, state=FAILED, reason=end["reason"])
        else:
            died = f"its process died ({_death(job.process.returncode)})"
            if job.failures + 1 < FAILURES:
                study.requeue(asked, died, FAILURE)
            else:
                study.tell(asked, state=FAILED, reason=died)

    def _leave(self) -> None:
        """Pause everything that runs and give it back."""
        for job in self._jobs:
            job.let_end(_Ending("", "its driver left"))
        self._await(self._jobs)
        for job in self._jobs:
            with contextlib.suppress(Temporary):
                self._hear(job)
            with contextlib.suppress(Temporary, Superseded):
                self._told_end(job)
        self._jobs = []
        self._selector.close()

    # how

    def _read(self) -> tuple[StoredTrial, ...]:
        return self._study.store.trials(self._study.name, self._known).all()

    def _finished(self) -> bool:
        try:
            return not any(each.state in OPEN for each in self._read()) and self._study.finished
        except Temporary:
            return False


def _death(status: int | None) -> str:
    if status is not None and status < 0:
        return signal.Signals(-status).name
    return f"exit status {status}"
