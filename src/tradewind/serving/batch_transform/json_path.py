"""The part of JSONPath that SageMaker's filters take: names, indices, slices and unions of them.

Amazon SageMaker, "Associate Prediction Results with Input Records": `$`, `.name`, `['name']`, `[0]`, `[1:3]`,
`[0,2]`, `['a','b']`, `*`. Several values are given as a list, in their order; of a single place, its value.
Recursive descent and expressions are refused.
"""

from __future__ import annotations

import re
from typing import Any

from msgspec import Struct

from tradewind.errors import Misuse

_STEP = re.compile(r"\.(\*|[A-Za-z_][\w-]*)|\[\s*((?:'[^']*'|\"[^\"]*\"|[^\]'\"])*?)\s*\]")
_SLICE = re.compile(r"(-?\d+)?\s*:\s*(-?\d+)?(?:\s*:\s*(-?\d+)?)?")
_NAME = re.compile(r"'([^']*)'|\"([^\"]*)\"")
_PART = re.compile(r"\s*('[^']*'|\"[^\"]*\"|[^,]+?)\s*(?:,|$)")

Part = str | int | tuple[int | None, int | None, int | None] | None
"""A name, an index, a slice, or None for everything."""


class Path(Struct, frozen=True):
    """A path, step by step; each step is a union of parts."""

    text: str
    steps: tuple[tuple[Part, ...], ...]

    @property
    def whole(self) -> bool:
        """Whether it is `$`: everything."""
        return not self.steps

    def of(self, value: Any) -> Any:
        """What the path finds in a value; a list where it may find several. Misuse where there is nothing."""
        found, single = [value], True
        for step in self.steps:
            single = single and len(step) == 1 and isinstance(step[0], str | int)
            found = [each for where in found for part in step for each in _chosen(where, part)]
        if single and not found:
            raise Misuse("finds nothing in a record", source=self.text, field="filter")
        return found[0] if single else found


def _chosen(where: Any, part: Part) -> list[Any]:
    if isinstance(part, str):
        return [where[part]] if isinstance(where, dict) and part in where else []
    if part is None:
        return list(where.values()) if isinstance(where, dict) else list(where) if _is_list(where) else []
    if not _is_list(where):
        return []
    if isinstance(part, int):
        return [where[part]] if -len(where) <= part < len(where) else []
    return list(where[slice(*part)])


def _is_list(value: Any) -> bool:
    return isinstance(value, list)


def path(text: str) -> Path:
    """The path that a text says; Misuse where it says none that is served.

    >>> path("$.features[0:2]").of({"features": [1, 2, 3]})
    [1, 2]
    """
    stripped = text.strip() or "$"
    if not stripped.startswith("$"):
        raise _wrong(text, "it does not begin with $")
    at, steps = 1, []
    while at < len(stripped):
        found = _STEP.match(stripped, at)
        if found is None:
            raise _wrong(text, f"{stripped[at:][:30]!r} is not understood")
        name, inside = found.groups()
        steps.append(
            (None if name == "*" else name,) if name is not None else _parts(inside, text)
        )  # fmt: skip
        at = found.end()
    return Path(text, tuple(steps))


def _parts(inside: str, text: str) -> tuple[Part, ...]:
    parts: list[Part] = []
    at = 0
    while at < len(inside):
        found = _PART.match(inside, at)
        if found is None:
            raise _wrong(text, f"[{inside}] is not understood")
        parts.append(_part(found[1], text))
        at = found.end()
    if not parts:
        raise _wrong(text, "[] is empty")
    return tuple(parts)


def _part(said: str, text: str) -> Part:
    if said == "*":
        return None
    if named := _NAME.fullmatch(said):
        return named[1] if named[1] is not None else named[2]
    if re.fullmatch(r"-?\d+", said):
        return int(said)
    if cut := _SLICE.fullmatch(said):
        start, stop, step = (None if each is None else int(each) for each in cut.groups())
        if step is not None and step <= 0:
            raise _wrong(text, "a slice goes forward")
        return (start, stop, step)
    raise _wrong(text, f"[{said}] is not understood")


def _wrong(text: str, why: str) -> Misuse:
    return Misuse(f"{text!r} is no path that is served: {why}", field="filter", fix="Such as $[1:] or $.id.")
