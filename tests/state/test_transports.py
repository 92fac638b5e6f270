from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from tradewind.clock import stopwatch
from tradewind.errors import Misuse, Unreachable
from tradewind.state.client import Patience, RolledBack, StateClient
from tradewind.state.codec import COMPACT
from tradewind.state.consistency import Asynchronous, BulkSynchronous, Consistency
from tradewind.state.control import StateControl
from tradewind.state.engine import Engine
from tradewind.state.partition import even_routing
from tradewind.state.server import Server, serve
from tradewind.state.shard_host import ShardHost
from tradewind.state.transport.inprocess import InProcess, InProcessHosts
from tradewind.state.transport.zeromq import ZeroMQChannel, ZeroMQListener
from tradewind.testing.state import median_program
from tradewind.testing.transports import Clients, TransportLaws, median_by_hand


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


class TestActiveHosts(TransportLaws):
    """Shards on active hosts, found through the routing, with their backups elsewhere."""

    @contextmanager
    def open(self, workers: int, consistency: Consistency, servers: int) -> Iterator[Clients]:
        hosts = InProcessHosts()
        engines = [server.engine for server in servers_of(workers, consistency, servers)]
        hosts.hosts["home"] = ShardHost.reliable(engines, "home")
        places = [f"active {number % 2}" for number in range(servers)]
        for address in places:
            hosts.hosts[address] = ShardHost.active(hosts.connect)
        StateControl.at("home", hosts.connect).change(places)
        yield lambda worker: StateClient.at("home", hosts.connect, worker)


class Running:
    """Shard hosts over ZeroMQ, each on a thread."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.stops: dict[str, threading.Event] = {}
        self.threads: dict[str, threading.Thread] = {}
        self.home = self.address("home")

    def address(self, name: str) -> str:
        return f"ipc://{self.folder}/{name}"

    def start(self, name: str, engines: list[Engine] | None = None) -> str:
        address = self.address(name)
        host = ShardHost.active(ZeroMQChannel) if engines is None else ShardHost.reliable(engines, address)
        listener = ZeroMQListener(address)
        self.stops[name] = stop = threading.Event()

        def run() -> None:
            serve(host, listener, stop=stop.is_set)
            listener.close()

        self.threads[name] = threading.Thread(target=run)
        self.threads[name].start()
        return address

    def kill(self, name: str) -> None:
        self.stops[name].set()  # nobody says goodbye
        self.threads[name].join(10)

    def end(self) -> None:
        for name in self.threads:
            self.kill(name)


@pytest.fixture
def running(tmp_path):
    found = Running(tmp_path)
    yield found
    found.end()


def test_shards_move_and_die_over_zeromq_and_the_bits_stay(running):
    parts = [
        [list(np.random.default_rng([worker, clock]).normal(3, 2, 5)) for clock in range(300 + 50 * worker)]
        for worker in range(2)
    ]
    engines = [server.engine for server in servers_of(2, BulkSynchronous(), 3)]
    home = running.start("home", engines)
    a, b, c = (running.start(name) for name in "abc")
    reader = StateClient.at(home, ZeroMQChannel)
    reader.initialize("median", 0.0)
    reader.initialize("n", 0)
    control = StateControl.at(home, ZeroMQChannel, patience=Patience(0.1, 0.5))
    failures = []

    def work(worker: int) -> None:
        client = StateClient.at(home, ZeroMQChannel, worker, patience=Patience(0.1, 20))
        try:
            while True:
                try:
                    client.host()
                    median_program(parts[worker])(client)
                    return
                except RolledBack:
                    continue
        except BaseException as failure:
            failures.append(failure)
        finally:
            client.close()

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(2)]
    for thread in threads:
        thread.start()
    moves = (
        lambda: control.change([a, b, a]),
        lambda: control.change([b, b, c]),
        lambda: running.kill("b") or control.recover([c, a, c]).clocks_lost,
        lambda: control.change([home] * 3),
        lambda: control.change([a, c, c]),
        lambda: running.kill("a") or running.kill("c") or control.recover([home] * 3).clocks_lost,
    )
    lost = []
    for number, move in enumerate(moves):
        while control.status().latest < 20 * (number + 1) and not failures:
            threading.Event().wait(0.01)
        made = move()
        if isinstance(made, int):
            lost.append(made)
    for thread in threads:
        thread.join(60)
    assert not failures and not any(thread.is_alive() for thread in threads)
    assert (float(reader.pull("median")), int(reader.pull("n"))) == median_by_hand(parts)
    assert len(lost) == 2 and max(lost) <= 1
    status = control.status()
    assert status.finished and status.latest == status.committed == 350
    control.stop()
    for each in (reader, control):
        each.close()


def test_an_acknowledged_image_is_not_waited_for_until_the_next_request(running):
    home = running.start("home", [Engine(1, BulkSynchronous())])
    control = StateControl.at(home, ZeroMQChannel)
    client = StateClient.at(home, ZeroMQChannel, 0)
    client.initialize("n", 0)
    control.change([running.start("a")])
    client.host()
    passed = stopwatch()
    for _ in client.draw(range(40)):
        client.push("n", 1)
        client.barrier()
    # a host that looked at its stream only between two waits of a quarter of a second would take 10 s
    assert passed() < 5
    client.leave()
    assert control.status().finished and control.snapshot().arrays["n/values"].tolist() == [[40]]
    for each in (client, control):
        each.close()


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
