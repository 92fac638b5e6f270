"""The server of a job's state: where it begins, and what it may be told to go on from."""

import threading
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from tradewind.algorithms.linear.learner import LinearLearner
from tradewind.data.backups import back_up
from tradewind.data.model_files.layout import newest_snapshot, write_snapshot
from tradewind.data.object_store import open_store
from tradewind.data.streams import open_data
from tradewind.errors import Corrupt, Misuse
from tradewind.state.client import StateClient
from tradewind.state.consistency import BulkSynchronous, StaleSynchronous
from tradewind.state.engine import Engine
from tradewind.state.partition import even_routing
from tradewind.state.snapshot import Snapshot, merged, snapshot_of
from tradewind.state.transport.zeromq import ZeroMQChannel
from tradewind.training import data_host, state_host, worker
from tradewind.training.in_process import learn_here
from tradewind.training.job import Job, build_algorithm, learner_of
from tradewind.training.state_host import (
    check_continues,
    check_same_data,
    fresh_shards,
    fresh_state,
    shards_at_start,
)

LEARNER = learner_of(LinearLearner(optimizer="adagrad"))


def data(features: int = 5, seed: int = 1) -> Any:
    chance = np.random.default_rng(seed)
    x = chance.normal(size=(48, features)).astype(np.float32)
    return open_data(x, (x[:, 0] > 0).astype(float))


def job(**changes: Any) -> Job:
    return Job(**{"learner": LEARNER, "data": {}, "parts": 3, "batch": 4, **changes})


def learned(task: Job, rows: Any, earlier: Snapshot | None = None) -> Engine:
    algorithm = build_algorithm(task.learner)
    engine = fresh_state(task, algorithm, rows, earlier)
    learn_here(task, algorithm, rows, engine)
    return engine


def at_rest(engine: Engine) -> Snapshot:
    arrays, header = engine.snapshot().plain()
    return snapshot_of({name: array.copy() for name, array in arrays.items()}, header)


def test_a_fresh_state_knows_its_job() -> None:
    engine = fresh_state(job(), build_algorithm(LEARNER), data())
    assert len(engine.workers()) == 3 and engine.rounds == 0
    assert engine.config["features"] == 5 and engine.config["learner"] == msgspec.to_builtins(LEARNER)
    assert {"weights", "progress"} <= engine.tables.keys()


@pytest.mark.parametrize("parts", [1, 2, 3, 7])
@pytest.mark.parametrize("consistency", ["bulk_synchronous", "stale_synchronous", "asynchronous"])
def test_learning_on_keeps_the_tables_and_starts_the_cursors_anew(parts, consistency) -> None:
    """Whatever the number of parts and the consistency were before."""
    before = learned(job(), data())
    task, rows = job(parts=parts, consistency=consistency), data(seed=2)
    begun = fresh_state(task, build_algorithm(LEARNER), rows, at_rest(before))
    for key, table in before.tables.items():
        for name, array in table.arrays().items():
            np.testing.assert_array_equal(array, begun.tables[key].arrays()[name])
    assert len(begun.workers()) == parts
    assert all(not each["left"] and each["clock"] == 0 for each in begun.workers())
    after = learned(task, rows, at_rest(before))
    assert after.finished
    assert after.table("progress").read(None).sum(axis=1).tolist()[1] == 2 * 48


def test_learning_on_takes_the_staleness_of_the_new_job() -> None:
    before = at_rest(learned(job(), data()))
    task = job(consistency="stale_synchronous", staleness=4)
    assert fresh_state(task, build_algorithm(LEARNER), data(), before).consistency == StaleSynchronous(4)
    assert before.header.consistency == BulkSynchronous()


def test_learning_on_is_the_same_bit_for_bit_each_time() -> None:
    before = at_rest(learned(job(), data()))
    once, twice = (learned(job(parts=4), data(seed=2), before) for _ in range(2))
    assert once.table("weights").read(None).tobytes() == twice.table("weights").read(None).tobytes()


