"""INFaaS's dispatch: the slowest variant that is quick enough.

Romero, Li, Yadwadkar and Kozyrakis, "INFaaS: Automated Model-less Inference Serving", USENIX ATC 2021, and
the authors' code (`queryfe_server.cc`):

1. The quick way. For an architecture, its five quickest variants whose time of one row lies between a floor
   (100 ms where more is allowed, so that loose bounds go to slow hardware) and the bound; for a task, the
   five variants that were picked for it last. The first that takes the rows, runs and is healthy is it.
2. All variants: one will do if it takes the rows and its line says that they are in time (an accelerator is
   judged at min(32, max_batch) rows; CPUs are passed over where the bound is 50 ms or less). Among those that
   run and are healthy the one with the least slack is it, for it is the cheapest.
3. If only blacklisted ones run: the one of the smallest batch that does not run yet is started, and one query
   in ten still goes to the blacklisted one, so that it is seen to recover.
4. If nothing runs: the one whose loading and answering take least together is loaded.

Replicas of a variant share one queue here, so that no replica is chosen within it. The code does not check
accuracy on the way of point 1; here a recent pick counts only where it is accurate enough.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from tradewind.serving.variants.selection.interface import (
    Impossible,
    Query,
    Selection,
    Standing,
    accurate,
    feasible,
    named,
    refused,
)

_QUICK_WAY = 5
_LOOSE = 0.100
_PROBE = 10


class InfaasMemory(Struct, frozen=True):
    """What the rule remembers."""

    recent: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """By task, what was picked, the latest first."""
    queries: int = 0
    """That found only blacklisted variants."""


class InfaasSelection:
    """The rule. `cpu_from` is the bound in seconds above which CPUs are looked at; published: 0.05.

    Where every variant runs on a CPU, 0 lets the rule answer at all.
    """

    name = "infaas"

    def __init__(self, cpu_from: float = 0.050) -> None:
        self.cpu_from = cpu_from

    def recall(self) -> InfaasMemory:
        """Nothing picked yet."""
        return InfaasMemory()

    def choose(
        self, query: Query, standings: Sequence[Standing], memory: InfaasMemory
    ) -> tuple[Selection | Impossible, InfaasMemory]:
        """Where the query goes; see the module."""
        found = named(query, standings)
        picked = self._quick_way(query, found, memory)
        if picked is not None:
            return Selection(picked.name, "picked lately, and still in time"), memory
        able = [each for each in found if self._adequate(query, each)]
        if not able:
            # Rule 2 of the seam: what the rule passes over, but would do, is better than nothing.
            able = [each for each in found if feasible(query, each.rated)]
        if not able:
            return refused(query, found), memory
        running = [each for each in able if each.replicas and not each.unloading]
        healthy = [each for each in running if not each.blacklisted]
        if healthy:
            best = min(healthy, key=lambda each: (query.latency - self._seconds(query, each), each.name))
            return Selection(best.name, "the least slack of those that run"), _picked(memory, query, best)
        if running:
            return self._recovery(able, running, memory)
        new = min(able, key=lambda each: (each.rated.profile.load + self._seconds(query, each), each.name))
        reason = "nothing runs; the quickest to load and answer"
        return Selection(new.name, reason, start=new.name), _picked(memory, query, new)

    def _quick_way(self, query: Query, found: list[Standing], memory: InfaasMemory) -> Standing | None:
        if query.architecture:
            floor = _LOOSE if query.latency > _LOOSE else 0.0
            within = [each for each in found if floor <= each.rated.profile.latency.of(1) <= query.latency]
            within.sort(key=lambda each: (each.rated.profile.latency.of(1), each.name))
            order = within[:_QUICK_WAY]
        else:
            known = {each.name: each for each in found}
            recent = next((names for task, names in memory.recent if task == query.task), ())
            order = [known[name] for name in recent if name in known]
        for each in order:
            fits = feasible(query, each.rated) and self._adequate(query, each)
            if fits and each.replicas and not each.unloading and not each.blacklisted:
                return each
        return None

    def _adequate(self, query: Query, standing: Standing) -> bool:
        variant = standing.rated.variant
        if variant.max_batch < query.rows or not accurate(query, standing.rated):
            return False
        if variant.hardware == "cpu" and query.latency <= self.cpu_from:
            return False
        return self._seconds(query, standing) <= query.latency

    def _seconds(self, query: Query, standing: Standing) -> float:
        variant = standing.rated.variant
        rows = query.rows if variant.hardware == "cpu" else max(query.rows, min(32, variant.max_batch))
        return standing.rated.profile.latency.of(rows)

    def _recovery(
        self, able: list[Standing], running: list[Standing], memory: InfaasMemory
    ) -> tuple[Selection, InfaasMemory]:
        after = InfaasMemory(memory.recent, memory.queries + 1)
        idle = [each for each in able if not each.replicas and not each.unloading]
        old = min(running, key=lambda each: (each.rated.variant.max_batch, each.name))
        if not idle:
            return Selection(old.name, "only blacklisted ones are left", start=old.name), after
        new = min(idle, key=lambda each: (each.rated.variant.max_batch, each.name))
        if after.queries % _PROBE == 0:
            return Selection(old.name, "one in ten, so that it is seen to recover", start=new.name), after
        return Selection(new.name, "only blacklisted ones run", start=new.name), after


def _picked(memory: InfaasMemory, query: Query, standing: Standing) -> InfaasMemory:
    if not query.task:
        return memory
    before = next((names for task, names in memory.recent if task == query.task), ())
    names = (standing.name, *(name for name in before if name != standing.name))[:_QUICK_WAY]
    others = tuple(each for each in memory.recent if each[0] != query.task)
    return InfaasMemory(((query.task, names), *others), memory.queries)
