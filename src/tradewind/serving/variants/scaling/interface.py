"""The seam between a fleet of variants with its load and the rules that scale it, and what a plan is worth.

A class is all queries of one kind. A replica of a variant that serves several classes shares its time among
them: a row of class c takes 1 / theta_cv of a second, where theta_cv is what the variant does a second in the
largest batches that the latency of c allows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from msgspec import Struct
from scipy.sparse import csr_array

from tradewind.errors import Misuse
from tradewind.serving.variants.selection.interface import Query, Standing, feasible, means, unloaded_latency


class Class(Struct, frozen=True):
    """All queries of one kind, and how much of them comes."""

    name: str
    query: Query
    rate: float
    """Rows a second."""


class Limit(Struct, frozen=True):
    """What a resource has, for all replicas on it."""

    replicas: int
    memory: int
    """Bytes."""


class Fleet(Struct, frozen=True):
    """The variants as they stand, the load, and what there is room for."""

    standings: tuple[Standing, ...]
    classes: tuple[Class, ...]
    limits: Mapping[str, Limit]
    """By resource; one that is not named has no limit."""
    headroom: float = 0.05
    """The share of the load that there should be room for beyond it."""
    load_weight: float = 0.01
    """US dollars an hour for each second of loading: what a change is worth to avoid."""


class Plan(Struct, frozen=True):
    """How many replicas there should be."""

    replicas: dict[str, int]
    """By variant, for each of the fleet's."""
    reason: str
    unload: tuple[str, ...] = ()
    """Variants to give up at once, for another took their place."""


class Worth(Struct, frozen=True):
    """What a plan costs and does."""

    per_hour: float
    """US dollars of its replicas."""
    loading: float
    """US dollars an hour that its changes count as."""
    unmet: float
    """Shares of the classes, with their headroom, for which there is no room, added up."""
    penalty: float
    """US dollars an hour that these count as."""

    @property
    def total(self) -> float:
        """US dollars an hour, everything together."""
        return self.per_hour + self.loading + self.penalty


_SLOW = 1.25
"""A slowdown from which a variant is taken to have become too slow for some queries."""
_BOUND = 0.9
"""The share of its latency that a query may take on such a variant."""
UNMET = 1000.0
"""A class that is not served at all counts as so many of the dearest replicas, each loaded anew."""


class ScalingRule(Protocol):
    """Decides how many replicas of each variant. Pure: equal arguments give equal answers.

    1. A plan names every variant of the fleet, with 0 or more.
    2. It keeps within the limits, wherever what stands does.
    3. `memory` is a frozen value of its own, or None.
    """

    name: str

    def recall(self) -> Any:
        """The memory before the first decision."""
        ...

    def scale(self, fleet: Fleet, memory: Any) -> tuple[Plan, Any]:
        """The plan, and what to remember."""
        ...


def rows_for(query: Query, standing: Standing, slowdown: float = 1.0) -> int:
    """Rows of the largest batch in which a query may wait for a whole batch before its own; 1 at least.

    Shen et al., "Nexus", SOSP 2019: under load twice the time of a batch must fit into the latency.
    """
    latency, largest = standing.rated.profile.latency, standing.rated.variant.max_batch
    left = query.latency / slowdown / 2.0 - latency.fixed - query.spread * latency.deviation
    rows = left / latency.per_row if latency.per_row > 0 else float(largest)
    return max(1, min(largest, int(rows)))


def theta(query: Query, standing: Standing, *, slowed: bool = True) -> float:
    """Rows a second of that query that a replica does in time; 0 where the variant does not do it.

    Where not even two batches of one row are in time, a replica must be free for half of the time. `slowed`,
    it does nothing of what it has become too slow for, a tenth of the time kept free; otherwise it does as
    much as its batches allow, too late or not.
    """
    if not means(query, standing.rated) or not feasible(query, standing.rated):
        return 0.0
    latency = standing.rated.profile.latency
    factor = standing.slowdown if slowed and standing.slowdown >= _SLOW else 1.0
    if factor > 1.0 and unloaded_latency(query, standing.rated) * factor > _BOUND * query.latency:
        return 0.0
    rows = rows_for(query, standing, factor)
    crowded = (2.0 * latency.of(rows) + query.spread * latency.deviation) * factor > query.latency
    return standing.rated.profile.throughput(rows) * (0.5 if crowded else 1.0) / standing.slowdown


