"""Which distribution a tree is of, and so in which ecosystem of OSV its system packages are looked up."""

from __future__ import annotations

import shlex

from tradewind.audit.packages import Package
from tradewind.audit.trees import Files

_PLACES = ("etc/os-release", "usr/lib/os-release")
_NAMES = {"debian": "Debian", "ubuntu": "Ubuntu"}


def distribution(files: Files) -> str:
    """`Debian:12`, `Ubuntu:24.04:LTS`, or empty where the tree does not say or is of another kind."""
    for place in _PLACES:
        path, _ = files.tree.resolve(place)
        entry = files.tree.get(path) if path else None
        if path and entry is not None and entry.kind == "file":
            return of_release(files.read(path, 1 << 16).decode("utf-8", "replace"))
    return ""


def of_release(text: str) -> str:
    """The ecosystem that an os-release file stands for."""
    fields: dict[str, str] = {}
    for line in text.splitlines():
        name, equals, value = line.strip().partition("=")
        if equals and not name.startswith("#"):
            try:
                fields[name] = "".join(shlex.split(value))
            except ValueError:
                continue
    family = _NAMES.get(fields.get("ID", ""))
    if family is None:
        return ""
    version = fields.get("VERSION_ID", "")
    if not version:
        return family
    lasting = ":LTS" if family == "Ubuntu" and "LTS" in fields.get("VERSION", "") else ""
    return f"{family}:{version}{lasting}"


def ecosystem_of(package: Package, system: str) -> str:
    """The OSV ecosystem of a package in a tree whose distribution is `system`; empty if it has none."""
    if package.manager == "pip":
        return "PyPI"
    return system if package.manager == "apt" else ""
