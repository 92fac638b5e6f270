"""The bill of materials as CycloneDX 1.6 in JSON (ECMA-424), with what is kept of each package."""

from __future__ import annotations

from collections.abc import Container
from typing import Any

import msgspec

from tradewind.audit.inventory.materials import (
    TOOL,
    TOOL_VERSION,
    carried_purl,
    dependencies_of,
    evidence_of,
    identity,
    moment,
    presentable,
    purl_of,
    spdx_license,
)
from tradewind.audit.packages import Inventory, Package

ROOT = "audited"
METHODS = {"md5": "MD5", "sha1": "SHA-1", "sha256": "SHA-256", "sha384": "SHA-384", "sha512": "SHA-512"}
"""CycloneDX's names of digests; others are left out."""


def cyclonedx(
    inventory: Inventory,
    *,
    name: str,
    now: float,
    version: str = "",
    kind: str = "container",
    kept: Container[str] | None = None,
) -> bytes:
    """The document about a tree called `name`, made at `now` (seconds since the epoch).

    The same input gives the same bytes. With `kept`, the paths that are kept, each component says in
    properties how many of its files and bytes are kept; one of which nothing is kept has the scope `excluded`
    and the status `removed`. What a package carries is nested in it. `kind` is CycloneDX's type of what was
    audited: `container`, `operating-system`, `application`, ...
    """
    about = {"type": kind, "bom-ref": ROOT, "name": name, **({"version": version} if version else {})}
    tool = {"type": "application", "name": TOOL, "version": TOOL_VERSION}
    components = [_component(inventory, key, package, kept) for key, package in inventory.packages.items()]
    asked = [key for key, package in inventory.packages.items() if package.asked_for]
    dependencies = [{"ref": ROOT, "dependsOn": asked or list(inventory.packages)}]
    dependencies += [
        {"ref": key, **({"dependsOn": list(keys)} if keys else {})}
        for key, keys in dependencies_of(inventory).items()
    ]
    notes = [{"name": f"{TOOL}:note", "value": note} for note in inventory.notes]
    found = {
        "metadata": {
            "timestamp": moment(now),
            "tools": {"components": [tool]},
            "component": about,
            **({"properties": notes} if notes else {}),
        },
        "components": components,
        "dependencies": dependencies,
    }
    content: dict[str, Any] = presentable(found)
    document = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{identity(msgspec.json.encode(content))}",
        "version": 1,
        **content,
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=2)


def _component(
    inventory: Inventory, key: str, package: Package, kept: Container[str] | None
) -> dict[str, Any]:
    told = evidence_of(inventory, key, kept)
    properties = {
        "manager": package.manager,
        "category": package.category,
        "asked-for": str(package.asked_for).lower(),
        "folder": package.folder,
        "architecture": package.architecture,
        "source": " ".join(part for part in (package.source, package.source_version) if part),
        "files": str(told.files),
        "bytes": str(told.bytes),
    }
    if kept is not None:
        properties |= {
            "status": told.status,
            "kept-files": str(told.kept_files),
            "kept-bytes": str(told.kept_bytes),
        }
    found: dict[str, Any] = {
        "type": "library",
        "bom-ref": key,
        "name": package.name,
        "version": package.version,
        "purl": purl_of(package, inventory.system),
    }
    if package.summary:
        found["description"] = package.summary
    if kept is not None:
        found["scope"] = "excluded" if told.status == "removed" else "required"
    expression = spdx_license(package.license)
    if expression:
        found["licenses"] = [{"expression": expression}]
    elif package.license:
        found["licenses"] = [{"license": {"name": package.license}}]
    hashes = [{"alg": METHODS[m], "content": digest} for m, digest in package.hashes if m in METHODS]
    if hashes:
        found["hashes"] = hashes
    if package.carries:
        found["components"] = [
            {"type": "library", "bom-ref": f"{key}/{each}", "name": name, "version": version, "purl": purl}
            for each in package.carries
            for name, version, purl in [carried_purl(each)]
        ]
    found["properties"] = [
        {"name": f"{TOOL}:{n}", "value": value} for n, value in properties.items() if value
    ]
    return found
