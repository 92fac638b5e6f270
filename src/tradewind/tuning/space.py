"""A search space: which hyper-parameters there are, and between which values."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import ArrayLike, NDArray

from tradewind.errors import Misuse, suggestion
from tradewind.tuning.trial import Setting, Value

_KEYS = ("low", "high", "log", "values", "when")


class Float(Struct, frozen=True):
    """A real number from `low` to `high`, both possible; evenly, or evenly in its logarithm."""

    low: float
    high: float
    log: bool = False


class Integer(Struct, frozen=True):
    """A whole number from `low` to `high`, both possible; evenly, or evenly in its logarithm."""

    low: int
    high: int
    log: bool = False


class Choice(Struct, frozen=True):
    """One of some values without order."""

    values: tuple[Value, ...]

    def index(self, value: Value) -> int:
        """The place of a value among them, True told from 1; ValueError where it is none of them."""
        return [_key(each) for each in self.values].index(_key(value))


Dimension = Float | Integer | Choice


class Parameter(Struct, frozen=True):
    """A hyper-parameter, and under which condition there is one."""

    name: str
    of: Dimension
    when: tuple[tuple[str, tuple[Value, ...]], ...] = ()
    """Parameters named before it, each with the values of which it must have one."""


class Space(Struct, frozen=True):
    """Hyper-parameters in their order. A point of the unit cube (d,) has a coordinate for each."""

    parameters: tuple[Parameter, ...]

    @classmethod
    def of(cls, document: Mapping[str, Any], source: str = "space") -> Space:
        """The space that a mapping says, name by name.

        A value is a list of choices; a mapping with `low`, `high` and optionally `log`, whole if both bounds
        are; or a mapping with `values`. With `when = {other = value or list}` there is the parameter only
        where that one, named before it, has such a value. Or it is a Float, Integer or Choice. Misuse, naming
        the parameter, for anything else, for bounds in the wrong order and for conditions that never hold.
        """
        if not document:
            raise Misuse("there is nothing to search", source=source, fix="Name a parameter and its values.")
        found: list[Parameter] = []
        for name, given in document.items():
            found.append(_parameter(str(name), given, found, source))
        return cls(tuple(found))

    def __len__(self) -> int:
        return len(self.parameters)

    @property
    def names(self) -> tuple[str, ...]:
        """Of the parameters, in their order."""
        return tuple(each.name for each in self.parameters)

    @property
    def size(self) -> int | None:
        """How many settings there are at most; None for more than can be counted."""
        if any(isinstance(each.of, Float) and each.of.low < each.of.high for each in self.parameters):
            return None
        return sum(1 for _ in self.grid(1)) if not self._large() else None

    def _large(self) -> bool:
        return math.prod(_count(each.of) for each in self.parameters) > 1_000_000

    def setting(self, point: ArrayLike) -> Setting:
        """The setting at a point of the unit cube (d,)."""
        coordinates = np.clip(np.asarray(point, np.float64), 0.0, 1.0)
        found: Setting = {}
        for each, unit in zip(self.parameters, coordinates, strict=True):
            if _holds(each, found):
                found[each.name] = _value(each.of, float(unit))
        return found

    def point(self, setting: Mapping[str, Value]) -> NDArray[np.float64]:
        """The middle of what the unit cube (d,) has for a setting; nan for parameters that it leaves out."""
        found = np.full(len(self.parameters), np.nan)
        for at, each in enumerate(self.parameters):
            if each.name in setting:
                found[at] = _unit(each.of, setting[each.name])
        return found

    def check(self, setting: Mapping[str, Value], source: str = "setting") -> Setting:
        """The setting, in the space's order; Misuse if it is not one of the space."""
        for name in setting:
            if name not in self.names:
                raise Misuse("is no parameter", source=source, field=name, fix=suggestion(name, self.names))
        found: Setting = {}
        for each in self.parameters:
            if not _holds(each, found):
                if each.name in setting:
                    raise Misuse(
                        "has no place here", source=source, field=each.name,
                        fix=f"It goes with {_condition(each)}.",
                    )  # fmt: skip
                continue
            if each.name not in setting:
                raise Misuse("is missing", source=source, field=each.name, fix=f"Give {_said(each.of)}.")
            value = setting[each.name]
            if not _contains(each.of, value):
                raise Misuse(
                    f"{value!r} is outside", source=source, field=each.name, fix=f"Give {_said(each.of)}."
                )
            found[each.name] = value
        return found

    def fits(self, setting: Mapping[str, Value]) -> bool:
        """Whether it is one of the space."""
        try:
            self.check(setting)
        except Misuse:
            return False
        return True

    def has(self, name: str, setting: Mapping[str, Value]) -> bool:
        """Whether there is a parameter beside these values of those before it."""
        return all(_holds(each, setting) for each in self.parameters if each.name == name)

    def grid(self, points: int) -> Iterator[Setting]:
        """Every combination of choices and of `points` values of each number, in order, none twice.

        A whole number that has fewer values gives all of them; with one point a space without reals is
        gone through whole.
        """
        seen: set[tuple[tuple[str, Value], ...]] = set()
        for units in itertools.product(*(_ticks(each.of, points) for each in self.parameters)):
            setting = self.setting(units)
            key = tuple((name, _key(value)) for name, value in setting.items())
            if key not in seen:
                seen.add(key)
                yield setting


