"""Which installed package meets each requirement."""

from __future__ import annotations

from tradewind.audit.packages import Inventory, Package, Requirement


def met_by(inventory: Inventory) -> dict[str, tuple[tuple[Requirement, str | None], ...]]:
    """By package's key: its requirements in order, each with the key of what meets it, or None.

    Of the alternatives the first that is installed counts, a package of that name before one that provides
    it. Looked for are packages of the same manager, in the same folder first (the environment) and of the
    same architecture; for Python also what another manager's package provides to imports. What only an extra
    asks for is told like the rest: its kind says so.
    """
    named: dict[tuple[str, str], list[str]] = {}
    provided: dict[tuple[str, str], list[str]] = {}
    for key, package in inventory.packages.items():
        named.setdefault((package.manager, package.name), []).append(key)
        for virtual in package.provides:
            manager, colon, name = virtual.partition(":")
            where = ("pip", name) if colon and manager == "pip" else (package.manager, virtual)
            provided.setdefault(where, []).append(key)
    found = {}
    for key, package in inventory.packages.items():
        rows = []
        for requirement in package.requires:
            met = None
            for name in requirement.alternatives:
                asked = (package.manager, name)
                met = _nearest(inventory, package, named.get(asked, ())) or _nearest(
                    inventory, package, provided.get(asked, ())
                )
                if met is not None:
                    break
            rows.append((requirement, met))
        found[key] = tuple(rows)
    return found


def _nearest(inventory: Inventory, package: Package, keys: list[str] | tuple[()]) -> str | None:
    def distance(key: str) -> tuple[bool, bool, str]:
        other = inventory.packages[key]
        alike = other.architecture in (package.architecture, "all", "noarch", "")
        return (other.folder != package.folder, not alike, key)

    return min(keys, key=distance, default=None)
