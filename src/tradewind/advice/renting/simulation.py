"""Tasks run through a renter, event by event, and the bill that follows.

An instance is paid for from the moment of renting, by the second with a minute at least, as AWS bills Linux
since 2017-10-02 (`market.billing.on_demand`); tasks run on it after a launch delay drawn from 60 to 120
seconds. A task that moves keeps its work and pauses. Work is modelled: a task is done after its recorded run
time, over the speed of the instance for it.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from tradewind.advice.renting.fleet import Fleet, Machine, Work
from tradewind.advice.renting.interface import (
    Asked,
    GiveBack,
    Measured,
    Move,
    Place,
    Rent,
    Renter,
    RentingAction,
    RentingView,
    RunTimeEstimator,
)
from tradewind.advice.renting.room import whole
from tradewind.advice.renting.tasks import Task, in_order
from tradewind.errors import Misuse, Permanent
from tradewind.market.billing.on_demand import BY_THE_SECOND
from tradewind.market.charges import Charge, Invoice
from tradewind.market.instances import Instance, InstanceType
from tradewind.market.leases import Ending, Lease, LeaseId
from tradewind.market.offers import Offer

LAUNCH = (60.0, 120.0)
"""Seconds between which the delay of a launch is drawn."""
MOVING = 60.0
"""Seconds for which a task that moves does not work."""
_REMEMBERED = 64
"""Moments of arrival that a view shows."""
_PATIENCE = 7200.0
"""Seconds after the last task at which what is still rented is ended."""

Speed = Callable[[Task, InstanceType], float]
"""How fast a task is on a type of instance, against its recorded run time."""


class Ran(Struct, frozen=True):
    """What became of a task."""

    id: str
    since: float
    """The moment from which it could run."""
    started: float
    ended: float
    moves: int

    @property
    def pending(self) -> float:
        """Seconds from when it could run until it ran."""
        return self.started - self.since


class Outcome(Struct, frozen=True, eq=False):
    """What a renter made of the tasks."""

    tasks: tuple[Ran, ...]
    """In the order of their ends."""
    leases: tuple[Lease, ...]
    """In the order of renting, all ended."""
    invoice: Invoice
    decisions: int

    @property
    def cost(self) -> float:
        """US dollars."""
        return float(self.invoice.total)

    @property
    def pending(self) -> NDArray[np.float64]:
        """(n,) seconds that each task waited."""
        return np.array([each.pending for each in self.tasks])

    @property
    def moves(self) -> int:
        """How often tasks were moved while they worked."""
        return sum(each.moves for each in self.tasks)


def charges_of(lease: Lease, per_hour: float) -> tuple[Charge, ...]:
    """What an ended lease owes at one price, US dollars an hour."""
    assert lease.ended is not None
    return BY_THE_SECOND.charges(lease, lambda _: per_hour, lease.ended)


def without_home(tasks: Sequence[Task], offers: Sequence[Offer]) -> tuple[str, ...]:
    """The tasks that no offered type has room for, even alone."""
    rooms = [whole(offer.type.resources) for offer in offers]
    return tuple(task.id for task in tasks if not any(room.fits(task.resources) for room in rooms))


def rented_for(
    tasks: Sequence[Task],
    offers: Sequence[Offer],
    renter: Renter,
    estimator: RunTimeEstimator,
    *,
    seed: int = 0,
    moving: float = MOVING,
    launch: tuple[float, float] = LAUNCH,
    speed: Speed | None = None,
    watch: Callable[[RentingView, Sequence[RentingAction]], None] | None = None,
) -> Outcome:
    """Run the tasks to their ends on what `renter` rents; the same arguments give the same outcome.

    `moving` is the pause of a move, infinity where tasks cannot be moved; `watch` is shown every view and the
    actions that answered it. Raises Misuse for wrong tasks, a task that no offer has room for, and an action
    that cannot be done; Permanent if the renter lets tasks wait for ever.
    """
    return _Run(tasks, offers, renter, estimator, seed, moving, launch, speed, watch).outcome()


class _Run:
    """The state of one simulation."""

    def __init__(
        self, tasks: Sequence[Task], offers: Sequence[Offer], renter: Renter, estimator: RunTimeEstimator,
        seed: int, moving: float, launch: tuple[float, float], speed: Speed | None,
        watch: Callable[[RentingView, Sequence[RentingAction]], None] | None,
    ) -> None:  # fmt: skip
        self.tasks = {task.id: task for task in in_order(tasks)}
        homeless = without_home(tuple(self.tasks.values()), offers)
        if homeless:
            raise Misuse(
                f"no offered type has room for {homeless[0]}", source="tasks", field="resources",
                fix="Leave it out, or offer a larger type.",
            )  # fmt: skip
        if not 0 <= launch[0] <= launch[1] < math.inf:
            raise Misuse(
                f"{launch!r} is no span of delays", field="launch", fix="Give (least, most) seconds."
            )
        if not moving >= 0:
            raise Misuse(f"{moving!r} is no pause", field="moving", fix="Give seconds, or infinity.")
        self.offers = {offer.type.name: offer for offer in offers}
        self.renter, self.estimator, self.seed, self.launch = renter, estimator, seed, launch
        self.speed, self.watch = speed, watch
        self.fleet = Fleet(moving)
        self.events: list[tuple[float, int, str, object]] = []
        self.order = itertools.count()
        self.followers: dict[str, list[str]] = {name: [] for name in self.tasks}
        self.missing = {name: len(set(task.after)) for name, task in self.tasks.items()}
        self.pending: dict[str, Asked] = {}
        self.arrived: list[float] = []
        self.measured: tuple[Measured, ...] = ()
        self.done: list[Ran] = []
        self.leases: list[Lease] = []
        self.rented = self.decisions = 0
        for name, task in self.tasks.items():
            for before in set(task.after):
                self.followers[before].append(name)
            self._at(task.arrival, "arrives", name)

    def _at(self, moment: float, what: str, about: object) -> None:
        heapq.heappush(self.events, (moment, next(self.order), what, about))

    def outcome(self) -> Outcome:
        """Run to the end."""
        memory = self.renter.recall()
        now = last = 0.0
        for now in self._moments():
            if len(self.done) < len(self.tasks):
                last = now
            elif not self.fleet.machines or now > last + _PATIENCE:
                break
            view = self._view(now)
            decision, memory = self.renter.decide(view, memory)
            self.decisions += 1
            if not decision.wake_at > now:
                raise Misuse(
                    f"asks to be asked again at {decision.wake_at!r}, and it is {now!r}",
                    source=self.renter.name, field="wake_at", fix="Name a later moment.",
                )  # fmt: skip
            if self.watch:
                self.watch(view, decision.actions)
            for action in decision.actions:
                self._act(action, now)
            if decision.wake_at < math.inf:
                self._at(decision.wake_at, "wakes", "")
        if len(self.done) < len(self.tasks):
            raise Permanent(f"{self.renter.name} lets {len(self.tasks) - len(self.done)} tasks wait for ever")
        for machine in tuple(self.fleet.machines.values()):
            self._end(machine, max(now, machine.ready))
        leases = tuple(sorted(self.leases, key=lambda lease: int(lease.id[1:])))
        prices = {name: offer.price.per_hour for name, offer in self.offers.items()}
        charges = [each for lease in leases for each in charges_of(lease, prices[lease.instance.type.name])]
        return Outcome(tuple(self.done), leases, Invoice(tuple(charges)), self.decisions)

    def _moments(self) -> Iterator[float]:
        """Every moment at which something happens, after it has happened."""
        while self.events:
            now = self.events[0][0]
            happened = False
            while self.events and self.events[0][0] == now:
                _, _, what, about = heapq.heappop(self.events)
                happened = getattr(self, f"_{what}")(about, now) or happened
            if happened:
                yield now

    def _arrives(self, name: str, now: float) -> bool:
        if self.missing[name] > 0:
            return False
        if self.tasks[name].arrival > now:
            return False
        task = self.tasks[name]
        belief = self.estimator.estimate(name, task.features)
        self.pending[name] = Asked(name, task.resources, now, belief, task.features)
        self.arrived = [*self.arrived[-_REMEMBERED + 1 :], now]
        return True

    def _wakes(self, _: str, now: float) -> bool:
        return True

    def _ready(self, name: str, now: float) -> bool:
        machine = self.fleet.machines.get(name)
        if machine is None:
            return False
        for work in self.fleet.open(machine, now):
            self._starts(work)
        return True

    def _starts(self, work: Work) -> None:
        """Work goes on from `work.started`; its end is an event of this version of it."""
        left = (work.seconds - work.done) / work.rate
        self._at(work.started + left, "ends", (work.asked.id, work.version))

    def _ends(self, about: tuple[str, int], now: float) -> bool:
        name, version = about
        work = self.fleet.works.get(name)
        if work is None or work.version != version:
            return False
        machine = self.fleet.remove(work)
        self.done.append(Ran(name, work.asked.since, work.first, now, work.moves))
        task = self.tasks[name]
        self.estimator.observe(name, task.features, work.age(now))
        if self.speed and not work.moves:
            self.measured = (*self.measured, Measured(task.features, machine.offer.type.name, work.rate))
        for follower in self.followers[name]:
            self.missing[follower] -= 1
            if not self.missing[follower] and self.tasks[follower].arrival <= now:
                self._arrives(follower, now)
        return True

    def _view(self, now: float) -> RentingView:
        return RentingView(
            now, tuple(self.offers.values()), self.fleet.held(), tuple(self.pending.values()), self.rented,
            self.fleet.moving, tuple(self.arrived), self.measured,
        )  # fmt: skip

    def _act(self, action: RentingAction, now: float) -> None:
        if isinstance(action, Rent):
            machine = self._rent(action.kind, now)
            for name in action.tasks:
                self._put(name, machine, now)
            return
        machine = self.fleet.find(action.instance, self.renter.name)
        if isinstance(action, GiveBack):
            if not machine.idle:
                raise self.fleet.wrong(f"gives {machine.id} back with tasks on it", self.renter.name)
            self._end(machine, now)
        elif isinstance(action, Place) and action.task not in self.pending:
            raise self.fleet.wrong(f"places {action.task}, which is not pending", self.renter.name)
        elif isinstance(action, Move) and action.task in self.pending:
            raise self.fleet.wrong(f"moves {action.task}, which is nowhere", self.renter.name)
        else:
            self._put(action.task, machine, now)

    def _put(self, name: str, machine: Machine, now: float) -> None:
        if name in self.pending:
            asked = self.pending.pop(name)
            task = self.tasks[name]
            work = self.fleet.put(asked, task.run_time, machine, self.renter.name)
        else:
            moved = self.fleet.move(name, machine, now, self.renter.name)
            if moved is None:
                return
            work, task = moved, self.tasks[name]
        work.rate = self.speed(task, machine.offer.type) if self.speed else 1.0
        if machine.opened:
            self.fleet.start(work, now)
            self._starts(work)

    def _rent(self, kind: str, now: float) -> Machine:
        if kind not in self.offers:
            raise self.fleet.wrong(f"rents {kind!r}, which nobody offers", self.renter.name)
        offer = self.offers[kind]
        delay = float(np.random.default_rng([self.seed, self.rented]).uniform(*self.launch))
        machine = self.fleet.add(f"i{self.rented}", offer, now)
        self._at(now + delay, "ready", machine.id)
        self.rented += 1
        return machine

    def _end(self, machine: Machine, now: float) -> None:
        del self.fleet.machines[machine.id]
        instance = Instance(machine.id, machine.offer.type, machine.offer.zone)
        self.leases.append(
            Lease(
                LeaseId(machine.id), instance, machine.offer.terms, machine.rented, ended=now,
                ending=Ending.RELEASED,
            )
        )  # fmt: skip
