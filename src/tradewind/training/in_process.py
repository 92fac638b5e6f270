"""A whole job in this process: the same state, the same logical workers, a thread each, no machines.

What it learns is what the job learns anywhere else; bulk-synchronous, bit for bit. In the other modes it
depends on who comes first, which is drawn from the job's seed here: the same job learns the same again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import partial

from tradewind.algorithms.interface import Algorithm
from tradewind.data.interface import DataSet
from tradewind.state.consistency import Asynchronous, BulkSynchronous, Consistency
from tradewind.state.engine import Engine
from tradewind.state.link import Link, Patience
from tradewind.state.messages import Forsake
from tradewind.state.server import Server
from tradewind.state.transport.inprocess import InProcess
from tradewind.state.transport.interface import Channel
from tradewind.state.transport.turns import Turns
from tradewind.training.job import Job
from tradewind.training.worker import learn, part_of


def learn_here(
    job: Job, algorithm: Algorithm, data: DataSet, engine: Engine, leaving: Callable[[], bool] = lambda: False
) -> None:
    """Run every logical worker of `job` on `engine` until all have finished, or have left when asked to.

    Raises what the first worker that failed raised; the others are then asked to leave.
    """
    hub = InProcess(Server(engine))
    problems: list[BaseException] = []
    asked = _Together(job.parts, engine.consistency, lambda: bool(problems) or leaving())

    def work(worker: int, channel: Channel) -> None:
        try:
            part = part_of(job, data, worker)
            learn(algorithm, part, worker, channel, lambda: asked(worker))
        except BaseException as problem:
            problems.append(problem)
            controller = Link(hub.channel(), Patience())
            controller.post([Forsake(worker)])  # nobody may wait for it
            controller.answer()

    hosts = [partial(work, worker) for worker in range(job.parts)]
    if isinstance(engine.consistency, BulkSynchronous):
        _at_once(hub, hosts)
    else:
        Turns(hub, job.seed).run(hosts)
    if problems:
        raise problems[0]


def _at_once(hub: InProcess, hosts: Sequence[Callable[[Channel], None]]) -> None:
    threads = [threading.Thread(target=host, args=(hub.channel(),), daemon=True) for host in hosts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


class _Together:
    """Tells workers to leave after the same number of batches, where one waits for another.

    Who left a batch earlier would leave the others waiting for it, and here nobody hosts it again.
    """

    def __init__(self, workers: int, consistency: Consistency, leaving: Callable[[], bool]) -> None:
        self._leaving, self._alone = leaving, isinstance(consistency, Asynchronous)
        self._begun = [0] * workers
        self._last: int | None = None
        self._lock = threading.Lock()

    def __call__(self, worker: int) -> bool:
        """Whether the worker, which is between two batches, is to leave; otherwise it begins another."""
        with self._lock:
            if self._last is None and self._leaving():
                self._last = 0 if self._alone else max(self._begun)
            if self._last is not None and self._begun[worker] >= self._last:
                return True
            self._begun[worker] += 1
            return False
