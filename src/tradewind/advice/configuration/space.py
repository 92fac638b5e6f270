"""A finite space of configurations: what could be rented, with prices and what is known of each."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from tradewind.errors import Misuse, suggestion

MEMORY, MACHINES, VCPUS = "memory_gib", "machines", "vcpus"
"""Names of features that advisors know: of one machine, but `machines`, which is how many."""
_SPREAD = 4.0
"""Times that the greatest value of a feature is above the least, from which its logarithm is used."""


class Configuration(Struct, frozen=True):
    """One thing that could be rented as a whole."""

    name: str
    per_hour: float
    """US dollars for an hour of the whole, all machines together."""
    features: Mapping[str, float | str]
    """What is known of it: numbers, such as `machines`, `vcpus` and `memory_gib` of one machine; or words."""


class ConfigurationSpace:
    """Configurations that all have the same features, each its own name.

    Raises Misuse on none, on two of one name or of equal features and price, on prices that are not above
    zero, and on features that are missing, not finite, or a number here and a word there.
    """

    __slots__ = ("_index", "_rows", "columns", "configurations")

    def __init__(self, configurations: tuple[Configuration, ...], source: str = "configurations") -> None:
        self.configurations = configurations
        if not configurations:
            raise Misuse("there is none", source=source, field="configurations", fix="Give at least one.")
        _check(configurations, source)
        self._index = {each.name: number for number, each in enumerate(configurations)}
        self.columns, self._rows = _encoded(configurations)

    def __len__(self) -> int:
        return len(self.configurations)

    def __getitem__(self, number: int) -> Configuration:
        return self.configurations[number]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ConfigurationSpace) and self.configurations == other.configurations

    def __hash__(self) -> int:
        return hash(tuple(self._index))

    @property
    def rows(self) -> NDArray[np.float64]:
        """(n, d) in [0, 1]: wide numbers by their logarithm, words one column each; `columns` names them.

        A feature that is everywhere the same has no column.
        """
        return self._rows

    @property
    def per_hour(self) -> NDArray[np.float64]:
        """(n,) US dollars an hour."""
        return np.array([each.per_hour for each in self.configurations])

    def column(self, feature: str) -> NDArray[np.float64] | None:
        """(n,) the feature as it was given, if it is a number; otherwise, or if there is none of it, None."""
        if not isinstance(self.configurations[0].features.get(feature), (int, float)):
            return None
        return np.array([float(each.features[feature]) for each in self.configurations])

    def number(self, name: str) -> int:
        """Which configuration has that name. Raises Misuse, with a suggestion, if none has."""
        if name not in self._index:
            raise Misuse(
                f"no configuration {name!r}",
                source="configurations",
                field="name",
                fix=suggestion(name, self._index),
            )
        return self._index[name]


def _check(configurations: tuple[Configuration, ...], source: str) -> None:
    names: set[str] = set()
    twins: dict[Any, str] = {}
    first = configurations[0]
    for each in configurations:
        if each.name in names:
            raise Misuse(
                f"{each.name!r} stands there twice", source=source, field="name", fix="Keep one of them."
            )
        names.add(each.name)
        if not 0 < each.per_hour < math.inf:
            raise Misuse(
                f"{each.per_hour!r} dollars an hour is no price of {each.name!r}",
                source=source,
                field="per_hour",
                fix="Give a number above 0.",
            )
        if each.features.keys() != first.features.keys():
            missing = sorted(first.features.keys() ^ each.features.keys())
            raise Misuse(
                f"{first.name!r} and {each.name!r} differ in what is told of them",
                source=source,
                field=missing[0],
                fix="Give it for all or for none.",
            )
        for name, value in each.features.items():
            word, finite = isinstance(value, str), not isinstance(value, str) and math.isfinite(value)
            if word is not isinstance(first.features[name], str) or not (word or finite):
                raise Misuse(
                    f"{value!r} of {each.name!r} is not what the others have",
                    source=source,
                    field=name,
                    fix="Give finite numbers throughout, or words throughout.",
                )
        shape = (each.per_hour, tuple(sorted(each.features.items())))
        if each.features and shape in twins:
            raise Misuse(
                f"{twins[shape]!r} and {each.name!r} are the same under two names",
                source=source,
                field="features",
                fix="Keep one of them, or name the feature in which they differ.",
            )
        twins[shape] = each.name


def _encoded(configurations: tuple[Configuration, ...]) -> tuple[tuple[str, ...], NDArray[np.float64]]:
    columns: list[str] = []
    found: list[NDArray[np.float64]] = []
    for name in configurations[0].features:
        values = [each.features[name] for each in configurations]
        if isinstance(values[0], str):
            words = sorted({str(value) for value in values})
            for word in words if len(words) > 2 else words[1:]:
                columns.append(f"{name}={word}")
                found.append(np.array([float(value == word) for value in values]))
            continue
        numbers = np.array([float(value) for value in values])
        if numbers.min() > 0 and numbers.max() / numbers.min() >= _SPREAD:
            numbers = np.log(numbers)
        if (span := float(np.ptp(numbers))) > 0:
            columns.append(name)
            found.append((numbers - numbers.min()) / span)
    rows = np.column_stack(found) if found else np.zeros((len(configurations), 0))
    return tuple(columns), rows