def _parameter(name: str, given: Any, before: Sequence[Parameter], source: str) -> Parameter:
    if isinstance(given, Float | Integer | Choice):
        return Parameter(name, _checked(given, name, source))
    if isinstance(given, Mapping):
        for key in given:
            if key not in _KEYS:
                raise Misuse(
                    f"{key!r} says nothing of a parameter", source=source, field=name,
                    fix=suggestion(str(key), _KEYS),
                )  # fmt: skip
        when = _conditions(name, given.get("when", {}), before, source)
        if "values" in given:
            if isinstance(given["values"], str | bytes) or not isinstance(given["values"], Iterable):
                raise Misuse(
                    f"{given['values']!r} is no list", source=source, field=name, fix="Give values = [...]."
                )
            return Parameter(name, _checked(Choice(tuple(given["values"])), name, source), when)
        if "low" in given and "high" in given:
            bounds = (given["low"], given["high"])
            if any(isinstance(bound, bool) or not isinstance(bound, int | float) for bound in bounds):
                raise Misuse(f"{bounds!r} are no bounds", source=source, field=name, fix="Give two numbers.")
            log = given.get("log", False)
            if not isinstance(log, bool):
                raise Misuse(f"log = {log!r}", source=source, field=name, fix="Give log = true or false.")
            whole = all(isinstance(bound, int) for bound in bounds)
            kind = Integer(*bounds, log) if whole else Float(float(bounds[0]), float(bounds[1]), log)
            return Parameter(name, _checked(kind, name, source), when)
    elif isinstance(given, Sequence | np.ndarray) and not isinstance(given, str | bytes):
        values = given.tolist() if isinstance(given, np.ndarray) else given
        return Parameter(name, _checked(Choice(tuple(values)), name, source))
    raise Misuse(
        f"{given!r} is no range", source=source, field=name,
        fix="Give a list of values, or low and high.",
    )  # fmt: skip


def _checked(kind: Dimension, name: str, source: str) -> Dimension:
    if isinstance(kind, Choice):
        if not kind.values:
            raise Misuse("there is nothing to choose", source=source, field=name, fix="Give values.")
        for value in kind.values:
            if not isinstance(value, bool | int | float | str | None) or value != value:  # noqa: PLR0124
                raise Misuse(
                    f"{value!r} cannot be a choice", source=source, field=name,
                    fix="Give texts, numbers, true or false.",
                )  # fmt: skip
        if len({_key(value) for value in kind.values}) < len(kind.values):
            raise Misuse("a choice is there twice", source=source, field=name, fix="Name each once.")
        return kind
    if not (math.isfinite(kind.low) and math.isfinite(kind.high)) or kind.low > kind.high:
        raise Misuse(
            f"nothing lies from {kind.low} to {kind.high}", source=source, field=name,
            fix="Give the lower bound first, both finite.",
        )  # fmt: skip
    if kind.log and kind.low <= 0:
        raise Misuse(
            f"there is no logarithm of {kind.low}", source=source, field=name,
            fix="Give bounds above 0, or leave log out.",
        )  # fmt: skip
    return kind


