"""The driver's line to the state's server: what it sees, what it keeps, and that silence is told."""

import shutil
import threading

import numpy as np
import pytest

from tradewind.algorithms.linear.learner import LinearLearner
from tradewind.data.backups import bring_back
from tradewind.data.model_files.layout import newest_snapshot
from tradewind.data.object_store import open_store
from tradewind.data.streams import open_data
from tradewind.errors import Unreachable
from tradewind.state.client import StateClient
from tradewind.state.server import serve
from tradewind.state.shard_host import ShardHost
from tradewind.state.transport.zeromq import ZeroMQChannel, ZeroMQListener
from tradewind.training.elastic.served_state import ServedState
from tradewind.training.job import Job, learner_of
from tradewind.training.state_host import fresh_state
from tradewind.training.worker import learn, learn_from, part_of

ROWS = open_data(np.eye(12, dtype=np.float32), np.arange(12) % 2.0)
JOB = Job(learner=learner_of(LinearLearner()), data={}, parts=1, batch=3)


@pytest.fixture
def server(tmp_path):
    """A served state; its address."""
    listener = ZeroMQListener(f"ipc://{tmp_path}/state")
    over = threading.Event()
    host = ShardHost.reliable([fresh_state(JOB, LinearLearner(), ROWS)], listener.address)
    thread = threading.Thread(target=serve, args=(host, listener), kwargs={"stop": over.is_set})
    thread.start()
    yield listener.address
    over.set()
    thread.join()
    listener.close()


def test_status_and_snapshots_follow_the_worker(server, tmp_path) -> None:
    line = ServedState(server, tmp_path / "snapshots")
    assert line.status().batches == 0 and line.save() == (0,)
    learn(LinearLearner(), part_of(JOB, ROWS, 0), 0, ZeroMQChannel(server))
    status = line.status()
    assert status.finished and status.progress[1] == 12
    assert line.save() == (4,)
    found = newest_snapshot(tmp_path / "snapshots")
    assert found is not None and found[0].name == "snapshot-000000000004"
    assert found[2]["workers"][0]["left"]
    line.close()
    line.close()


def test_snapshots_asked_for_at_once_do_not_spoil_one_another(server, tmp_path) -> None:
    """As when a run is paused while its snapshot is due."""
    line = ServedState(server, tmp_path / "snapshots")
    problems: list[BaseException] = []

    def save() -> None:
        try:
            for _ in range(5):
                line.save()
                line.status()
        except BaseException as problem:
            problems.append(problem)

    threads = [threading.Thread(target=save) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    line.close()
    assert not problems
    assert newest_snapshot(tmp_path / "snapshots") is not None
    assert len(list((tmp_path / "snapshots").iterdir())) == 2


def test_nobody_there_is_unreachable_and_asking_again_works(tmp_path) -> None:
    server_at = f"ipc://{tmp_path}/state"
    line = ServedState(f"ipc://{tmp_path}/state", tmp_path / "snapshots")
    for ask in (line.status, line.save, lambda: line.change(["ipc://x"]), lambda: line.answers(server_at)):
        with pytest.raises(Unreachable):
            ask()
    assert not (tmp_path / "snapshots").exists()
    listener = ZeroMQListener(f"ipc://{tmp_path}/state")
    over = threading.Event()
    host = ShardHost.reliable([fresh_state(JOB, LinearLearner(), ROWS)], listener.address)
    thread = threading.Thread(target=serve, args=(host, listener), kwargs={"stop": over.is_set})
    thread.start()
    try:
        assert line.status().batches == 0
    finally:
        over.set()
        thread.join()
        listener.close()
        line.close()


def test_the_state_moves_to_a_server_that_answers_and_to_no_other(server, tmp_path) -> None:
    line = ServedState(server, tmp_path / "snapshots")
    other = f"ipc://{tmp_path}/other"
    with pytest.raises(Unreachable, match="other"):
        line.change([other])
    listener, over = ZeroMQListener(other), threading.Event()
    active = ShardHost.active(ZeroMQChannel)
    thread = threading.Thread(target=serve, args=(active, listener), kwargs={"stop": over.is_set})
    thread.start()
    try:
        line.answers(other)
        line.answers(server)
        assert line.change([other]).serving == (other,)
        learn_from(LinearLearner(), part_of(JOB, ROWS, 0), StateClient.at(server, ZeroMQChannel, 0))
        assert line.status().batches == 4 and line.status().epoch > 0
        assert line.change([server]).serving == (server,)
        assert line.save() == (4,)
        assert line.recover([server]).clocks_lost == 0
    finally:
        over.set()
        thread.join()
        listener.close()
        line.close()


def test_every_snapshot_is_copied_and_a_store_that_is_down_is_no_reason_to_stop(server, tmp_path) -> None:
    bucket = tmp_path / "bucket"
    line = ServedState(server, tmp_path / "snapshots", f"file://{bucket}/run")
    line.save()
    assert not line.problem
    assert bring_back(open_store(f"file://{bucket}/run"), tmp_path / "again") is not None
    shutil.rmtree(bucket)
    bucket.write_text("no folder")
    assert line.save() == (0,)
    assert line.problem and newest_snapshot(tmp_path / "snapshots") is not None
    bucket.unlink()
    line.save()
    assert not line.problem
    line.close()
