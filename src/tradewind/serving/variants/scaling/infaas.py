"""INFaaS's model autoscaler: replicate or upgrade what is short, downgrade or shrink what is not.

Romero, Li, Yadwadkar and Kozyrakis, "INFaaS: Automated Model-less Inference Serving", USENIX ATC 2021, and
the authors' code (`autoscaler.cc`). For a variant with n replicas and mean batch b (on accelerators
min(32, max_batch)): theta = b / T(b) rows a second, load w, capacity C = n theta.

- Short: on CPUs by D = w - 0.95 C, on accelerators by D = w - C + 0.2 C load (load in seconds, what comes
  while one loads); ceil(D / theta) replicas are missing, at most 2 a period on CPUs and 1 on accelerators.
- All short variants of an architecture together: (a) replicate each, which costs its loading time for every
  replica, and a thousandfold where the resource has no room; or (b) upgrade, to the next variant of the
  architecture with a larger batch or more rows a second, as many as carry all that is short. (b) if (a) costs
  over 1.5 times as much, or if there is no room for (a). After an upgrade its smaller siblings are given up.
- Not short: one replica fewer where w <= (n - 1) theta, once that was wished so often in a row (10 on CPUs,
  20 on GPUs, 15 on Inferentia). The last one goes where a variant of a smaller batch, or the first on a CPU,
  has room for its load: it is downgraded to it.

The code does this per worker, a machine; here the fleet is as one worker with the resources' limits.
"""

from __future__ import annotations

import math

from msgspec import Struct

from tradewind.serving.variants.scaling.interface import Fleet, Plan, within
from tradewind.serving.variants.selection.interface import Standing

_PATIENCE = {"cpu": 10, "gpu": 20, "inferentia": 15}
_AT_ONCE = {"cpu": 2, "gpu": 1, "inferentia": 1}
_FULL = 0.95
_LOADING = 0.2
_NO_ROOM = 1000.0
_WORTH = 1.5


class InfaasBacklog(Struct, frozen=True):
    """How often in a row each variant was wished to shrink."""

    wishes: tuple[tuple[str, int], ...] = ()


