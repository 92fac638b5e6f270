"""What the store of trials keeps: events in their order of arrival, and the trials that follow from them.

A study's history is the truth: a trial is what its events say, and the trials as of any moment of the past
are those of the events up to there. So every decision can be made again with what was known when it was made.
"""

from __future__ import annotations

import bisect
import hashlib
import math
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from tradewind.errors import Misuse

WAITING, RUNNING, PAUSED = "waiting", "running", "paused"
COMPLETED, STOPPED, FAILED = "completed", "stopped", "failed"
FINAL = (COMPLETED, STOPPED, FAILED)
"""States that a trial does not leave."""

REVOCATION, FAILURE, MOVE = "revocation", "failure", "move"
CAUSES = (REVOCATION, FAILURE, MOVE)
"""Why a trial waits again: its machine was taken, it broke, or it goes elsewhere by our own wish."""

RECORDED, AGAIN, DIFFERS = "recorded", "again", "differs"
LOST, REFUSED = "lost", "refused"
"""What becomes of a report: new to the curve; known already; an earlier attempt reported another value,
which stands; another driver has the trial now; the step is not after the attempt's last one."""

CREATED, NOTED = "created", "noted"
ADDED, CLAIMED, REPORTED, REDONE = "added", "claimed", "reported", "redone"
CHECKPOINTED, ASSIGNED, REQUEUED = "checkpointed", "assigned", "requeued"
RELEASED, SET_ASIDE, RESUMED = "released", "paused", "resumed"
STOP_WANTED, FINISHED = "stop_wanted", "finished"
ENDINGS = (FINISHED, SET_ASIDE, REQUEUED, RELEASED)
"""Kinds of event with which a driver's hold on a trial ends."""


class Claim(Struct, frozen=True):
    """A driver's hold on a trial. It is void as soon as the trial has a later attempt."""

    study: int
    """The store's key of the study."""
    number: int
    attempt: int
    """From 1, one more with each claim."""
    driver: str


class Report(Struct, frozen=True):
    """The objective at a step of a trial."""

    claim: Claim
    step: int
    value: float
    """As the objective gave it; nan and the infinities are kept."""
    dollars: float | None = None
    """US dollars spent on the trial so far, in all its attempts."""
    seconds: float | None = None
    """Seconds of training so far, in all its attempts."""
    moment: float | None = None
    """By the driver's clock."""


class Event(Struct, frozen=True):
    """Something that arrived. Which fields say something depends on the kind."""

    sequence: int
    """Its place in the study's order of arrival, from 1 without gaps."""
    kind: str
    number: int | None = None
    attempt: int = 0
    step: int | None = None
    value: float | None = None
    dollars: float | None = None
    seconds: float | None = None
    moment: float | None = None
    text: str = ""
    """A reason in words; of a checkpoint its place; of a machine its offer."""
    document: dict[str, Any] = {}
    driver: str = ""


class StoredTrial(Struct, frozen=True):
    """A trial as its events up to `sequence` say. Values are the objective's own, whichever way is better."""

    number: int
    setting: dict[str, Any]
    state: str = WAITING
    steps: tuple[int, ...] = ()
    """Rising."""
    values: tuple[float, ...] = ()
    """What the first attempt that got to each of the steps reported there."""
    final: float | None = None
    dollars: float = 0.0
    seconds: float = 0.0
    parent: int | None = None
    reason: str = ""
    """Why it is in its state, in words."""
    driver: str = ""
    """Who runs it."""
    attempt: int = 0
    """How often it was claimed."""
    revocations: int = 0
    failures: int = 0
    moves: int = 0
    releases: int = 0
    """How often the driver that ran it was gone."""
    redone: int = 0
    """How many steps gave another value when they were done again."""
    checkpoint_step: int | None = None
    checkpoint: str = ""
    """The place of the latest, such as a path or a digest."""
    offer: str = ""
    """The machine that it was put on last."""
    seconds_per_step: float | None = None
    """What was measured there."""
    resumed_after: int = -1
    """The last step that had been reported when it was resumed; -1 if it never was."""
    stop_wanted: str = ""
    """Why somebody wants it stopped."""
    sequence: int = 0
    """Of its latest event."""


class StudyRow(Struct, frozen=True):
    """A study in the store."""

    name: str
    description: dict[str, Any]
    trials: int
    sequence: int
    """How many events have arrived."""


