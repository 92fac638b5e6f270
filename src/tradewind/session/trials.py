"""Runs of policies on a recorded market in virtual time, kept nowhere: what comparisons are made of.

One run is `trial`; many, over the cores of a machine, are `trials`. The workers are forked, so that a market
of months is there without being sent; what a case comes to is all that travels back.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import pickle
import signal
import traceback
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

from tradewind import clock
from tradewind.control.loop import Record, Unrecorded
from tradewind.control.policy import AnyPolicy
from tradewind.errors import Misuse
from tradewind.estimates.outlook import Forecaster
from tradewind.market.recorded import RecordedMarket
from tradewind.providers.simulated import SimulatedProvider
from tradewind.training.elastic import controller
from tradewind.training.elastic.controller import Result
from tradewind.training.elastic.work import Work
from tradewind.training.view import Goal

Case = TypeVar("Case")
T = TypeVar("T")

_LONGEST = 400
"""Characters of a case in the note of its error."""


def trial(
    market: RecordedMarket,
    goal: Goal,
    policy: AnyPolicy,
    work: Work,
    start: float,
    *,
    forecaster: Forecaster | None = None,
    record: Record | None = None,
    until: float | None = None,
) -> Result:
    """What the run came to: the same controller and policy as in a real run, from `start` on.

    At `until` it is paused, if it is not done by then.

    Everything of the work is a model (`ModelledWork`), the market is recorded, and the job is a price-taker:
    what it takes changes neither prices nor capacity for others. Raises what `controller.run` raises.
    """

    async def main() -> Result:
        stop = asyncio.Event()
        ending = None if until is None else asyncio.create_task(_set_at(stop, until))
        try:
            return await controller.run(
                goal,
                policy,
                SimulatedProvider(market),
                work,
                Unrecorded() if record is None else record,
                stop=stop,
                forecaster=forecaster,
            )
        finally:
            if ending is not None:
                ending.cancel()

    return clock.simulate(main(), start=start)


async def _set_at(event: asyncio.Event, moment: float) -> None:
    await clock.sleep_until(moment)
    event.set()


def trials(
    cases: Sequence[Case],
    run: Callable[[Case], T],
    *,
    jobs: int = 2,
    told: Callable[[int], None] | None = None,
) -> list[T]:
    """What `run` returns for each of the cases, in their order, with up to `jobs` of them at a time.

    `run` and the cases are inherited by forked processes and may hold anything; what it returns must be
    picklable. `told` hears how many cases are done whenever one more is. Raises what `completed` raises.
    """
    found: dict[int, T] = {}
    for index, result in completed(cases, run, jobs=jobs):
        found[index] = result
        if told is not None:
            told(len(found))
    return [found[index] for index in range(len(cases))]


def completed(cases: Sequence[Case], run: Callable[[Case], T], *, jobs: int = 2) -> Iterator[tuple[int, T]]:
    """The number of each case and what `run` returns for it, as soon as it is done.

    The first case that raises ends the others, and its exception is raised here, its type and text as they
    were, with notes that name the case and say where it happened. A worker that dies raises RuntimeError
    likewise. An interrupt, or closing the iterator, ends the workers; what was yielded stands. One job runs
    in this process.
    """
    if jobs < 1:
        raise Misuse(f"{jobs!r} jobs at a time", field="jobs", fix="Give 1 or more.")
    if min(jobs, len(cases)) <= 1:
        for index, case in enumerate(cases):
            try:
                result = run(case)
            except Exception as problem:
                problem.add_note(_named(cases, index))
                raise
            yield index, result
        return
    crew = _Crew(cases, run, min(jobs, len(cases)))
    try:
        yield from crew.results()
    finally:
        crew.end()


class _Crew:
    """Forked workers, each with a pipe to it: a number of a case goes there, its result comes back."""

    def __init__(self, cases: Sequence[Any], run: Callable[[Any], Any], size: int) -> None:
        self._cases, self._run = cases, run
        self._workers: dict[Connection, BaseProcess] = {}
        fork = multiprocessing.get_context("fork")
        try:
            for _ in range(size):
                ours, theirs = fork.Pipe()
                # A worker lets go of every end of ours that it inherits, so that our death closes its pipe.
                worker = fork.Process(
                    target=_work, args=(theirs, [*self._workers, ours], cases, run), daemon=True
                )
                worker.start()
                theirs.close()
                self._workers[ours] = worker
        except BaseException:
            self.end()
            raise

    def results(self) -> Iterator[tuple[int, Any]]:
        """Deal the cases out in their order, one at a time to whoever is free."""
        waiting = iter(range(len(self._cases)))
        busy: dict[Connection, int] = {}
        for pipe in self._workers:
            self._deal(pipe, waiting, busy)
        while busy:
            ready = wait(list(busy))
            for pipe in [pipe for pipe in self._workers if pipe in ready]:
                index = busy.pop(pipe)
                try:
                    result, problem = pipe.recv()
                except (EOFError, OSError):
                    worker = self._workers[pipe]
                    worker.join()
                    died = RuntimeError(f"a worker died with the exit code {worker.exitcode}")
                    died.add_note(_named(self._cases, index))
                    raise died from None
                if problem is not None:
                    raise problem
                self._deal(pipe, waiting, busy)
                yield index, result

    def _deal(self, pipe: Connection, waiting: Iterator[int], busy: dict[Connection, int]) -> None:
        for index in waiting:
            busy[pipe] = index
            # One that has died is noticed where its answer is read.
            with contextlib.suppress(OSError):
                pipe.send(index)
            return

    def end(self) -> None:
        """End every worker, whatever it is at, and wait until it is gone."""
        for worker in self._workers.values():
            worker.kill()
        for pipe, worker in self._workers.items():
            worker.join()
            worker.close()
            pipe.close()
        self._workers.clear()


def _work(
    pipe: Connection, others: Sequence[Connection], cases: Sequence[Any], run: Callable[[Any], Any]
) -> None:
    """A worker's life: run the cases whose numbers come, until the pipe closes."""
    # An interrupt from the terminal reaches the whole group; it is the caller's to act on.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for each in others:
        each.close()
    while True:
        try:
            index = pipe.recv()
        except (EOFError, OSError):
            return
        try:
            answer = pickle.dumps((run(cases[index]), None))
        except Exception as problem:
            where = "".join(traceback.format_exception(problem)).rstrip()
            problem.add_note(_named(cases, index))
            problem.add_note(f"in its worker:\n{where}")
            answer = pickle.dumps((None, _Carried.of(problem)))
        try:
            pipe.send_bytes(answer)
        except OSError:
            return


