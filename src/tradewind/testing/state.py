"""Bad weather for a state: real clients and servers under a scheduler that loses, repeats, delays and kills.

Every host runs on a thread, but only one thread moves at a time and only when the scheduler says so, at a
message. So a run is decided by its generator alone, no real time passes, and a host can be killed at every
message boundary: before a message has left, after it, and before its answer is read.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tradewind.errors import Permanent
from tradewind.state.client import Ousted, Patience, RolledBack, StateClient
from tradewind.state.messages import Message
from tradewind.state.server import Server

Work = Callable[[StateClient], None]
"""What a host does once its worker is hosted: from `position.clock` on, then `leave`."""


class Killed(BaseException):
    """The host's process is no more."""


class Actor:
    """A thread that moves when told: it runs `act`, which is to pause at every message."""

    def __init__(self, act: Callable[[Actor], None]) -> None:
        self.killed = self.done = self.zombie = False
        self.failure: BaseException | None = None
        self._go, self._stopped = threading.Semaphore(0), threading.Semaphore(0)
        self._thread = threading.Thread(target=self._run, args=(act,), daemon=True)
        self._thread.start()

    def _run(self, act: Callable[[Actor], None]) -> None:
        self._go.acquire()
        try:
            self.check()
            act(self)
        except Killed:
            pass
        except BaseException as failure:
            self.failure = failure
        self.done = True
        self._stopped.release()

    def check(self) -> None:
        """Called on the actor's thread: end it if it was killed."""
        if self.killed:
            raise Killed

    def pause(self) -> None:
        """Called on the actor's thread: let the scheduler choose."""
        self._stopped.release()
        self._go.acquire()
        self.check()

    def move(self) -> None:
        """Called by the scheduler: run to the next message."""
        self._go.release()
        self._stopped.acquire()

    def end(self) -> None:
        """Kill it and see it gone."""
        self.killed = True
        while not self.done:
            self.move()
        self._thread.join()


def host_and_work(actor: Actor, client: StateClient, work: Work) -> None:
    """Host the worker and do its work, as often as it is rolled back; a zombie is one that was replaced."""
    while True:
        try:
            client.host()
            work(client)
            return
        except RolledBack:
            continue
        except Ousted:
            actor.zombie = True
            return


class _Channel:
    """A client's side; every call is a point at which the scheduler chooses."""

    def __init__(self, weather: Weather, host: Actor, server: int) -> None:
        self._weather, self._host, self._server = weather, host, server
        self.inbox: list[Message] = []

    def send(self, message: Message) -> None:
        self._host.pause()
        copied = [bytes(frame) for frame in message]
        self._weather.under_way.append((self, self._server, copied))
        self._host.pause()

    def receive(self, timeout: float) -> Message | None:
        self._host.pause()
        return self.inbox.pop(0) if self.inbox else None

    def reconnect(self) -> None:
        self.inbox.clear()

    def close(self) -> None:
        return None


class Weather:
    """Runs hosts over servers with so many faults, chosen by `rng`, and then in fair weather to the end.

    A fault is a message lost, repeated or overtaken by a later one, a host killed (another takes its worker
    over), or a host that is given up though it lives, so that two work on one worker for a while.
    """

    def __init__(self, servers: Sequence[Server], rng: np.random.Generator, faults: int) -> None:
        self.servers = list(servers)
        self.under_way: list[tuple[_Channel, int, Message]] = []
        self.faults = faults
        self.happened: dict[str, int] = {}
        self._rng = rng

    def run(self, works: Sequence[Work]) -> None:
        """Have worker w do `works[w]`, until all are done. Permanent if nothing moves any more."""
        hosts = [self._host(worker, work) for worker, work in enumerate(works)]
        ghosts: list[Actor] = []
        try:
            for _ in range(200_000):
                living = [host for host in hosts if not host.done]
                for worker, host in enumerate(hosts):
                    if host.failure is not None:
                        raise host.failure
                    if host.zombie:
                        hosts[worker] = self._host(worker, works[worker])
                if all(host.done and not host.zombie for host in hosts):
                    return
                everyone = living + [ghost for ghost in ghosts if not ghost.done]
                if self.faults and self._rng.random() < 0.05:
                    self.faults -= 1
                    self._fault(hosts, ghosts, works)
                elif self.under_way and (not everyone or self._rng.random() < 0.6):
                    self._deliver(0 if not self.faults else int(self._rng.integers(len(self.under_way))))
                elif everyone:
                    everyone[int(self._rng.integers(len(everyone)))].move()
            raise Permanent("the workers hang")
        finally:
            for host in [*hosts, *ghosts]:
                host.end()

    def _host(self, worker: int, work: Work) -> Actor:
        def act(actor: Actor) -> None:
            channels = [_Channel(self, actor, server) for server in range(len(self.servers))]
            host_and_work(actor, StateClient(channels, worker, patience=Patience(1.0, 1e9)), work)

        return Actor(act)

    def _deliver(self, which: int, keep: bool = False) -> None:
        channel, server, message = self.under_way[which]
        if not keep:
            del self.under_way[which]
        for peer, frames in self.servers[server].handle(channel, message):
            assert isinstance(peer, _Channel)
            peer.inbox.append([bytes(frame) for frame in frames])

    def _fault(self, hosts: list[Actor], ghosts: list[Actor], works: Sequence[Work]) -> None:
        kind = str(self._rng.choice(["lost", "twice", "killed", "ghost", "unanswered"]))
        self.happened[kind] = self.happened.get(kind, 0) + 1
        worker = int(self._rng.integers(len(hosts)))
        victim = hosts[worker]
        if kind in ("killed", "ghost"):
            if victim.done:
                return
            if kind == "killed":
                victim.end()
            else:
                ghosts.append(victim)
            if self._rng.random() < 0.5:
                for server in self.servers:
                    server.engine.lose([worker])
            hosts[worker] = self._host(worker, works[worker])
        elif self.under_way:
            which = int(self._rng.integers(len(self.under_way)))
            if kind == "lost":
                del self.under_way[which]
            elif kind == "twice":
                self._deliver(which, keep=True)
            else:
                channel = self.under_way[which][0]
                self._deliver(which)
                channel.inbox.clear()


def counting(batches: int, pushes: int) -> Work:
    """Work that counts itself: every (worker, clock, sequence) adds one to a cell of the table `counters`.

    The table is (workers, batches, pushes), int64, flattened to rows of one.
    """

    def work(client: StateClient) -> None:
        worker = client.position.worker
        for clock in client.draw(range(client.position.clock, batches)):
            for sequence in range(pushes):
                cell = (worker * batches + clock) * pushes + sequence
                client.push("counters", np.ones(1, np.int64), np.array([cell]))
                if (clock + sequence) % 3 == 1:
                    client.pull("counters", np.array([cell]))
            client.barrier()
        client.leave()

    return work


def median_program(data: Sequence[Sequence[float]]) -> Work:
    """The streaming median over this worker's batches (Liberty et al., SIGMOD 2020, section 3.2)."""

    def work(client: StateClient) -> None:
        for batch in client.draw(data[client.position.clock :]):
            median, count = float(client.pull("median")), int(client.pull("n"))
            above = sum(1 if x > median else -1 for x in batch)
            client.push("n", len(batch))
            client.push("median", above / np.sqrt(count + len(batch)))
            client.barrier()
        client.leave()

    return work


def registered(client: StateClient, tables: dict[str, Any]) -> None:
    """Initialize each of these additive tables with its value, once."""
    for key, value in tables.items():
        client.initialize(key, value)
