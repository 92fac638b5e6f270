"""Timed runs of one job on clusters of one machine type: what models of run time are fitted to."""

from __future__ import annotations

from typing import Self

import numpy as np
from msgspec import Struct
from numpy.typing import ArrayLike, NDArray

from tradewind.errors import Misuse

Floats = NDArray[np.float64]


class Timings(Struct, frozen=True, eq=False):
    """n runs that came to their end; repeats are rows of their own."""

    machines: Floats
    """(n,) how many of them."""
    seconds: Floats
    """(n,)"""
    scale: Floats
    """(n,) how much data, in any unit above zero; ones where it is always the same."""

    @classmethod
    def of(cls, machines: ArrayLike, seconds: ArrayLike, scale: ArrayLike = 1.0) -> Self:
        """From arrays, or lists, of one length; `scale` may be one number.

        Raises Misuse on none, on unequal lengths, and on numbers that are not finite and above 0.
        """
        counts, times = np.asarray(machines, np.float64), np.asarray(seconds, np.float64)
        if counts.ndim != 1 or not len(counts) or counts.shape != times.shape:
            raise Misuse(
                f"machines of shape {counts.shape} and seconds of shape {times.shape}", source="timings",
                field="machines", fix="Give one of each for every run, and one run at least.",
            )  # fmt: skip
        try:
            sizes = np.broadcast_to(np.asarray(scale, np.float64), counts.shape).copy()
        except ValueError:
            raise Misuse(
                "one for every run is wanted", source="timings", field="scale", fix="Give as many."
            ) from None
        for field, values in (("machines", counts), ("seconds", times), ("scale", sizes)):
            if not (np.isfinite(values) & (values > 0)).all():
                raise Misuse(
                    "a number is not finite, or not above 0", source="timings", field=field, fix="Mend it."
                )
        return cls(counts, times, sizes)

    def __len__(self) -> int:
        return len(self.machines)

    def where(self, rows: NDArray[np.bool_]) -> Timings:
        """Those runs of which `rows` (n,) is true."""
        return Timings(self.machines[rows], self.seconds[rows], self.scale[rows])

    @property
    def pressure(self) -> Floats:
        """(n,) data on each machine: of one type of machine it stands for the share of memory in use."""
        return self.scale / self.machines

    @property
    def points(self) -> NDArray[np.int64]:
        """(n,) which of the distinct pairs of machines and scale a run is of, numbered from 0."""
        pairs = np.column_stack([self.machines, self.scale])
        _, number = np.unique(pairs, axis=0, return_inverse=True)
        return np.asarray(number, np.int64).ravel()