class InfaasScaling:
    """The rule. `patience` overrides how many wishes in a row it takes to shrink."""

    name = "infaas"

    def __init__(self, patience: int | None = None) -> None:
        self.patience = patience

    def recall(self) -> InfaasBacklog:
        """No wish so far."""
        return InfaasBacklog()

    def scale(self, fleet: Fleet, memory: InfaasBacklog) -> tuple[Plan, InfaasBacklog]:
        """The plan; see the module."""
        replicas = {each.name: each.replicas for each in fleet.standings}
        wishes, unload, words = dict(memory.wishes), list[str](), list[str]()
        grouped: dict[str, list[Standing]] = {}
        for each in fleet.standings:
            if each.replicas and missing(each) > 0:
                wishes.pop(each.name, None)
                grouped.setdefault(each.rated.variant.architecture, []).append(each)
        for short in grouped.values():
            self._grow(fleet, short, replicas, unload, words)
        for each in fleet.standings:
            settled = replicas[each.name] == each.replicas and each.name not in unload
            if each.replicas and missing(each) == 0 and settled:
                self._shrink(fleet, each, replicas, wishes, words)
        for name in unload:
            replicas[name] = 0
        kept = tuple(sorted((name, count) for name, count in wishes.items() if count))
        return Plan(replicas, ", ".join(words) or "all are full enough", tuple(unload)), InfaasBacklog(kept)

    def _grow(
        self, fleet: Fleet, short: list[Standing], replicas: dict[str, int], unload: list[str],
        words: list[str],
    ) -> None:  # fmt: skip
        wanted = {each.name: min(missing(each), _AT_ONCE[each.rated.variant.hardware]) for each in short}
        grown = {**replicas, **{name: replicas[name] + count for name, count in wanted.items()}}
        room = within(fleet.limits, fleet.standings, grown)
        cost = sum(each.rated.profile.load * wanted[each.name] for each in short)
        if not room:
            cost *= 1.0 + _NO_ROOM
        better = self._upgrade(fleet, short)
        if better is not None:
            above, count = better
            smaller = [
                each for each in _siblings(fleet, above)
                if each.rated.variant.max_batch < above.rated.variant.max_batch and replicas[each.name]
            ]  # fmt: skip
            after = {**replicas, **{each.name: 0 for each in smaller}}
            after[above.name] = replicas[above.name] + count
            fits = within(fleet.limits, fleet.standings, after)
            if fits and cost > _WORTH * above.rated.profile.load * count:
                replicas.update({above.name: after[above.name]})
                unload += [each.name for each in smaller]
                words.append(f"upgrade to {count} {above.name}")
                return
        for each in short:
            for _ in range(wanted[each.name]):
                one = {**replicas, each.name: replicas[each.name] + 1}
                if within(fleet.limits, fleet.standings, one):
                    replicas.update(one)
                    words.append(f"+1 {each.name}")

    def _upgrade(self, fleet: Fleet, short: list[Standing]) -> tuple[Standing, int] | None:
        """The next better variant of the architecture, and how many of it carry what they all carry."""
        largest = max(short, key=lambda each: (each.rated.variant.max_batch, best_rate(each), each.name))
        above = [
            each for each in _siblings(fleet, largest)
            if each.name not in {one.name for one in short}
            and (each.rated.variant.max_batch, best_rate(each))
            > (largest.rated.variant.max_batch, best_rate(largest))
            and best_rate(each) > best_rate(largest)
            and each.rated.variant.accuracy >= max(one.rated.variant.accuracy for one in short)
        ]  # fmt: skip
        if not above:
            return None
        found = min(above, key=lambda each: (each.rated.variant.max_batch, best_rate(each), each.name))
        smaller = [
            each for each in _siblings(fleet, found)
            if each.rated.variant.max_batch < found.rated.variant.max_batch
        ]  # fmt: skip
        # Its smaller siblings are given up, so that it carries their load, besides what is short elsewhere.
        load = sum(each.rate for each in smaller)
        load += sum(each.rate - _FULL * capacity(each) for each in short if each not in smaller)
        free = max(0.0, _FULL * found.replicas * best_rate(found) - found.rate)
        return found, max(1, math.ceil((load - free) / (_FULL * best_rate(found))))

    def _shrink(
        self, fleet: Fleet, each: Standing, replicas: dict[str, int], wishes: dict[str, int],
        words: list[str],
    ) -> None:  # fmt: skip
        one = rate_of(each)
        below = self._downgrade(fleet, each) if each.replicas == 1 else None
        if each.rate > (each.replicas - 1) * one and below is None:
            wishes.pop(each.name, None)
            return
        wishes[each.name] = wishes.get(each.name, 0) + 1
        limit = _PATIENCE[each.rated.variant.hardware] if self.patience is None else self.patience
        if wishes[each.name] <= limit:
            return
        wishes.pop(each.name)
        if below is not None and each.rate > 0:
            down = {**replicas, each.name: 0, below.name: max(1, replicas[below.name])}
            if not within(fleet.limits, fleet.standings, down):
                return
            replicas.update(down)
            words.append(f"downgrade {each.name} to {below.name}")
        else:
            replicas[each.name] = each.replicas - 1
            words.append(f"-1 {each.name}")

    def _downgrade(self, fleet: Fleet, each: Standing) -> Standing | None:
        """The next variant of a smaller batch, or the first on a CPU, with room for all that comes."""
        variant = each.rated.variant
        below = [
            one for one in _siblings(fleet, each)
            if one.rated.variant.accuracy >= variant.accuracy
            and one.rated.profile.per_hour <= each.rated.profile.per_hour
            and (
                one.rated.variant.max_batch < variant.max_batch
                or (variant.hardware != "cpu" and one.rated.variant.hardware == "cpu")
            )
            and one.rate + each.rate <= max(1, one.replicas) * best_rate(one)
        ]  # fmt: skip
        return max(below, key=lambda one: (one.rated.variant.max_batch, one.name), default=None)


def _siblings(fleet: Fleet, standing: Standing) -> list[Standing]:
    architecture = standing.rated.variant.architecture
    return [
        each for each in fleet.standings
        if each.rated.variant.architecture == architecture and each.name != standing.name
    ]  # fmt: skip


def rate_of(standing: Standing) -> float:
    """theta: rows a second of one replica, at the mean batch on CPUs, at min(32, max_batch) elsewhere."""
    variant = standing.rated.variant
    rows = max(1.0, standing.batch) if variant.hardware == "cpu" else float(min(32, variant.max_batch))
    return standing.rated.profile.throughput(min(rows, float(variant.max_batch)))


def best_rate(standing: Standing) -> float:
    """Rows a second of one replica at its largest batch."""
    return standing.rated.profile.throughput(standing.rated.variant.max_batch)


def capacity(standing: Standing) -> float:
    """C: rows a second of its replicas."""
    return standing.replicas * rate_of(standing)


def short_of(standing: Standing) -> float:
    """D: rows a second that it is short of; below 0 where it is not."""
    room = capacity(standing)
    if standing.rated.variant.hardware == "cpu":
        return standing.rate - _FULL * room
    return standing.rate - room + _LOADING * room * standing.rated.profile.load


def missing(standing: Standing) -> int:
    """Replicas that it is short of."""
    return max(0, math.ceil(short_of(standing) / rate_of(standing) - 1e-9))
