"""The main of the state's server: a fresh state or the newest snapshot, served until it is asked to stop."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from tradewind.algorithms.interface import Algorithm
from tradewind.data.interface import DataSet
from tradewind.data.model_files import newest_snapshot
from tradewind.data.streams import open_data
from tradewind.errors import Misuse
from tradewind.state.client import StateClient
from tradewind.state.consistency import consistency_called
from tradewind.state.engine import Engine
from tradewind.state.server import Server, serve
from tradewind.state.snapshot import Snapshot, snapshot_of
from tradewind.state.transport.inprocess import InProcess
from tradewind.state.transport.zeromq import ZeroMQListener
from tradewind.training.job import Job, build_algorithm


def main(arguments: dict[str, Any], leaving: Callable[[], bool]) -> None:
    """Serve the job's state at `arguments["address"]`.

    It goes on from the newest whole snapshot under `arguments["snapshots"]`, and begins afresh where there
    is none. `arguments["base"]`, if given, is a directory of snapshots of an earlier job to learn on from.
    """
    job = msgspec.convert(arguments["job"], Job)
    algorithm = build_algorithm(job.learner)
    found = newest_snapshot(Path(arguments["snapshots"]))
    base = arguments.get("base")
    if found is not None:
        engine = Engine.restore(snapshot_of(*found[1:]))
    else:
        data = open_data(**job.data, cache=arguments["cache"])
        earlier = None if base is None else newest_snapshot(Path(base))
        engine = fresh_state(job, algorithm, data, None if earlier is None else snapshot_of(*earlier[1:]))
    listener = ZeroMQListener(arguments["address"])
    try:
        serve(Server(engine), listener, stop=leaving)
    finally:
        listener.close()


def fresh_state(job: Job, algorithm: Algorithm, data: DataSet, earlier: Snapshot | None = None) -> Engine:
    """The state of a job that has read nothing yet; with what `earlier` had learned, if it is given.

    Learning on keeps every table and starts the read cursors anew. Raises Misuse where the data has another
    number of features than the earlier job's, or the learner other parameters.
    """
    config = {
        "features": data.schema.features,
        "learner": msgspec.to_builtins(job.learner),
        "data": data.digest(),
    }
    if earlier is not None:
        check_continues(earlier, config, data.name)
        return Engine.restore(_recast(earlier, job, config), fresh=True)
    engine = Engine(job.parts, consistency_called(job.consistency, job.staleness), config=config)
    state = StateClient([InProcess(Server(engine)).channel()])
    algorithm.initialize(state, data.head(algorithm.sample_size))
    return engine


def check_continues(earlier: Snapshot, config: dict[str, Any], source: str) -> None:
    """Raise Misuse unless a job of that `config` may go on from `earlier`."""
    before = earlier.header.config
    if before.get("features") != config["features"]:
        raise Misuse(
            f"{config['features']} features, but the state was learned from {before.get('features')}",
            source=source,
            field="features",
            fix="Give data with the same columns, or begin a new job.",
        )
    if before.get("learner") != config["learner"]:
        raise Misuse(
            f"the learner is {config['learner']}, but the state was learned by {before.get('learner')}",
            field="learner",
            fix="Keep the learner and its arguments, or begin a new job.",
        )


def check_same_data(earlier: Snapshot, data: DataSet) -> None:
    """Raise Misuse unless a job that stopped at `earlier` would go on reading what it began to read."""
    if earlier.header.config.get("data", data.digest()) != data.digest():
        raise Misuse(
            "these are other rows than the run began with",
            source=data.name,
            field="data",
            fix="Put the old file back to resume, or learn on from a finished run with new data.",
        )


def _recast(snapshot: Snapshot, job: Job, config: dict[str, Any]) -> Snapshot:
    """The snapshot for a new job, with its consistency and number of workers, whose cursors start anew."""
    header = snapshot.header
    record = msgspec.structs.replace(header.workers[0], clock=0, sequence=0, left=False, forsaken=False)
    consistency = consistency_called(job.consistency, job.staleness)
    header = msgspec.structs.replace(
        header, workers=(record,) * job.parts, consistency=consistency, config=config
    )
    return Snapshot(header, snapshot.arrays)
