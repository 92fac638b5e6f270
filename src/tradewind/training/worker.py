"""The main of a logical worker: read its part of the data, learn, and go when asked to.

It keeps nothing that is not in the state, so it may be killed at any instruction: whoever hosts the worker
next is told the batch to go on from. Asked to leave, it ends the batch in hand first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from tradewind.algorithms.batch import Batch
from tradewind.algorithms.interface import Algorithm
from tradewind.data.interface import DataSet, Part
from tradewind.data.streams import open_data
from tradewind.state.client import StateClient
from tradewind.state.link import Ousted, Patience, RolledBack
from tradewind.state.transport.interface import Channel
from tradewind.state.transport.zeromq import ZeroMQChannel
from tradewind.training.job import Job, build_algorithm

PATIENCE = Patience(ask_again=0.3)
"""A worker doubts a silent server soon: asking where the shards are now costs little."""


class Leaving(Exception):
    """Thrown through `update` between two batches when the worker was asked to leave."""


def main(arguments: dict[str, Any], leaving: Callable[[], bool]) -> None:
    """Host `arguments["worker"]` until its part is finished, it is hosted elsewhere, or it must go."""
    job = msgspec.convert(arguments["job"], Job)
    worker = int(arguments["worker"])
    data = open_data(**job.data, cache=arguments["cache"])
    part = part_of(job, data, worker)
    state = StateClient.at(arguments["address"], ZeroMQChannel, worker, patience=PATIENCE)
    learn_from(build_algorithm(job.learner), part, state, leaving)


def part_of(job: Job, data: DataSet, worker: int) -> Part:
    """What a logical worker of the job reads; data that passes once is read as it comes, unshuffled."""
    seed = None if data.rows is None else job.seed
    return data.part(worker, job.parts, job.batch, job.epochs, seed)


def learn(
    algorithm: Algorithm,
    part: Part,
    worker: int,
    channel: Channel,
    leaving: Callable[[], bool] = lambda: False,
) -> None:
    """Host the worker over `channel`, to a state with one server, and learn from `part`."""
    learn_from(algorithm, part, StateClient([channel], worker), leaving)


def learn_from(
    algorithm: Algorithm, part: Part, state: StateClient, leaving: Callable[[], bool] = lambda: False
) -> None:
    """Host the worker of `state` and learn from `part`, from wherever the state says it stands.

    Whenever the state went back or moved, the batch in hand is thrown away and the worker hosted again.
    """
    try:
        while True:
            position = state.host()
            stream = state.draw(_until(leaving, part.batches(position.clock)))
            try:
                algorithm.update(state, stream, state.bulk)
                state.leave()
            except Leaving:
                state.release()
            except RolledBack:
                continue
            return
    except Ousted:
        return  # another process hosts the worker now
    finally:
        state.close()


def _until(leaving: Callable[[], bool], batches: Iterator[Batch]) -> Iterator[Batch]:
    for batch in batches:
        if leaving():
            raise Leaving
        yield batch
