"""A space as JSON, by which a study knows it again, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from tradewind.errors import Misuse
from tradewind.tuning.space import Choice, Dimension, Float, Integer, Parameter, Space


def described(space: Space) -> list[dict[str, Any]]:
    """A space as JSON says it, parameter by parameter."""
    return [
        {
            "name": each.name,
            "of": {"kind": type(each.of).__name__, **_plain(each.of)},
            "when": {name: list(values) for name, values in each.when},
        }
        for each in space.parameters
    ]


def space_of(documents: Sequence[Mapping[str, Any]], source: str = "space") -> Space:
    """The space that `described` said; Misuse for what it did not say."""
    try:
        return Space(
            tuple(
                Parameter(
                    each["name"],
                    _dimension(each["of"]),
                    tuple((name, tuple(values)) for name, values in each["when"].items()),
                )
                for each in documents
            )
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Misuse(f"{error!r}", source=source, field="space", fix="It is no description.") from None


def _plain(kind: Struct) -> dict[str, Any]:
    found = {name: getattr(kind, name) for name in kind.__struct_fields__}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in found.items()}


def _dimension(document: Mapping[str, Any]) -> Dimension:
    kind = document["kind"]
    if kind == "Choice":
        return Choice(tuple(document["values"]))
    if kind == "Integer":
        return Integer(document["low"], document["high"], document["log"])
    if kind == "Float":
        return Float(float(document["low"]), float(document["high"]), document["log"])
    raise ValueError(kind)
