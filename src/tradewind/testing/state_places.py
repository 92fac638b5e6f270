"""Storms over a state whose shards move: hosts, workers and controllers under one scheduler.

As `testing.state`, with hosts that hold shards, stream to each other and die, and with controllers that move
the shards and may be cut off at every message. A run is decided by its generator alone.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy as np
from msgspec import Struct

from tradewind.errors import Permanent, Temporary
from tradewind.state.client import Patience, StateClient
from tradewind.state.consistency import Consistency
from tradewind.state.control import StateControl
from tradewind.state.engine import Engine
from tradewind.state.messages import Message
from tradewind.state.partition import even_routing
from tradewind.state.shard_host import ShardHost
from tradewind.state.transport.interface import Channel
from tradewind.testing.state import Actor, Work, host_and_work

RELIABLE = "reliable"
"""The address of the host that has every shard."""

_ENDLESS = Patience(1.0, 1e9)


class Move(Struct, frozen=True):
    """A change of places: `dead` hosts are killed without a warning, then `serving` serve the shards."""

    serving: tuple[str, ...]
    dead: tuple[str, ...] = ()


class _Line:
    """A sender's side of a connection; an actor's calls are points where the scheduler chooses."""

    def __init__(self, storm: Storm, actor: Actor | None, address: str) -> None:
        self._storm, self._actor, self._address = storm, actor, address
        self.inbox: list[Message] = []
        self.closed = False
        self.between_hosts = actor is None

    def send(self, message: Message) -> None:
        self._pause(1)
        copied = [bytes(frame) for frame in message]
        self._storm.under_way.append((self, self._address, copied))
        self._pause(1)

    def receive(self, timeout: float) -> Message | None:
        self._pause(len(self.inbox) > 0)
        return self.inbox.pop(0) if self.inbox else None

    def reconnect(self) -> None:
        self.inbox.clear()

    def close(self) -> None:
        self.closed = True

    def _pause(self, boundary: int) -> None:
        if self._actor is not None:
            self._storm.boundaries += boundary
            self._actor.pause()


class Storm:
    """A state of `shards` shards and `workers` logical workers, its hosts, and what befalls them.

    A fault is a message lost, repeated or overtaken, an answer lost, a worker's host killed or given up
    though it lives, a controller cut off (another repeats what it did), or an active host that is taken for
    dead though it lives, so that two serve a shard for a while.
    """

    def __init__(
        self, workers: int, consistency: Consistency, shards: int, rng: np.random.Generator, faults: int = 0
    ) -> None:
        routing = even_routing(shards)
        engines = [Engine(workers, consistency, owned=routing.owned(k)) for k in range(shards)]
        self.hosts = {RELIABLE: ShardHost.reliable(engines, RELIABLE)}
        self.under_way: list[tuple[_Line, str, Message]] = []
        self.faults = faults
        self.happened: dict[str, int] = {}
        self.lost: list[int] = []
        """Of every recovery, the clocks that it lost by its own account."""
        self.boundaries = 0
        """How often an actor was about to send a message, had just sent one, or was about to read one."""
        self.heard: list[tuple[str, Message]] | None = None
        """If it is a list, all that any host hears, with its address; see `repeat`."""
        self.watch: Callable[[Storm], None] = lambda storm: None
        """Called after every step: laws that hold at all times."""
        self._rng = rng
        self._drag = float(rng.choice([0.0, 0.95]))
        """How often what hosts say to each other is passed over for something else."""

    def add(self, address: str) -> None:
        """Start an empty active host."""
        connect: Callable[[str], Channel] = lambda to: _Line(self, None, to)  # noqa: E731
        self.hosts[address] = ShardHost.active(connect, patience=Patience(0.0, 1e9))

    def engines(self) -> list[tuple[Engine, Engine]]:
        """Each shard where it is served by the routing, if its host lives, and on the reliable host."""
        reliable = self.hosts[RELIABLE]
        found = []
        for number, address in enumerate(reliable.routing.serving):
            host = self.hosts.get(address)
            if host is not None and number in host.shards:
                found.append((host.shards[number].engine, reliable.shards[number].engine))
        return found

    # doing

    def do(self, act: Callable[[Callable[[str], Channel]], Any], cut: int | None = None) -> Any:
        """Run `act`, given a way to connect, to its end in the weather as it is; what it returns.

        With `cut`, it is cut off at that boundary of a message, and None is returned.
        """
        found: list[Any] = []
        begun = self.boundaries
        actor = Actor(lambda actor: found.append(act(self._connecting(actor))))
        try:
            while not actor.done:
                if cut is not None and self.boundaries - begun > cut:
                    return None
                self._step([actor])
        finally:
            actor.end()
        if actor.failure is not None:
            raise actor.failure
        return found[0]

    def control(self, act: Callable[[StateControl], Any], cut: int | None = None) -> Any:
        """As `do`, with a control of its own."""
        return self.do(lambda connect: act(StateControl.at(RELIABLE, connect, patience=_ENDLESS)), cut)

    def reader(self, act: Callable[[StateClient], Any]) -> Any:
        """As `do`, with a client that hosts no worker."""
        return self.do(lambda connect: act(StateClient.at(RELIABLE, connect, patience=_ENDLESS)))

    def repeat(self, heard: Sequence[tuple[str, Message]]) -> None:
        """Have the hosts hear all of that once more; whoever is answered does not listen."""
        deaf = _Line(self, None, "")
        deaf.closed = True
        for address, message in heard:
            if address in self.hosts:
                self._answer(self.hosts[address].handle(deaf, message))

    def run(self, works: Sequence[Work], moves: Sequence[Move] = ()) -> None:
        """Have worker w do `works[w]` while the moves are made at moments of the storm's choice.

        Returns when all is done. Permanent if nothing moves any more.
        """
        hosts = [self._worker(worker, work) for worker, work in enumerate(works)]
        ghosts: list[Actor] = []
        waiting, moving = list(moves), None
        controller: Actor | None = None
        try:
            for _ in range(400_000):
                for worker, host in enumerate(hosts):
                    if host.failure is not None:
                        raise host.failure
                    if host.zombie:
                        hosts[worker] = self._worker(worker, works[worker])
                if controller is not None and controller.done:
                    if controller.failure is not None:
                        raise controller.failure
                    controller = moving = None
                done = all(host.done and not host.zombie for host in hosts)
                if done and controller is None and not waiting:
                    return
                soon = bool(waiting) and (done or self._rng.random() < 0.03)
                if soon and (controller is None or waiting[0].dead):
                    if controller is not None:
                        controller.end()
                    moving = waiting.pop(0)
                    self._kill(moving)
                    controller = self._mover(moving)
                if self.faults and self._rng.random() < 0.03:
                    self.faults -= 1
                    kind = str(self._rng.choice(["killed", "ghost", "cut", "lost", "twice", "unanswered"]))
                    if kind == "cut" and controller is not None and moving is not None:
                        self._count(kind)
                        controller.end()
                        controller = self._mover(moving)
                    elif kind in ("killed", "ghost"):
                        worker = int(self._rng.integers(len(hosts)))
                        if not hosts[worker].done:
                            self._count(kind)
                            if kind == "killed":
                                hosts[worker].end()
                            else:
                                ghosts.append(hosts[worker])
                            hosts[worker] = self._worker(worker, works[worker])
                    else:
                        self._lose(kind)
                actors = [each for each in [*hosts, *ghosts] if not each.done]
                if controller is not None and not controller.done:
                    actors.append(controller)
                self._step(actors)
            raise Permanent("the workers hang")
        finally:
            for actor in [*hosts, *ghosts, *([controller] if controller is not None else [])]:
                actor.end()

    # how

    def _connecting(self, actor: Actor) -> Callable[[str], Channel]:
        return lambda address: _Line(self, actor, address)

    def _worker(self, worker: int, work: Work) -> Actor:
        def act(actor: Actor) -> None:
            client = StateClient.at(RELIABLE, self._connecting(actor), worker, patience=_ENDLESS)
            host_and_work(actor, client, work)

        return Actor(act)

    def _mover(self, move: Move) -> Actor:
        def act(actor: Actor) -> None:
            control = StateControl.at(RELIABLE, self._connecting(actor), patience=_ENDLESS)
            while True:
                try:
                    if move.dead:
                        self.lost.append(control.recover(move.serving).clocks_lost)
                    else:
                        control.change(move.serving)
                    return
                except Temporary:
                    # a late word of a controller that was cut off
                    continue

        for address in move.serving:
            if address not in self.hosts:
                self.add(address)
        return Actor(act)

    def _kill(self, move: Move) -> None:
        for address in move.dead:
            # one in four lives on, taken for dead: its messages count for nothing from now on
            if address in self.hosts and self._rng.random() < 0.75:
                self._count("host killed")
                del self.hosts[address]
            else:
                self._count("host forgotten")

    def _count(self, kind: str) -> None:
        self.happened[kind] = self.happened.get(kind, 0) + 1

    def _lose(self, kind: str) -> None:
        if not self.under_way or kind not in ("lost", "twice", "unanswered"):
            return
        self._count(kind)
        which = int(self._rng.integers(len(self.under_way)))
        if kind == "lost":
            del self.under_way[which]
        elif kind == "twice":
            self._deliver(which, keep=True)
        else:
            line = self.under_way[which][0]
            self._deliver(which)
            line.inbox.clear()

    def _step(self, actors: Sequence[Actor]) -> None:
        chance = self._rng.random()
        if self.under_way and (chance < 0.55 or not actors):
            which = int(self._rng.integers(len(self.under_way))) if self.faults else 0
            if self.under_way[which][0].between_hosts and self._rng.random() < self._drag:
                which = int(self._rng.integers(len(self.under_way)))
            self._deliver(which)
        elif (chance < 0.65 and self._rng.random() >= self._drag) or not actors:
            names = list(self.hosts)
            self._answer(self.hosts[names[int(self._rng.integers(len(names)))]].background())
        else:
            actors[int(self._rng.integers(len(actors)))].move()
        self.watch(self)

    def _deliver(self, which: int, keep: bool = False) -> None:
        line, address, message = self.under_way[which]
        if not keep:
            del self.under_way[which]
        host = self.hosts.get(address)
        if self.heard is not None:
            self.heard.append((address, message))
        if host is not None:
            self._answer(host.handle(line, message))

    def _answer(self, answers: Sequence[tuple[Hashable, Message]]) -> None:
        for peer, frames in answers:
            assert isinstance(peer, _Line)
            if not peer.closed:
                peer.inbox.append([bytes(frame) for frame in frames])
