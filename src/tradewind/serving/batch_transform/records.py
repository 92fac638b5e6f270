"""Records of an object: cut apart, filtered, packed into payloads, and joined with what was answered.

Amazon SageMaker, "CreateTransformJob" (SplitType, BatchStrategy, MaxPayloadInMB, AssembleWith) and "Associate
Prediction Results with Input Records" (InputFilter, JoinSource, OutputFilter).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from tradewind.errors import Misuse
from tradewind.serving.batch_transform.json_path import Path, path

CSV, JSON, LINES = "text/csv", "application/json", "application/jsonlines"
_WHOLE = path("$")


class Processing(Struct, frozen=True):
    """What is taken of a record for the model, and of both for the output."""

    input: Path = _WHOLE
    output: Path = _WHOLE
    join: bool = False
    """Whether the answer is put beside the record that it answers."""

    @property
    def reads(self) -> bool:
        """Whether records and answers must be read one by one."""
        return self.join or not self.input.whole or not self.output.whole


def kind_of(content_type: str) -> str:
    """The kind of records that a content type means: CSV, JSON or JSON lines; else the type itself."""
    base = content_type.partition(";")[0].strip().lower()
    return {"application/x-jsonlines": LINES, "application/x-ndjson": LINES}.get(base, base)


def cut(content: bytes, lines: bool) -> list[bytes]:
    """The records of an object: its lines that are not blank, or all of it."""
    if not lines:
        return [content]
    return [line for line in content.replace(b"\r\n", b"\n").split(b"\n") if line.strip()]


def payloads(records: Sequence[bytes], largest: int, several: bool) -> Iterator[list[int]]:
    """Which records go together: as many in a row as fit into `largest` bytes, or one each.

    Misuse for a record that is larger by itself.
    """
    batch: list[int] = []
    size = 0
    for number, record in enumerate(records):
        if len(record) > largest:
            raise Misuse(
                f"record {number} has {len(record)} bytes, and a payload may have {largest}",
                field="MaxPayloadInMB", fix="Allow more, or cut the records apart.",
            )  # fmt: skip
        if batch and (not several or size + len(record) + 1 > largest):
            yield batch
            batch, size = [], 0
        batch.append(number)
        size += len(record) + 1
    if batch:
        yield batch


def read(record: bytes, kind: str) -> Any:
    """A record as values: of CSV the list of its cells, of JSON what it says. Misuse if it cannot be read."""
    if kind == CSV:
        try:
            rows = list(csv.reader(io.StringIO(record.decode()), strict=True))
        except (csv.Error, UnicodeDecodeError) as problem:
            raise Misuse(f"is no line of CSV: {problem}", source=_begin(record)) from None
        if len(rows) != 1:
            raise Misuse(f"is {len(rows)} rows of CSV", source=_begin(record))
        return rows[0]
    try:
        return msgspec.json.decode(record)
    except msgspec.DecodeError as problem:
        raise Misuse(f"is no JSON: {problem}", source=_begin(record)) from None


def written(value: Any, kind: str) -> bytes:
    """A record as bytes, without an end of line."""
    if kind != CSV:
        return msgspec.json.encode(value)
    if not isinstance(value, list):
        value = [value]
    for cell in value:
        if isinstance(cell, list | dict):
            raise Misuse("a cell of CSV cannot hold a list or an object", field="filter", fix="Write JSON.")
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="").writerow(value)
    return text.getvalue().encode()


def taken(record: bytes, kind: str, processing: Processing) -> bytes:
    """What of a record is sent to the model."""
    if processing.input.whole:
        return record
    return written(processing.input.of(read(record, kind)), kind)


def joined(record: bytes, answer: bytes, kind: str, processing: Processing) -> bytes:
    """What is written for a record and its answer.

    Joined, a record of CSV has its answer's cells behind its own; an object has the answer as
    `SageMakerOutput`; any other value is `SageMakerInput` beside it.
    """
    if not processing.join and processing.output.whole:
        return answer
    value = read(answer, kind)
    if processing.join:
        given = read(record, kind)
        if kind == CSV:
            value = [*given, *value]
        elif isinstance(given, dict):
            value = {**given, "SageMakerOutput": value}
        else:
            value = {"SageMakerInput": given, "SageMakerOutput": value}
    return written(processing.output.of(value), kind)


def _begin(record: bytes) -> str:
    return repr(record[:60].decode(errors="replace"))
