"""A trial as an objective sees it: its setting, from where to go on, and whom to tell."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from msgspec import Struct

from tradewind.clock import stopwatch
from tradewind.data.durable_files import replacing
from tradewind.data.trial_records import Claim
from tradewind.errors import Misuse, suggestion
from tradewind.tuning.interface import GO_ON, Verdict
from tradewind.tuning.trial import Setting

_LATEST = 2
"""Checkpoints of a trial that are kept: the store may lose its last words in a power cut."""


class Asked(Struct, frozen=True):
    """A trial that is to be run, by whoever asked."""

    number: int
    setting: Setting
    claim: Claim
    step: int = 0
    """The step of the checkpoint that it goes on from; 0 to begin."""
    checkpoint: str = ""
    """Where that lies, as `Study.checkpoint` was told."""
    dollars: float = 0.0
    """US dollars that the trial has cost before."""
    seconds: float = 0.0
    """Seconds that it has run before."""

    def __getitem__(self, name: str) -> Any:
        """The value of a hyper-parameter; Misuse where the setting has none of that name."""
        if name not in self.setting:
            raise Misuse("is no parameter of this trial", field=name, fix=suggestion(name, self.setting))
        return self.setting[name]


class Over(Exception):
    """Raised through an objective whose trial is to end, or to wait."""


class Left(Exception):
    """Raised through an objective that must leave its machine; the trial goes on elsewhere."""


class Told(Protocol):
    """Whom an attempt tells: `study.Study` is one."""

    def report(
        self, trial: Asked, step: int, value: float, *, dollars: float | None = None,
        seconds: float | None = None, keep: Callable[[], None] | None = None,
    ) -> Verdict:  # fmt: skip
        """Record the objective at a step; `keep` is called where the trial will wait, before it does."""
        ...

    def checkpoint(self, trial: Asked, step: int, place: str) -> None:
        """Record from where the trial can go on."""
        ...


class Place(Struct, frozen=True, kw_only=True):
    """Where an attempt runs, and what that costs."""

    folder: Path | None = None
    """Of the checkpoints; it must outlast the machine. None for an objective that saves none."""
    every: float = math.inf
    """Seconds of the wall between two checkpoints that `Attempt.keep` makes unasked."""
    leaving: Callable[[], bool] = lambda: False
    """Whether the machine is to be left."""
    per_second: float | None = None
    """US dollars that the machine costs in a second of the wall; None where nobody pays."""
    speed: float = 1.0
    """How many seconds count for one of the wall."""
    tidy: bool = True
    """Whether a trial's checkpoints but the latest two are removed; not where others may go on from them."""


class Attempt:
    """A trial that an objective trains, from its start or its last checkpoint.

    >>> def objective(trial):
    ...     model = load(trial.place) if trial.place else build(trial["rate"])
    ...     trial.keep(lambda path: save(model, path))
    ...     for step in range(trial.step + 1, 51):
    ...         train(model)
    ...         trial.report(step, loss(model))
    ...     return loss(model)
    """

    def __init__(self, told: Told, asked: Asked, place: Place = Place()) -> None:  # noqa: B008 -- frozen
        self._told, self._asked, self._where = told, asked, place
        self._save: Callable[[Path], object] | None = None
        self._elapsed, self._kept_at = stopwatch(), 0.0
        self._kept, self._step = asked.step, asked.step
        self._mine = [asked.checkpoint] if _made_by(asked.number, asked.checkpoint) else []

    @property
    def number(self) -> int:
        """Of the trial."""
        return self._asked.number

    @property
    def setting(self) -> Setting:
        """Values of the hyper-parameters by name."""
        return self._asked.setting

    @property
    def step(self) -> int:
        """The step of the checkpoint that it goes on from; 0 to begin."""
        return self._asked.step

    @property
    def place(self) -> str:
        """Where that checkpoint lies; empty to begin."""
        return self._asked.checkpoint

    def __getitem__(self, name: str) -> Any:
        """The value of a hyper-parameter."""
        return self._asked[name]

    def keep(self, save: Callable[[Path], object]) -> None:
        """Say how a checkpoint is made: `save(path)` writes one file, with all that is needed to go on.

        It is called between two steps: now and then, where the machine is about to go, and where the trial
        is to wait for others. What it wrote is found under `place` by whoever goes on.
        """
        self._save = save

    def checkpoint(self, step: int, place: str) -> None:
        """Record a checkpoint that the objective made itself; the place must outlast the machine."""
        self._told.checkpoint(self._asked, step, place)
        self._kept = step

    def report(
        self, step: int, value: float, *, dollars: float | None = None, seconds: float | None = None
    ) -> None:
        """Record the objective after a step; does not return where the trial is to end, wait, or move."""
        elapsed, where = self._elapsed(), self._where
        if dollars is None and where.per_second is not None:
            dollars = self._asked.dollars + where.per_second * elapsed
        if seconds is None:
            seconds = self._asked.seconds + elapsed * where.speed
        self._step = step
        verdict = self._told.report(
            self._asked, step, value, dollars=dollars, seconds=seconds, keep=self.keep_now
        )
        if verdict.action != GO_ON:
            raise Over(verdict.reason)
        if where.leaving():
            self.keep_now()
            raise Left
        if elapsed - self._kept_at >= where.every:
            self.keep_now()

    def keep_now(self) -> None:
        """Make a checkpoint of the step that was reported last, where the objective said how."""
        folder = self._where.folder
        if self._save is None or folder is None or self._step <= self._kept:
            return
        claim = self._asked.claim
        target = folder / f"trial-{self.number}-{self._step}-{claim.attempt}"
        with replacing(target) as partial:
            self._save(partial)
        self.checkpoint(self._step, str(target))
        self._kept_at = self._elapsed()
        self._mine.append(str(target))
        while self._where.tidy and len(self._mine) > _LATEST:
            Path(self._mine.pop(0)).unlink(missing_ok=True)


def _made_by(trial: int, checkpoint: str) -> bool:
    """Whether a checkpoint is one of the trial's own, and not that of another from which it began."""
    return Path(checkpoint).name.startswith(f"trial-{trial}-")
