"""What a frequency says of a series: its lags, its calendar features and its season.

SageMaker's guide to DeepAR lists the features by frequency. The lags are those that GluonTS (Alexandrov et
al., JMLR 21, 2020) takes, so that the two can be compared: the last seven steps, and the steps about one or
several cycles ago.
"""

from __future__ import annotations

import re

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from tradewind.errors import Misuse

MOST_LAGS_BACK = 1200
"""No lag reaches further back than this many steps."""
_MINUTES = {"min": 1, "H": 60, "D": 1440, "W": 10080}
_NAMES = {
    "min": "min", "t": "min", "h": "H", "d": "D", "w": "W", "m": "M", "ms": "M", "me": "M",
}  # fmt: skip
_DAY = 86400
FEATURES = {
    "min": ("minute_of_hour", "hour_of_day", "day_of_week", "day_of_month", "day_of_year"),
    "H": ("hour_of_day", "day_of_week", "day_of_month", "day_of_year"),
    "D": ("day_of_week", "day_of_month", "day_of_year"),
    "W": ("day_of_month", "week_of_year"),
    "M": ("month_of_year",),
}
"""The calendar features by unit, each brought to [-.5, .5]."""
_CYCLES = {
    "minute_of_hour": 60, "hour_of_day": 1440, "day_of_week": 7 * 1440, "day_of_month": 31 * 1440,
    "day_of_year": 366 * 1440, "week_of_year": 366 * 1440,
}  # fmt: skip
"""Minutes after which a feature has had all its values."""


class Frequency(Struct, frozen=True):
    """So many minutes, hours, days, weeks or months."""

    unit: str
    """`min`, `H`, `D`, `W` or `M`."""
    count: int = 1

    @property
    def features(self) -> tuple[str, ...]:
        """The names of its calendar features."""
        return FEATURES[self.unit]

    @property
    def season(self) -> int:
        """Steps after which errors are compared for MASE, as the M4 competition has it: a day, or a year.

        One where the unit is a day or a week, or the cycle is no whole number of steps.
        """
        cycle = {"min": 1440, "H": 24, "M": 12}.get(self.unit, 1)
        return cycle // self.count if cycle % self.count == 0 else 1

    def repeated(self, steps: int) -> tuple[bool, ...]:
        """By calendar feature, whether it goes through all its values at least twice in so many steps.

        One that does not numbers the steps rather than saying what comes back.
        """
        cycles = [
            12 / self.count if name == "month_of_year" else _CYCLES[name] / (_MINUTES[self.unit] * self.count)
            for name in self.features
        ]
        return tuple(steps >= 2 * each for each in cycles)

    def lags(self) -> tuple[int, ...]:
        """Rising; how many steps back the network looks."""
        found: set[int] = set()

        def around(steps: int, width: int) -> None:
            found.update(range(steps - width, steps + width + 1))

        if self.unit == "M":
            for year in (1, 2, 3):
                around(year * 12 // self.count, 1)
        else:
            step = _MINUTES[self.unit] * self.count
            if self.unit == "min":
                for hour in (1, 2, 3):
                    around(hour * 60 // step, 2)
            if self.unit in ("min", "H"):
                for day in range(1, 8):
                    around(day * 1440 // step, 1)
            if self.unit != "W":
                for week in range(1, 5):
                    around(week * 10080 // step, 1)
                around(30 * 1440 // step, 1)
            for year in (1, 2, 3):
                around(year * 52 * 10080 // step, 1)
            found.update(weeks * 10080 // step for weeks in (4, 8, 12))
        return (*range(1, 8), *sorted(each for each in found if 7 < each <= MOST_LAGS_BACK))

    def moments(self, start: NDArray[np.int64], steps: NDArray[np.int64]) -> NDArray[np.int64]:
        """Seconds since 1970-01-01 of `steps` (n, T) after `start` (n,); months are those of the calendar."""
        if self.unit != "M":
            return np.asarray(start[:, None] + steps * (_MINUTES[self.unit] * 60 * self.count))
        first = start.astype("datetime64[s]").astype("datetime64[M]").astype(np.int64)
        months = first[:, None] + steps * self.count
        return months.astype("datetime64[M]").astype("datetime64[s]").astype(np.int64)

    def calendar(self, moments: NDArray[np.int64]) -> NDArray[np.float32]:
        """The calendar features of moments (...,): (..., K) in the order of `features`."""
        wanted = self.features
        out = np.empty((*moments.shape, len(wanted)), np.float32)
        days = moments // _DAY
        if any(name.endswith(("month", "year")) for name in wanted):
            known, place = np.unique(days, return_inverse=True)
            place = place.reshape(days.shape)
            dates = known.astype("datetime64[D]")
            year, month = dates.astype("datetime64[Y]"), dates.astype("datetime64[M]")
            of_year = (dates - year).astype(np.int64)
        for column, name in enumerate(wanted):
            if name == "minute_of_hour":
                out[..., column] = moments // 60 % 60 / 59 - 0.5
            elif name == "hour_of_day":
                out[..., column] = moments // 3600 % 24 / 23 - 0.5
            elif name == "day_of_week":
                out[..., column] = (days + 3) % 7 / 6 - 0.5
            elif name == "day_of_month":
                out[..., column] = ((dates - month).astype(np.int64) / 30 - 0.5)[place]
            elif name == "day_of_year":
                out[..., column] = (of_year / 365 - 0.5)[place]
            elif name == "week_of_year":
                out[..., column] = (of_year // 7 / 52 - 0.5)[place]
            else:
                out[..., column] = ((month - year.astype("datetime64[M]")).astype(np.int64) / 11 - 0.5)[place]
        return out


def frequency_called(text: str, source: str = "DeepAR") -> Frequency:
    """The frequency that pandas' short names mean, such as `H`, `15min`, `2W`; Misuse for others."""
    match = re.fullmatch(r"\s*(\d*)\s*([A-Za-z]+)\s*", text)
    unit = _NAMES.get(match[2].lower()) if match else None
    if match is None or unit is None or (match[1] and int(match[1]) < 1):
        raise Misuse(
            f"{text!r} is no frequency", source=source, field="time_freq",
            fix="Give min, H, D, W or M, with a number before it for a multiple, such as 15min.",
        )  # fmt: skip
    return Frequency(unit, int(match[1] or 1))
