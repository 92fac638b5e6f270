"""What both bills of materials say of a package: URL, licence, what is kept of it, what it depends on."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Container, Mapping
from datetime import UTC, datetime
from typing import Any, Literal
from urllib.parse import quote

import msgspec
from msgspec import Struct
from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

from tradewind import __version__
from tradewind.audit.inventory.places import readable
from tradewind.audit.inventory.requirements import met_by
from tradewind.audit.packages import Inventory, Package

TOOL = "tradewind"
TOOL_VERSION = __version__


class Evidence(Struct, frozen=True):
    """What of a package is in the tree, and what of that is kept."""

    status: Literal["present", "kept", "records-only", "removed"]
    """`present` where nothing says what is kept; `removed` where none of its files is."""
    files: int
    bytes: int
    kept_files: int
    kept_bytes: int


def evidence_of(inventory: Inventory, key: str, kept: Container[str] | None) -> Evidence:
    """What of the package of that key is there and kept; without `kept` all is, and none is called removed.

    A package that has no files of its own is kept as long as one of its records is.
    """
    package, mine = inventory.packages[key], inventory.owned[key]
    total = inventory.bytes_of(key)
    if kept is None:
        return Evidence("present", len(mine), total, len(mine), total)
    left = [path for path in mine if path in kept]
    records = {path for path in package.records if path in kept}
    status: Literal["kept", "records-only", "removed"] = "removed"
    if any(path not in package.records for path in left):
        status = "kept"
    elif left or records:
        # A package of records only, one that pulls others in, is whole as soon as they are there.
        status = "records-only" if any(path not in package.records for path in mine) else "kept"
    return Evidence(status, len(mine), total, len(left), inventory.bytes_of(key, left))


def purl_of(package: Package, system: Mapping[str, str]) -> str:
    """The package URL: `pkg:deb/debian/libc6@2.36-9?arch=amd64&distro=debian-12`."""
    if package.manager == "apt":
        vendor = system.get("ID", "debian")
        qualifiers = {"arch": package.architecture}
        if system.get("VERSION_ID"):
            qualifiers["distro"] = f"{vendor}-{system['VERSION_ID']}"
        if package.source and (package.source, package.source_version) != (package.name, package.version):
            qualifiers["upstream"] = f"{package.source}@{package.source_version}"
        return _purl(f"deb/{quote(vendor, safe='')}", package.name, package.version, qualifiers)
    if package.manager == "conda":
        return _purl("conda", package.name, package.version, {"subdir": package.architecture})
    return _purl("pypi", package.name, package.version, {})


def carried_purl(told: str) -> tuple[str, str, str]:
    """Name, version and package URL of one of a package's `carries`."""
    name, _, version = told.partition(":")[2].partition("==")
    return name, version, _purl("pypi", name, version, {})


def _purl(start: str, name: str, version: str, qualifiers: Mapping[str, str]) -> str:
    def quoted(text: str) -> str:
        return quote(readable(text), safe="").replace("%3A", ":")

    told = "&".join(f"{key}={quoted(value)}" for key, value in sorted(qualifiers.items()) if value)
    at = f"@{quoted(version)}" if version else ""
    return f"pkg:{start}/{quoted(name)}{at}" + (f"?{told}" if told else "")


def spdx_license(told: str) -> str | None:
    """`told` as a valid SPDX expression; None where it is none."""
    try:
        return str(canonicalize_license_expression(told)) if told else None
    except InvalidLicenseExpression:
        return None


def dependencies_of(inventory: Inventory) -> dict[str, tuple[str, ...]]:
    """The keys of the installed packages that each package asks for; not what only an extra asks for."""
    return {
        key: tuple(
            sorted({met for asked, met in rows if met and met != key and not asked.kind.startswith("extra:")})
        )
        for key, rows in met_by(inventory).items()
    }


def presentable(document: Any) -> Any:
    """A document of plain objects as JSON can hold it: names that are no text have question marks then."""
    try:
        msgspec.json.encode(document)
    except UnicodeEncodeError:
        return _presentable(document)
    return document


def _presentable(value: Any) -> Any:
    match value:
        case str():
            return readable(value)
        case dict():
            return {_presentable(key): _presentable(each) for key, each in value.items()}
        case list():
            return [_presentable(each) for each in value]
    return value


def identity(content: bytes) -> str:
    """A UUID that is the same for the same content."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, hashlib.sha256(content).hexdigest()))


def moment(now: float) -> str:
    """Seconds since the epoch as both documents write moments, in whole seconds of UTC."""
    return datetime.fromtimestamp(int(now), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
