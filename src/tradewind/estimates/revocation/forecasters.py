"""Outlooks of a market from what its history shows up to a moment: the front door to every kind of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tradewind.errors import Misuse, suggestion
from tradewind.estimates.outlook import Outlook, Scenario
from tradewind.estimates.revocation import base_rate, empirical, hour_of_day
from tradewind.estimates.revocation.analogs import Analogs, Standing
from tradewind.estimates.revocation.experience import Experience, experience_of
from tradewind.estimates.revocation.frequencies import Counts, Rates
from tradewind.estimates.revocation.interface import Model, monotone
from tradewind.estimates.revocation.learning import NAMES, learn
from tradewind.estimates.revocation.sights import Sights, Situations, look_back
from tradewind.estimates.revocation.tilting import tilted
from tradewind.market.histories import MarketHistory
from tradewind.market.instances import Pool
from tradewind.market.offers import Offer, Terms

REFRESH = 600.0
"""Seconds for which an outlook is good."""
SCENARIOS = 32
"""Scenarios of an outlook."""
RELEARN = 7 * 86400.0
"""Seconds from one learning of the slow models to the next; the days since are in their features."""


class HistoryForecaster:
    """Calibrated marginals by a model, and scenarios from analog moments, of a history up to `until`.

    With `until` infinite, each outlook knows the history up to the moment that it is asked for.
    """

    def __init__(
        self, experience: Experience, kind: _Kind, until: float, *, scenarios: int, refresh: float
    ) -> None:
        self.name, self.refresh = kind.name, refresh
        self._experience, self._kind, self._until = experience, kind, until
        self._analogs = analogs_of(experience)
        self._scenarios = scenarios
        self._model = None if math.isinf(until) else kind.model(until)
        self._deltas = tuple(experience.deltas.tolist())
        self._horizons = tuple(experience.horizons.tolist())

    def outlook(self, now: float, offers: tuple[Offer, ...], held: tuple[Pool, ...] = ()) -> Outlook:
        """What comes after `now`, when `offers` stand and spot leases of `held` (one each) are ours.

        A pool is up if it is offered or held: what fills its last slot may be our own lease.
        """
        experience = self._experience
        columns = experience.columns
        known = min(self._until, now)
        offered = {offer.pool: offer for offer in offers if offer.terms is Terms.SPOT}
        ours = {pool: held.count(pool) for pool in held}
        rows = [
            row
            for row, pool in enumerate(columns.pools)
            if columns.starts[row] <= known or pool in offered or pool in ours
        ]
        pools = tuple(columns.pools[row] for row in rows)
        up = np.array([pool in offered or pool in ours for pool in pools], np.bool_)
        by_type = {offer.type.name: offer.price.per_hour for offer in offered.values()}
        prices = np.array(
            [self._price(row, pool, offered, by_type, known) for row, pool in zip(rows, pools, strict=True)]
        )
        counts = np.array(
            [self._count(row, pool, offered, ours, known) for row, pool in zip(rows, pools, strict=True)]
        )
        index = np.array(rows, np.int64)
        moments = np.full(len(rows), now)
        cases = Situations(index, moments, np.full(len(rows), known), prices, counts)
        sights = look_back(columns, cases, experience.deltas)
        model = self._kind.model(known) if self._model is None else self._model
        chances = monotone(model.probabilities(cases, sights))
        moods = self._moods(cases, sights)
        scenes = self._analogs.scenes(
            Standing(index, up, prices, moods), chances, now, known, self._scenarios
        )
        shown = scenes.revoked[:, up, :, None] <= experience.horizons
        weights = tilted(
            scenes.weights, shown.reshape(len(shown), -1).astype(np.float64), chances[up].reshape(-1)
        )
        return Outlook(
            at=now,
            pools=pools,
            deltas=self._deltas,
            horizons=self._horizons,
            revoked=_nested(chances),
            steps=tuple(scenes.steps.tolist()),
            scenarios=tuple(
                Scenario(weight, tuple(map(tuple, revoked)), tuple(map(tuple, prices)))
                for weight, revoked, prices in zip(
                    weights.tolist(), scenes.revoked.tolist(), scenes.prices.tolist(), strict=True
                )
            ),
        )

    def _price(
        self,
        row: int,
        pool: Pool,
        offered: Mapping[Pool, Offer],
        by_type: Mapping[str, float],
        known: float,
    ) -> float:
        """The price that stands; else the last one known; else, without recorded prices, its type's."""
        if pool in offered:
            return offered[pool].price.per_hour
        price = self._experience.columns.price_at(row, known)
        return by_type.get(pool.instance_type, math.nan) if math.isnan(price) else price

    def _count(
        self, row: int, pool: Pool, offered: Mapping[Pool, Offer], ours: Mapping[Pool, int], known: float
    ) -> float:
        """The slots that live: offered and held; as last known where the offer does not say."""
        recorded = self._experience.columns.count_at(row, known)
        if math.isnan(recorded):
            return math.nan
        mine = ours.get(pool, 0)
        if pool not in offered:
            return float(mine)
        free = offered[pool].available
        return max(recorded, mine, 1.0) if free is None else float(free + mine)

    def _moods(self, cases: Situations, sights: Sights) -> NDArray[np.uint8]:
        limited = self._experience.columns.has_capacity
        return empirical.seen_classes(limited, cases, sights)[:, self._analogs.middle].astype(np.uint8)


