"""Ours: every choice is weighed by what it makes us pay from now on.

An instance is paid for until the last of its tasks ends (`lifetime_cost`). Whatever is decided is compared by
that cost, in expectation over scenarios of what each task has left (`remaining_time`), which carry how sure
the estimates are.

- A pending task goes where the cost rises least, if by less than renting the cheapest type for it costs;
  among places that cost the same, where least is left over.
- Tasks that no instance takes cheaply start as an instance each; of these, and of the instances that are
  held, several become one of a larger type while that saves (`gathering`).
- A task that waits for its own launch leaves for a place that became free meanwhile.
- An instance is emptied into others, or replaced by a cheaper type, where that saves more than the launch
  and the pauses cost.
- An idle instance is given back: billed by the second, waiting for the next task costs more than a launch.

Its idea is Stratus's (Chung et al., SoCC 2018), without bins: alignment is worth what it saves, so that a
small task never keeps a large instance for long, and a large one may take a task that outlives it.
"""

from __future__ import annotations

import math

import numpy as np

from tradewind.advice.renting.gathering import Part, best_group
from tradewind.advice.renting.interface import (
    Asked,
    GiveBack,
    Held,
    Move,
    Place,
    Rent,
    RentingAction,
    RentingDecision,
    RentingView,
)
from tradewind.advice.renting.lifetime_cost import Load, Times, dollars, lifetime_cost
from tradewind.advice.renting.remaining_time import RemainingTimes
from tradewind.advice.renting.room import Room
from tradewind.advice.renting.shapes import cheapest_for, fitting_order
from tradewind.market.offers import Offer
from tradewind.market.resources import Resources


class Tradewind:
    """Marginal lifetime cost over scenarios; see the module.

    `scenarios`: how many; `seed`: of their draw; `moves`: whether tasks that work may be moved.
    """

    name = "tradewind"

    def __init__(self, scenarios: int = 32, seed: int = 0, moves: bool = True) -> None:
        self.scenarios, self.seed, self.moves = scenarios, seed, moves

    def recall(self) -> None:
        """It remembers nothing."""

    def decide(self, view: RentingView, memory: None) -> tuple[RentingDecision, None]:
        """Place, rent, move, give back."""
        plan = _Plan(view, RemainingTimes(self.scenarios, self.seed), view.moving if self.moves else math.inf)
        plan.place()
        plan.leave_launches()
        if plan.moving < math.inf:
            plan.empty()
        plan.rent()
        plan.give_back()
        return RentingDecision(tuple(plan.actions), plan.reason, plan.wake_at), None


