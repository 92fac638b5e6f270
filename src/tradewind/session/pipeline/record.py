"""How far a pipeline is: a JSON file, written anew after every step, from which the next attempt goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from tradewind.data.durable_files import write_durably
from tradewind.errors import Corrupt, Misuse

FILE = "pipeline.json"


class TunedStep(Struct, frozen=True):
    """What the search came to."""

    directory: str
    trials: int
    cost: float
    """US dollars that all its trials have cost, whatever attempt they were in."""
    seconds: float
    """Of the market's time, without attempts that were killed."""
    fields: dict[str, Any]
    """The best setting, as dotted fields of the spec."""


class TrainedStep(Struct, frozen=True):
    """What the training came to."""

    directory: str
    cost: float
    seconds: float
    quality: float | None
    metric: str


class AuditedStep(Struct, frozen=True):
    """What was found in what is deployed, when it was last looked at."""

    verdict: str
    """`passed`, `refused` or `undecided`."""
    moment: float
    """The wall's."""
    model_files: int
    packages: int
    """Of the environment that serves."""
    known: int
    """Known vulnerabilities of those packages."""
    unanswered: int
    """Packages that no fresh source speaks of."""
    reasons: tuple[str, ...] = ()
    """Why it did not pass."""
    sources: tuple[str, ...] = ()
    """Of advisories, with their age."""


class ServedStep(Struct, frozen=True):
    """A stretch of serving."""

    url: str
    began: float
    """The wall's moment."""
    drained: bool | None = None
    """Whether every request was answered in the end; None while it serves, or where it was killed."""
    directory: str = ""
    """Of the endpoint's run where its replicas are rented."""


class PipelineRecord(Struct, frozen=True, kw_only=True):
    """Everything that is done so far."""

    digest: str
    """Of the spec."""
    began: float
    """The wall's moment."""
    spent: float = 0.0
    """US dollars of a search that is paused."""
    searched: float = 0.0
    """Seconds of the market's time of it."""
    tuned: TunedStep | None = None
    trained: TrainedStep | None = None
    audited: AuditedStep | None = None
    served: ServedStep | None = None


def read_record(home: Path) -> PipelineRecord | None:
    """The record in a pipeline's folder; None where there is none. Corrupt where it cannot be read."""
    where = home / FILE
    try:
        return msgspec.json.decode(where.read_bytes(), type=PipelineRecord)
    except FileNotFoundError:
        return None
    except (msgspec.DecodeError, OSError) as problem:
        raise Corrupt(f"{where}: not the record of a pipeline ({problem})") from None


def write_record(home: Path, record: PipelineRecord) -> PipelineRecord:
    """Keep the record, whole or not at all."""
    write_durably(home / FILE, msgspec.json.format(msgspec.json.encode(record), indent=2))
    return record


def begun(home: Path, digest: str, now: float) -> PipelineRecord:
    """The record to go on from, made where there is none. Misuse where it is another pipeline's."""
    found = read_record(home)
    if found is None:
        return write_record(home, PipelineRecord(digest=digest, began=now))
    if found.digest != digest:
        raise Misuse(
            "the pipeline of that name was begun with another spec", source=str(home), field="name",
            fix="Give this one another name, or remove the folder to begin anew.",
        )  # fmt: skip
    return found
