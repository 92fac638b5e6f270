"""A simulation of replicas in virtual time: variants with their own queues, replicas, times and requests.

Requests come in classes and bring `rows` rows each. They are queued at the variant that the policy sends them
to, the earliest deadline first; a replica that is free takes as many of them as fit into the variant's batch
limit and still leave the most urgent one in time, one at least. A batch takes what was measured for its rows
(linear between the sizes measured), times a lognormal disturbance of 5 %. A replica answers `load` seconds
after it was started and is paid from the start; one that is given up ends its batch first.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
from numba import njit

from tradewind.data.request_traces import request_trace

RING = 1 << 14
"""Requests of one class that wait at one variant at most; more are lost."""
MOST = 64
"""Replicas of one variant at most."""
MINUTE = 5.0
"""Seconds in which a minute of the recorded load is played."""


@njit(cache=True, nogil=True)
def advance(
    until,
    rows,
    largest,
    times,
    bounds,
    ring,
    heads,
    tails,
    free,
    alive,
    noise,
    noise_at,
    slow,
    done,
    late,
    seen,
):
    """Run one variant's replicas up to `until`.

    `ring[class]` holds the arrivals that wait; `times[b]` seconds of b rows; `free` when each replica is;
    `seen` gathers batches, rows, seconds of batches, what the profile says of them, seconds of answers,
    answers. Returns the next place in `noise`.
    """
    classes = len(bounds)
    while True:
        replica = -1
        for r in range(len(free)):
            if alive[r] and (replica < 0 or free[r] < free[replica]):
                replica = r
        if replica < 0:
            return noise_at
        first = np.inf
        for c in range(classes):
            if heads[c] < tails[c]:
                first = min(first, ring[c, heads[c] % RING])
        start = max(first, free[replica])
        if start >= until:
            return noise_at
        taken, due = 0, np.inf
        while True:
            best, soonest = -1, np.inf
            for c in range(classes):
                if heads[c] < tails[c]:
                    came = ring[c, heads[c] % RING]
                    if came <= start and came + bounds[c] < soonest:
                        best, soonest = c, came + bounds[c]
            if best < 0:
                break
            more = (taken + 1) * rows
            if taken and (more > largest or start + times[more] > min(due, soonest)):
                break
            due = min(due, soonest)
            seen[6 + taken] = best
            seen[6 + MOST + taken] = ring[best, heads[best] % RING]
            heads[best] += 1
            taken += 1
            if taken == MOST:
                break
        expected = times[min(taken * rows, len(times) - 1)]
        spent = expected * noise[noise_at % len(noise)] * slow
        noise_at += 1
        end = start + spent
        free[replica] = end
        seen[0] += 1
        seen[1] += taken * rows
        seen[2] += spent
        seen[3] += expected
        for at in range(taken):
            c, came = int(seen[6 + at]), seen[6 + MOST + at]
            seen[4] += end - came
            seen[5] += 1
            done[c] += 1
            if end > came + bounds[c]:
                late[c] += 1


class Pool:
    """One variant's queue and replicas."""

    def __init__(self, rated, bounds: np.ndarray, rows: int) -> None:
        self.rated, self.bounds, self.rows = rated, bounds, rows
        profile = rated.profile
        sizes = np.arange(rated.variant.max_batch + 1)
        self.times = np.interp(sizes, (0, *profile.batches), (0.0, *profile.seconds))
        self.ring = np.zeros((len(bounds), RING))
        self.heads = np.zeros(len(bounds), np.int64)
        self.tails = np.zeros(len(bounds), np.int64)
        self.free = np.zeros(MOST)
        self.ready = np.zeros(MOST)
        self.alive = np.zeros(MOST, np.bool_)
        self.leaving = np.zeros(MOST)  # until when one that was given up is paid
        self.done = np.zeros(len(bounds), np.int64)
        self.late = np.zeros(len(bounds), np.int64)
        self.lost = np.zeros(len(bounds), np.int64)
        self.seen = np.zeros(6 + 2 * MOST)
        self.noise_at = 0
        self.sent = 0
        self.slow = 1.0

    def send(self, which: int, arrivals: np.ndarray) -> None:
        """Queue requests of a class."""
        room = RING - int(self.tails[which] - self.heads[which])
        self.lost[which] += max(0, len(arrivals) - room)
        arrivals = arrivals[:room]
        places = (self.tails[which] + np.arange(len(arrivals))) % RING
        self.ring[which, places] = arrivals
        self.tails[which] += len(arrivals)
        self.sent += len(arrivals)

    def run(self, until: float, noise: np.ndarray) -> None:
        """Serve up to a moment."""
        self.noise_at = advance(
            until, self.rows, self.rated.variant.max_batch, self.times, self.bounds, self.ring, self.heads,
            self.tails, self.free, self.alive, noise, self.noise_at, self.slow, self.done, self.late,
            self.seen,
        )  # fmt: skip

    def scale(self, count: int, now: float, load: float) -> None:
        """Start or give up replicas, those that answer last first."""
        running = np.flatnonzero(self.alive)
        for place in np.flatnonzero(~self.alive)[: max(0, count - len(running))]:
            self.alive[place] = True
            self.free[place] = self.ready[place] = now + load
            self.leaving[place] = 0.0
        gone = running[np.argsort(-self.ready[running], kind="stable")][: max(0, len(running) - count)]
        for place in gone:
            self.alive[place] = False
            self.leaving[place] = self.free[place] if self.ready[place] <= now else 0.0

    def paid(self, now: float) -> int:
        """Replicas that cost at a moment."""
        return int(self.alive.sum() + (self.leaving > now).sum())

    @property
    def waiting(self) -> int:
        """Requests in the queue."""
        return int((self.tails - self.heads).sum())


@cache
def trace(file: Path) -> np.ndarray:
    """Requests of each minute."""
    return request_trace(file).counts


def rates_of(data: Path | None, count: int, seconds: float, seed: int) -> np.ndarray:
    """[class][minute of the trace] relative rates of a mean of 1; each class has its own stretch."""
    chance = np.random.default_rng(seed)
    minutes = int(np.ceil(seconds / MINUTE)) + 1
    file = None if data is None else data / "requests" / "worldcup98-per-minute.csv.gz"
    if file is not None and file.exists():
        recorded = trace(file)
        chosen = [int(at) for at in chance.integers(20_000, len(recorded) - minutes, count)]
        found = np.array([recorded[at : at + minutes] for at in chosen], dtype=float)
    else:
        at = np.arange(minutes)
        phase = chance.uniform(0, 2 * np.pi, (count, 1))
        burst = 1 + 1.5 * (chance.random((count, minutes)) < 0.08)
        found = (1 + 0.4 * np.sin(2 * np.pi * at / 60 + phase)) * burst
    return found / found.mean(axis=1, keepdims=True)


def arrivals_of(rates: np.ndarray, mean: np.ndarray, seconds: float, seed: int) -> list[np.ndarray]:
    """The moments at which each class's requests come: Poisson within the minutes."""
    chance = np.random.default_rng((seed, 1))
    found = []
    for row, average in zip(rates, mean, strict=True):
        parts = []
        for at, rate in enumerate(row):
            began = at * MINUTE
            parts.append(np.sort(began + MINUTE * chance.random(chance.poisson(rate * average * MINUTE))))
        every = np.concatenate(parts)
        found.append(every[every < seconds])
    return found