class _Plan:
    """A decision in the making."""

    def __init__(self, view: RentingView, law: RemainingTimes, moving: float) -> None:
        self.view, self.law, self.moving = view, law, moving
        self.actions: list[RentingAction] = []
        self.wake_at = math.inf
        self.cheapest: dict[Resources, Offer] = {}
        self.held = {held.id: held for held in view.held}
        self.rooms: dict[str, Room] = {held.id: held.room for held in view.held}
        self.loads: dict[str, tuple[Load, ...]] = {held.id: self._loads_of(held) for held in view.held}
        self.costs = {name: self._cost(name, loads) for name, loads in self.loads.items()}
        self.touched: set[str] = set()
        self.left: list[tuple[Asked, Times]] = []

    @property
    def reason(self) -> str:
        """In words."""
        counts: dict[str, int] = {}
        for action in self.actions:
            word = type(action).__name__
            counts[word] = counts.get(word, 0) + 1
        done = ", ".join(f"{word} {count}" for word, count in counts.items()) or "nothing to do"
        return f"{len(self.view.pending)} pending, {len(self.held)} instances: {done}"

    def _offer_alone(self, asked: Resources) -> Offer:
        if asked not in self.cheapest:
            self.cheapest[asked] = cheapest_for(self.view.offers, (asked,))
        return self.cheapest[asked]

    def _loads_of(self, held: Held) -> tuple[Load, ...]:
        now = self.view.now
        loads = [
            Load(
                self._offer_alone(placed.task.resources).price.per_hour,
                self.law.of_placed(placed, held.ready, now),
            )
            for placed in held.tasks
        ]
        late = max(0.0, held.ready - now)
        loads += [
            Load(self._offer_alone(task.resources).price.per_hour, self.law.of(task) + late)
            for task in held.coming
        ]
        return tuple(loads)

    def _cost(self, name: str, loads: tuple[Load, ...]) -> float:
        return lifetime_cost(self.held[name].offer, loads)

    def _alone(self, task: Asked, times: Times) -> float:
        """US dollars of a new instance for the task alone."""
        offer = self._offer_alone(task.resources)
        return dollars(offer.price.per_hour, offer.wait + float(times.mean()))

    def place(self) -> None:
        """Pending tasks to the instances where they cost least, unless renting costs less."""
        waiting = [(task, self.law.of(task)) for task in self.view.pending]
        waiting.sort(key=lambda each: -self._alone(*each))
        for task, times in waiting:
            found = self._cheapest_place(task, times)
            if found is None or found[0] > self._alone(task, times):
                self.left.append((task, times))
                continue
            self._put(task, found[1], times)
            self.actions.append(Place(task.id, found[1]))

    def _cheapest_place(
        self, task: Asked, times: Times, but: str = "", ready: bool = False
    ) -> tuple[float, str] | None:
        """By how much the cost rises, and the instance, for a task that ends `times` after its start."""
        best: tuple[float, float, str] | None = None
        for name, room in self.rooms.items():
            if name == but or not room.fits(task.resources) or (ready and self.held[name].launching):
                continue
            held = self.held[name]
            dearer = self._cost(name, (*self.loads[name], self._load(task, name, times))) - self.costs[name]
            spare = _spare(room, task.resources, held.offer.type.resources) * held.offer.price.per_hour
            if best is None or (dearer, spare) < best[:2]:
                best = dearer, spare, name
        return None if best is None else (best[0], best[2])

    def _load(self, task: Asked, name: str, times: Times) -> Load:
        held = self.held[name]
        late = max(0.0, held.ready - self.view.now) if held.launching else 0.0
        return Load(self._offer_alone(task.resources).price.per_hour, times + late)

    def _put(self, task: Asked, name: str, times: Times) -> None:
        self.rooms[name] = self.rooms[name].without(task.resources)
        self.loads[name] = (*self.loads[name], self._load(task, name, times))
        self.costs[name] = self._cost(name, self.loads[name])
        self.touched.add(name)

    def leave_launches(self) -> None:
        """Tasks alone on an instance that is still being launched go where room became free, if cheaper."""
        for held in self.view.held:
            if not held.launching or held.id in self.touched or held.coming or len(held.tasks) != 1:
                continue
            task = held.tasks[0].task
            times = self.law.of(task)
            found = self._cheapest_place(task, times, but=held.id, ready=True)
            if found is not None and found[0] < self.costs[held.id]:
                self._put(task, found[1], times)
                self.actions.append(Move(task.id, found[1]))
                self._gone(held.id)

    def _gone(self, name: str) -> None:
        """The instance is given back."""
        self.actions.append(GiveBack(name))
        del self.rooms[name], self.loads[name], self.costs[name]
        self.touched.add(name)

    def _movable(self) -> list[Held]:
        """Instances whose tasks may be moved, those with the fewest first."""
        found = [
            held
            for held in self.view.held
            if held.tasks and held.id not in self.touched and not held.launching and not held.coming
            and not any(placed.going for placed in held.tasks)
        ]  # fmt: skip
        return sorted(found, key=lambda held: len(held.tasks))

    def empty(self) -> None:
        """Instances whose tasks cost less elsewhere are emptied into others, or replaced by a smaller one."""
        for held in self._movable():
            if held.id not in self.touched:
                self._empty(held)

    def _empty(self, held: Held) -> None:
        before = dict(self.rooms), dict(self.loads), dict(self.costs), set(self.touched)
        loads = self.loads[held.id]
        stay, wait = self.costs[held.id], held.offer.wait
        cost = 0.0
        moves = []
        for placed, load in zip(held.tasks, loads, strict=True):
            times = load.ends + self.moving
            found = self._cheapest_place(placed.task, times, but=held.id, ready=True)
            cost += found[0] if found else math.inf
            if found is None or cost >= stay:
                break
            self._put(placed.task, found[1], times)
            moves.append(Move(placed.task.id, found[1]))
        last = np.max([load.ends for load in loads], axis=0)
        smaller = cheapest_for(self.view.offers, [placed.task.resources for placed in held.tasks])
        replaced = dollars(held.offer.price.per_hour, float(np.minimum(last, wait).mean())) + dollars(
            smaller.price.per_hour, float(np.where(last > wait, last + self.moving, wait).mean())
        )
        if cost < min(stay, replaced):
            self.actions += moves
            self._gone(held.id)
            return
        self.rooms, self.loads, self.costs, self.touched = before
        if replaced < stay and smaller.price.per_hour < held.offer.price.per_hour:
            tasks = fitting_order(placed.task for placed in held.tasks)
            self.actions.append(Rent(smaller.type.name, tuple(task.id for task in tasks)))
            self.touched.add(held.id)

    def rent(self) -> None:
        """Instances for what is left, one each or several in one, together with what is held."""
        parts = [self._part(task, times) for task, times in self.left]
        if not parts:
            return
        if self.moving < math.inf:
            for held in self._movable():
                tasks = tuple(placed.task for placed in held.tasks)
                parts.append(Part(tasks, self.loads[held.id], self.costs[held.id], held))
        while len(parts) > 1:
            group = best_group(parts, self.view.offers, self.moving)
            if group is None:
                break
            tasks = fitting_order(group.tasks)
            self.actions.append(Rent(group.offer.type.name, tuple(task.id for task in tasks)))
            self.touched.update(part.held.id for part in group.parts if part.held)
            parts = [part for part in parts if all(part is not other for other in group.parts)]
        for part in parts:
            if part.held is None:
                offer = self._offer_alone(part.tasks[0].resources)
                self.actions.append(Rent(offer.type.name, (part.tasks[0].id,)))

    def _part(self, task: Asked, times: Times) -> Part:
        price = self._offer_alone(task.resources).price.per_hour
        return Part((task,), (Load(price, times),), self._alone(task, times))

    def give_back(self) -> None:
        """Idle instances."""
        for held in self.view.held:
            if held.idle and held.id not in self.touched:
                self._gone(held.id)


def _spare(room: Room, asked: Resources, has: Resources) -> float:
    """The share of the instance that stays free beside the task, of what most is free of."""
    rest = room.without(asked)
    return max(
        rest.vcpus / has.vcpus,
        rest.memory_gib / has.memory_gib if has.memory_gib else 0.0,
        rest.gpus / has.gpus if has.gpus else 0.0,
    )
