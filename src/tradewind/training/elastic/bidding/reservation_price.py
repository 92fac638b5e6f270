"""What an hour of work is worth: a stochastic dynamic programme over time, slack, market and what is held.

One instance of the job is looked at; all are alike. `left` seconds remain until the deadline, the work still
to do takes some of them, and the rest is slack. Waiting uses slack up, and so does every start-up; running
does not. The market moves between levels, a Markov chain whose levels are the costs of an hour of work on
spot and whose last is that there is none. On-demand is always there, at its price, once it has started up.

The value of a state is the least expected cost of doing the work in time. Its slope over the slack is the
reservation price: what an hour of work now may cost at most, because waiting for the rest of the market is
expected to cost as much. It rises to the on-demand price, and beyond, as the slack goes; so the one rule
"run where work costs less than it is worth" waits while that pays, takes spot where it is cheap, and takes
on-demand in time for the deadline.

Bellman's equation with a finite horizon, by backward induction (Puterman, Markov Decision Processes, 1994,
section 4.5); the same trade as Can't Be Late (Wu et al., NSDI 2024), section 4, makes by a rule of thumb.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from msgspec import Struct
from numba import njit
from numpy.typing import NDArray

IDLE, SPOT, STEADY = 0, 1, 2
"""What an instance of the job is at a moment: not held, held on spot, held on demand."""
LATE = 1e7
"""US dollars that missing the deadline counts as, once and for each hour of slack that is lacking."""

_LEAST = 0.05
"""The share of a step's cost that waiting must save to be chosen."""


class Chain(Struct, frozen=True):
    """How the market moves, as far as one instance of the job is concerned."""

    costs: tuple[float, ...]
    """[level] US dollars that an hour of work costs on spot, ascending; LATE where spot is not to be had."""
    moves: tuple[tuple[float, ...], ...]
    """[level][next level] probability, over `step` seconds; rows add up to 1."""
    step: float
    losses: float = 0.0
    """Start-ups an hour on spot that come from revocations which leave another pool to go to."""
    steady: float = LATE
    """US dollars that an hour of work costs on demand; LATE where it is not sold."""
    standing: float = 0.0
    """US dollars an hour that are owed until the work is done: the share of the servers."""
    startup: float = 0.0
    """Seconds from taking a lease until it works."""


class Worth:
    """The solved programme of a chain, for `horizon` seconds at most."""

    def __init__(self, chain: Chain, horizon: float, steps: int = 160) -> None:
        self.chain = chain
        self._step = horizon / steps
        self._hours = _grid(horizon, chain.startup) / 3600
        moves = _over(np.asarray(chain.moves, np.float64), self._step / chain.step)
        self._values = _solve(
            np.asarray(chain.costs, np.float64),
            moves,
            self._hours,
            steps,
            self._step / 3600,
            chain.startup / 3600,
            chain.losses,
            chain.steady,
            chain.standing,
        )
        self._moves = moves

    def value(self, left: float, slack: float, level: int, held: int) -> float:
        """US dollars that the rest is expected to cost, `left` seconds and `slack` of them before the end."""
        at = min(max(left / self._step, 0.0), len(self._values) - 1.0)
        low = int(at)
        high = min(low + 1, len(self._values) - 1)
        step = self._step / 3600
        below = _at(self._hours, self._values[low, :, level, held], slack / 3600, low * step)
        above = _at(self._hours, self._values[high, :, level, held], slack / 3600, high * step)
        return float(below + (above - below) * (at - low))

    def reservation_price(self, left: float, slack: float, level: int) -> float:
        """US dollars that an hour of work on spot may cost now: what waiting adds to the expected cost."""
        step = min(self._step, max(left, 1.0))
        wait = self._ahead(left - step, slack - step, level, IDLE)
        run = self._ahead(left - step, slack, level, SPOT)
        return max(0.0, (wait - run) * 3600 / max(1.0, min(step, left - slack)))

    def choose(self, left: float, slack: float, level: int, held: int) -> int:
        """What to hold next: the least expected cost of a step and of all after it; spot on a tie.

        Where nothing can be in time any more it runs all the same: late is better than later.
        """
        chain, step = self.chain, min(self._step, max(left, 1.0))
        startup, work = chain.startup / 3600, left - slack
        found: list[tuple[float, int, int]] = []
        if chain.costs[level] < LATE:
            lost = chain.losses * startup * step + (chain.startup if held == IDLE else 0.0)
            hours = max(0.0, min(step, work + lost)) / 3600  # no longer than what is left takes
            extra = chain.steady * startup if held == STEADY else 0.0
            after = self._ahead(left - step, slack - lost, level, SPOT)
            found.append(((chain.costs[level] + chain.standing) * hours + extra + after, 0, SPOT))
        if chain.steady < LATE:
            lost = chain.startup if held == IDLE else 0.0
            hours = max(0.0, min(step, work + lost)) / 3600
            extra = chain.costs[level] * startup if held == SPOT and chain.costs[level] < LATE else 0.0
            after = self._ahead(left - step, slack - lost, level, STEADY)
            found.append(((chain.steady + chain.standing) * hours + extra + after, 1, STEADY))
        if found and min(found)[0] >= LATE and self.value(left, slack, level, held) >= LATE:
            return found[0][2]
        if level == 0 and held == IDLE and chain.costs[0] < LATE:
            return min(found)[2]  # it will not be cheaper than this
        # The grid is coarse beside a tie, and early is done: waiting must save something.
        saves = _LEAST * min(chain.costs[level], chain.steady) * step / 3600
        waits = self._ahead(left - step, slack - step, level, IDLE) + chain.standing * step / 3600
        found.append((waits + saves, 2, IDLE))
        return min(found)[2]

    def _ahead(self, left: float, slack: float, level: int, held: int) -> float:
        """The expected value a step later, from `level` now."""
        total = 0.0
        for following, chance in enumerate(self._moves[level]):
            if chance > 0:
                kept = IDLE if held == SPOT and self.chain.costs[following] >= LATE else held
                total += chance * self.value(left, slack, following, kept)
        return total


