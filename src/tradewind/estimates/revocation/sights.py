"""What can be seen of pools at moments: back, the features of a forecast; ahead, how long a lease lasts."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from msgspec import Struct
from numba import njit
from numpy.typing import NDArray

from tradewind.estimates.outlook import NEVER
from tradewind.estimates.revocation.columns import SIGHT, Columns

FEATURES = (
    "price over the day's lowest",
    "the hour's highest over price",
    "six hours' highest over price",
    "the day's highest over price",
    "changes in the hour",
    "changes in six hours",
    "changes in the day",
    "since the last change",
    "hour of day, sine",
    "hour of day, cosine",
    "day of week, sine",
    "day of week, cosine",
    "slots",
    "age of the oldest slot",
    "share of six hours with a slot",
    "share of the day with a slot",
    "ends of a slot in the day",
    "age of what is known",
)
"""What a column of `Sights.features` holds; ratios, counts and seconds as logarithms, NaN where none is."""


class Situations(Struct, frozen=True):
    """N moments of pools, each as one who leases nothing there finds it."""

    pools: NDArray[np.int64]
    """(N,) rows of the columns."""
    now: NDArray[np.float64]
    """(N,) moments."""
    known: NDArray[np.float64]
    """(N,) the last moment of the record that may be looked at; not after `now`."""
    prices: NDArray[np.float64]
    """(N,) the prices that stand at `now`; NaN where there are none."""
    counts: NDArray[np.float64]
    """(N,) the slots that live at `now`; NaN where capacity is not recorded."""

    def __len__(self) -> int:
        return len(self.pools)

    def chosen(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> Situations:
        """Those of `rows`."""
        return Situations(
            self.pools[rows], self.now[rows], self.known[rows], self.prices[rows], self.counts[rows]
        )

    def known_before(self, ages: NDArray[np.float64]) -> Situations:
        """The same, known only up to `ages` (N,) seconds before."""
        return Situations(self.pools, self.now, self.now - ages, self.prices, self.counts)


class Sights(Struct, frozen=True):
    """What N situations show to one who bids each of D deltas, looking back."""

    above: NDArray[np.float64]
    """(N, D) seconds before `known` that the price last stood above the bid; SIGHT where it did not for so
    long."""
    risen: NDArray[np.float64]
    """(N, D) seconds before `known` that the price last rose by more than the delta in an hour; likewise."""
    features: NDArray[np.float64]
    """(N, F) in the order of FEATURES."""


class Lives(Struct, frozen=True):
    """How long leases would have lasted: the truth that forecasts are held against."""

    seconds: NDArray[np.float64]
    """(N, D) until the revocation; NEVER if it is later than SIGHT or than the record; 0 where no lease could
    begin."""
    leasable: NDArray[np.bool_]
    """(N,) whether a lease could begin."""
    recorded: NDArray[np.float64]
    """(N,) seconds to the end of the record."""


def situations(
    columns: Columns, moments: NDArray[np.float64], rows: Sequence[int] | None = None
) -> Situations:
    """Every pool (or those of `rows`) at every moment (G,), moment by moment, with all known up to then."""
    chosen = np.arange(len(columns.pools)) if rows is None else np.asarray(rows, np.int64)
    prices = np.full((len(moments), len(chosen)), math.nan)
    counts = np.full((len(moments), len(chosen)), math.nan)
    for at, row in enumerate(chosen.tolist()):
        for bounds, times, values, into in (
            (columns.price_bounds, columns.price_times, columns.prices, prices),
            (columns.count_bounds, columns.count_times, columns.counts, counts),
        ):
            low, high = int(bounds[row]), int(bounds[row + 1])
            if low < high:
                index = times[low:high].searchsorted(moments, "right") - 1
                into[:, at] = np.where(index < 0, math.nan, values[low:high][np.maximum(index, 0)])
    now = np.repeat(np.asarray(moments, np.float64), len(chosen))
    return Situations(np.tile(chosen, len(moments)), now, now, prices.ravel(), counts.ravel())


def look_back(columns: Columns, cases: Situations, deltas: NDArray[np.float64]) -> Sights:
    """What the day before shows of each case."""
    above = np.full((len(cases), len(deltas)), SIGHT)
    risen = np.full((len(cases), len(deltas)), SIGHT)
    features = np.full((len(cases), len(FEATURES)), math.nan)
    _look_back(
        cases.pools, cases.now, cases.known, cases.prices, cases.counts, deltas, columns.starts,
        columns.price_bounds, columns.price_times, columns.prices, columns.rises, columns.spell_bounds,
        columns.spell_begins, columns.spell_ends, columns.spell_slots, columns.has_capacity,
        above, risen, features,
    )  # fmt: skip
    return Sights(above, risen, features)


def look_ahead(columns: Columns, cases: Situations, deltas: NDArray[np.float64]) -> Lives:
    """How long a lease lasts that begins in each case, with a limit of its price and each delta (D,).

    As `market.recorded` ends leases: at the first price above the limit, or with the slot, the oldest.
    """
    seconds = np.zeros((len(cases), len(deltas)))
    leasable = np.zeros(len(cases), np.bool_)
    _look_ahead(
        cases.pools, cases.now, cases.prices, deltas, columns.starts, columns.ends, columns.price_bounds,
        columns.price_times, columns.prices, columns.spell_bounds, columns.spell_begins, columns.spell_ends,
        columns.has_prices, columns.has_capacity, seconds, leasable,
    )  # fmt: skip
    return Lives(seconds, leasable, columns.ends[cases.pools] - cases.now)


@njit(cache=True, nogil=True)
def _look_back(
    pools: NDArray[np.int64],
    nows: NDArray[np.float64],
    knowns: NDArray[np.float64],
    standing: NDArray[np.float64],
    slots: NDArray[np.float64],
    deltas: NDArray[np.float64],
    starts: NDArray[np.float64],
    price_bounds: NDArray[np.int64],
    times: NDArray[np.float64],
    prices: NDArray[np.float64],
    rises: NDArray[np.float64],
    spell_bounds: NDArray[np.int64],
    begins: NDArray[np.float64],
    ends: NDArray[np.float64],
    born: NDArray[np.float64],
    limited: NDArray[np.bool_],
    above: NDArray[np.float64],
    risen: NDArray[np.float64],
    features: NDArray[np.float64],
) -> None:
    day, six, hour = 86400.0, 21600.0, 3600.0
    tau = 2.0 * math.pi
    for n in range(len(pools)):
        pool, now, known = pools[n], nows[n], min(knowns[n], nows[n])
        age = now - known
        features[n, 8] = math.sin(tau * (now % day) / day)
        features[n, 9] = math.cos(tau * (now % day) / day)
        features[n, 10] = math.sin(tau * (now % (7 * day)) / (7 * day))
        features[n, 11] = math.cos(tau * (now % (7 * day)) / (7 * day))
        features[n, 17] = math.log1p(age)
        low, high = price_bounds[pool], price_bounds[pool + 1]
        price = standing[n]
        if high > low and not math.isnan(price):
            last = low + np.searchsorted(times[low:high], known, side="right") - 1
            lowest = highest = highest_six = highest_hour = price
            in_hour = in_six = in_day = 0
            over = up = 0
            until = known
            at = last
            if last >= low:
                features[n, 7] = math.log1p(min(now - times[last], day))
            while at >= low and until > known - day:
                value = prices[at]
                while over < len(deltas) and value > price + deltas[over]:
                    above[n, over] = known - until
                    over += 1
                lowest = min(lowest, value)
                highest = max(highest, value)
                if until > known - six:
                    highest_six = max(highest_six, value)
                if until > known - hour:
                    highest_hour = max(highest_hour, value)
                changed = times[at]
                if changed > known - day:
                    while up < len(deltas) and rises[at] > deltas[up]:
                        risen[n, up] = known - changed
                        up += 1
                    in_day += 1
                    in_six += changed > known - six
                    in_hour += changed > known - hour
                until = changed
                at -= 1
            features[n, 0] = math.log(price / lowest)
            features[n, 1] = math.log(highest_hour / price)
            features[n, 2] = math.log(highest_six / price)
            features[n, 3] = math.log(highest / price)
            features[n, 4] = math.log1p(in_hour)
            features[n, 5] = math.log1p(in_six)
            features[n, 6] = math.log1p(in_day)
        if limited[pool]:
            low, high = spell_bounds[pool], spell_bounds[pool + 1]
            at = low + np.searchsorted(begins[low:high], known, side="right") - 1
            oldest = 0.5 * age
            if at >= low and ends[at] > known:
                oldest = now - born[at]
            up_six = up_day = 0.0
            falls = 0
            while at >= low and ends[at] > known - day:
                end = min(ends[at], known)
                up_day += end - max(begins[at], known - day)
                if end > known - six:
                    up_six += end - max(begins[at], known - six)
                falls += ends[at] <= known
                at -= 1
            whole = known - starts[pool]
            features[n, 12] = math.log1p(max(slots[n], 0.0))
            features[n, 13] = math.log1p(oldest)
            features[n, 14] = up_six / min(six, whole) if whole >= hour else 0.5
            features[n, 15] = up_day / min(day, whole) if whole >= hour else 0.5
            features[n, 16] = math.log1p(falls)


@njit(cache=True, nogil=True)
def _look_ahead(
    pools: NDArray[np.int64],
    nows: NDArray[np.float64],
    standing: NDArray[np.float64],
    deltas: NDArray[np.float64],
    starts: NDArray[np.float64],
    stops: NDArray[np.float64],
    price_bounds: NDArray[np.int64],
    times: NDArray[np.float64],
    prices: NDArray[np.float64],
    spell_bounds: NDArray[np.int64],
    begins: NDArray[np.float64],
    ends: NDArray[np.float64],
    priced: NDArray[np.bool_],
    limited: NDArray[np.bool_],
    seconds: NDArray[np.float64],
    leasable: NDArray[np.bool_],
) -> None:
    for n in range(len(pools)):
        pool, now = pools[n], nows[n]
        if now < starts[pool] or now > stops[pool]:
            continue
        slot_end = np.inf
        if limited[pool]:
            low, high = spell_bounds[pool], spell_bounds[pool + 1]
            at = low + np.searchsorted(begins[low:high], now, side="right") - 1
            if at < low or ends[at] <= now:
                continue
            slot_end = ends[at]
        leasable[n] = True
        for d in range(len(deltas)):
            seconds[n, d] = NEVER
        done = 0
        if priced[pool]:
            low, high = price_bounds[pool], price_bounds[pool + 1]
            at = low + np.searchsorted(times[low:high], now, side="right")
            while at < high and done < len(deltas) and times[at] <= min(now + SIGHT, slot_end):
                while done < len(deltas) and prices[at] > standing[n] + deltas[done]:
                    seconds[n, done] = times[at] - now
                    done += 1
                at += 1
        if slot_end - now <= SIGHT:
            for d in range(done, len(deltas)):
                seconds[n, d] = slot_end - now
