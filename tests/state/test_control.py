from __future__ import annotations

import threading

import numpy as np
import pytest

from tradewind.algorithms.interface import PROGRESS
from tradewind.errors import Misuse
from tradewind.state.client import Ousted, StateClient
from tradewind.state.consistency import Asynchronous, BulkSynchronous
from tradewind.state.control import StateControl
from tradewind.state.engine import Engine
from tradewind.state.partition import even_routing
from tradewind.state.server import Server
from tradewind.state.transport.inprocess import InProcess


def job(consistency, workers=2, servers=2):
    routing = even_routing(servers)
    hubs = [InProcess(Server(Engine(workers, consistency, owned=routing.owned(s)))) for s in range(servers)]

    def client(worker=None):
        return StateClient([hub.channel() for hub in hubs], worker)

    return client, StateControl([hub.channel() for hub in hubs])


def test_status_tells_positions_progress_and_counts():
    client, control = job(Asynchronous(), workers=2)
    worker = client(1)
    worker.initialize(PROGRESS, np.zeros(2))
    worker.host()
    for _ in worker.draw(range(3)):
        worker.push(PROGRESS, np.array([1.5, 10.0]))
    worker.leave()
    status = control.status()
    assert status.progress == (4.5, 30.0)
    assert [each.clock for each in status.workers] == [0, 3]
    assert status.workers[1].left and not status.workers[0].hosted and not status.finished
    assert status.batches == 3 and status.counts["duplicate"] == 0
    assert status.bytes_in > 0 and status.bytes_out > 0


def test_a_snapshot_of_several_servers_is_of_one_round():
    client, control = job(BulkSynchronous(), workers=1, servers=3)
    reader = client()
    reader.initialize("n", np.zeros(64, np.int64))
    taken = []

    def work():
        worker = client(0)
        worker.host()
        for _ in worker.draw(range(4000)):
            if len(taken) == 3:
                break
            worker.push("n", np.ones(64, np.int64))
            worker.barrier()
        worker.leave()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        for _ in range(3):
            taken.append(control.snapshot())
    finally:
        thread.join(30)
    for snapshot in taken:
        counts = snapshot.arrays["n/values"]
        assert (counts == snapshot.header.rounds).all() and snapshot.positions() == (snapshot.header.rounds,)
    assert taken[0].header.rounds < taken[2].header.rounds


def test_servers_at_different_moments_are_not_merged():
    client, control = job(Asynchronous(), workers=1, servers=2)
    worker = client(0)
    worker.initialize("n", np.zeros(64, np.int64))
    worker.host()
    worker.push("n", np.ones(1, np.int64), np.array([0]))
    worker.pull("n", np.array([0]))
    assert control.snapshot().arrays["n/values"].sum() == 1
    # one server knows of a push that the other has not heard of yet
    worker._operations[1].clear()
    worker.push("n", np.ones(1, np.int64), np.array([0]))
    worker._operations[1].clear()
    worker._flush()
    with pytest.raises(Misuse, match="different moments"):
        control.snapshot()


def test_a_lost_and_a_forsaken_worker():
    client, control = job(BulkSynchronous(), workers=2)
    zero, one = client(0), client(1)
    zero.initialize("n", np.zeros(40, np.int64))
    zero.host(), one.host()
    one.push("n", np.ones(40, np.int64))
    one.pull("n")
    control.lose([1])
    assert [each.hosted for each in control.status().workers] == [True, False]
    with pytest.raises(Ousted):
        one.pull("n")
    zero.push("n", np.full(40, 3))
    thread = threading.Thread(target=zero.barrier)
    thread.start()
    while control.status().waiting < 2:
        pass
    control.forsake(1)
    thread.join(10)
    assert not thread.is_alive()
    assert (zero.pull("n") == 3).all()
    with pytest.raises(Ousted):
        one.host()
    zero.leave()
    assert control.status().finished


def test_a_new_epoch_rolls_everybody_back_once():
    client, control = job(BulkSynchronous(), workers=1)
    worker = client(0)
    worker.initialize("n", 0)
    worker.host()
    assert control.advance_epoch() == 1
    assert worker.host().epoch == 1