class _Kind(Protocol):
    """A model of one experience, for any moment up to which it may know."""

    name: str

    def model(self, until: float) -> Model: ...


class _Counted:
    """Models that are counts: one for every moment costs nothing but its own counting."""

    def __init__(self, name: str, experience: Experience) -> None:
        self.name = name
        self._experience = experience
        self._counts = _counts_of(name, experience)

    def model(self, until: float) -> Model:
        rates = Rates(self._counts.before(self._experience.known_rows(until)), self._experience.horizons)
        if self.name == "base_rate":
            return base_rate.BaseRate(rates)
        if self.name == "hour_of_day":
            return hour_of_day.HourOfDay(rates)
        return empirical.Empirical(rates, self._experience.columns.has_capacity)


class _Learned:
    """Models that take long to learn: learned on what was known at the last of the moments RELEARN apart."""

    def __init__(self, name: str, experience: Experience, seed: int) -> None:
        self.name = name
        self._experience, self._seed = experience, seed

    def model(self, until: float) -> Model:
        weeks = math.floor((until - self._experience.start) / RELEARN)
        return _learned(self.name, self._experience, weeks, self._seed)


class _Given:
    """A model that was learned before, whatever the moment."""

    def __init__(self, model: Model) -> None:
        self.name = model.name
        self._model = model

    def model(self, until: float) -> Model:
        return self._model


@lru_cache(maxsize=16)
def _counts_of(name: str, experience: Experience) -> Counts:
    makers = {
        "base_rate": base_rate.counts_of,
        "empirical": empirical.counts_of,
        "hour_of_day": hour_of_day.counts_of,
    }
    return makers[name](experience)


@lru_cache(maxsize=8)
def analogs_of(experience: Experience) -> Analogs:
    """The analogs of an experience, laid out when they are first asked for."""
    return Analogs(experience)


@lru_cache(maxsize=128)
def _learned(name: str, experience: Experience, weeks: int, seed: int) -> Model:
    rows = experience.known_rows(experience.start + weeks * RELEARN)
    return learn(name, experience, np.arange(max(rows, 0)), seed=seed)


def forecaster(
    name: str,
    history: MarketHistory,
    until: float,
    *,
    scenarios: int = SCENARIOS,
    refresh: float = REFRESH,
    seed: int = 0,
    model: Model | None = None,
) -> HistoryForecaster:
    """A forecaster of that name over what `history` shows up to `until`.

    What takes long is done once for a history, so that forecasters of the same history for other moments cost
    little. `until` may be infinite: every outlook then knows all up to its own moment. `seed` is the learned
    models'; a `model` learned or loaded before stands in for learning one.

    Raises Misuse for an unknown name and for options out of range; MissingExtra for lstm without torch.
    """
    if name not in NAMES:
        raise Misuse(f"no forecast {name!r}", source="forecaster", field="name", fix=suggestion(name, NAMES))
    if math.isnan(until):
        raise Misuse("not a moment", source="forecaster", field="until", fix="Give seconds since the epoch.")
    if scenarios < 1:
        raise Misuse(
            f"{scenarios!r} scenarios", source="forecaster", field="scenarios", fix="Ask for one or more."
        )
    if not refresh > 0:
        raise Misuse(f"{refresh!r} s", source="forecaster", field="refresh", fix="Give seconds above 0.")
    experience = experience_of(history)
    kind: _Kind
    if model is not None:
        if model.name != name:
            raise Misuse(
                f"the model is a {model.name!r}",
                source="forecaster",
                field="model",
                fix=f"Give one of {name!r}.",
            )
        kind = _Given(model)
    elif name in ("boosted", "lstm"):
        kind = _Learned(name, experience, seed)
    else:
        kind = _Counted(name, experience)
    return HistoryForecaster(experience, kind, until, scenarios=scenarios, refresh=refresh)


def _nested(chances: NDArray[np.float64]) -> tuple[tuple[tuple[float, ...], ...], ...]:
    return tuple(tuple(tuple(deltas) for deltas in pool) for pool in chances.tolist())
