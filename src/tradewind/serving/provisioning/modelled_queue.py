"""One queue before many replicas, in steps of time: who starts when, who is late, who goes to a function.

A replica of a type has `rate * service` places, and a request holds one for `service` seconds: with one place
this is the queue M/D/c where arrivals are Poisson. Requests start in the order in which they came, on the
quickest type with a free place that would still be in time. One that no type could answer in time any more is
dropped, and costs nothing. All is counted by step, requests may be fractions, and a wait is known to the
step.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from tradewind.errors import Misuse
from tradewind.serving.objective import Objective
from tradewind.serving.provisioning.interface import FunctionProfile, Profile

IN_TIME, LATE, REFUSED, CALLS, COLD, ONGOING, RETRIED = range(7)
"""Columns of what is counted, by interval; ongoing is in request-steps, the others in requests."""
_STEPS = (1.0, 0.5, 0.25, 0.2, 0.1, 0.05, 0.02, 0.01)
"""Seconds of a step to choose from; every second is a whole number of them."""
_FINE = 8.0
"""Steps at least between the objective's latency and a request's own time."""
_WINDOWS = 10
"""Parts of the time for which an idle environment is kept; it ends with one of them."""


def step_for(objective: Objective, profiles: Sequence[Profile]) -> float:
    """Seconds of a step that is fine enough for the objective: the longest of those that are."""
    slack = max(objective.latency - each.service for each in profiles)
    return next((each for each in _STEPS if each <= slack / _FINE), _STEPS[-1])


class ModelledQueue:
    """The queue, its replicas' places, and the functions beside it. Times are in steps from 0."""

    def __init__(
        self,
        objective: Objective,
        profiles: Sequence[Profile],
        *,
        step: float,
        interval: int,
        intervals: int,
        function: FunctionProfile | None = None,
        keep_warm: float = 600.0,
    ) -> None:
        """For `intervals` intervals of `interval` steps each, of `step` seconds.

        `function` takes what the replicas cannot answer in time, and its idle environments live for
        `keep_warm` seconds. Raises Misuse where no type answers within the objective's latency.
        """
        if not any(each.service <= objective.latency for each in profiles):
            raise Misuse(
                "no type answers within the objective's latency",
                source="profiles",
                field="service",
                fix="Give a type that is quicker, or a longer latency.",
            )
        self.step, self._interval = step, interval
        order = sorted(range(len(profiles)), key=lambda at: (profiles[at].service, at))
        self._place = {at: place for place, at in enumerate(order)}
        self._profiles = [profiles[at] for at in order]
        self._lasts = np.array([max(1, round(each.service / step)) for each in self._profiles], np.int64)
        self._slack = np.array(
            [math.floor((objective.latency - each.service) / step + 1e-9) for each in self._profiles],
            np.int64,
        )
        self._stays = np.array([each.service for each in self._profiles]) / (self._lasts * step)
        """What of the steps that a request holds its place is its own time: those are whole steps."""
        self._each = np.array([each.rate * step for each in self._profiles]) * self._lasts
        self._places = np.zeros(len(order))
        """Places of the replicas that are ready, by type."""
        self._busy = np.zeros(len(order))
        self._started = np.zeros((len(order), int(self._lasts.max())))
        """[type][step modulo] requests that started then, until they end."""
        reach = int(max(self._slack.max(), 0)) + 2
        self._waiting = np.zeros(reach)
        """[step modulo] requests that came then and wait."""
        self._state = np.zeros(4)
        """The backlog, calls in hand, warm environments, and the most calls in hand of this window."""
        self.counts = np.zeros((intervals, 7))
        self._calls = np.zeros(2)
        self._windows = np.zeros(_WINDOWS)
        self._function = np.zeros(8)
        self._in_hand = np.zeros(1)
        if function is not None:
            warm, cold = (max(1, round(each / step)) for each in (function.warm, function.cold))
            self._in_hand = np.zeros(max(warm, cold) + 1)
            self._function[:] = (
                1.0,
                warm,
                cold,
                function.concurrency,
                math.floor((objective.latency - function.warm) / step + 1e-9),
                math.floor((objective.latency - function.cold) / step + 1e-9),
                max(1, round(keep_warm / step / _WINDOWS)),
                0.0,
            )
        self.at = 0
        """Steps done."""

    @property
    def waiting(self) -> float:
        """Requests that wait now."""
        return float(self._state[0])

    def run(self, arrivals: NDArray[np.int64]) -> None:
        """Go through the next steps, (n,) requests arriving in each."""
        _run(
            arrivals, self.at, self._interval, self._places, self._busy, self._started, self._lasts,
            self._stays, self._slack, self._waiting, self._state, self.counts, self._function,
            self._in_hand, self._windows,
        )  # fmt: skip
        self.at += len(arrivals)

    def add(self, profile: int, replicas: int) -> None:
        """More replicas, or fewer, of the profile of this number, from now on; what is in hand is
        finished."""
        place = self._place[profile]
        self._places[place] = max(0.0, self._places[place] + replicas * self._each[place])

    def lose(self, profile: int, replicas: int) -> float:
        """Replicas are gone with what they have in hand, which waits again as of when it was started.

        Returns how many requests that were.
        """
        place = self._place[profile]
        before = self._places[place]
        self.add(profile, -replicas)
        share = 0.0 if before <= 0 else 1 - self._places[place] / before
        lasts, reach = int(self._lasts[place]), len(self._waiting)
        lost = 0.0
        for back in range(1, min(lasts, self.at) + 1):
            step = self.at - back
            gone = self._started[place, step % lasts] * share
            if gone <= 0:
                continue
            self._started[place, step % lasts] -= gone
            self._busy[place] -= gone
            counted = self.counts[min(step // self._interval, len(self.counts) - 1)]
            counted[IN_TIME] -= gone
            counted[RETRIED] += gone
            if back < reach:
                self._waiting[step % reach] += gone
                self._state[0] += gone
            else:
                counted[REFUSED] += gone
            lost += gone
        return lost


@njit(cache=True, nogil=True)
def _run(
    arrivals: Any, first: int, interval: int, places: Any, busy: Any, started: Any, lasts: Any, stays: Any,
    slack: Any, waiting: Any, state: Any, counts: Any, function: Any, in_hand: Any, windows: Any,
) -> None:  # fmt: skip
    kinds, reach = len(places), len(waiting)
    backlog, calls, warm, most = state[0], state[1], state[2], state[3]
    longest = slack.max()
    last_row = len(counts) - 1
    for index in range(len(arrivals)):
        now = first + index
        row = counts[min(now // interval, last_row)]
        # What started a whole service time ago ends.
        for kind in range(kinds):
            slot = now % lasts[kind]
            if started[kind, slot] > 0.0:
                busy[kind] = max(0.0, busy[kind] - started[kind, slot])
                started[kind, slot] = 0.0
        # The bucket of this step was that of the step `reach` ago: nothing that old may wait.
        slot = now % reach
        if waiting[slot] > 0.0:
            row[2] += waiting[slot]
            backlog -= waiting[slot]
        waiting[slot] = arrivals[index]
        backlog += arrivals[index]
        # What no type could answer in time is dropped.
        if backlog > 1e-9:
            expired = now - longest - 1
            if expired >= 0 and waiting[expired % reach] > 0.0:
                row[2] += waiting[expired % reach]
                backlog -= waiting[expired % reach]
                waiting[expired % reach] = 0.0
            for kind in range(kinds):
                free = places[kind] - busy[kind]
                if free <= 1e-9 or backlog <= 1e-9:
                    continue
                taken = 0.0
                for age in range(min(slack[kind], now), -1, -1):
                    slot = (now - age) % reach
                    here = waiting[slot]
                    if here <= 0.0:
                        continue
                    more = min(here, free)
                    waiting[slot] = here - more
                    free -= more
                    taken += more
                    if free <= 1e-9:
                        break
                backlog -= taken
                busy[kind] += taken
                started[kind, now % lasts[kind]] += taken
                row[0] += taken
            if backlog < 1e-9:
                backlog = 0.0
        if function[0] > 0.0:
            slot = now % len(in_hand)
            calls = max(0.0, calls - in_hand[slot])
            in_hand[slot] = 0.0
            if backlog > 0.0:
                # The newest wait longest: those behind what is started within the slack go.
                within = 0.0
                for kind in range(kinds):
                    within += places[kind] / lasts[kind] * max(0, slack[kind] - 1)
                excess = min(backlog - within, function[3] - calls)
                age = 0
                while excess > 1e-9 and age <= min(function[4], now, reach - 1):
                    place = (now - age) % reach
                    sent = min(waiting[place], excess)
                    if sent > 0.0:
                        waiting[place] -= sent
                        backlog -= sent
                        excess -= sent
                        quick = min(sent, max(0.0, warm - calls))
                        slow = sent - quick
                        calls += sent
                        warm = max(warm, calls)
                        in_hand[(now + int(function[1])) % len(in_hand)] += quick
                        in_hand[(now + int(function[2])) % len(in_hand)] += slow
                        row[3] += sent
                        row[4] += slow
                        row[0] += quick
                        row[0 if age <= function[5] else 1] += slow
                    age += 1
            most = max(most, calls)
            if now % int(function[6]) == 0:
                windows[(now // int(function[6])) % len(windows)] = most
                most = calls
                warm = min(warm, max(windows.max(), calls))
        ongoing = backlog
        for kind in range(kinds):
            ongoing += busy[kind] * stays[kind]
        row[5] += ongoing
    state[0], state[1], state[2], state[3] = backlog, calls, warm, most