@lru_cache(maxsize=64)
def worth(chain: Chain, horizon: float) -> Worth:
    """The solved programme; equal questions get the same object."""
    return Worth(chain, horizon)


def _grid(horizon: float, startup: float) -> NDArray[np.float64]:
    """Seconds of slack, or of work, at which the value is known: fine where they are short."""
    least = max(startup / 4, horizon / 4000)
    fine = least * np.arange(0, 13)
    return np.concatenate([fine, np.geomspace(fine[-1], max(horizon / 2, 2 * fine[-1]), 20)[1:]])


def _over(moves: NDArray[np.float64], ratio: float) -> NDArray[np.float64]:
    """The chain's moves over `ratio` of its steps."""
    whole = int(ratio)
    taken = np.linalg.matrix_power(moves, whole)
    part = np.eye(len(moves)) + (moves - np.eye(len(moves))) * (ratio - whole)
    return np.ascontiguousarray(taken @ part)


@njit(cache=True, nogil=True)
def _slack(grid, node, left):  # type: ignore[no-untyped-def]
    """The slack of a node: those of the grid from no slack up, and from no work down, each to the middle."""
    if node < len(grid):
        return min(grid[node], left / 2)
    return left - min(grid[2 * len(grid) - 1 - node], left / 2)


@njit(cache=True, nogil=True)
def _at(grid, values, slack, left):  # type: ignore[no-untyped-def]
    """The value at a slack, linear between the nodes; 0 where slack is all that is left."""
    if slack < -1e-9:
        return LATE * (1.0 - slack)
    if slack >= left:
        return 0.0
    low, high = 0, 2 * len(grid) - 1
    while high - low > 1:
        middle = (low + high) // 2
        if _slack(grid, middle, left) <= slack:
            low = middle
        else:
            high = middle
    lower, upper = _slack(grid, low, left), _slack(grid, high, left)
    if upper <= lower:
        return values[low]
    return values[low] + (slack - lower) / (upper - lower) * (values[high] - values[low])


@njit(cache=True, nogil=True)
def _solve(  # type: ignore[no-untyped-def]
    costs, moves, grid, steps, step, startup, losses, steady, standing
):
    """Values [time, node, level, held]: time in steps before the deadline, `step` and `grid` in hours."""
    levels, count = len(costs), 2 * len(grid)
    values = np.zeros((steps + 1, count, levels, 3))
    ahead = np.empty((3, levels, count))
    for time in range(1, steps + 1):
        left = time * step
        for level in range(levels):
            for held in range(3):
                for s in range(count):
                    total = 0.0
                    for following in range(levels):
                        kept = held
                        if held == SPOT and costs[following] >= LATE:
                            kept = IDLE
                        total += moves[level, following] * values[time - 1, s, following, kept]
                    ahead[held, level, s] = total
        for s in range(count):
            slack = _slack(grid, s, left)
            work = left - slack
            if work <= 1e-12:
                continue
            for level in range(levels):
                waits = standing * step + _at(grid, ahead[IDLE, level], slack - step, left - step)
                for held in range(3):
                    best = waits
                    if costs[level] < LATE:
                        lost = losses * startup * step
                        extra = 0.0
                        if held == IDLE:
                            lost += startup
                        elif held == STEADY:
                            extra = steady * startup  # it goes on until the other has started up
                        run = (costs[level] + standing) * min(step, work + lost) + extra
                        if work + lost > step:
                            run += _at(grid, ahead[SPOT, level], slack - lost, left - step)
                        elif slack < lost:
                            run += LATE * (1.0 + lost - slack)
                        best = min(best, run)
                    if steady < LATE:
                        lost = startup if held == IDLE else 0.0
                        extra = 0.0
                        if held == SPOT and costs[level] < LATE:
                            extra = costs[level] * startup
                        run = (steady + standing) * min(step, work + lost) + extra
                        if work + lost > step:
                            run += _at(grid, ahead[STEADY, level], slack - lost, left - step)
                        elif slack < lost:
                            run += LATE * (1.0 + lost - slack)
                        best = min(best, run)
                    values[time, s, level, held] = best
    return values