def _thetas(query: Query, standings: Sequence[Standing]) -> list[float]:
    """Of each variant; where all that could have become too slow, what they do all the same."""
    found = [theta(query, each) for each in standings]
    return found if any(found) else [theta(query, each, slowed=False) for each in standings]


def worth(fleet: Fleet, replicas: Mapping[str, int]) -> Worth:
    """What a fleet with those replicas costs, and what it leaves unserved however the load is shared out."""
    values = np.array([replicas.get(each.name, 0) for each in fleet.standings], dtype=np.float64)
    programme = Programme(fleet)
    unmet = programme.unmet(values)
    now = np.array([each.replicas for each in fleet.standings], dtype=np.float64)
    profiles = [each.rated.profile for each in fleet.standings]
    loads = np.array([profile.load for profile in profiles])
    prices = np.array([profile.per_hour for profile in profiles])
    added = np.maximum(values - now, 0.0)
    return Worth(
        float(prices @ values), float(fleet.load_weight * (loads @ added)), unmet, programme.penalty * unmet
    )


class Programme:
    """The linear program behind a fleet.

    The unknowns, in this order: n_v replicas, d_v of them new, x_cv the share of class c that goes to v (for
    each pair that can), u_c the share of it that goes nowhere.
    """

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        count = len(fleet.standings)
        if not count:
            raise Misuse("there is no variant", source="fleet", field="standings", fix="Profile one first.")
        self.pairs = [
            (c, v, value)
            for c, each in enumerate(fleet.classes)
            for v, value in enumerate(_thetas(each.query, fleet.standings))
            if value > 0
        ]
        self._flows = 2 * count
        self._left = self._flows + len(self.pairs)
        self.size = self._left + len(fleet.classes)
        self.penalty = UNMET * max(
            each.rated.profile.per_hour + fleet.load_weight * each.rated.profile.load
            for each in fleet.standings
        )
        self._wanted = np.array([each.rate * (1.0 + fleet.headroom) for each in fleet.classes])

    def _rows(self) -> tuple[csr_array, np.ndarray, np.ndarray]:
        """The constraints: a matrix, and between what each row of it lies."""
        fleet, count = self.fleet, len(self.fleet.standings)
        cells: list[tuple[int, int, float]] = []
        lower: list[float] = []
        upper: list[float] = []
        for c in range(len(fleet.classes)):  # what comes goes somewhere
            cells += [(len(lower), self._flows + at, 1.0) for at, p in enumerate(self.pairs) if p[0] == c]
            cells.append((len(lower), self._left + c, 1.0))
            lower.append(1.0)
            upper.append(1.0)
        for v, standing in enumerate(fleet.standings):
            # no more than its replicas do
            cells += [
                (len(lower), self._flows + at, self._wanted[p[0]] / p[2])
                for at, p in enumerate(self.pairs)
                if p[1] == v
            ]
            cells.append((len(lower), v, -1.0))
            lower.append(-np.inf)
            upper.append(0.0)
            # what is new was not there
            cells += [(len(lower), v, 1.0), (len(lower), count + v, -1.0)]
            lower.append(-np.inf)
            upper.append(float(standing.replicas))
        for resource, limit in fleet.limits.items():
            on = [v for v, each in enumerate(fleet.standings) if each.rated.variant.resource == resource]
            if on:
                cells += [(len(lower), v, 1.0) for v in on]
                lower.append(-np.inf)
                upper.append(float(limit.replicas))
                # in mebibytes, so that the figures are of one size
                cells += [(len(lower), v, fleet.standings[v].rated.profile.memory / 2**20) for v in on]
                lower.append(-np.inf)
                upper.append(limit.memory / 2**20)
        rows, columns, values = zip(*cells, strict=True)
        matrix = csr_array((values, (rows, columns)), shape=(len(lower), self.size))
        return matrix, np.array(lower), np.array(upper)

    def best(self) -> np.ndarray:
        """The replicas of least `Worth.total`, by HiGHS' branch and bound."""
        from scipy.optimize import Bounds, LinearConstraint, milp  # noqa: PLC0415 -- half a second

        count, fleet = len(self.fleet.standings), self.fleet
        costs = np.zeros(self.size)
        profiles = [each.rated.profile for each in fleet.standings]
        costs[:count] = [profile.per_hour for profile in profiles]
        costs[count : self._flows] = [fleet.load_weight * profile.load for profile in profiles]
        costs[self._left :] = self.penalty
        whole = np.zeros(self.size, dtype=np.int64)
        whole[:count] = 1
        matrix, lower, upper = self._rows()
        highest = np.full(self.size, np.inf)
        highest[:count][self._dominated()] = 0.0
        found = milp(
            costs,
            integrality=whole,
            bounds=Bounds(0, highest),
            constraints=LinearConstraint(matrix, lower, upper),
            options={"mip_rel_gap": 1e-6},
        )
        if found.x is None:  # nobody is served, at least, is a plan: not unless there is no number at all
            raise Misuse(
                f"the program has no answer ({found.message})", source="fleet", field="limits",
                fix="Give finite rates and prices.",
            )  # fmt: skip
        return np.rint(found.x[:count])

    def _dominated(self) -> np.ndarray:
        """Which variants a best plan can do without: another does as much of each class for no more."""
        standings = self.fleet.standings
        rates = np.zeros((len(standings), len(self.fleet.classes)))
        for c, v, value in self.pairs:
            rates[v, c] = value
        profiles = [each.rated.profile for each in standings]
        costs = np.array([(each.per_hour, each.load, each.memory) for each in profiles])
        found = np.zeros(len(standings), dtype=np.bool_)
        for v, standing in enumerate(standings):
            for other, better in enumerate(standings):
                found[v] |= (
                    other != v
                    and not standing.replicas  # what is there need not be loaded
                    and not found[other]
                    and standing.rated.variant.resource == better.rated.variant.resource
                    and bool(np.all(rates[other] >= rates[v]) and np.all(costs[other] <= costs[v]))
                )
        return found

    def unmet(self, replicas: np.ndarray) -> float:
        """The shares of the classes, added up, that so many replicas leave unserved at least."""
        from scipy.optimize import Bounds, LinearConstraint, milp  # noqa: PLC0415 -- half a second

        costs = np.zeros(self.size)
        costs[self._left :] = 1.0
        lowest, highest = np.zeros(self.size), np.full(self.size, np.inf)
        lowest[: len(replicas)] = highest[: len(replicas)] = replicas
        matrix, lower, upper = self._rows()
        limited = len(self.fleet.classes) + 2 * len(self.fleet.standings)
        rows = LinearConstraint(matrix[:limited], lower[:limited], upper[:limited])
        found = milp(costs, bounds=Bounds(lowest, highest), constraints=rows)
        return max(0.0, float(found.fun or 0.0))


def within(limits: Mapping[str, Limit], standings: Sequence[Standing], replicas: Mapping[str, int]) -> bool:
    """Whether so many replicas have room."""
    for resource, limit in limits.items():
        on = [each for each in standings if each.rated.variant.resource == resource]
        memory = sum(replicas.get(each.name, 0) * each.rated.profile.memory for each in on)
        if sum(replicas.get(each.name, 0) for each in on) > limit.replicas or memory > limit.memory:
            return False
    return True