class Trials:
    """The trials of a study as of an event; it follows the history as that grows."""

    def __init__(self) -> None:
        self.sequence = 0
        self._trials: dict[int, StoredTrial] = {}
        self._curves: dict[int, tuple[list[int], list[float]]] = {}
        self._stale: set[int] = set()

    def follow(self, events: Iterable[Event]) -> None:
        """Take in what arrived next. Misuse where an event is missing between them."""
        for event in events:
            if event.sequence != self.sequence + 1:
                raise Misuse(
                    f"event {event.sequence} does not come after event {self.sequence}",
                    field="events", fix="Read the history from there.",
                )  # fmt: skip
            self.sequence = event.sequence
            if event.number is not None:
                self._take(event, event.number)

    def _take(self, event: Event, number: int) -> None:
        if event.kind == REPORTED:
            assert event.step is not None and event.value is not None
            steps, values = self._curves[number]
            at = bisect.bisect_left(steps, event.step)
            steps.insert(at, event.step)
            values.insert(at, event.value)
            self._stale.add(number)
        if event.kind == ADDED:
            self._trials[number] = StoredTrial(
                number, event.document["setting"], parent=event.document.get("parent"), reason=event.text
            )
            self._curves[number] = ([], [])
        before = self[number] if event.kind == RESUMED else self._trials[number]
        self._trials[number] = replace(
            before,
            sequence=event.sequence,
            dollars=before.dollars if event.dollars is None else max(before.dollars, event.dollars),
            seconds=before.seconds if event.seconds is None else max(before.seconds, event.seconds),
            **_changes(before, event),
        )

    def __getitem__(self, number: int) -> StoredTrial:
        """The trial of that number."""
        if number in self._stale:
            steps, values = self._curves[number]
            self._trials[number] = replace(self._trials[number], steps=tuple(steps), values=tuple(values))
            self._stale.discard(number)
        try:
            return self._trials[number]
        except KeyError:
            raise Misuse(
                f"there is no trial {number}", field="number", fix="Give one that was added."
            ) from None

    def __len__(self) -> int:
        return len(self._trials)

    def all(self) -> tuple[StoredTrial, ...]:
        """Every trial, by number."""
        return tuple(self[number] for number in self._trials)


def _changes(trial: StoredTrial, event: Event) -> dict[str, Any]:
    """What an event makes of a trial, beside its curve and what it cost."""
    match event.kind:
        case "claimed":
            return {"state": RUNNING, "driver": event.driver, "attempt": event.attempt, "reason": event.text}
        case "redone":
            return {"redone": trial.redone + 1}
        case "checkpointed":
            return {"checkpoint_step": event.step, "checkpoint": event.text}
        case "assigned":
            return {"offer": event.text, "seconds_per_step": event.value}
        case "requeued":
            name = {REVOCATION: "revocations", FAILURE: "failures", MOVE: "moves"}[event.document["cause"]]
            return {"state": WAITING, "driver": "", "reason": event.text, name: getattr(trial, name) + 1}
        case "released":
            changes = {"state": WAITING, "driver": "", "reason": event.text}
            return {**changes, "releases": trial.releases + 1}
        case "paused":
            return {"state": PAUSED, "driver": "", "reason": event.text}
        case "resumed":
            last = max(trial.steps, default=-1)
            return {"state": WAITING, "reason": event.text, "resumed_after": last}
        case "finished":
            return {
                "state": event.document["state"], "driver": "", "reason": event.text, "final": event.value,
            }  # fmt: skip
        case "stop_wanted":
            return {"stop_wanted": event.text}
        case _:
            return {}


def digest(description: Mapping[str, Any], events: Iterable[Event]) -> str:
    """Of a study's description and history, in hexadecimal: equal where the same arrived in the same order.

    Who drove, when, and where checkpoints lie are left out; a study that is run again has other processes,
    moments and paths.
    """
    found = hashlib.blake2b(_canonical(description), digest_size=16)
    for event in events:
        place = event.kind == CHECKPOINTED
        value = None if event.value is None else repr(event.value)  # JSON has no nan
        found.update(
            _canonical(
                [replace(event, driver="", moment=None, text="" if place else event.text, value=None), value]
            )
        )
    return found.hexdigest()


def difference(before: Any, after: Any, path: str = "") -> str | None:
    """The dotted name of the first field in which two documents differ; None where they are the same."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in [*before, *(key for key in after if key not in before)]:
            name = f"{path}.{key}" if path else str(key)
            if key not in before or key not in after:
                return name
            if found := difference(before[key], after[key], name):
                return found
        return None
    if isinstance(before, list | tuple) and isinstance(after, list | tuple) and len(before) == len(after):
        for at, (one, other) in enumerate(zip(before, after, strict=True)):
            if found := difference(one, other, f"{path}[{at}]"):
                return found
        return None
    return None if type(before) is type(after) and before == after else path or "description"


def as_json(document: Mapping[str, Any], field: str) -> str:
    """A mapping as JSON that reads back as it is; Misuse, naming the field, where it would not."""
    try:
        text = msgspec.json.encode(dict(document)).decode()
    except (TypeError, ValueError, OverflowError) as error:
        raise Misuse(f"it cannot be kept ({error})", field=field, fix="Give what JSON can say.") from None
    found = difference(document, msgspec.json.decode(text), field)
    if found:
        raise Misuse("its value has no form in JSON", field=found, fix="Give finite numbers, texts or lists.")
    return text


def split(value: float | None) -> tuple[float | None, str | None]:
    """A number as one that every database keeps, and the name of one that not all do."""
    if value is None or math.isfinite(value):
        return value, None
    return None, repr(value)


def joined(value: float | None, odd: str | None) -> float | None:
    """The number that `split` took apart."""
    return value if odd is None else float(odd)


def same(one: float, other: float) -> bool:
    """Whether two values are equal, nan to nan as well."""
    return one == other or (math.isnan(one) and math.isnan(other))


_canonical = msgspec.json.Encoder(order="deterministic").encode
