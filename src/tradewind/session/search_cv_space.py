"""What scikit-learn's searches take as parameters to try, as a search space, and its settings back again."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from msgspec import Struct

from tradewind.errors import Misuse, suggestion
from tradewind.tuning.space import Choice, Dimension, Float, Integer, Space
from tradewind.tuning.trial import Setting, Trial

GRID = "(grid)"
"""The parameter that says which of several mappings a setting is from."""
TAIL = 0.001
"""The share of a distribution without bounds that is left out at an end without one."""
DRAWS = 2**31 - 2
"""Seeds for a distribution that can only be drawn from."""
_LISTED, _RANGED, _DRAWN = "listed", "ranged", "drawn"


class WrongSearch(Misuse, ValueError):
    """Misuse that those who call scikit-learn's way catch as ValueError."""


class Range(Struct, frozen=True, kw_only=True):
    """What one parameter of the estimator may be."""

    name: str
    """The estimator's own name for it."""
    label: str
    """Its name in the search space."""
    said: dict[str, Any]
    """As `Space.of` takes it."""
    how: str
    """`listed`, `ranged` or `drawn`."""
    values: tuple[Any, ...] = ()
    """What is meant by each of the choices, where they are listed."""
    meant: Callable[[Any], Any] | None = None
    """From a number of the space to the value."""

    def value(self, found: Any) -> Any:
        """The value of the estimator's parameter."""
        if self.how == _LISTED:
            return self.values[Choice(tuple(self.said["values"])).index(found)]
        return found if self.meant is None else self.meant(found)


class Searched:
    """The space of a mapping from parameters to values, or of several.

    A parameter has a list of values of any kind; a mapping with `low`, `high` and optionally `log`; a
    dimension of `tuning.space`; or a frozen distribution of scipy: uniform, loguniform and randint are
    ranges, of others the space has the quantile, and of what can only be drawn from (`rvs`) the number of the
    draw.
    WrongSearch, naming the parameter, for anything else.
    """

    def __init__(self, given: Any, source: str = "param_distributions") -> None:
        self.tables: tuple[tuple[Range, ...], ...] = ()
        self.random_only = ""
        """A parameter that no search but a random one can look for; empty where there is none."""
        if isinstance(given, Space):
            self.space = given
            return
        tables = [given] if isinstance(given, Mapping) else given
        if not isinstance(tables, Sequence) or not tables or not all(isinstance(e, Mapping) for e in tables):
            raise WrongSearch(
                f"{given!r} is no mapping from parameters to values, nor a list of such", source=source,
                fix='Write it as {"C": [0.1, 1, 10]}.',
            )  # fmt: skip
        several = len(tables) > 1
        self.tables = tuple(
            tuple(
                _range(name, table[name], f"{name} [{at}]" if several else str(name), source)
                for name in sorted(table)
            )
            for at, table in enumerate(tables)
        )
        document: dict[str, Any] = {}
        if several or not self.tables[0]:
            document[GRID] = list(range(len(tables)))
        for at, ranges in enumerate(self.tables):
            for each in ranges:
                when = dict(each.said.get("when", {}))
                document[each.label] = {**each.said, "when": {GRID: at, **when} if several else when}
        try:
            self.space = Space.of(document, source)
        except Misuse as problem:
            raise WrongSearch(str(problem)) from None
        drawn = (each.name for ranges in self.tables for each in ranges if each.how == _DRAWN)
        self.random_only = next(drawn, "")

    def params(self, setting: Setting) -> dict[str, Any]:
        """The estimator's parameters that a setting of the space means."""
        if not self.tables:
            return dict(setting)
        table = self.tables[int(setting[GRID] or 0)] if GRID in setting else self.tables[0]
        return {each.name: each.value(setting[each.label]) for each in table if each.label in setting}

    @property
    def size(self) -> int | None:
        """How many settings are listed; None where not all is in lists."""
        listed = all(e.how == _LISTED and "when" not in e.said for ranges in self.tables for e in ranges)
        return sum(map(_count, self.tables)) if self.tables and listed else None

    def at(self, index: int) -> Setting:
        """The setting of that number among the listed ones, in the order of scikit-learn's ParameterGrid."""
        number = 0
        while index >= (count := _count(self.tables[number])):
            index, number = index - count, number + 1
        found: Setting = {}
        for each in reversed(self.tables[number]):
            index, place = divmod(index, len(each.values))
            found[each.label] = each.said["values"][place]
        chosen: Setting = {GRID: number} if GRID in self.space.names else {}
        return {**chosen, **dict(reversed(found.items()))}

    @property
    def objects(self) -> list[Any]:
        """The values in lists that the space knows by a name only."""
        return [
            value
            for ranges in self.tables
            for each in ranges
            for value, told in zip(each.values, each.said.get("values", ()), strict=True)
            if value is not told
        ]


class Listed:
    """Implements `Searcher`: trial k is the listed setting of number `order[k]`."""

    def __init__(self, searched: Searched, order: Sequence[int]) -> None:
        self.searched, self.order = searched, order

    def propose(self, space: Space, trials: Sequence[Trial], number: int) -> Setting | None:
        """The next of the order; None at its end."""
        return self.searched.at(int(self.order[number])) if number < len(self.order) else None


