"""Quasar: greedy by predicted quality, which few measurements of each kind of task tell.

Delimitrou and Kozyrakis, "Quasar: resource-efficient and QoS-aware cluster management", ASPLOS 2014, after
its published outline. Kinds of tasks are rows, families of types are columns, the logarithm of a measured
speed is an entry; entries that were not measured are filled in by latent factors
(`estimates.collaborative_filtering`). Its other classifications (scale-up, scale-out) have no counterpart
here, for a task says what it needs. The quality of an instance for a task is the platform's predicted speed
times the slack against interference, the free share of the resource that is fullest once the task is there.
A task goes to the instance of the best quality on which the predicted speed is at least `target` of the best
platform's; else the type is rented that costs least for its work among those that meet the target. Run times
are not looked at. Tasks that are under target are not moved, for the paper's monitoring needs rates of
progress that are not in this view.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from msgspec import Struct

from tradewind.advice.renting.interface import (
    GiveBack,
    Measured,
    Place,
    Rent,
    RentingAction,
    RentingDecision,
    RentingView,
)
from tradewind.advice.renting.room import used_shares, whole
from tradewind.errors import Misuse
from tradewind.estimates.collaborative_filtering import latent_factors
from tradewind.market.offers import Offer

_GROWTH = 1.1
"""The speeds are filled in anew when there are so many times as many measurements."""


class Speeds(Struct, frozen=True):
    """Predicted speeds, by kind of task and family of types; what is absent is 1."""

    known: int = 0
    """Measurements that they come from."""
    predicted: tuple[tuple[str, tuple[tuple[str, float], ...]], ...] = ()
    """(kind, (family, speed))."""


def family_of(instance_type: str) -> str:
    """The name of a type up to its size.

    >>> family_of("g4dn.xlarge")
    'g4dn'
    """
    return instance_type.split(".", maxsplit=1)[0]


class Quasar:
    """Greedy by predicted quality; see the module.

    `kind`: the feature that names a task's kind. `target`: the share of the best platform's predicted speed
    with which a task is content. `rank`, `penalty`: of the latent factors, over logarithms of speeds.
    """

    name = "quasar"

    def __init__(self, kind: str = "kind", target: float = 0.8, rank: int = 1, penalty: float = 0.1) -> None:
        if not 0 < target <= 1:
            raise Misuse(f"{target!r} is no share", field="target", fix="Give a number above 0, up to 1.")
        self.kind, self.target, self.rank, self.penalty = kind, target, rank, penalty

    def recall(self) -> Speeds:
        """Nothing was measured."""
        return Speeds()

    def decide(self, view: RentingView, memory: Speeds) -> tuple[RentingDecision, Speeds]:
        """Place by quality, rent by cost of the work, give back what is idle."""
        if len(view.measured) > _GROWTH * memory.known:
            memory = Speeds(len(view.measured), self._predicted(view.measured))
        by_kind = {kind: dict(speeds) for kind, speeds in memory.predicted}
        rooms = {held.id: held.room for held in view.held}
        types = {held.id: held.offer.type for held in view.held}
        actions: list[RentingAction] = []
        for task in view.pending:
            speeds = by_kind.get(dict(task.features).get(self.kind, ""), {})
            able = [offer for offer in view.offers if whole(offer.type.resources).fits(task.resources)]
            best = max(_speed(speeds, offer.type.name) for offer in able)
            home, quality = "", 0.0
            for name, room in rooms.items():
                speed = _speed(speeds, types[name].name)
                if speed < self.target * best or not room.fits(task.resources):
                    continue
                slack = 1 - max(used_shares(room.without(task.resources), types[name].resources))
                # A full instance is still better than none: its quality is small, not nothing.
                if speed * (slack + 1e-6) > quality:
                    home, quality = name, speed * (slack + 1e-6)
            if home:
                rooms[home] = rooms[home].without(task.resources)
                actions.append(Place(task.id, home))
            else:
                offer = self._cheapest(able, speeds, best)
                actions.append(Rent(offer.type.name, (task.id,)))
        used = {action.instance for action in actions if isinstance(action, Place)}
        actions += [GiveBack(held.id) for held in view.held if held.idle and held.id not in used]
        reason = f"{len(view.pending)} pending, {memory.known} speeds measured"
        return RentingDecision(tuple(actions), reason), memory

    def _cheapest(self, able: Sequence[Offer], speeds: Mapping[str, float], best: float) -> Offer:
        content = [offer for offer in able if _speed(speeds, offer.type.name) >= self.target * best]
        return min(content, key=lambda offer: offer.price.per_hour / _speed(speeds, offer.type.name))

    def _predicted(
        self, measured: Sequence[Measured]
    ) -> tuple[tuple[str, tuple[tuple[str, float], ...]], ...]:
        sums: dict[tuple[str, str], list[float]] = {}
        for each in measured:
            key = dict(each.features).get(self.kind, ""), family_of(each.instance_type)
            sums.setdefault(key, []).append(float(np.log(each.speed)))
        kinds = sorted({kind for kind, _ in sums})
        families = sorted({family for _, family in sums})
        table = np.full((len(kinds), len(families)), np.nan)
        for (kind, family), logs in sums.items():
            table[kinds.index(kind), families.index(family)] = np.mean(logs)
        filled = np.exp(latent_factors(table, rank=self.rank, penalty=self.penalty, rounds=10).table())
        return tuple(
            (kind, tuple((family, float(filled[row, column])) for column, family in enumerate(families)))
            for row, kind in enumerate(kinds)
        )


def _speed(speeds: Mapping[str, float], instance_type: str) -> float:
    return speeds.get(family_of(instance_type), 1.0)
