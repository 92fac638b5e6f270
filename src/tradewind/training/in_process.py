"""A whole job in this process: the same state, the same logical workers, a thread each, no machines.

What it learns is what the job learns anywhere else; bulk-synchronous, bit for bit.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from tradewind.algorithms.interface import Algorithm
from tradewind.data.interface import DataSet
from tradewind.state.engine import Engine
from tradewind.state.link import Link, Patience
from tradewind.state.messages import Forsake
from tradewind.state.server import Server
from tradewind.state.transport.inprocess import InProcess
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

    def work(worker: int) -> None:
        try:
            part = part_of(job, data, worker)
            learn(algorithm, part, worker, hub.channel(), lambda: bool(problems) or leaving())
        except BaseException as problem:
            problems.append(problem)
            controller = Link(hub.channel(), Patience())
            controller.post([Forsake(worker)])  # nobody may wait for it
            controller.answer()

    threads = [threading.Thread(target=work, args=(worker,), daemon=True) for worker in range(job.parts)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if problems:
        raise problems[0]
