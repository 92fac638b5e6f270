"""Advisories, results of other scanners, versions, and what apt and Debian's packages tell."""

from __future__ import annotations

import gzip
import io
import json
import lzma
import tarfile
import tempfile
import zipfile
import zlib
from pathlib import Path
from typing import Any

import zstandard
from fuzz_targets.target import Broken, Target

from tradewind.audit.vulnerabilities.advisories import affected
from tradewind.audit.vulnerabilities.changelogs import changelog_of, fixed_above, read_changelog, read_policy
from tradewind.audit.vulnerabilities.distributions import of_release
from tradewind.audit.vulnerabilities.packing import packed, unpacked
from tradewind.audit.vulnerabilities.severity import base_score
from tradewind.audit.vulnerabilities.sources import Source, moment_of
from tradewind.audit.vulnerabilities.stored import imported
from tradewind.audit.vulnerabilities.versions import debian, pep440, semantic
from tradewind.errors import TradewindError

_VECTOR = "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:C/C:H/I:H/A:N"
_OSV: dict[str, Any] = {
    "schema_version": "1.6.0", "id": "PYSEC-1", "aliases": ["CVE-2023-1"], "summary": "words",
    "modified": "2024-01-01T00:00:00Z", "severity": [{"type": "CVSS_V3", "score": _VECTOR}],
    "references": [{"type": "WEB", "url": "https://a"}], "database_specific": {"severity": "HIGH"},
    "affected": [{
        "package": {"ecosystem": "PyPI", "name": "a"}, "versions": ["1.0"],
        "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "1.2rc1"}]},
                   {"type": "SEMVER", "events": [{"introduced": "1.0.0"}, {"last_affected": "2.0.0"}]},
                   {"type": "GIT", "repo": "x", "events": [{"introduced": "0"}, {"limit": "abc"}]}],
        "ecosystem_specific": {"imports": [{"attribute": "f", "modules": ["a.b"]}]},
    }, {"package": {"ecosystem": "Debian:12", "name": "b"},
        "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "1:1.2-3+deb12u1~a"}]}]}],
}  # fmt: skip
_GRYPE: dict[str, Any] = {
    "matches": [{
        "vulnerability": {"id": "GHSA-1", "dataSource": "https://a", "severity": "Medium",
                          "cvss": [{"metrics": {"baseScore": 6.1}}], "fix": {"versions": ["2.31.0"]}},
        "relatedVulnerabilities": [{"id": "CVE-2023-1"}],
        "artifact": {"name": "requests", "version": "2.28.1", "type": "python"},
    }],
    "distro": {"name": "debian", "version": "12"},
    "descriptor": {"name": "grype", "db": {"status": {"built": "2026-02-01T01:02:03Z"}}},
}  # fmt: skip
_TRIVY: dict[str, Any] = {
    "SchemaVersion": 2, "CreatedAt": "2026-03-04T05:06:07.123456789Z", "ArtifactName": "x",
    "Metadata": {"OS": {"Family": "debian", "Name": "12.5"}},
    "Results": [{
        "Type": "debian", "Packages": [{"Name": "tar", "Version": "1", "Release": "1", "Epoch": 1}],
        "Vulnerabilities": [{"VulnerabilityID": "CVE-1", "PkgName": "tar", "InstalledVersion": "1:1-1",
                             "FixedVersion": "2, 3", "Severity": "HIGH", "Title": "x",
                             "CVSS": {"nvd": {"V3Score": 7.5}}}],
    }],
}  # fmt: skip
_PIP_AUDIT: dict[str, Any] = {
    "dependencies": [{"name": "a", "version": "1.0", "vulns": [
        {"id": "PYSEC-1", "fix_versions": ["1.2"], "aliases": ["CVE-1"], "description": "x"}]},
        {"name": "b", "skip_reason": "x"}],
}  # fmt: skip
_CHANGELOG = b"""expat (2.5.0-1+deb12u2) bookworm-security; urgency=high

  * Fix CVE-2026-0002 and, again, CVE-2026-0001.

 -- Somebody <a@example.org>  Mon, 02 Feb 2026 00:00:00 +0000

expat (2.5.0-1) unstable; urgency=medium

  * New upstream release, fixes CVE-2022-0001.
"""
_POLICY = b"""libexpat1:
  Installed: 2.6.0-1
  Candidate: 2.5.0-1+deb12u2
  Version table:
     2.5.0-1+deb12u2 500
        500 http://deb.debian.org/debian-security bookworm-security/main amd64 Packages
 *** 2.6.0-1 100
        100 /var/lib/dpkg/status
"""


class _Room:
    def __init__(self) -> None:
        made = tempfile.TemporaryDirectory()
        self.held, self.file, self.folder = made, Path(made.name) / "given.json", Path(made.name) / "made"
        self.folder.mkdir()


_rooms: list[_Room] = []


def _room() -> _Room:
    if not _rooms:
        _rooms.append(_Room())
    return _rooms[0]


def _imported(content: bytes) -> None:
    """Import, read back, and match with versions of every kind: no answer may fail either."""
    room = _room()
    room.file.write_bytes(content)
    source = imported(room.file, room.folder, name="fuzzed")
    source.days(1.8e9)
    try:
        _, advisories = unpacked((room.folder / "fuzzed.jsonl.gz").read_bytes(), "fuzzed")
    except TradewindError as error:
        raise Broken(f"what was imported does not read back: {error}") from None
    for advisory in advisories:
        for version in ("1.0", "1:1.2-3", "2.0.0-rc.1", "nonsense"):
            affected(advisory, version)


def _database(content: bytes) -> None:
    try:
        unpacked(content, "fuzzed")
    except TradewindError:
        # Nearly no mutation is whole gzip, so the plain lines are tried too.
        unpacked(gzip.compress(content, 1, mtime=0), "fuzzed")


def _policy(content: bytes) -> None:
    for told in read_policy(content.decode("utf-8", "replace")).values():
        for version in told.versions:
            debian(version.version)


def _changelog(content: bytes) -> None:
    entries = read_changelog(content.decode("utf-8", "replace"))
    fixed_above(entries, "2.4.0-1")


def _package(content: bytes) -> None:
    room = _room()
    room.file.write_bytes(content)
    found = changelog_of(room.file, "expat")
    if isinstance(found, str) and (not found or found.startswith("-") or "/" in found):
        raise Broken(
            f"the changelog is said to be in the package {found!r}, which apt-get takes for something else"
        )


def _deb(ending: str, pack: Any, linked: str = "") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        if linked:
            info = tarfile.TarInfo("./usr/share/doc/expat")
            info.type, info.linkname = tarfile.SYMTYPE, linked
            archive.addfile(info)
        content = gzip.compress(_CHANGELOG, mtime=0)
        info = tarfile.TarInfo("./usr/share/doc/expat/changelog.Debian.gz")
        info.size = len(content)
        archive.addfile(info, io.BytesIO(content))
    made = b"!<arch>\n"
    for name, body in (("debian-binary", b"2.0\n"), (f"data.tar{ending}", pack(out.getvalue()))):
        made += f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(body):<10}`\n".encode() + body
        made += b"\n" * (len(body) % 2)
    return made


def _debs() -> list[bytes]:
    return [
        _deb("", bytes), _deb("", bytes, "libexpat1"), _deb(".xz", lzma.compress), _deb(".gz", gzip.compress),
        _deb(".zst", zstandard.compress),
    ]  # fmt: skip


def _versions(content: bytes) -> None:
    """Two versions, one a line: each order must be one."""
    one, _, two = content.decode("utf-8", "replace").partition("\n")
    for order in (pep440, debian, semantic):
        first, second = order(one), order(two)
        if first is None or second is None:
            continue
        if (first < second) + (second < first) + (first == second) != 1:
            raise Broken(f"{one!r} and {two!r} have no order by {order.__name__}")
    base_score(one)
    moment_of(one)


def _zipped() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("a.json", json.dumps(_OSV))
    return out.getvalue()


def _whole_database() -> bytes:
    line = packed(Source(name="x"), ())
    return zlib.decompress(line, 31)


_RAISED = (
    OSError, ValueError, tarfile.TarError, lzma.LZMAError, zlib.error, EOFError, zstandard.ZstdError
)  # fmt: skip
TARGETS = (
    Target("osv", _imported, lambda: [json.dumps(_OSV).encode(), json.dumps([_OSV]).encode(), _zipped()]),
    Target("grype", _imported, lambda: [json.dumps(_GRYPE).encode()]),
    Target("trivy", _imported, lambda: [json.dumps(_TRIVY).encode()]),
    Target("pip-audit", _imported, lambda: [json.dumps(_PIP_AUDIT).encode()]),
    Target("advisory-database", _database, lambda: [_whole_database()]),
    Target("apt-policy", _policy, lambda: [_POLICY], ()),
    Target("changelog", _changelog, lambda: [_CHANGELOG], ()),
    Target("debian-package", _package, _debs, _RAISED),
    Target(
        "versions", _versions,
        lambda: [b"1!1.0rc1.post2.dev3+cpu\n1.0", b"1:1.2~a-3+b\n1.2-3", b"1.0.0-rc.1+x\nv1",
                 _VECTOR.encode(), b"2024-01-01T00:00:00Z\n"], (),
    ),
    Target("release-name", lambda content: (of_release(content.decode("utf-8", "replace")), None)[1],
           lambda: [b'ID=debian\nVERSION_ID="12"\n', b'ID=ubuntu\nVERSION="24.04 LTS"\n'], ()),
)  # fmt: skip
