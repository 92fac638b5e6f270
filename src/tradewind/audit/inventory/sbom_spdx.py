"""The bill of materials as SPDX 2.3 in JSON, with what is kept of each package as annotations."""

from __future__ import annotations

import re
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

DOCUMENT, ROOT = "SPDXRef-DOCUMENT", "SPDXRef-audited"
NOTHING = "NOASSERTION"
METHODS = {"md5", "sha1", "sha224", "sha256", "sha384", "sha512"}


def spdx(
    inventory: Inventory, *, name: str, now: float, version: str = "", kept: Container[str] | None = None
) -> bytes:
    """The document about a tree called `name`, made at `now` (seconds since the epoch).

    The same input gives the same bytes. With `kept`, the paths that are kept, each package is annotated with
    how many of its files and bytes are kept, and `removed` where nothing is. Files themselves are not listed:
    `filesAnalyzed` is false.
    """
    when = moment(now)
    names = _Names()
    packages: list[dict[str, Any]] = [
        {**_package(ROOT, name, version), "primaryPackagePurpose": "CONTAINER"},
    ]
    relations = [(DOCUMENT, "DESCRIBES", ROOT)]
    for key, package in inventory.packages.items():
        mine = names.of(key)
        packages.append(_told(mine, inventory, key, package, kept, when))
        relations.append((ROOT, "CONTAINS", mine))
        for each in package.carries:
            inner_name, inner_version, purl = carried_purl(each)
            inner = names.of(f"{key}/{each}")
            packages.append(
                {**_package(inner, inner_name, inner_version), "externalRefs": [_reference(purl)]}
            )
            relations.append((mine, "CONTAINS", inner))
    for key, keys in dependencies_of(inventory).items():
        relations += [(names.of(key), "DEPENDS_ON", names.of(other)) for other in keys]
    found = {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": DOCUMENT,
        "name": name,
        "creationInfo": {"created": when, "creators": [f"Tool: {TOOL}-{TOOL_VERSION}"]},
        **({"comment": "\n".join(inventory.notes)} if inventory.notes else {}),
        "packages": packages,
        "relationships": [
            {"spdxElementId": one, "relationshipType": kind, "relatedSpdxElement": other}
            for one, kind, other in relations
        ],
    }
    content: dict[str, Any] = presentable(found)
    space = f"urn:uuid:{identity(msgspec.json.encode(content))}"
    return msgspec.json.format(msgspec.json.encode({**content, "documentNamespace": space}), indent=2)


class _Names:
    """SPDX's identifiers of our keys: letters, digits, dots and hyphens only, each different."""

    def __init__(self) -> None:
        self._by_key: dict[str, str] = {}
        self._taken: set[str] = set()

    def of(self, key: str) -> str:
        if key not in self._by_key:
            name = "SPDXRef-" + re.sub(r"[^A-Za-z0-9.-]+", "-", key)
            count = 1
            while name in self._taken:
                count += 1
                name = f"{name.partition('--')[0]}--{count}"
            self._taken.add(name)
            self._by_key[key] = name
        return self._by_key[key]


def _package(identifier: str, name: str, version: str) -> dict[str, Any]:
    return {
        "SPDXID": identifier,
        "name": name,
        **({"versionInfo": version} if version else {}),
        "downloadLocation": NOTHING,
        "filesAnalyzed": False,
        "licenseConcluded": NOTHING,
        "licenseDeclared": NOTHING,
        "copyrightText": NOTHING,
    }


def _told(
    identifier: str, inventory: Inventory, key: str, package: Package, kept: Container[str] | None, when: str
) -> dict[str, Any]:
    evidence = evidence_of(inventory, key, kept)
    found = _package(identifier, package.name, package.version)
    found["primaryPackagePurpose"] = "LIBRARY"
    expression = spdx_license(package.license)
    if expression:
        found["licenseDeclared"] = expression
    elif package.license:
        found["licenseComments"] = f"Declared as: {package.license}"
    if package.summary:
        found["summary"] = package.summary
    if package.source:
        found["sourceInfo"] = " ".join(part for part in (package.source, package.source_version) if part)
    checksums = [
        {"algorithm": method.upper(), "checksumValue": digest}
        for method, digest in package.hashes
        if method in METHODS
    ]
    if checksums:
        found["checksums"] = checksums
    found["externalRefs"] = [_reference(purl_of(package, inventory.system))]
    what = f"{package.manager} package of category {package.category}"
    comment = f"{what}: {evidence.files} files, {evidence.bytes} bytes"
    if kept is not None:
        comment += f"; {evidence.status}: {evidence.kept_files} files, {evidence.kept_bytes} bytes are kept"
    found["annotations"] = [
        {
            "annotationDate": when,
            "annotationType": "OTHER",
            "annotator": f"Tool: {TOOL}-{TOOL_VERSION}",
            "comment": comment,
        }
    ]
    return found


def _reference(purl: str) -> dict[str, str]:
    return {"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": purl}
