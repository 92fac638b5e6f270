"""All that a study's report tells, as values; as JSON too, for every number is finite or None."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from tradewind.estimates.importance import Importance

RULE, REQUEST, LEFT, BECAME = "rule", "request", "left behind", "went on as another"
"""Who stopped a trial: the rule of stopping; somebody who asked for it; the rule, which paused it and never
had it go on; the rule, to go on as another trial."""


class Predicted(Struct, frozen=True):
    """What a trial is expected to end with; bounds are None where nothing can be said of them."""

    low: float | None
    expected: float
    high: float | None


class TrialLine(Struct, frozen=True, kw_only=True):
    """A trial, told."""

    number: int
    setting: dict[str, Any]
    state: str
    steps: tuple[int, ...] = ()
    values: tuple[float | None, ...] = ()
    """The objective's own at each of the steps; None for what is not finite."""
    final: float | None = None
    began: int = 0
    """The step of another trial's checkpoint with which it began."""
    parent: int | None = None
    dollars: float = 0.0
    seconds: float = 0.0
    """Of training."""
    reason: str = ""
    """Why it is in its state."""
    attempts: int = 0
    revocations: int = 0
    failures: int = 0
    moves: int = 0
    gone: int = 0
    """How often the driver that ran it was gone."""
    machine: str = ""
    """The last one."""
    predicted: Predicted | None = None
    """Of a trial that is not at its end."""
    point: tuple[float | None, ...] = ()
    """Where its setting lies between the bounds of the axes, 0 to 1; None where a parameter has no place."""

    @property
    def ran(self) -> int:
        """How many steps it ran itself, those that were done again not counted."""
        return max(self.steps[-1] - self.began, 0) if self.steps else 0

    @property
    def last(self) -> float | None:
        """The final value, or else the last one that is finite."""
        if self.final is not None:
            return self.final
        return next((value for value in reversed(self.values) if value is not None), None)


class Ending(Struct, frozen=True, kw_only=True):
    """How a trial was stopped before its end."""

    number: int
    by: str
    """`RULE`, `REQUEST`, `LEFT` or `BECAME`."""
    reason: str
    step: int | None
    """The last that it reported; None where it reported none."""
    moment: float | None
    """When it was stopped, or paused for good."""
    saved_steps: int = 0
    """Steps that it had left, reckoned to the study's whole length."""
    saved_dollars: float | None = None
    """US dollars that they would have cost at what its own steps cost; None where those cost nothing."""


class Stretch(Struct, frozen=True, kw_only=True):
    """A stretch of a trial's life, in seconds since the study began."""

    number: int
    what: str
    """`running`, `waiting` or `paused`."""
    started: float
    ended: float
    machine: str = ""
    ending: str = ""
    """`revocation`, `failure`, `move`, `gone` (its driver), `completed`, `stopped` or `failed`; empty where
    it went on or goes on."""


class Machine(Struct, frozen=True, kw_only=True):
    """What was done on one kind of machine."""

    name: str
    trials: int
    seconds: float
    """For which trials were on it."""
    revocations: int
    seconds_per_step: float | None
    """The middle one of what was measured."""


class Axis(Struct, frozen=True, kw_only=True):
    """A hyper-parameter as an axis."""

    name: str
    low: float = 0.0
    high: float = 1.0
    log: bool = False
    whole: bool = False
    labels: tuple[str, ...] = ()
    """The values of a choice; empty for a number."""
    condition: str = ""
    """Where it has a place; empty for everywhere."""


class Progress(Struct, frozen=True):
    """The study when a value was better than all before, or as it is now."""

    dollars: float
    seconds: float
    """Of training, by all trials."""
    steps: int
    reported: float | None
    """The best value that any trial has reported or ended with."""
    best: float | None
    """The best that a trial was completed with."""


class Note(Struct, frozen=True):
    """What was put on record beside the trials."""

    moment: float | None
    number: int | None
    text: str


class StudyData(Struct, frozen=True, kw_only=True):
    """A study, told."""

    name: str
    direction: str
    """`minimize` or `maximize`."""
    trials: tuple[TrialLine, ...] = ()
    best: int | None = None
    """The number of the completed trial with the best final value."""
    whole: int = 0
    """Steps of a whole trial; 0 where none is known."""
    whole_from: str = ""
    """How that is known, in words."""
    axes: tuple[Axis, ...] = ()
    importance: Importance | None = None
    """Of the axes; None where too little is known."""
    importance_of: str = ""
    """Of what, or why there is none, in words."""
    endings: tuple[Ending, ...] = ()
    stretches: tuple[Stretch, ...] = ()
    """By trial, in order of time."""
    machines: tuple[Machine, ...] = ()
    frontier: tuple[int, ...] = ()
    """Completed trials that no other beats in value without costing more, the cheapest first."""
    cost: str = "dollars"
    """What the frontier's cost is: `dollars`, `seconds` of training or `steps`, the first that is known."""
    progress: tuple[Progress, ...] = ()
    notes: tuple[Note, ...] = ()
    earlier: tuple[str, ...] = ()
    """The earlier studies that it began with, a sentence each."""
    drivers: int = 0
    """How many have claimed a trial."""
    began: float | None = None
    """The first moment on record of a trial, by the drivers' clocks; seconds since 1970."""
    ended: float | None = None
    """The last one."""
    dollars: float = 0.0
    seconds: float = 0.0
    steps: int = 0
    """That were run, those done again not counted."""
    again: int = 0
    """Steps between the last report before an interruption and the checkpoint after it, which were to be
    done again."""
    saved_steps: int = 0
    """That stopped trials had left, reckoned."""
    saved_dollars: float | None = None
    """US dollars that these would have cost, by each trial's own price of a step; None without prices."""
    digest: str = ""
    version: str = ""
