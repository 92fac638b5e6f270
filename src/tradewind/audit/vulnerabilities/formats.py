"""What other tools write, as advisories: OSV records, and results of Grype, Trivy and pip-audit.

A result names what a scanner found for one version of one package, so it becomes an advisory of exactly that
version. Of packages that it does not name it says nothing, unless it lists all that it looked at.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct

from tradewind.audit.vulnerabilities.advisories import Advisory, Event, Range, from_osv
from tradewind.audit.vulnerabilities.severity import Severity, named, word
from tradewind.audit.vulnerabilities.sources import newest
from tradewind.audit.vulnerabilities.versions import normal_name
from tradewind.errors import Misuse

_GRYPE_KINDS = {"python": "PyPI", "deb": "Debian", "conda": "conda"}
_TRIVY_KINDS = {
    "python-pkg": "PyPI",
    "pip": "PyPI",
    "pipenv": "PyPI",
    "poetry": "PyPI",
    "uv": "PyPI",
    "debian": "Debian",
    "ubuntu": "Ubuntu",
    "conda-pkg": "conda",
}


class Imported(Struct, frozen=True):
    """What a file of another tool tells."""

    tool: str
    """`osv`, `grype`, `trivy` or `pip-audit`."""
    advisories: tuple[Advisory, ...]
    as_of: str = ""
    """What it speaks of, in ISO 8601, where it says so."""
    covers: tuple[str, ...] = ()
    examined: tuple[tuple[str, str, str], ...] = ()
    skipped: int = 0
    """Entries of kinds of packages that no inventory of ours holds."""


def recognised(document: object) -> str:
    """Which tool wrote a JSON document: `osv`, `grype`, `trivy`, `pip-audit`, or empty."""
    if isinstance(document, Mapping):
        if "matches" in document and ("descriptor" in document or "source" in document):
            return "grype"
        if "SchemaVersion" in document and ("Results" in document or "ArtifactName" in document):
            return "trivy"
        if isinstance(document.get("dependencies"), list):
            return "pip-audit"
        if "id" in document and ("affected" in document or "modified" in document):
            return "osv"
    return ""


def read_document(document: object, source: str = "") -> Imported:
    """A JSON document of any tool that is known.

    Raises Misuse if it is none.
    """
    match recognised(document):
        case "grype":
            return read_grype(_object(document, source), source)
        case "trivy":
            return read_trivy(_object(document, source), source)
        case "pip-audit":
            return read_pip_audit(_object(document, source), source)
        case "osv":
            return read_osv([_object(document, source)], source)
    raise Misuse(
        "is no OSV record and no result of Grype, Trivy or pip-audit",
        source=source,
        fix="Write them with `grype -o json`, `trivy -f json` or `pip-audit -f json`",
    )


def read_osv(
    records: Iterable[Mapping[str, Any]], source: str = "", complete: Iterable[str] = ()
) -> Imported:
    """OSV records. `complete` are the ecosystems of which they are the whole dump: a record more or less is
    no such thing, so only who knows that may say so."""
    advisories = tuple(each for record in records for each in from_osv(record, source))
    return Imported(
        "osv",
        advisories,
        as_of=newest(each.modified for each in advisories),
        covers=tuple(dict.fromkeys(complete)),
    )


def read_grype(document: Mapping[str, Any], source: str = "") -> Imported:
    """`grype -o json`. It lists matches only: of a package that it does not name it clears nothing."""
    found: list[Advisory] = []
    skipped = 0
    system = _family(_mapping(document, "distro"), "name", "version")
    for each in _items(document, "matches", source):
        artifact, vulnerability = _mapping(each, "artifact"), _mapping(each, "vulnerability")
        ecosystem = _GRYPE_KINDS.get(str(artifact.get("type", "")), "")
        name, version = str(artifact.get("name", "")), str(artifact.get("version", ""))
        identifier = str(vulnerability.get("id", ""))
        if not (ecosystem and name and version and identifier):
            skipped += 1
            continue
        if ecosystem == "Debian":
            ecosystem = system or ecosystem
        related = (str(r.get("id", "")) for r in _items(each, "relatedVulnerabilities", source))
        scores = [
            score
            for cvss in _items(vulnerability, "cvss", source)
            if isinstance(metrics := cvss.get("metrics"), Mapping)
            and (score := _score(metrics.get("baseScore"))) is not None
        ]
        fix = _mapping(vulnerability, "fix")
        found.append(
            _exactly(
                identifier,
                ecosystem,
                name,
                version,
                aliases=[a for a in related if a and a != identifier],
                fixed=_texts(fix, "versions"),
                severity=named(str(vulnerability.get("severity", ""))),
                score=max(scores, default=None),
                summary=str(vulnerability.get("description") or ""),
                reference=str(vulnerability.get("dataSource") or ""),
            )
        )
    descriptor = _mapping(document, "descriptor")
    database = _mapping(descriptor, "db")
    built = str(_mapping(database, "status").get("built") or database.get("built") or "")
    return Imported(
        "grype",
        tuple(found),
        as_of=built or str(descriptor.get("timestamp") or ""),
        skipped=skipped,
    )


def read_trivy(document: Mapping[str, Any], source: str = "") -> Imported:
    """`trivy -f json`, schema 2. With `--list-all-pkgs` it also tells what it looked at and found clean."""
    found: list[Advisory] = []
    examined: list[tuple[str, str, str]] = []
    skipped = 0
    system = _family(_mapping(_mapping(document, "Metadata"), "OS"), "Family", "Name")
    for result in _items(document, "Results", source):
        ecosystem = _TRIVY_KINDS.get(str(result.get("Type", "")), "")
        if ecosystem in ("Debian", "Ubuntu"):
            ecosystem = system or ecosystem
        for package in _items(result, "Packages", source):
            name, version = str(package.get("Name", "")), _trivy_version(package)
            if ecosystem and name and version:
                examined.append((ecosystem, normal_name(ecosystem, name), version))
        for each in _items(result, "Vulnerabilities", source):
            name, version = str(each.get("PkgName", "")), str(each.get("InstalledVersion", ""))
            identifier = str(each.get("VulnerabilityID", ""))
            if not (ecosystem and name and version and identifier):
                skipped += 1
                continue
            scores = [
                score
                for rated in _mapping(each, "CVSS").values()
                if isinstance(rated, Mapping) and (score := _score(rated.get("V3Score"))) is not None
            ]
            fixed = str(each.get("FixedVersion") or "")
            found.append(
                _exactly(
                    identifier,
                    ecosystem,
                    name,
                    version,
                    aliases=_texts(each, "VendorIDs"),
                    fixed=[part.strip() for part in fixed.split(",") if part.strip()],
                    severity=named(str(each.get("Severity", ""))),
                    score=max(scores, default=None),
                    summary=str(each.get("Title") or ""),
                    reference=str(each.get("PrimaryURL") or ""),
                )
            )
    return Imported(
        "trivy",
        tuple(found),
        as_of=str(document.get("CreatedAt") or ""),
        examined=tuple(dict.fromkeys(examined)),
        skipped=skipped,
    )


def read_pip_audit(document: Mapping[str, Any], source: str = "") -> Imported:
    """`pip-audit -f json`. What it skipped it did not look at, and nobody is cleared by that."""
    found: list[Advisory] = []
    examined: list[tuple[str, str, str]] = []
    skipped = 0
    for each in _items(document, "dependencies", source):
        name, version = str(each.get("name", "")), str(each.get("version", ""))
        if not name or not version or "skip_reason" in each:
            skipped += 1
            continue
        examined.append(("PyPI", normal_name("PyPI", name), version))
        for vulnerability in _items(each, "vulns", source):
            found.append(
                _exactly(
                    str(vulnerability.get("id", "")),
                    "PyPI",
                    name,
                    version,
                    aliases=_texts(vulnerability, "aliases"),
                    fixed=_texts(vulnerability, "fix_versions"),
                    summary=str(vulnerability.get("description") or ""),
                )
            )
    return Imported("pip-audit", tuple(found), examined=tuple(dict.fromkeys(examined)), skipped=skipped)


def _exactly(
    identifier: str,
    ecosystem: str,
    name: str,
    version: str,
    *,
    aliases: list[str],
    fixed: list[str],
    severity: Severity = "unrated",
    score: float | None = None,
    summary: str = "",
    reference: str = "",
) -> Advisory:
    text = " ".join(summary.split())
    # The fixes are told by ranges that hold nothing: what is affected is this one version.
    return Advisory(
        id=identifier,
        ecosystem=ecosystem,
        package=normal_name(ecosystem, name),
        aliases=tuple(dict.fromkeys(aliases)),
        ranges=tuple(Range((Event("fixed", each),)) for each in fixed),
        versions=(version,),
        severity=severity if severity != "unrated" else word(score),
        score=score,
        summary=text if len(text) <= 160 else text[:159] + "…",
        references=(reference,) if reference else (),
    )


def _score(told: object) -> float | None:
    """A base score as CVSS has them, 0 to 10; None for anything else, infinite or absurd numbers among it."""
    right = isinstance(told, int | float) and not isinstance(told, bool) and 0 <= told <= 10
    return float(told) if right else None  # type: ignore[arg-type]


def _trivy_version(package: Mapping[str, Any]) -> str:
    """The version with epoch and revision, which Trivy lists apart."""
    version = str(package.get("Version", ""))
    if package.get("Release"):
        version = f"{version}-{package['Release']}"
    return f"{package['Epoch']}:{version}" if version and package.get("Epoch") else version


def _family(system: Mapping[str, Any], name: str, version: str) -> str:
    family = {"debian": "Debian", "ubuntu": "Ubuntu"}.get(str(system.get(name, "")).lower(), "")
    number = str(system.get(version, ""))
    # Debian's ecosystems are named by the main number: 12 also where the release is 12.5.
    number = number.partition(".")[0] if family == "Debian" else number
    return f"{family}:{number}" if family and number else family


def _object(document: object, source: str) -> Mapping[str, Any]:
    if not isinstance(document, Mapping):
        raise Misuse("must be an object", source=source)
    return document


def _mapping(document: Mapping[str, Any], field: str) -> Mapping[str, Any]:
    value = document.get(field)
    return value if isinstance(value, Mapping) else {}


def _texts(document: Mapping[str, Any], field: str) -> list[str]:
    value = document.get(field)
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []


def _items(document: Mapping[str, Any], field: str, source: str) -> list[Mapping[str, Any]]:
    value = document.get(field)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(each, Mapping) for each in value):
        raise Misuse("must be a list of objects", source=source, field=field)
    return value
