"""Compares what two runs of one workload came to: exit code, output, answers, files, within bounds."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Sequence
from typing import Any

from msgspec import Struct

from tradewind.audit.tracing.outcome import Answer, Outcome
from tradewind.audit.tracing.workload import Workload
from tradewind.errors import Misuse

_SHOWN = 120


class Replacement(Struct, frozen=True, forbid_unknown_fields=True):
    """What is not to count: every match of `pattern` is taken for `by` before texts are compared."""

    pattern: str
    by: str = ""


class Bounds(Struct, frozen=True, forbid_unknown_fields=True):
    """What may differ between two runs of one workload. By default nothing may."""

    relative: float = 0.0
    """By how much of the larger two numbers in JSON may differ."""
    absolute: float = 0.0
    ignore: tuple[Replacement, ...] = ()
    """Times, addresses, names that chance makes: replaced in outputs and bodies, in this order."""
    headers: tuple[str, ...] = ("content-type",)
    """Headers of answers that are compared, by their lower-case names."""
    stderr: bool = False
    """Whether what is written to the error output is compared too; it often holds times."""

    def check(self, source: str) -> None:
        """Raise Misuse for a bound that means nothing."""
        for field, value in (("relative", self.relative), ("absolute", self.absolute)):
            if not 0 <= value < math.inf:
                raise Misuse(
                    f"{value} is no bound", source=source, field=field, fix="Give a number, 0 or more."
                )
        for at, each in enumerate(self.ignore):
            try:
                re.compile(each.pattern)
            except re.error as error:
                raise Misuse(f"no pattern: {error}", source=source, field=f"ignore[{at}].pattern") from None


class Difference(Struct, frozen=True):
    """One thing in which two outcomes differ."""

    where: str
    """`exit code`, `stdout`, `request 3: body.scores[0]`, `output /out/model.bin`, ..."""
    original: str
    other: str


def differences(
    original: Outcome,
    other: Outcome,
    bounds: Bounds | None = None,
    workload: Workload | None = None,
    *,
    service: bool = False,
) -> tuple[Difference, ...]:
    """In what the second outcome differs from the first; nothing if they are the same within the bounds.

    JSON texts are compared by value, others by byte. With the workload, answers are held to the status and
    the body that its requests expect as well, on both sides. Of a `service` the answers count and not what it
    logs: how often it is asked whether it is ready is chance, and so are the ports that it is asked from.
    """
    bounds = bounds or Bounds()
    log = service or (workload is not None and workload.long_running)
    return tuple(_differences(original, other, bounds, workload, log))


def _differences(
    original: Outcome, other: Outcome, bounds: Bounds, workload: Workload | None, log: bool
) -> Iterator[Difference]:
    if original.exit_code != other.exit_code:
        yield Difference("exit code", str(original.exit_code), str(other.exit_code))
    if original.problem != other.problem:
        yield Difference("end", original.problem or "as it should", other.problem or "as it should")
    if not log:
        yield from _content("stdout", original.stdout, other.stdout, bounds)
    if bounds.stderr and not log:
        yield from _content("stderr", original.stderr, other.stderr, bounds)
    if len(original.answers) != len(other.answers):
        yield Difference("answers", str(len(original.answers)), str(len(other.answers)))
    for at, (one, two) in enumerate(zip(original.answers, other.answers, strict=False)):
        yield from _answers(f"request {at + 1}", one, two, bounds)
    mine, others = ({each.path: each for each in outcome.outputs} for outcome in (original, other))
    for path in sorted({*mine, *others}):
        first, second = mine.get(path), others.get(path)
        if first is None or second is None:
            missing = "missing"
            yield Difference(
                f"output {path}", first.digest if first else missing, second.digest if second else missing
            )
        elif first.digest != second.digest:
            if first.content is None or second.content is None:
                yield Difference(f"output {path}", first.digest, second.digest)
            else:
                yield from _content(f"output {path}", first.content, second.content, bounds)
    if workload is not None:
        for name, outcome in (("original", original), ("other", other)):
            yield from _unexpected(name, outcome.answers, workload)


def _answers(where: str, one: Answer, two: Answer, bounds: Bounds) -> Iterator[Difference]:
    if one.problem or two.problem:
        if one.problem != two.problem:
            yield Difference(where, one.problem or str(one.status), two.problem or str(two.status))
        return
    if one.status != two.status:
        yield Difference(f"{where}: status", str(one.status), str(two.status))
    first, second = ({name.lower(): value for name, value in each.headers} for each in (one, two))
    for name in bounds.headers:
        if first.get(name) != second.get(name):
            yield Difference(f"{where}: header {name}", str(first.get(name)), str(second.get(name)))
    yield from _content(f"{where}: body", one.body, two.body, bounds)


def unexpected(name: str, answers: Sequence[Answer], workload: Workload) -> tuple[Difference, ...]:
    """Answers that are not what the requests expect, whichever image, called `name`, gave them."""
    return tuple(_unexpected(name, answers, workload))


def _unexpected(name: str, answers: Sequence[Answer], workload: Workload) -> Iterator[Difference]:
    for at, (answer, request) in enumerate(zip(answers, workload.requests, strict=False)):
        where = f"request {at + 1} on the {name}"
        wanted = "below 500" if request.status is None else str(request.status)
        fits = 0 < answer.status < 500 if request.status is None else answer.status == request.status
        if not fits:
            yield Difference(f"{where}: status expected", wanted, answer.problem or str(answer.status))
        if request.json is not None:
            held = _parsed(answer.body)
            if held is _NO_JSON or not _holds(request.json, held):
                yield Difference(f"{where}: body expected", json.dumps(request.json), _shown(answer.body))


def _holds(wanted: Any, found: Any) -> bool:
    """Whether what is found has everything that is wanted: objects may have more keys."""
    if isinstance(wanted, dict):
        return isinstance(found, dict) and all(k in found and _holds(v, found[k]) for k, v in wanted.items())
    return bool(wanted == found)


_NO_JSON = object()


def _parsed(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return _NO_JSON


def _content(where: str, one: bytes, two: bytes, bounds: Bounds) -> Iterator[Difference]:
    if one == two:
        return
    first, second = _levelled(one, bounds), _levelled(two, bounds)
    if first == second:
        return
    left, right = _parsed(first), _parsed(second)
    if left is not _NO_JSON and right is not _NO_JSON:
        yield from _values(where, left, right, bounds)
        return
    at = next(
        (n for n, (a, b) in enumerate(zip(first, second, strict=False)) if a != b),
        min(len(first), len(second)),
    )
    start = max(0, at - 20)
    yield Difference(f"{where}, byte {at}", _shown(first[start:]), _shown(second[start:]))


def _levelled(content: bytes, bounds: Bounds) -> bytes:
    for each in bounds.ignore:
        content = re.sub(each.pattern.encode(), each.by.encode(), content)
    return content


def _values(where: str, one: Any, two: Any, bounds: Bounds) -> Iterator[Difference]:
    """Where two values of JSON differ by more than the bounds."""
    if isinstance(one, dict) and isinstance(two, dict):
        for key in sorted({*one, *two}):
            if key not in one or key not in two:
                told = (_shown_value(each.get(key)) if key in each else "missing" for each in (one, two))
                yield Difference(f"{where}.{key}", *told)
            else:
                yield from _values(f"{where}.{key}", one[key], two[key], bounds)
    elif isinstance(one, list) and isinstance(two, list):
        if len(one) != len(two):
            yield Difference(f"{where}: length", str(len(one)), str(len(two)))
        for at, (left, right) in enumerate(zip(one, two, strict=False)):
            yield from _values(f"{where}[{at}]", left, right, bounds)
    elif _number(one) and _number(two):
        # NaN is what JSON should not hold and Python writes all the same; it equals itself here.
        same = one == two or (math.isnan(one) and math.isnan(two))
        if not same and not math.isclose(one, two, rel_tol=bounds.relative, abs_tol=bounds.absolute):
            yield Difference(where, repr(one), repr(two))
    elif type(one) is not type(two) or one != two:
        yield Difference(where, _shown_value(one), _shown_value(two))


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _shown_value(value: object) -> str:
    return _shown(json.dumps(value, sort_keys=True).encode())


def _shown(content: bytes) -> str:
    text = content[: 4 * _SHOWN].decode(errors="replace")
    text = "".join(c if c.isprintable() else " " for c in text)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."
