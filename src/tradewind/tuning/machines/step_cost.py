"""What a step of a trial is expected to cost on a machine that may be taken away.

SpotTune (Yang et al., ICDCS 2020) expects (1 - p) * price * seconds, formula 2.2: a step on a machine that is
revoked in its first hour is free, because that hour is refunded. That rewards revocations and charges
nothing for what they destroy. `step_cost` is the general form: lost work, starting anew, and the share of the
bill that the era refunds are arguments, and 2.2 is what they give when nothing is lost and all is refunded.
"""

from __future__ import annotations

import numpy as np
from msgspec import Struct
from numpy.typing import ArrayLike, NDArray

HOUR = 3600.0
"""Seconds."""


class Stakes(Struct, frozen=True):
    """What a revocation and a start cost, under which a price is judged."""

    horizon: float = HOUR
    """Seconds that a machine is wanted for at a time."""
    overhead: float = 0.0
    """Seconds of it that bring no steps: booting, and restoring the checkpoint."""
    lost: float = 0.0
    """Seconds of work that a revocation destroys: since the last checkpoint, where no warning allows one."""
    refunded: float = 0.0
    """The share of a revoked machine's bill that is given back."""
    value_of_time: float = 0.0
    """US dollars that an hour of waiting for the trial is worth."""


def step_cost(
    price: float,
    seconds: float,
    revoked: float,
    stakes: Stakes = Stakes(),  # noqa: B008 -- a frozen value
    uptime: float | None = None,
) -> float:
    """US dollars a step, expected.

    `price` is in US dollars an hour, `seconds` what a step takes, `revoked` the probability of a revocation
    within the horizon, and `uptime` how many seconds a machine lives that is revoked; None for half the
    horizon. Infinite where no step would ever be finished.
    """
    return float(
        step_costs(
            price, seconds, revoked, stakes.horizon, stakes.overhead, stakes.lost, stakes.refunded,
            stakes.value_of_time, uptime,
        )
    )  # fmt: skip


def step_costs(
    price: ArrayLike, seconds: ArrayLike, revoked: ArrayLike, horizon: ArrayLike, overhead: ArrayLike,
    lost: ArrayLike, refunded: ArrayLike, value_of_time: float = 0.0, uptime: ArrayLike | None = None,
) -> NDArray[np.float64]:  # fmt: skip
    """As `step_cost`, of many machines at once; arguments of any shapes that go together."""
    price, seconds, revoked = np.asarray(price), np.asarray(seconds), np.asarray(revoked)
    horizon, refunded = np.asarray(horizon), np.asarray(refunded)
    lives = horizon / 2 if uptime is None else np.asarray(uptime)
    stays = 1.0 - revoked
    up = stays * horizon + revoked * lives
    steps = (up - np.asarray(overhead) - revoked * np.asarray(lost)) / seconds
    paid = price / HOUR * (stays * horizon + revoked * (1.0 - refunded) * lives)
    total = paid + value_of_time / HOUR * horizon
    found: NDArray[np.float64] = np.where(steps > 0, total / np.where(steps > 0, steps, 1.0), np.inf)
    return found


def move_pays(here: float, there: float, steps: float, moving: float) -> bool:
    """Whether the steps that are left cost less there, what moving costs included.

    `here` and `there` are US dollars a step, `moving` US dollars once: what is paid while the trial is
    checkpointed, the other machine boots and the checkpoint is restored.
    """
    return there * steps + moving < here * steps
