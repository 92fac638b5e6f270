from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from tradewind.errors import Misuse, Unreachable
from tradewind.state.client import Patience, RolledBack, StateClient
from tradewind.state.codec import COMPACT
from tradewind.state.consistency import Asynchronous, BulkSynchronous, Consistency
from tradewind.state.control import StateControl
from tradewind.state.engine import Engine
from tradewind.state.partition import even_routing
from tradewind.state.server import Server, serve
from tradewind.state.transport.inprocess import InProcess
from tradewind.state.transport.zeromq import ZeroMQChannel, ZeroMQListener
from tradewind.testing.transports import Clients, TransportLaws


def servers_of(workers: int, consistency: Consistency, servers: int) -> list[Server]:
    routing = even_routing(servers)
    return [Server(Engine(workers, consistency, owned=routing.owned(s))) for s in range(servers)]


class TestInProcess(TransportLaws):
    @contextmanager
    def open(self, workers: int, consistency: Consistency, servers: int) -> Iterator[Clients]:
        hubs = [InProcess(server) for server in servers_of(workers, consistency, servers)]
        yield lambda worker: StateClient([hub.channel() for hub in hubs], worker)


class TestZeroMQ(TransportLaws):
    addresses = "tcp://127.0.0.1:*"

    @contextmanager
    def open(self, workers: int, consistency: Consistency, servers: int) -> Iterator[Clients]:
        listeners = [ZeroMQListener(self.addresses.format(s)) for s in range(servers)]
        running = servers_of(workers, consistency, servers)
        threads = [threading.Thread(target=serve, args=pair) for pair in zip(running, listeners, strict=True)]
        for thread in threads:
            thread.start()
        ways = [listener.address for listener in listeners]
        try:
            yield lambda worker: StateClient([ZeroMQChannel(way) for way in ways], worker, codec=COMPACT)
        finally:
            control = StateControl([ZeroMQChannel(way) for way in ways])
            control.stop()
            control.close()
            for thread in threads:
                thread.join(10)
            for listener in listeners:
                listener.close()


class TestZeroMQOnePath(TestZeroMQ):
    @pytest.fixture(autouse=True)
    def _paths(self, tmp_path) -> None:
        self.addresses = f"ipc://{tmp_path}/state-{{}}"


def test_a_dead_server_is_noticed_within_the_stated_time():
    with ZeroMQChannelTo() as channel, pytest.raises(Unreachable, match="silent"):
        StateClient([channel], patience=Patience(0.05, 0.3))


class ZeroMQChannelTo:
    def __enter__(self) -> ZeroMQChannel:
        listener = ZeroMQListener("tcp://127.0.0.1:*")
        address = listener.address
        listener.close()
        self.channel = ZeroMQChannel(address)
        return self.channel

    def __exit__(self, *_: object) -> None:
        self.channel.close()


def test_a_server_that_comes_back_from_its_snapshot_rolls_its_clients_back(tmp_path):
    address = f"ipc://{tmp_path}/state"

    def start(engine: Engine) -> tuple[Server, threading.Thread, ZeroMQListener]:
        server, listener = Server(engine), ZeroMQListener(address)
        thread = threading.Thread(target=serve, args=(server, listener))
        thread.start()
        return server, thread, listener

    server, thread, listener = start(Engine(1, BulkSynchronous()))
    client = StateClient([ZeroMQChannel(address)], 0, patience=Patience(0.2, 20))
    client.initialize("n", np.zeros(3, np.int64))
    client.host()
    control = StateControl([ZeroMQChannel(address)])
    for clock in client.draw(range(5)):
        client.push("n", np.ones(3, np.int64))
        client.barrier()
        if clock == 1:
            snapshot = control.snapshot()
    assert control.status().workers[0].clock == 5
    server.stopped = True  # as dead as it can be within a thread: nobody says goodbye
    thread.join(10)
    listener.close()
    server, thread, listener = start(Engine.restore(snapshot))
    with pytest.raises(RolledBack):
        client.pull("n")
    position = client.host()
    assert (position.clock, position.epoch) == (2, 1)
    for _ in client.draw(range(position.clock, 5)):
        client.push("n", np.ones(3, np.int64))
        client.barrier()
    client.leave()
    assert client.pull("n").tolist() == [5, 5, 5]
    status = control.status()
    assert status.finished and status.epoch == 1 and status.batches == 5
    control.stop()
    thread.join(10)
    for each in (client, control, listener):
        each.close()


@pytest.mark.parametrize("address", ["nowhere", "tcp://127.0.0.1:notaport", "udp://x"])
def test_a_wrong_address_is_misuse(address):
    with pytest.raises(Misuse):
        ZeroMQListener(address)


def test_an_address_in_use_is_misuse():
    listener = ZeroMQListener("tcp://127.0.0.1:*")
    with pytest.raises(Misuse, match="cannot listen"):
        ZeroMQListener(listener.address)
    listener.close()


def test_a_prefetch_is_one_round_trip_and_its_rows_arrive():
    with TestInProcess().open(1, Asynchronous(), 1) as clients:
        worker = clients(0)
        worker.initialize("w", np.arange(10.0))
        worker.host()
        rows = np.array([7, 1])
        worker.prefetch("w", rows)
        assert worker.pull("w", rows).tolist() == [7, 1]
        worker.push("w", np.ones(2), rows)
        worker.prefetch("w", rows)
        # asking for other rows throws the prefetched ones away
        assert worker.pull("w", np.array([1, 2])).tolist() == [2, 2]
        worker.leave()