class _Carried:
    """An exception on its way between processes, as it was: its constructor is not called again."""

    def __init__(self, kind: type[Exception], args: tuple[Any, ...], fields: dict[str, Any]) -> None:
        self.kind, self.args, self.fields = kind, args, fields

    @classmethod
    def of(cls, problem: Exception) -> _Carried | Exception:
        """What travels in place of `problem`: something that is that exception again when unpickled."""
        for carried in (problem, cls(type(problem), problem.args, dict(vars(problem)))):
            try:
                again = pickle.loads(pickle.dumps(carried))
                if type(again) is type(problem) and str(again) == str(problem):
                    return carried
            except Exception:
                continue
        stand_in = RuntimeError(f"{type(problem).__name__}: {problem}")
        for note in problem.__notes__:
            stand_in.add_note(note)
        return stand_in

    def __reduce__(self) -> tuple[Any, ...]:
        return _revived, (self.kind, self.args, self.fields)


def _revived(kind: type[Exception], args: tuple[Any, ...], fields: dict[str, Any]) -> Exception:
    problem = kind.__new__(kind)
    problem.args = args
    vars(problem).update(fields)
    return problem


def _named(cases: Sequence[Any], index: int) -> str:
    text = repr(cases[index])
    if len(text) > _LONGEST:
        text = f"{text[:_LONGEST]}..."
    return f"case {index + 1} of {len(cases)}: {text}"
