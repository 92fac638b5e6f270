"""The loop that keeps a fleet of variants as large as its traffic wants: look, plan, follow, each second."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from tradewind import clock
from tradewind.serving.server.tasks.fleet import HERE, VariantFleet
from tradewind.serving.variants.scaling.interface import Class, Fleet, Plan, ScalingRule
from tradewind.serving.variants.selection.interface import Query
from tradewind.serving.variants.traffic import Traffic


class Scaler:
    """Scales `fleet` for `traffic` by `rule`, every `period` seconds.

    `headroom` is the share of the load that there should be room for beyond it. With `warm` each task keeps
    a variant, even where nobody asks.
    """

    def __init__(
        self,
        fleet: VariantFleet,
        rule: ScalingRule,
        traffic: Traffic,
        *,
        period: float = 1.0,
        headroom: float = 0.2,
        warm: bool = True,
        said: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.fleet, self.traffic, self.period, self.warm = fleet, traffic, period, warm
        self._rule, self._memory, self._headroom, self._said = rule, rule.recall(), headroom, said
        self._seen: Any = None
        self.always: dict[str, Query] = {}
        """By task: a query that somebody might make at any moment."""
        self.classes: tuple[Class, ...] = ()
        """As of the last plan."""
        self.plan = Plan({}, "nothing was planned yet")

    async def run(self) -> None:
        """Scale until cancelled; what fails is said, and tried again."""
        while True:
            await asyncio.sleep(self.period)
            try:
                await self.turn()
            except Exception as problem:
                self._said(f"scaling failed: {type(problem).__name__}: {problem}")

    async def turn(self) -> None:
        """Look, plan and follow, once."""
        seconds = await self.fleet.look()
        standings = self.fleet.standings(clock.now())
        if not standings:
            return
        largest = max(each.rated.variant.max_batch for each in standings)
        self.traffic.turn(seconds, largest)
        always = tuple(self.always.values()) if self.warm else ()
        self.classes = self.traffic.classes(standings, always)
        # What a replica really holds, not what a profile says of it.
        standings = tuple(
            replace(
                each,
                rated=replace(
                    each.rated,
                    profile=replace(
                        each.rated.profile, memory=self.fleet.memory_of(self.fleet.members[each.name])
                    ),
                ),
            )
            for each in standings
        )
        fleet = Fleet(standings, self.classes, {HERE: self.fleet.limit}, self._headroom)
        if self._memory is None and _looks(fleet) == self._seen:
            self.fleet.follow(self.plan)
            return
        # In a thread: a program takes milliseconds, in which callers would wait.
        plan, self._memory = await asyncio.to_thread(self._rule.scale, fleet, self._memory)
        self._seen = _looks(fleet) if self._memory is None else None
        self.plan = self._warmed(plan, fleet)
        self.fleet.follow(self.plan)

    def _warmed(self, plan: Plan, fleet: Fleet) -> Plan:
        """The plan, with a variant for each task that it would leave without one."""
        replicas = dict(plan.replicas)
        for task in self.always if self.warm else ():
            theirs = [each for each in fleet.standings if each.rated.variant.task == task]
            running = [each for each in theirs if each.replicas]
            if running and not any(replicas[each.name] for each in theirs):
                kept = min(running, key=lambda each: (each.rated.profile.per_request(), each.name))
                replicas[kept.name] = 1
        return replace(plan, replicas=replicas)


def _looks(fleet: Fleet) -> Any:
    """What a plan depends on, roughly: it is made anew only where that has changed."""
    standings = tuple(
        (each.name, each.replicas, round(math.log(each.slowdown) * 8)) for each in fleet.standings
    )
    return standings, frozenset((each.query, round(math.log(each.rate) * 20)) for each in fleet.classes)
