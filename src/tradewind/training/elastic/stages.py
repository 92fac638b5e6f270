"""AgileML's stages: which machines serve the state, by how many may be lost for each that keeps it safe.

Harlap et al., EuroSys 2017, section 3. In stage 1 the reliable machine serves all of the state. In stages 2
and 3 about half of the machines that may be lost serve it, and the reliable one keeps the backup; in stage 3
no worker runs beside a backup, where it would be the one that everybody waits for. The paper's thresholds
depend on bandwidth, ratio and size of the model, so here they are settings. What the paper leaves open is
the hysteresis, and that a decision moves as little as it can.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence

from msgspec import Struct

from tradewind.errors import Misuse
from tradewind.market.leases import LeaseId
from tradewind.training.elastic.placement import place


class StageRules(Struct, frozen=True, kw_only=True):
    """When the state leaves the reliable machines, and onto how many others.

    The ratio is that of machines which may be lost to machines which keep the state safe.
    """

    shards: int = 1
    """Pieces of the state that can be served apart. A state of one stays in stage 1: it cannot spread."""
    stage2_above: float = 1.0
    """The ratio above which stage 2 begins."""
    stage3_above: float = 15.0
    """The ratio above which stage 3 begins."""
    hysteresis: float = 0.8
    """A stage is left only below this share of the ratio at which it begins."""
    active_share: float = 0.5
    """The share of the machines which may be lost that serve the state."""
    most_active: int = 32
    """How many serve it at most."""
    workers_beside: bool = False
    """Whether workers run on the reliable machines too, in stages 1 and 2."""

    def __post_init__(self) -> None:
        for field, value, least, most in (
            ("shards", self.shards, 1, 32),
            ("stage2_above", self.stage2_above, 0, math.inf),
            ("stage3_above", self.stage3_above, self.stage2_above, math.inf),
            ("hysteresis", self.hysteresis, 0, 1),
            ("active_share", self.active_share, 0, 1),
            ("most_active", self.most_active, 1, math.inf),
        ):
            if not least <= value <= most:
                raise Misuse(
                    f"{value} is not from {least:g} to {most:g}",
                    field=f"state.{field}",
                    fix="Give a number in between.",
                )


class Serving(Struct, frozen=True):
    """Who serves what of the state."""

    stage: int = 1
    shards: tuple[LeaseId | None, ...] = (None,)
    """By shard, the lease that serves it; None for the reliable machine."""

    @property
    def active(self) -> frozenset[LeaseId]:
        """The leases that serve anything."""
        return frozenset(each for each in self.shards if each is not None)


def stage_of(current: int, transient: int, reliable: int, rules: StageRules) -> int:
    """The stage for so many machines of each kind, coming from `current`."""
    if rules.shards == 1 or not transient:
        return 1
    ratio = transient / max(1, reliable)
    for stage, above in ((3, rules.stage3_above), (2, rules.stage2_above)):
        if ratio > above or (current >= stage and ratio >= rules.hysteresis * above):
            return stage
    return 1


def serve_from(
    current: Serving, speeds: Mapping[LeaseId, float], reliable: int, rules: StageRules
) -> Serving:
    """Who should serve the state, where `speeds` names the machines that work and may be lost.

    Machines that serve it go on as far as their number fits the share; others are chosen the fastest first.
    Each gets as many shards as the others, for what a server is short of is its line and not its processor;
    and no shard moves that need not.
    """
    stage = stage_of(current.stage, len(speeds), reliable, rules)
    if stage == 1:
        return Serving(1, (None,) * rules.shards)
    held = {lease: _of(current, lease) for lease in current.active if lease in speeds}
    wanted = _count(len(held), len(speeds), rules)
    first = sorted(speeds, key=lambda each: (-len(held.get(each, ())), -speeds[each], each))
    return Serving(stage, _dealt(held, first[:wanted], rules.shards))


def fall_back(current: Serving, there: Collection[LeaseId]) -> Serving:
    """Who serves the state at once where only the machines in `there` are left of those that did.

    They keep their shards and take over the lost ones; where none is left, the reliable machine serves all.
    """
    left = sorted(current.active.intersection(there))
    if not left:
        return Serving(1, (None,) * len(current.shards))
    held = {lease: _of(current, lease) for lease in left}
    return Serving(current.stage, _dealt(held, left, len(current.shards)))


def work_on(
    serving: Serving, work: Mapping[LeaseId, float], reliable: Mapping[LeaseId, float], rules: StageRules
) -> dict[LeaseId, float]:
    """The machines that workers may run on, with their speeds: none beside a backup in stage 3.

    Nor while there is no other, since a job has to go on with what it has: the reliable machines then work
    as well, if they ever may.
    """
    beside = rules.workers_beside and (serving.stage < 3 or not work)
    return {**work, **(reliable if beside else {})}


def _of(serving: Serving, lease: LeaseId) -> tuple[int, ...]:
    return tuple(shard for shard, each in enumerate(serving.shards) if each == lease)


def _count(now: int, transient: int, rules: StageRules) -> int:
    """How many should serve: as many as now while that is about the share that is meant."""
    most = min(transient, rules.shards, rules.most_active)
    target = rules.active_share * transient
    least = math.ceil(rules.hysteresis * target)
    if not (least <= now and now * rules.hysteresis <= target):
        now = math.floor(target + 0.5)
    return max(1, min(now, most))


def _dealt(
    held: Mapping[LeaseId, tuple[int, ...]], servers: Sequence[LeaseId], shards: int
) -> tuple[LeaseId | None, ...]:
    """By shard, who of `servers` serves it."""
    owners: dict[int, LeaseId] = {}
    for lease, those in place(held, dict.fromkeys(servers, 1.0), range(shards)).items():
        owners |= dict.fromkeys(those, lease)
    return tuple(owners[shard] for shard in range(shards))