def test_other_features_are_refused_with_the_source() -> None:
    before = at_rest(learned(job(), data()))
    with pytest.raises(Misuse, match=r"features: 6 features, but the state was learned from 5"):
        fresh_state(job(), build_algorithm(LEARNER), data(features=6), before)


def test_another_learner_is_refused() -> None:
    before = at_rest(learned(job(), data()))
    other = learner_of(LinearLearner(optimizer="adagrad", loss="hinge"))
    with pytest.raises(Misuse, match="learner"):
        fresh_state(job(learner=other), build_algorithm(other), data(), before)


def test_the_same_config_continues() -> None:
    before = at_rest(learned(job(), data()))
    check_continues(before, before.header.config, "here")


def test_other_rows_are_told_apart_from_the_same_ones() -> None:
    """On a resume; a job that learns on has new rows, and remembers those."""
    before = at_rest(learned(job(), data()))
    check_same_data(before, data())
    with pytest.raises(Misuse, match="other rows than the run began with"):
        check_same_data(before, data(seed=2))
    after = at_rest(learned(job(), data(seed=2), before))
    check_same_data(after, data(seed=2))
    with pytest.raises(Misuse, match="other rows"):
        check_same_data(after, data())


# as a task


class Served:
    """A task's main on a thread, until it is asked to leave."""

    def __init__(self, main: Any, arguments: dict[str, Any]) -> None:
        self.leave = threading.Event()
        self.problem: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(main, arguments), daemon=True)
        self._thread.start()

    def _run(self, main: Any, arguments: dict[str, Any]) -> None:
        try:
            main(arguments, self.leave.is_set)
        except BaseException as problem:
            self.problem = problem

    def end(self) -> None:
        self.leave.set()
        self._thread.join(30)
        assert not self._thread.is_alive()
        if self.problem is not None:
            raise self.problem


@pytest.fixture
def arguments(tmp_path) -> dict[str, Any]:
    rows = "\n".join(f"{'+1' if n % 3 else '-1'} {1 + n % 5}:1 {6 + n % 2}:0.5" for n in range(60))
    (tmp_path / "rows.libsvm").write_text(rows + "\n")
    task = job(data={"source": str(tmp_path / "rows.libsvm")}, batch=5)
    return {
        "job": msgspec.to_builtins(task),
        "address": f"ipc://{tmp_path}/state",
        "cache": str(tmp_path / "cache"),
        "snapshots": str(tmp_path / "snapshots"),
        "base": None,
    }


def test_the_three_tasks_of_a_job_together(arguments) -> None:
    """The data is read into the cache, the state is served, and workers learn to their end."""
    data_host.main(arguments, lambda: False)
    (cached,) = Path(arguments["cache"]).iterdir()
    written = cached.stat().st_mtime_ns
    server = Served(state_host.main, arguments)
    workers = [Served(worker.main, {**arguments, "worker": n}) for n in range(3)]
    for each in workers:
        each._thread.join(60)
        each.end()
    reader = StateClient([ZeroMQChannel(arguments["address"])])
    assert reader.pull("progress")[1] == 60
    reader.close()
    server.end()
    assert cached.stat().st_mtime_ns == written and list(Path(arguments["cache"]).iterdir()) == [cached]


def test_a_server_goes_on_from_the_newest_snapshot(arguments) -> None:
    task = msgspec.convert(arguments["job"], Job)
    engine = learned(task, open_data(**task.data))
    for clock in (3, 12):
        arrays, header = at_rest(engine).plain()
        write_snapshot(Path(arguments["snapshots"]), clock, arrays, {**header, "rounds": clock})
    server = Served(state_host.main, arguments)
    reader = StateClient([ZeroMQChannel(arguments["address"])])
    assert reader.pull("progress")[1] == 60 and reader.epoch == 1
    reader.close()
    server.end()


