"""What the page shows of a study: read from its store alone, and of that only what is new each time."""

from __future__ import annotations

import math
from typing import Any

from msgspec import Struct

from tradewind.data.trial_records import (
    CLAIMED,
    NOTED,
    REPORTED,
    RUNNING,
    Event,
    StoredTrial,
    Trials,
)
from tradewind.data.trial_store import TrialStore
from tradewind.errors import Misuse, suggestion

RECENT = 5
"""Reports of a trial that what it costs a second is reckoned over."""


class Point(Struct, frozen=True, array_like=True):
    """A report."""

    step: int
    seconds: float
    """Of the trial, so far."""
    dollars: float
    """Of the trial, so far."""
    value: float | None
    """None for what is no finite number."""
    sequence: int


class Line(Struct, frozen=True, kw_only=True):
    """A trial, with the points of its line that are new."""

    number: int
    setting: dict[str, Any]
    state: str
    reason: str
    final: float | None
    dollars: float
    seconds: float
    attempt: int
    revocations: int
    machine: str
    stop_wanted: str
    quality: str
    points: list[Point]


class Shown(Struct, frozen=True, kw_only=True):
    """A study as it stands."""

    study: str
    direction: str
    sequence: int
    """Of the last event that is in it; ask for what came after."""
    fresh: bool
    """Whether this is all there is, and not what came after something."""
    dollars: float
    dollars_per_second: float
    """Of the trials that run, in a second of theirs, lately."""
    workers: int
    """Of the trials that run, as their drivers noted; one each where they noted nothing."""
    states: dict[str, int]
    """How many trials are in each state."""
    trials: list[Line]
    """Those of which something is new, by number."""


class StudyView:
    """A study's trials and their curves, following the store. One thread uses it at a time."""

    def __init__(self, store: TrialStore, study: str) -> None:
        """Misuse where the store has no such study."""
        known = [each.name for each in store.studies()]
        if study not in known:
            raise Misuse(
                f"there is no study {study!r}", source=store.url, field="study",
                fix=suggestion(study, known) if known else "Begin one first.",
            )  # fmt: skip
        self._store, self.study = store, study
        self._direction = str(store.description(study).get("direction", "minimize"))
        self._trials = Trials()
        self._points: dict[int, list[Point]] = {}
        self._workers: dict[int, int] = {}
        self._quality: dict[int, str] = {}
        self._begun: dict[int, tuple[float, float]] = {}
        """By trial, the moment at which it was claimed last, and its seconds by then."""
        self._noted: dict[int, int] = {}
        """By trial, the sequence of the last note about it."""

    @property
    def sequence(self) -> int:
        """Of the last event that was taken in."""
        return self._trials.sequence

    def shown(self, after: int = 0) -> Shown:
        """The study now; of its trials what came after the event of that sequence."""
        events = self._store.history(self.study, self._trials.sequence)
        self._trials.follow(events)
        for event in events:
            if event.number is not None:
                self._take(event, event.number)
        trials = self._trials.all()
        if after > self._trials.sequence:
            after = 0  # of another study, which had this one's name
        running = [each for each in trials if each.state == RUNNING]
        states: dict[str, int] = {}
        for each in trials:
            states[each.state] = states.get(each.state, 0) + 1
        return Shown(
            study=self.study, direction=self._direction, sequence=self._trials.sequence, fresh=after == 0,
            dollars=math.fsum(each.dollars for each in trials),
            dollars_per_second=math.fsum(self._rate(each.number) for each in running),
            workers=sum(self._workers.get(each.number, 1) for each in running), states=states,
            trials=[
                self._line(each, after)
                for each in trials
                if max(each.sequence, self._noted.get(each.number, 0)) > after
            ],
        )  # fmt: skip

    def _take(self, event: Event, number: int) -> None:
        points = self._points.setdefault(number, [])
        last = points[-1] if points else None
        if event.kind == CLAIMED:
            self._begun[number] = (event.moment or 0.0, 0.0 if last is None else last.seconds)
            self._workers.pop(number, None)
        elif event.kind == NOTED:
            self._noted[number] = event.sequence
            if isinstance(workers := event.document.get("workers"), int):
                self._workers[number] = workers
            if isinstance(quality := event.document.get("quality"), int | float):
                self._quality[number] = f"{event.document.get('metric') or 'quality'} {quality:.4g}"
        elif event.kind == REPORTED:
            assert event.step is not None and event.value is not None
            seconds, dollars = event.seconds, event.dollars
            if seconds is None:  # who reports without, is reckoned by the wall
                moment, before = self._begun.get(number, (0.0, 0.0))
                seconds = before + max(0.0, (event.moment or moment) - moment)
            if dollars is None:
                dollars = 0.0 if last is None else last.dollars
            value = event.value if math.isfinite(event.value) else None
            points.append(Point(event.step, seconds, dollars, value, event.sequence))

    def _rate(self, number: int) -> float:
        recent = [Point(0, 0.0, 0.0, None, 0), *self._points.get(number, [])][-RECENT:]
        seconds = recent[-1].seconds - recent[0].seconds
        return max(0.0, recent[-1].dollars - recent[0].dollars) / seconds if seconds > 0 else 0.0

    def _line(self, trial: StoredTrial, after: int) -> Line:
        final = trial.final if trial.final is not None and math.isfinite(trial.final) else None
        return Line(
            number=trial.number, setting=trial.setting, state=trial.state, reason=trial.reason, final=final,
            dollars=trial.dollars, seconds=trial.seconds, attempt=trial.attempt,
            revocations=trial.revocations, machine=trial.offer, stop_wanted=trial.stop_wanted,
            quality=self._quality.get(trial.number, ""),
            points=[each for each in self._points.get(trial.number, []) if each.sequence > after],
        )  # fmt: skip
