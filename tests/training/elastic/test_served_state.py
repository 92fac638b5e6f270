"""The driver's line to the state's server: what it sees, what it keeps, and that silence is told."""

import threading

import numpy as np
import pytest

from tradewind.algorithms.linear.learner import LinearLearner
from tradewind.data.model_files import newest_snapshot
from tradewind.data.streams import open_data
from tradewind.errors import Unreachable
from tradewind.state.server import Server, serve
from tradewind.state.transport.zeromq import ZeroMQChannel, ZeroMQListener
from tradewind.training.elastic.served_state import ServedState
from tradewind.training.job import Job, learner_of
from tradewind.training.state_host import fresh_state
from tradewind.training.worker import learn, part_of

ROWS = open_data(np.eye(12, dtype=np.float32), np.arange(12) % 2.0)
JOB = Job(learner=learner_of(LinearLearner()), data={}, parts=1, batch=3)


@pytest.fixture
def server(tmp_path):
    """A served state; its address."""
    listener = ZeroMQListener(f"ipc://{tmp_path}/state")
    over = threading.Event()
    engine = fresh_state(JOB, LinearLearner(), ROWS)
    thread = threading.Thread(target=serve, args=(Server(engine), listener), kwargs={"stop": over.is_set})
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
    line = ServedState(f"ipc://{tmp_path}/state", tmp_path / "snapshots")
    for ask in (line.status, line.save):
        with pytest.raises(Unreachable):
            ask()
    assert not (tmp_path / "snapshots").exists()
    listener = ZeroMQListener(f"ipc://{tmp_path}/state")
    over = threading.Event()
    served = Server(fresh_state(JOB, LinearLearner(), ROWS))
    thread = threading.Thread(target=serve, args=(served, listener), kwargs={"stop": over.is_set})
    thread.start()
    try:
        assert line.status().batches == 0
    finally:
        over.set()
        thread.join()
        listener.close()
        line.close()