def test_a_server_begins_on_a_base_where_it_has_no_snapshot_of_its_own(arguments, tmp_path) -> None:
    task = msgspec.convert(arguments["job"], Job)
    arrays, header = at_rest(learned(task, open_data(**task.data))).plain()
    write_snapshot(tmp_path / "base", 12, arrays, header)
    server = Served(state_host.main, {**arguments, "base": str(tmp_path / "base")})
    reader = StateClient([ZeroMQChannel(arguments["address"])], 0)
    assert reader.pull("progress")[1] == 60
    assert reader.host().clock == 0
    reader.close()
    server.end()


def test_snapshots_that_are_all_damaged_are_no_reason_to_begin_afresh(arguments) -> None:
    task = msgspec.convert(arguments["job"], Job)
    arrays, header = at_rest(learned(task, open_data(**task.data))).plain()
    where = write_snapshot(Path(arguments["snapshots"]), 12, arrays, header)
    for file in where.iterdir():
        file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(Corrupt):
        state_host.main(arguments, lambda: True)


def test_a_file_that_changed_for_the_worse_is_told_before_anything_is_served(arguments, tmp_path) -> None:
    (tmp_path / "rows.libsvm").write_text("+1 1:1\n-1 2:nan\n")
    with pytest.raises(Misuse, match=r"rows\.libsvm"):
        state_host.main(arguments, lambda: False)


def test_shards_hold_together_what_one_piece_holds_and_go_on_in_other_numbers(arguments) -> None:
    task = msgspec.convert(arguments["job"], Job)
    whole = learned(task, open_data(**task.data))
    arrays, header = at_rest(whole).plain()
    write_snapshot(Path(arguments["snapshots"]), 12, arrays, header)
    for shards in (1, 3, 8):
        engines = shards_at_start(task, {**arguments, "shards": shards})
        assert [engine.owned for engine in engines] == [
            even_routing(shards).owned(shard) for shard in range(shards)
        ]
        again = merged([engine.snapshot() for engine in engines])
        assert {name: array.tobytes() for name, array in again.arrays.items()} == {
            name: array.tobytes() for name, array in arrays.items()
        }


def test_fresh_shards_are_initialized_as_one_piece_is(arguments) -> None:
    task = msgspec.convert(arguments["job"], Job)
    rows = open_data(**task.data)
    whole = fresh_state(task, build_algorithm(task.learner), rows).snapshot()
    parts = fresh_shards(task, build_algorithm(task.learner), rows, None, 5)
    again = merged([engine.snapshot() for engine in parts])
    assert {name: array.tobytes() for name, array in again.arrays.items()} == {
        name: array.tobytes() for name, array in whole.arrays.items()
    }


def test_no_epoch_that_was_seen_before_a_restart_is_begun_again(arguments) -> None:
    task = msgspec.convert(arguments["job"], Job)
    for engine in shards_at_start(task, {**arguments, "shards": 2, "epoch": 1030}):
        assert engine.epoch == 1030
    arrays, header = at_rest(learned(task, open_data(**task.data))).plain()
    write_snapshot(Path(arguments["snapshots"]), 12, arrays, {**header, "epoch": 2000})
    for engine in shards_at_start(task, {**arguments, "shards": 2, "epoch": 1030}):
        assert engine.epoch == 2001


def test_where_the_disk_is_gone_the_copy_is_brought_back(arguments, tmp_path) -> None:
    task = msgspec.convert(arguments["job"], Job)
    arrays, header = at_rest(learned(task, open_data(**task.data))).plain()
    bucket = f"file://{tmp_path}/bucket/run"
    back_up(write_snapshot(tmp_path / "elsewhere", 12, arrays, header), open_store(bucket))
    (engine,) = shards_at_start(task, {**arguments, "backup": bucket})
    assert {name: array.tobytes() for name, array in engine.snapshot().arrays.items()} == {
        name: array.tobytes() for name, array in arrays.items()
    }
    assert newest_snapshot(Path(arguments["snapshots"])) is not None
    (fresh,) = shards_at_start(
        task, {**arguments, "snapshots": str(tmp_path / "none"), "backup": f"file://{tmp_path}/empty"}
    )
    assert fresh.rounds == 0
