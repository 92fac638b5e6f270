"""What a Python package asks for in the tree's own Python: markers, extras, names.

A requirement whose marker holds is `depends`; one whose marker holds with an extra only is `extra:NAME`. When
a package asks for another's extra, what that extra asks for is its own requirement too, since nothing else
records that it was asked for.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from msgspec import Struct, structs
from packaging.markers import Marker, UndefinedEnvironmentName
from packaging.requirements import InvalidRequirement
from packaging.requirements import Requirement as Specification
from packaging.utils import canonicalize_name

from tradewind.audit.packages import Package, Requirement

_EXTRA = re.compile(r"""\bextra\s*(?:==|in)\s*["']([^"']+)["']""")
MOST_ROUNDS = 8
"""How deep extras that ask for extras are followed."""


class Asked(Struct, frozen=True):
    """One requirement, with the extras of the other package that it asks for."""

    requirement: Requirement
    extras: tuple[str, ...] = ()


def environment(python: str, machine: str) -> dict[str, str]:
    """The values of markers for CPython `python` (`3.11`, or with its third number) on Linux on `machine`."""
    version = ".".join(python.split(".")[:2])
    return {
        "implementation_name": "cpython",
        "implementation_version": python if python.count(".") > 1 else f"{version}.0",
        "os_name": "posix",
        "platform_machine": machine,
        "platform_python_implementation": "CPython",
        "platform_release": "",
        "platform_system": "Linux",
        "platform_version": "",
        "python_full_version": python if python.count(".") > 1 else f"{version}.0",
        "python_version": version,
        "sys_platform": "linux",
    }


def asked(lines: Iterable[str], where: Mapping[str, str]) -> tuple[list[Asked], list[str]]:
    """What the lines of Requires-Dist ask for in an environment, and the lines that are none, in order."""
    found, bad = [], []
    for line in lines:
        try:
            told = Specification(line)
        except InvalidRequirement:
            bad.append(line)
            continue
        name = str(canonicalize_name(told.name))
        extras = tuple(sorted(str(canonicalize_name(each)) for each in told.extras))
        for kind in _kinds(told.marker, where):
            found.append(Asked(Requirement(alternatives=(name,), kind=kind), extras))
    return found, bad


def _kinds(marker: Marker | None, where: Mapping[str, str]) -> list[str]:
    """The kinds of requirement that a marker makes: `depends`, or one for each extra that makes it hold."""
    if marker is None or _holds(marker, where, ""):
        return ["depends"]
    extras = dict.fromkeys(_EXTRA.findall(str(marker)))
    return [f"extra:{canonicalize_name(each)}" for each in extras if _holds(marker, where, each)]


def _holds(marker: Marker, where: Mapping[str, str], extra: str) -> bool:
    try:
        return bool(marker.evaluate({**where, "extra": extra}))
    except UndefinedEnvironmentName:
        return False


def with_extras(packages: list[Package], asked_by: Mapping[int, list[Asked]]) -> list[Package]:
    """The packages with their requirements, those of the extras that they ask for among them.

    `asked_by` holds what each asks for, by its place in the list. Another package is looked for in the folder
    of the one that asks, then anywhere.
    """
    places: dict[tuple[str, str], int] = {}
    for at, package in enumerate(packages):
        places[package.folder, package.name] = at
        places.setdefault(("", package.name), at)
    found = []
    for at, package in enumerate(packages):
        mine = asked_by.get(at, ())
        requires = dict.fromkeys(each.requirement for each in mine)
        waiting = [(each.requirement, extra) for each in mine for extra in each.extras]
        seen = set()
        for _ in range(MOST_ROUNDS):
            more = []
            for requirement, extra in waiting:
                name = requirement.alternatives[0]
                other = places.get((package.folder, name), places.get(("", name)))
                if other is None or (other, extra, requirement.kind) in seen:
                    continue
                seen.add((other, extra, requirement.kind))
                for each in asked_by.get(other, ()):
                    if each.requirement.kind == f"extra:{extra}":
                        further = Requirement(each.requirement.alternatives, requirement.kind)
                        requires.setdefault(further)
                        more += [(further, name) for name in each.extras]
            waiting = more
        # Extras are often written as a requirement of the package itself: `all` asks for its other extras.
        others = tuple(each for each in requires if each.alternatives[0] != package.name)
        found.append(structs.replace(package, requires=others))
    return found
