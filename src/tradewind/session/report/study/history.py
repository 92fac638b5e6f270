"""What a study's history tells beside its trials: where they ran, who stopped them, what was noted."""

from __future__ import annotations

import statistics
from collections.abc import Iterable

from tradewind.data.trial_records import ADDED, NOTED, REVOCATION, STOPPED, Event
from tradewind.session.report.study.data import (
    LEFT,
    REQUEST,
    RULE,
    Ending,
    Machine,
    Note,
    Stretch,
)
from tradewind.tuning.earlier_studies import MARK

_LEFT_WORDS = "it was left behind"
"""What a study says when it stops what is paused at its end."""
_RUNNING, _WAITING, _PAUSED = "running", "waiting", "paused"


class _Life:
    """A trial as its events are gone through."""

    def __init__(self, moment: float | None) -> None:
        self.what = _WAITING
        self.since = moment
        self.machine = ""
        self.reached: int | None = None
        self.checkpoint: int | None = None
        self.wanted = ""
        self.put_aside: tuple[str, float | None] = ("", None)
        """Why and when it was paused last."""


class Walked:
    """All that the events of a study tell beside its trials."""

    def __init__(self, events: Iterable[Event]) -> None:
        self.endings: dict[int, Ending] = {}
        self.notes: list[Note] = []
        self.began: dict[int, int] = {}
        """The step at which a trial began that began with another's checkpoint."""
        self.again = 0
        self.first: float | None = None
        self.last: float | None = None
        self._lives: dict[int, _Life] = {}
        self._bars: list[tuple[int, str, float, float, str, str]] = []
        self._drivers: set[str] = set()
        self._measured: dict[str, list[float]] = {}
        for event in events:
            self._take(event)
        for number, life in self._lives.items():
            if life.what:
                self._close(number, life, self.last, "")

    @property
    def drivers(self) -> int:
        """How many have claimed a trial."""
        return len(self._drivers)

    @property
    def stretches(self) -> tuple[Stretch, ...]:
        """By trial, in order of time; without those whose moments are not on record."""
        zero = self.first or 0.0
        return tuple(
            Stretch(
                number=number, what=what, started=started - zero, ended=max(ended, started) - zero,
                machine=machine, ending=ending,
            )
            for number, what, started, ended, machine, ending in sorted(
                self._bars, key=lambda each: (each[0], each[2])
            )
        )  # fmt: skip

    @property
    def machines(self) -> tuple[Machine, ...]:
        """Those on record, the longest used first."""
        found: dict[str, tuple[set[int], list[float]]] = {}
        for number, what, started, ended, machine, ending in self._bars:
            if what == _RUNNING and machine:
                trials, sums = found.setdefault(machine, (set(), [0.0, 0.0]))
                trials.add(number)
                sums[0] += ended - started
                sums[1] += ending == REVOCATION
        rows = [
            Machine(
                name=name, trials=len(trials), seconds=sums[0], revocations=round(sums[1]),
                seconds_per_step=statistics.median(self._measured[name]) if name in self._measured else None,
            )
            for name, (trials, sums) in found.items()
        ]  # fmt: skip
        return tuple(sorted(rows, key=lambda each: (-each.seconds, each.name)))

    def _take(self, event: Event) -> None:
        moment = event.moment
        if moment is not None and event.number is not None:
            self.first = moment if self.first is None else min(self.first, moment)
            self.last = moment if self.last is None else max(self.last, moment)
        if event.kind == NOTED and event.text and event.text != MARK:
            said = event.document.get("said")
            text = said if isinstance(said, str) else event.text
            self.notes.append(Note(moment, event.number, text))
        if event.number is None:
            return
        if event.kind == ADDED:
            self._lives[event.number] = _Life(moment)
            return
        self._change(event, event.number, self._lives[event.number])

    def _change(self, event: Event, number: int, life: _Life) -> None:
        moment = event.moment
        match event.kind:
            case "reported":
                life.reached = max(life.reached or 0, event.step or 0)
            case "checkpointed":
                life.checkpoint = event.step
                if event.attempt == 0:
                    life.reached = self.began[number] = event.step or 0
            case "assigned":
                if event.value is not None:
                    self._measured.setdefault(event.text, []).append(event.value)
                if life.machine and life.machine != event.text:
                    self._turn(number, life, _RUNNING, moment, "")
                life.machine = event.text
            case "claimed":
                self._drivers.add(event.driver)
                self._turn(number, life, _RUNNING, moment, "")
                if event.attempt > 1:
                    self.again += max((life.reached or 0) - (life.checkpoint or 0), 0)
            case "requeued":
                self._turn(number, life, _WAITING, moment, event.document["cause"])
            case "released":
                self._turn(number, life, _WAITING, moment, "gone")
            case "paused":
                life.put_aside = event.text, moment
                self._turn(number, life, _PAUSED, moment, "")
            case "resumed":
                self._turn(number, life, _WAITING, moment, "")
            case "stop_wanted":
                life.wanted = LEFT if life.what == _PAUSED and event.text == _LEFT_WORDS else REQUEST
            case "finished":
                state = event.document["state"]
                if state == STOPPED:
                    reason, at = event.text, moment
                    if life.wanted == LEFT:
                        # What was decided was decided when it was paused.
                        reason, at = f"{life.put_aside[0]}; {event.text}", life.put_aside[1]
                    self.endings[number] = Ending(
                        number=number, by=life.wanted or RULE, reason=reason, moment=at,
                        step=life.reached,
                    )  # fmt: skip
                self._turn(number, life, "", moment, state)

    def _turn(self, number: int, life: _Life, what: str, moment: float | None, ending: str) -> None:
        self._close(number, life, moment, ending)
        if what != _RUNNING or life.what != _RUNNING:
            life.machine = ""
        life.what, life.since = what, moment

    def _close(self, number: int, life: _Life, moment: float | None, ending: str) -> None:
        if life.what and life.since is not None and moment is not None:
            machine = life.machine if life.what == _RUNNING else ""
            self._bars.append((number, life.what, life.since, moment, machine, ending))
