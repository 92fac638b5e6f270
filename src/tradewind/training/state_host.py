"""The main of the reliable host of a job's state: a fresh state or the newest snapshot, until asked to stop.

It listens at the one address that everybody in the job knows. It serves the shards itself in stage 1, and
keeps the backups of those that active hosts serve in stages 2 and 3; it always knows who serves which.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from tradewind.algorithms.interface import Algorithm
from tradewind.data.backups import bring_back
from tradewind.data.interface import DataSet
from tradewind.data.model_files.layout import newest_snapshot
from tradewind.data.object_store import open_store
from tradewind.data.streams import open_data
from tradewind.errors import Misuse
from tradewind.state.client import StateClient
from tradewind.state.consistency import consistency_called
from tradewind.state.engine import Engine
from tradewind.state.partition import even_routing
from tradewind.state.server import Server, serve
from tradewind.state.shard_host import ShardHost
from tradewind.state.snapshot import Snapshot, parted, snapshot_of
from tradewind.state.transport.inprocess import InProcess
from tradewind.state.transport.zeromq import ZeroMQListener
from tradewind.training.job import Job, build_algorithm


def main(arguments: dict[str, Any], leaving: Callable[[], bool]) -> None:
    """Keep the job's state at `arguments["address"]`; see `shards_at_start` for where it begins."""
    job = msgspec.convert(arguments["job"], Job)
    engines = shards_at_start(job, arguments)
    listener = ZeroMQListener(arguments["address"])
    try:
        serve(ShardHost.reliable(engines, arguments["address"]), listener, stop=leaving)
    finally:
        listener.close()


def shards_at_start(job: Job, arguments: dict[str, Any]) -> list[Engine]:
    """The shards of the newest whole snapshot under `arguments["snapshots"]`, or of a fresh state.

    There are `arguments["shards"]` of them, one if that is not given.
    Where there is no snapshot, the newest copy at `arguments["backup"]`, the address of an object store, is
    brought back, if that is given. A fresh state learns on from the snapshots of an earlier job in the
    directory `arguments["base"]`, if that is given. No epoch before `arguments["epoch"]` is begun, so that
    what was said before a restart is never taken for something new.
    """
    root, base = Path(arguments["snapshots"]), arguments.get("base")
    shards = int(arguments.get("shards", 1))
    found = newest_snapshot(root)
    if found is None and arguments.get("backup") and bring_back(open_store(arguments["backup"]), root):
        found = newest_snapshot(root)
    if found is not None:
        parts = parted(snapshot_of(*found[1:]), even_routing(shards))
        engines = [Engine.restore(part) for part in parts]
    else:
        data = open_data(**job.data, cache=arguments["cache"])
        earlier = None if base is None else newest_snapshot(Path(base))
        before = None if earlier is None else snapshot_of(*earlier[1:])
        engines = fresh_shards(job, build_algorithm(job.learner), data, before, shards)
    for engine in engines:
        engine.epoch = max(engine.epoch, int(arguments.get("epoch", 0)))
    return engines


def fresh_state(job: Job, algorithm: Algorithm, data: DataSet, earlier: Snapshot | None = None) -> Engine:
    """The state of a job that has read nothing yet, in one piece; see `fresh_shards`."""
    return fresh_shards(job, algorithm, data, earlier, 1)[0]


def fresh_shards(
    job: Job, algorithm: Algorithm, data: DataSet, earlier: Snapshot | None, shards: int
) -> list[Engine]:
    """The state of a job that has read nothing yet; with what `earlier` had learned, if it is given.

    Learning on keeps every table and starts the read cursors anew. Raises Misuse where the data has another
    number of features than the earlier job's, or the learner other parameters.
    """
    config = {
        "features": data.schema.features,
        "learner": msgspec.to_builtins(job.learner),
        "data": data.digest(),
    }
    routing = even_routing(shards)
    if earlier is not None:
        check_continues(earlier, config, data.name)
        parts = parted(_recast(earlier, job, config), routing)
        return [Engine.restore(part, fresh=True) for part in parts]
    consistency = consistency_called(job.consistency, job.staleness)
    engines = [
        Engine(job.parts, consistency, owned=routing.owned(shard), config=config) for shard in range(shards)
    ]
    state = StateClient([InProcess(Server(engine)).channel() for engine in engines])
    algorithm.initialize(state, data.head(algorithm.sample_size))
    return engines


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
        header, workers=(record,) * job.parts, consistency=consistency, config=config, parts=()
    )
    return Snapshot(header, snapshot.arrays)
