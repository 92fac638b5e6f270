"""The instances of a simulation, what is on each device of them, and the work of each task so far."""

from __future__ import annotations

import math
from collections.abc import Iterator

from tradewind.advice.renting.interface import Asked, Held, Placed
from tradewind.advice.renting.room import Room
from tradewind.errors import Misuse
from tradewind.market.offers import Offer
from tradewind.market.resources import Resources

_SLACK = 1e-9


class Work:
    """A task that was placed."""

    __slots__ = (
        "asked", "done", "first", "going", "machine", "moves", "rate", "seconds", "started", "version",
        "worked",
    )  # fmt: skip

    def __init__(self, asked: Asked, seconds: float, machine: Machine) -> None:
        self.asked, self.seconds, self.machine = asked, seconds, machine
        self.started = self.first = math.inf
        self.done = self.worked = 0.0
        """Seconds of work done, at speed 1, and as the clock saw them."""
        self.rate = 1.0
        self.going: Machine | None = None
        self.moves = self.version = 0

    def age(self, now: float) -> float:
        """Seconds that it has worked, by the clock."""
        return self.worked + max(0.0, now - self.started)

    def stop(self, now: float) -> None:
        """Keep what was done so far; its end is no longer where it was."""
        since = max(0.0, now - self.started)
        self.done += since * self.rate
        self.worked += since
        self.started = math.inf
        self.version += 1


class Machine:
    """An instance that is rented."""

    __slots__ = (
        "coming",
        "devices",
        "id",
        "memory",
        "offer",
        "on",
        "opened",
        "ready",
        "rented",
        "seen",
        "vcpus",
        "works",
    )

    def __init__(self, id: str, offer: Offer, now: float) -> None:
        has = offer.type.resources
        self.id, self.offer, self.rented, self.ready = id, offer, now, now + offer.wait
        self.opened = False
        self.vcpus, self.memory = has.vcpus, has.memory_gib
        self.devices = [1.0] * int(has.gpus)
        self.on: dict[str, tuple[int, ...]] = {}
        """By task, the devices that it holds."""
        self.works: dict[str, Work] = {}
        self.coming: dict[str, Work] = {}
        self.seen: Held | None = None
        """What views show of it, while nothing changes."""

    @property
    def idle(self) -> bool:
        """Whether nothing is on it, nor about to come."""
        return not self.works and not self.coming

    @property
    def room(self) -> Room:
        """What is free."""
        kind = self.offer.type.resources.gpu_kind
        return Room(self.vcpus, self.memory, tuple(sorted(self.devices)), kind)

    def take(self, name: str, asked: Resources) -> None:
        """Hold what a task asks for; whoever calls it has seen that it fits."""
        self.vcpus -= asked.vcpus
        self.memory -= asked.memory_gib
        if asked.gpus >= 1:
            free = [at for at, share in enumerate(self.devices) if share >= 1 - _SLACK]
            chosen = tuple(free[: int(asked.gpus)])
        elif asked.gpus:
            enough = [at for at, share in enumerate(self.devices) if share >= asked.gpus - _SLACK]
            chosen = (min(enough, key=lambda at: self.devices[at]),)
        else:
            chosen = ()
        for at in chosen:
            self.devices[at] = max(0.0, self.devices[at] - min(asked.gpus, 1.0))
        self.on[name] = chosen

    def free(self, name: str, asked: Resources) -> None:
        """Hold it no longer."""
        self.vcpus += asked.vcpus
        self.memory += asked.memory_gib
        for at in self.on.pop(name):
            self.devices[at] = min(1.0, self.devices[at] + min(asked.gpus, 1.0))
        if not self.on:
            has = self.offer.type.resources
            self.vcpus, self.memory, self.devices = has.vcpus, has.memory_gib, [1.0] * int(has.gpus)


