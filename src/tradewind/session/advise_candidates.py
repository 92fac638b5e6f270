"""From a spec to what can be chosen from, and to what past runs tell of it."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from itertools import product

from msgspec import Struct

from tradewind.advice.configuration.recorded import recorded
from tradewind.advice.configuration.runs import Run
from tradewind.advice.configuration.space import MACHINES, MEMORY, VCPUS, Configuration, ConfigurationSpace
from tradewind.advice.measuring.interface import Room
from tradewind.data.catalogs import aws_catalog, read_catalog
from tradewind.data.measured_runs.reading import measured_runs
from tradewind.errors import Misuse, suggestion
from tradewind.market.measured_runs import MeasuredRun
from tradewind.session.advise_spec import AdviseSpec

_PLACE = re.compile(r"\{([A-Za-z_]\w*)\}")
_GIB = 2**30


class Candidates(Struct, frozen=True):
    """What can be chosen from, and what is known of it beforehand."""

    configurations: tuple[Configuration, ...]
    types: Mapping[str, str]
    """The instance type of each configuration that has one, by name."""
    earlier: tuple[Run, ...] = ()
    """Past runs of the workload itself."""
    corpus: Mapping[str, tuple[Run, ...]] = {}
    """Past runs of others, by workload."""
    left: int = 0
    """Past runs on what is no candidate."""

    @property
    def space(self) -> ConfigurationSpace:
        """The configurations as advisors have them. Raises Misuse for what is wrong with them together."""
        return ConfigurationSpace(self.configurations, "candidates")


def candidates_of(spec: AdviseSpec) -> Candidates:
    """All that a spec names. Raises Misuse for files, types and prices that cannot be."""
    rows = () if spec.runs is None else measured_runs(spec.runs)
    configurations, types = _configurations(spec, rows)
    space = ConfigurationSpace(configurations, "candidates")
    names = {each.name: number for number, each in enumerate(configurations)}
    if spec.current is not None:
        space.number(spec.current)
    runs: dict[str, list[Run]] = {}
    left = 0
    for row in rows:
        number = names.get(row.configuration)
        if number is None:
            left += 1
            continue
        run = Run(number, row.seconds, row.dollars, row.status, dict(row.seen))
        runs.setdefault(row.workload, []).append(run)
    if rows and not runs:
        raise Misuse(
            "none of its configurations is a candidate",
            source=str(spec.runs),
            field="configuration",
            fix=f"Name candidates as there: {suggestion(rows[0].configuration, names)}",
        )
    if spec.command is None and not spec.workload:
        known = sorted(runs)
        raise Misuse(
            "it is not said which workload",
            source=str(spec.runs),
            field="workload",
            fix=f"Name one of {', '.join(known[:8])}{', ...' if len(known) > 8 else ''}, or a new one.",
        )
    own = tuple(runs.pop(spec.own, ()))
    return Candidates(configurations, types, own, {name: tuple(each) for name, each in runs.items()}, left)


def room_of(configuration: Configuration) -> Room:
    """The processors and memory of a configuration, all its machines together."""
    machines = _number(configuration, MACHINES) or 1.0
    cores, memory = _number(configuration, VCPUS), _number(configuration, MEMORY)
    return Room(
        None if cores is None else cores * machines,
        None if memory is None else int(memory * machines * _GIB),
    )


def filled(command: tuple[str, ...], configuration: Configuration) -> tuple[str, ...]:
    """A command with `{machines}`, `{vcpus}` and other features filled in. Misuse for one there is not."""
    words = {"name": configuration.name, "machines": 1.0, **configuration.features}

    def word(found: re.Match[str]) -> str:
        if found[1] not in words:
            raise Misuse(
                f"{found[0]} is nothing that candidates have",
                source="spec",
                field="command",
                fix=suggestion(found[1], words),
            )
        value = words[found[1]]
        return value if isinstance(value, str) else f"{value:g}"

    return tuple(_PLACE.sub(word, part) for part in command)


def _number(configuration: Configuration, feature: str) -> float | None:
    value = configuration.features.get(feature)
    return float(value) if isinstance(value, int | float) and math.isfinite(value) and value > 0 else None


def _configurations(
    spec: AdviseSpec, rows: tuple[MeasuredRun, ...]
) -> tuple[tuple[Configuration, ...], dict[str, str]]:
    if spec.candidates is not None:
        types = {each.name: each.type for each in spec.candidates if each.type}
        return tuple(_listed(spec)), types
    if spec.types is not None:
        return _of_types(spec)
    if spec.sizes is not None:
        return tuple(_of_sizes(spec)), {}
    configurations = recorded(rows, str(spec.runs)).space.configurations
    catalog = aws_catalog()
    known = {each.name for each in catalog.types}
    types = {}
    for each in configurations:
        kind = each.name.partition("x")[2]
        if kind in known:
            types[each.name] = kind
    return configurations, types


def _listed(spec: AdviseSpec) -> list[Configuration]:
    found = []
    for each in spec.candidates or ():
        features: dict[str, float | str] = {MACHINES: each.machines}
        if each.vcpus is not None:
            features[VCPUS] = each.vcpus
        if each.memory_gib is not None:
            features[MEMORY] = each.memory_gib
        found.append(Configuration(each.name, each.per_hour, {**features, **each.features}))
    return found


def _of_types(spec: AdviseSpec) -> tuple[tuple[Configuration, ...], dict[str, str]]:
    asked = spec.types
    assert asked is not None
    catalog = aws_catalog() if asked.prices is None else read_catalog(asked.prices)
    found, types = [], {}
    for kind in asked.names:
        listing = catalog.listing(kind, asked.region)
        resources = listing.type.resources
        for count in asked.counts:
            name = f"{count}x{kind}"
            features: dict[str, float | str] = {
                MACHINES: count,
                VCPUS: resources.vcpus,
                MEMORY: resources.memory_gib,
                "family": kind.partition(".")[0],
            }
            found.append(Configuration(name, count * listing.per_hour, features))
            types[name] = kind
    return tuple(found), types


def _of_sizes(spec: AdviseSpec) -> list[Configuration]:
    sizes = spec.sizes
    assert sizes is not None
    found = []
    for machines, vcpus, memory in product(sizes.machines, sizes.vcpus, sizes.memory_gib or (None,)):
        features: dict[str, float | str] = {MACHINES: machines, VCPUS: vcpus}
        name = f"{machines}x{vcpus:g}cpu"
        price = vcpus * sizes.per_vcpu_hour
        if memory is not None:
            features[MEMORY] = memory
            name += f"-{memory:g}gib"
            price += memory * sizes.per_gib_hour
        found.append(Configuration(name, machines * price, features))
    return found
