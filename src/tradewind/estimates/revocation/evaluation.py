"""How good forecasts are: scores, reliability, and two ways to divide a history into known and asked."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from tradewind.errors import Misuse
from tradewind.estimates.revocation.experience import UNKNOWN, Experience
from tradewind.estimates.revocation.interface import Model
from tradewind.estimates.revocation.sights import Situations, look_back

WEEK = 7 * 86400.0
_MONDAY = 4 * 86400.0
"""1970-01-05, a Monday."""
_PART = 4096
"""Cases that are asked at a time, which bounds the memory."""


class Split(Struct, frozen=True):
    """Rows of the grid to learn from, and rows to be asked about."""

    week: int
    """Weeks since Monday 1970-01-05 in which the rows asked about lie (the first of them)."""
    learned: NDArray[np.int64]
    asked: NDArray[np.int64]


class Bin(Struct, frozen=True):
    """One bin of a reliability curve."""

    stated: float
    """Mean of the chances stated."""
    came: float
    """Share of the leases revoked."""
    many: int


class Asked(Struct, frozen=True):
    """Everything that could be asked of some rows: leases (N,) by bid (D,) by horizon (H,)."""

    cases: Situations
    came: NDArray[np.bool_]
    """(N, D, H)"""
    counted: NDArray[np.bool_]
    """(N, D) False where a bid has no effect and is the first bid again."""


def weeks_left_out(experience: Experience) -> Iterator[Split]:
    """Every calendar week (Monday to Sunday, UTC) asked about once, by what all the other weeks teach.

    Rows within the longest horizon of the week are in neither, so that no outcome is of both. A history of
    one week gives nothing to learn from, and no split.
    """
    margin = float(experience.horizons[-1])
    weeks = _week(experience.moments)
    for week in np.unique(weeks).tolist():
        start = _MONDAY + week * WEEK
        outside = (experience.moments + margin < start) | (experience.moments >= start + WEEK + margin)
        if outside.any():
            yield Split(week, np.flatnonzero(outside), np.flatnonzero(weeks == week))


def rolling_origins(
    experience: Experience, *, first: float = 4 * WEEK, every: float = WEEK
) -> Iterator[Split]:
    """The history from `first` seconds on in stretches of `every` seconds, each asked about by what was known
    when it began. Raises Misuse for stretches that are not of some length."""
    if not (first > 0 and every > 0):
        raise Misuse("no stretch", source="rolling_origins", field="every", fix="Give seconds above 0.")
    origin = experience.start + first
    while origin <= float(experience.moments[-1]):
        asked = np.arange(experience.rows_before(origin), experience.rows_before(origin + every))
        learned = np.arange(max(experience.known_rows(origin), 0))
        if len(asked) and len(learned):
            yield Split(int(_week(np.array([origin]))[0]), learned, asked)
        origin += every


def asked_of(
    experience: Experience, rows: NDArray[np.int64], pools: NDArray[np.int64] | None = None
) -> Asked:
    """What could be asked of those rows of the grid, in all pools or in those given."""
    chosen = np.arange(len(experience.columns.pools)) if pools is None else pools
    at, index = np.nonzero(experience.outcomes[rows][:, chosen, 0] != UNKNOWN)
    cases = experience.cases(rows[at], chosen[index])
    outcomes = experience.outcomes[rows[at], chosen[index]]
    came = outcomes[:, :, None] <= np.arange(len(experience.horizons))
    counted = np.ones(outcomes.shape, np.bool_)
    counted[:, 1:] = experience.columns.has_prices[cases.pools][:, None]
    return Asked(cases, came, counted)


def answers(model: Model, experience: Experience, cases: Situations) -> NDArray[np.float64]:
    """(N, D, H) what a model says of the cases, looking back at what each knows."""
    shape = len(cases), len(experience.deltas), len(experience.horizons)
    out = np.empty(shape)
    for first in range(0, len(cases), _PART):
        part = cases.chosen(np.arange(first, min(first + _PART, len(cases))))
        sights = look_back(experience.columns, part, experience.deltas)
        out[first : first + len(part)] = model.probabilities(part, sights)
    return out


def brier(chances: NDArray[np.float64], came: NDArray[np.bool_]) -> float:
    """The mean squared difference of chances and what came (Brier, 1950); NaN of nothing."""
    return float(((chances - came) ** 2).mean()) if came.size else float("nan")


def log_loss(chances: NDArray[np.float64], came: NDArray[np.bool_]) -> float:
    """The mean of minus the logarithm of the chance given to what came, held at 1e-4; NaN of nothing."""
    held = np.clip(np.where(came, chances, 1 - chances), 1e-4, 1.0)
    return float(-np.log(held).mean()) if came.size else float("nan")


def reliability(chances: NDArray[np.float64], came: NDArray[np.bool_], bins: int = 10) -> tuple[Bin, ...]:
    """The reliability curve over `bins` equal stretches of the chances; empty bins are left out."""
    flat, truth = chances.ravel(), came.ravel().astype(np.float64)
    which = np.minimum((flat * bins).astype(np.int64), bins - 1)
    many = np.bincount(which, minlength=bins)
    stated = np.bincount(which, flat, minlength=bins)
    happened = np.bincount(which, truth, minlength=bins)
    return tuple(
        Bin(float(stated[each] / many[each]), float(happened[each] / many[each]), int(many[each]))
        for each in np.flatnonzero(many)
    )


def skill(error: float, bar: float) -> float:
    """1 - error / bar: 0 is no better than the bar, 1 without error; 0 where both are without."""
    if bar == 0:
        return 0.0 if error == 0 else -float("inf")
    return 1 - error / bar


def skill_interval(
    errors: NDArray[np.float64], bars: NDArray[np.float64], *, seed: int, rounds: int = 2000
) -> tuple[float, float]:
    """The bounds of a 95 % bootstrap interval of the pooled skill.

    `errors` and `bars` (U,) are summed over units drawn as a whole, such as weeks, with replacement.
    """
    chance = np.random.Generator(np.random.PCG64(seed))
    drawn = chance.integers(len(errors), size=(rounds, len(errors)))
    with np.errstate(divide="ignore", invalid="ignore"):
        skills = 1 - errors[drawn].sum(axis=1) / bars[drawn].sum(axis=1)
    low, high = np.nanquantile(skills, [0.025, 0.975])
    return float(low), float(high)


def _week(moments: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.floor((moments - _MONDAY) / WEEK).astype(np.int64)