class Fleet:
    """Every instance that is rented, and the tasks on them."""

    def __init__(self, moving: float) -> None:
        self.moving = moving
        self.machines: dict[str, Machine] = {}
        self.works: dict[str, Work] = {}

    @staticmethod
    def wrong(problem: str, renter: str) -> Misuse:
        """The error of an action that cannot be done."""
        return Misuse(problem, source=f"renter {renter}", field="actions", fix="Decide by the view.")

    def find(self, name: str, renter: str) -> Machine:
        """The instance of that name. Raises Misuse if none is held."""
        if name not in self.machines:
            raise self.wrong(f"names {name}, which is not held", renter)
        return self.machines[name]

    def add(self, name: str, offer: Offer, now: float) -> Machine:
        """A new instance, that is launched now."""
        self.machines[name] = machine = Machine(name, offer, now)
        return machine

    def put(self, asked: Asked, seconds: float, machine: Machine, renter: str) -> Work:
        """Place a pending task. Raises Misuse where there is no room."""
        self._need(machine, asked, renter)
        machine.take(asked.id, asked.resources)
        self.works[asked.id] = machine.works[asked.id] = work = Work(asked, seconds, machine)
        machine.seen = None
        return work

    def move(self, name: str, machine: Machine, now: float, renter: str) -> Work | None:
        """Move a placed task; None where it works on until the instance is ready. Raises Misuse where it
        cannot be moved."""
        work = self.works.get(name)
        if work is None:
            raise self.wrong(f"moves {name}, which is not placed", renter)
        if work.machine is machine or work.going:
            raise self.wrong(f"moves {name} to {machine.id}, where it is or goes already", renter)
        self._need(machine, work.asked, renter)
        working = work.started < math.inf
        if working and not self.moving < math.inf:
            raise self.wrong(f"moves {name}, and tasks cannot be moved here", renter)
        machine.take(name, work.asked.resources)
        machine.seen = work.machine.seen = None
        if working and not machine.opened:
            machine.coming[name] = work
            work.going = machine
            return None
        self._shift(work, machine, now)
        return work

    def _shift(self, work: Work, machine: Machine, now: float) -> None:
        """The task leaves its instance for one that holds room for it."""
        name = work.asked.id
        work.machine.free(name, work.asked.resources)
        del work.machine.works[name]
        work.machine.seen = machine.seen = None
        work.moves += work.started < math.inf
        work.stop(now)
        machine.works[name] = work
        work.machine, work.going = machine, None

    def start(self, work: Work, now: float) -> None:
        """It works from now on, or after the pause of a move."""
        work.started = now + (self.moving if work.moves else 0.0)
        work.first = min(work.first, work.started)
        work.machine.seen = None

    def open(self, machine: Machine, now: float) -> list[Work]:
        """The instance is ready: what waits for it starts, what is to move to it moves."""
        machine.opened, machine.ready, machine.seen = True, now, None
        for work in tuple(machine.coming.values()):
            del machine.coming[work.asked.id]
            self._shift(work, machine, now)
        for work in machine.works.values():
            self.start(work, now)
        return list(machine.works.values())

    def remove(self, work: Work) -> Machine:
        """It is done; answers the instance on which it was."""
        name = work.asked.id
        for machine in (work.machine, work.going):
            if machine is not None:
                machine.free(name, work.asked.resources)
                machine.coming.pop(name, None)
                machine.seen = None
        del work.machine.works[name], self.works[name]
        return work.machine

    def _need(self, machine: Machine, asked: Asked, renter: str) -> None:
        if not machine.room.fits(asked.resources):
            raise self.wrong(f"puts {asked.id} on {machine.id}, which has no room for it", renter)

    def held(self) -> tuple[Held, ...]:
        """What views show."""
        return tuple(self._shown())

    def _shown(self) -> Iterator[Held]:
        for machine in self.machines.values():
            if machine.seen is None:
                placed = tuple(
                    Placed(work.asked, work.started, work.worked, work.going.id if work.going else "")
                    for work in machine.works.values()
                )
                machine.seen = Held(
                    machine.id, machine.offer, machine.rented, machine.ready, placed, machine.room,
                    tuple(work.asked for work in machine.coming.values()), not machine.opened,
                )  # fmt: skip
            yield machine.seen