def _conditions(
    name: str, given: Any, before: Sequence[Parameter], source: str
) -> tuple[tuple[str, tuple[Value, ...]], ...]:
    known = {each.name: each for each in before}
    if not isinstance(given, Mapping):
        raise Misuse(
            "when= names no parameter", source=source, field=name, fix="Give when = {other = value}."
        )
    found: list[tuple[str, tuple[Value, ...]]] = []
    for other, wanted in given.items():
        if other not in known:
            raise Misuse(
                f"its condition names {other!r}, which does not come before it", source=source, field=name,
                fix=suggestion(str(other), known) if known else "Name that one first.",
            )  # fmt: skip
        values = tuple(wanted) if isinstance(wanted, list | tuple) else (wanted,)
        if not values or not all(_contains(known[other].of, value) for value in values):
            raise Misuse(
                f"its condition never holds: {other} is not {' or '.join(map(repr, values))}",
                source=source, field=name, fix=f"{other} is {_said(known[other].of)}.",
            )  # fmt: skip
        found.append((str(other), values))
    if never := _contradiction(found, known, {}):
        raise Misuse(
            f"its condition never holds: no value of {never} allows all of it", source=source, field=name,
            fix=f"Mind under which condition there is {' and '.join(other for other, _ in found)}.",
        )  # fmt: skip
    return tuple(found)


def _contradiction(
    when: Iterable[tuple[str, tuple[Value, ...]]],
    known: Mapping[str, Parameter],
    allowed: dict[str, set[Any]],
) -> str:
    """The parameter of which the conditions, and those of what they name, leave no value; else empty."""
    for name, values in when:
        keys = {_key(value) for value in values}
        allowed[name] = allowed.get(name, keys) & keys
        if not allowed[name]:
            return name
        if never := _contradiction(known[name].when, known, allowed):
            return never
    return ""


def _holds(parameter: Parameter, setting: Mapping[str, Value]) -> bool:
    return all(
        name in setting and any(_key(setting[name]) == _key(value) for value in values)
        for name, values in parameter.when
    )


def _key(value: Value) -> Any:
    """Tells True from 1, which are equal."""
    return (isinstance(value, bool), value)


def _count(kind: Dimension) -> float:
    if isinstance(kind, Choice):
        return len(kind.values)
    if isinstance(kind, Integer) or kind.low == kind.high:
        return 1 + (kind.high - kind.low)
    return math.inf


def _value(kind: Dimension, unit: float) -> Value:
    if isinstance(kind, Choice):
        return kind.values[min(int(unit * len(kind.values)), len(kind.values) - 1)]
    low, high = _stretched(kind)
    if kind.log:
        found = math.exp(math.log(low) + unit * (math.log(high) - math.log(low)))
    else:
        found = low + unit * (high - low)
    if isinstance(kind, Integer):
        return min(max(round(found), kind.low), kind.high)
    return min(max(found, kind.low), kind.high)


def _unit(kind: Dimension, value: Value) -> float:
    if isinstance(kind, Choice):
        return (kind.index(value) + 0.5) / len(kind.values)
    low, high = _stretched(kind)
    assert isinstance(value, int | float)
    if kind.log:
        low, high, value = math.log(low), math.log(high), math.log(value)
    # Bounds that differ may have one logarithm.
    return (value - low) / (high - low) if low < high else 0.5


def _stretched(kind: Float | Integer) -> tuple[float, float]:
    """The bounds, of whole numbers half a step out, so that each has its share of the cube."""
    return (kind.low - 0.5, kind.high + 0.5) if isinstance(kind, Integer) else (kind.low, kind.high)


def _ticks(kind: Dimension, points: int) -> list[float]:
    if isinstance(kind, Choice):
        return [_unit(kind, value) for value in kind.values]
    if isinstance(kind, Integer) and (points == 1 or kind.high - kind.low < points):
        return [_unit(kind, value) for value in range(kind.low, kind.high + 1)]
    return [0.5] if points == 1 else np.linspace(0.0, 1.0, points).tolist()


def _contains(kind: Dimension, value: Any) -> bool:
    if isinstance(kind, Choice):
        return any(_key(each) == _key(value) for each in kind.values)
    if isinstance(value, bool) or not isinstance(value, int if isinstance(kind, Integer) else int | float):
        return False
    return bool(kind.low <= value <= kind.high)


def _said(kind: Dimension) -> str:
    if isinstance(kind, Choice):
        return "one of " + ", ".join(map(repr, kind.values))
    return f"{'a whole number' if isinstance(kind, Integer) else 'a number'} from {kind.low} to {kind.high}"


def _condition(parameter: Parameter) -> str:
    return ", ".join(f"{name} = {' or '.join(map(repr, values))}" for name, values in parameter.when)