def check_names(estimator: Any, given: Any, source: str) -> None:
    """Raise WrongSearch, with the likely one, for a name that is no parameter of the estimator.

    Parameters of what is itself searched, such as a step of a pipeline, are those of its candidates.
    """
    if not hasattr(estimator, "get_params"):
        return
    known = estimator.get_params(deep=True)
    tables: Iterable[Any] = given if isinstance(given, Sequence) else [given]
    for table in tables:
        names = table.names if isinstance(table, Space) else tuple(table)
        for name in names:
            if name in known:
                continue
            possible = _of_candidates(str(name), table) if isinstance(table, Mapping) else set()
            if name not in possible:
                raise WrongSearch(
                    f"{name!r} is no parameter of {type(estimator).__name__}", source=source, field=str(name),
                    fix=suggestion(str(name), {*map(str, known), *possible}),
                )  # fmt: skip


def _of_candidates(name: str, table: Mapping[str, Any]) -> set[str]:
    """The parameters of the values that are listed for what comes before a double underscore in `name`."""
    found: set[str] = set()
    parts = name.split("__")
    for at in range(1, len(parts)):
        prefix = "__".join(parts[:at])
        listed = table.get(prefix, ())
        for value in listed if isinstance(listed, Sequence | np.ndarray) else ():
            if hasattr(value, "get_params") and not isinstance(value, type):
                found |= {f"{prefix}__{each}" for each in value.get_params(deep=True)}
    return found


def _count(ranges: Sequence[Range]) -> int:
    return math.prod(len(each.values) for each in ranges)


def _range(name: Any, given: Any, label: str, source: str) -> Range:
    if isinstance(given, Float | Integer | Choice):
        given = _document(given)
    if isinstance(given, Mapping):
        if "values" not in given:
            return Range(name=name, label=label, said=dict(given), how=_RANGED)
        return _listed(
            name, given["values"], label, {k: v for k, v in given.items() if k != "values"}, source
        )
    if isinstance(given, np.ndarray) or (isinstance(given, Sequence) and not isinstance(given, str | bytes)):
        return _listed(name, given, label, {}, source)
    if hasattr(given, "ppf") and hasattr(given, "support"):
        return _distributed(name, given, label)
    if hasattr(given, "rvs"):
        draw = {"low": 0, "high": DRAWS}
        return Range(
            name=name, label=f"{label} draw", said=draw, how=_DRAWN,
            meant=lambda seed: _plain(given.rvs(random_state=seed)),
        )  # fmt: skip
    raise WrongSearch(
        f"{given!r} is neither a list nor a distribution", source=source, field=str(name),
        fix="Give a list of values, low and high, or a distribution of scipy.stats.",
    )  # fmt: skip


def _listed(name: Any, given: Any, label: str, said: dict[str, Any], source: str) -> Range:
    if isinstance(given, np.ndarray) and given.ndim != 1:
        raise WrongSearch(
            f"an array of {given.ndim} dimensions is no list", source=source, field=str(name),
            fix="Give one of 1 dimension.",
        )  # fmt: skip
    values = tuple(given)
    if not values:
        raise WrongSearch("there is no value to try", source=source, field=str(name), fix="Give one or more.")
    plain = [_plain(value) for value in values]
    simple = all(isinstance(e, bool | int | float | str | None) and e == e for e in plain)  # noqa: PLR0124
    if not simple or len({(isinstance(each, bool), each) for each in plain}) < len(plain):
        plain = [f"{at}: {_called(value)}" for at, value in enumerate(plain)]
    return Range(name=name, label=label, said={**said, "values": plain}, how=_LISTED, values=values)


def _distributed(name: Any, given: Any, label: str) -> Range:
    low, high = (float(bound) for bound in given.support())
    kind = given.dist.name
    _, loc, _ = given.dist._parse_args(*given.args, **given.kwds)
    said: dict[str, Any]
    if kind == "randint":
        said = {"low": int(low), "high": int(high)}
        return Range(name=name, label=label, said=said, how=_RANGED)
    if kind == "uniform" or (kind in ("loguniform", "reciprocal") and loc == 0):
        said = {"low": low, "high": high, "log": kind != "uniform"}
        return Range(name=name, label=label, said=said, how=_RANGED)
    whole = hasattr(given.dist, "pmf")
    said = {"low": 0.0 if math.isfinite(low) else TAIL, "high": 1.0 if math.isfinite(high) else 1.0 - TAIL}
    if whole and not said["low"]:
        said["low"] = TAIL  # the quantile 0 of a discrete one is below its least value

    def meant(quantile: float) -> int | float:
        value = float(given.ppf(quantile))
        return int(value) if whole else value

    return Range(name=name, label=f"{label} quantile", said=said, how=_RANGED, meant=meant)


def _document(kind: Dimension) -> dict[str, Any]:
    return {name: getattr(kind, name) for name in kind.__struct_fields__}


def _plain(value: Any) -> Any:
    """A scalar of numpy as Python's own."""
    return value.item() if isinstance(value, np.generic) else value


def _called(value: Any) -> str:
    """What a value is called, the same in every process."""
    if isinstance(value, tuple | list) and all(isinstance(e, bool | int | float | str | None) for e in value):
        return repr(value)
    if isinstance(value, bool | int | float | str | None):
        return repr(value)
    return str(getattr(value, "__name__", type(value).__name__))
