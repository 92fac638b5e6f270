"""Trials of earlier studies with which one begins, as its own history keeps them.

What an earlier study had shown when this one began is copied into this one's history, as notes. So a study
that is driven on decides as before, whatever became of the earlier one meanwhile. A copy is cut into parts
that every database takes, and counts once all its parts have arrived; of copies of one study that differ, as
drivers may write that begin side by side, the first that is whole.

Perrone et al., "Amazon SageMaker automatic model tuning" (KDD 2021), have the same two kinds of warm start:
identical data and algorithm, and transfer from other data.
"""

from __future__ import annotations

import hashlib
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from tradewind.data.trial_records import NOTED, Event, StoredTrial
from tradewind.errors import Misuse
from tradewind.tuning.space import Space
from tradewind.tuning.trial import COMPLETED, FAILED, STOPPED, Trial

MARK = "trials of an earlier study"
"""The text of the notes."""
_PART = 16_000
"""Bytes of a part: some databases' texts end at 65,535."""


class Earlier(Struct, frozen=True):
    """An earlier study, whose trials count in what a new one tries.

    Its settings that are not in the new one's space are left out, and so is what had shown nothing yet. What
    had not ended counts as stopped where it was.
    """

    study: str
    """Its name; it must be another than the names of the other earlier studies."""
    store: Any = None
    """Where it is: a path, a URL or a TrialStore; where the new one is, if not given."""
    identical: bool = False
    """Whether it had the same data and algorithm, so that its values are as good as the new study's own.
    Otherwise it tells which settings are better than others, and not how good they are."""
    trials: tuple[StoredTrial, ...] | None = None
    """Its trials, for one that is in no store; values are better the way the new study's are."""


class Begun(Struct, frozen=True):
    """An earlier study as a study has it."""

    study: str
    identical: bool
    trials: tuple[Trial, ...]
    left_out: int
    """How many settings are not in the space."""
    why: str
    """What was wrong with the first of them."""

    @property
    def said(self) -> str:
        """What became of it, in a sentence."""
        kind = "the same data and algorithm" if self.identical else "other data or another algorithm"
        out = f"; {self.left_out} outside the space left out ({self.why})" if self.left_out else ""
        return f"{len(self.trials)} trials of {self.study!r}, with {kind}, count{out}"


class EarlierStudies:
    """What the notes of a history have said so far."""

    def __init__(self) -> None:
        self._parts: dict[tuple[str, str], dict[int, str]] = {}
        self.known: dict[str, Begun] = {}
        """By name, in the order in which they were whole."""

    def follow(self, events: Iterable[Event]) -> None:
        """Take in what arrived next."""
        for event in events:
            if event.kind != NOTED or event.text != MARK:
                continue
            said = event.document
            name = said["study"]
            if name in self.known:
                continue
            parts = self._parts.setdefault((name, said["copy"]), {})
            parts[said["part"]] = said["text"]
            if len(parts) == said["of"]:
                self.known[name] = _decoded("".join(parts[at] for at in sorted(parts)))
                self._parts = {key: each for key, each in self._parts.items() if key[0] != name}

    @property
    def trials(self) -> list[Trial]:
        """All of them."""
        return [trial for each in self.known.values() for trial in each.trials]


def copied(
    earlier: Earlier, trials: Sequence[StoredTrial], sign: float, space: Space
) -> list[dict[str, Any]]:
    """The documents of the notes that say what an earlier study has shown; equal for equal trials.

    `sign` is -1 where its values are better the greater they are.
    """
    found: list[dict[str, Any]] = []
    left_out, why = 0, ""
    for each in trials:
        settled = each.state in (COMPLETED, STOPPED, FAILED)
        if not settled and not each.steps:
            continue
        try:
            setting = space.check(each.setting, "")
        except Misuse as problem:
            left_out, why = left_out + 1, why or str(problem).rstrip(".")
            continue
        found.append(
            {
                "number": each.number,
                "setting": setting,
                "state": each.state if settled else STOPPED,
                "steps": each.steps,
                "losses": [_plain(sign * value) for value in each.values],
                "final": None if each.final is None else _plain(sign * each.final),
                "dollars": _plain(each.dollars),
                "seconds": _plain(each.seconds),
            }
        )
    whole = {
        "study": earlier.study, "identical": earlier.identical, "trials": found, "left_out": left_out,
        "why": why,
    }  # fmt: skip
    text = msgspec.json.encode(whole).decode()
    copy = hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
    # cut between characters and not between bytes, of which a character has four at most
    parts = [text[at : at + _PART // 4] for at in range(0, len(text), _PART // 4)]
    return [
        {"study": earlier.study, "copy": copy, "part": at, "of": len(parts), "text": part}
        for at, part in enumerate(parts)
    ]


def on_scale(foreign: Sequence[Trial], own: Sequence[Trial]) -> list[Trial]:
    """Foreign trials as rules of search are to see them.

    Losses of a study with other data are moved and stretched so that their middle and their spread are
    those of this study's, as soon as five of its trials have ended; a rule that compares all losses with one
    another then learns which settings are better, and not which data are easier. Means and deviations would
    follow a trial that diverged, so medians and quartiles are meant.
    """
    target = _middle_and_spread([*own, *(each for each in foreign if each.identical)])
    if target is None:
        return list(foreign)
    groups: dict[str, list[Trial]] = {}
    for each in foreign:
        groups.setdefault(each.foreign, []).append(each)
    moved: dict[str, tuple[float, float]] = {}
    for name, group in groups.items():
        there = None if group[0].identical else _middle_and_spread(group)
        if there is not None:
            slope = target[1] / there[1]
            moved[name] = slope, target[0] - slope * there[0]
    return [_moved(each, *moved[each.foreign]) if each.foreign in moved else each for each in foreign]


def _middle_and_spread(trials: Sequence[Trial]) -> tuple[float, float] | None:
    losses = [each.loss for each in trials if each.state == COMPLETED]
    fine = [loss for loss in losses if loss is not None and math.isfinite(loss)]
    if len(fine) < 5:
        return None
    low, middle, high = statistics.quantiles(fine, n=4)
    return (middle, high - low) if high > low else None


def _moved(trial: Trial, slope: float, shift: float) -> Trial:
    return replace(
        trial,
        losses=tuple(slope * loss + shift for loss in trial.losses),
        final=None if trial.final is None else slope * trial.final + shift,
    )


def _decoded(text: str) -> Begun:
    said: Mapping[str, Any] = msgspec.json.decode(text)
    trials = tuple(
        Trial(
            each["number"], each["setting"], each["state"], tuple(each["steps"]),
            tuple(float(loss) for loss in each["losses"]),
            None if each["final"] is None else float(each["final"]),
            float(each["dollars"]), float(each["seconds"]), None, said["study"], said["identical"],
        )
        for each in said["trials"]
    )  # fmt: skip
    return Begun(said["study"], said["identical"], trials, said["left_out"], said["why"])


def _plain(value: float) -> float | str:
    """A number as JSON can say it."""
    return value if math.isfinite(value) else repr(value)
