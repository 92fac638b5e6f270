"""What Debian has fixed and a tree has not: security candidates of apt, and the CVE ids in their changelogs.

An ordinary use of the host's package client, on request only: apt's lists name newer versions, a package's
`changelog.Debian.gz` names the CVE ids that they fix. What has no fix yet is told nowhere there, so nobody is
cleared by it; what cannot be asked is unknown.
"""

from __future__ import annotations

import gzip
import io
import lzma
import os
import re
import shutil
import signal
import subprocess
import tarfile
import tempfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

import zstandard
from msgspec import Struct

from tradewind.audit.packages import Inventory, Package
from tradewind.audit.vulnerabilities.advisories import Advisory, Event, Range
from tradewind.audit.vulnerabilities.distributions import of_release
from tradewind.audit.vulnerabilities.matching import spoken_of
from tradewind.audit.vulnerabilities.sources import Source
from tradewind.audit.vulnerabilities.versions import debian

LARGEST_CHANGELOG = 64 << 20
"""Bytes of a changelog, inflated."""
LARGEST_PACKAGE = 1 << 30
"""Bytes of a package's content that are looked through for its changelog."""
_PACKAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9+.-]*")
_CVE = re.compile(r"CVE-\d{4}-\d{4,}")
_ENTRY = re.compile(r"^(?P<source>[A-Za-z0-9][A-Za-z0-9+.-]*) \((?P<version>[^)\s]+)\)", re.MULTILINE)
_VERSION = re.compile(r"^ (?:\*\*\*|   ) (?P<version>\S+) -?\d+$")
_ORIGIN = re.compile(r"^ +-?\d+ (?P<origin>\S+ \S+)")


class Candidate(Struct, frozen=True):
    """A newer version of an installed package."""

    package: str
    """The package's key in the inventory."""
    name: str
    installed: str
    candidate: str
    security: bool
    """Whether an archive of security updates has it."""
    origins: tuple[str, ...] = ()


class Asked(Struct, frozen=True):
    """What apt and its changelogs told."""

    source: Source
    """With `trouble` if anything could not be asked: then nobody is cleared."""
    advisories: tuple[Advisory, ...] = ()
    candidates: tuple[Candidate, ...] = ()
    unread: dict[str, str] = {}
    """Packages, by key, whose changelog could not be had, with the reason."""


def security_candidates(inventory: Inventory, *, limit: float = 60.0) -> tuple[tuple[Candidate, ...], str]:
    """The packages of apt with a newer candidate, by `apt-cache policy` of this host, and what went wrong.

    The host's apt must be set up for the tree's release; `limit` are seconds. The text is empty if all went
    well; otherwise nothing can be concluded from a package's absence.
    """
    mine = {key: p for key, p in inventory.packages.items() if p.manager == "apt"}
    if not mine:
        return (), ""
    if shutil.which("apt-cache") is None:
        return (), "apt-cache is not installed here"
    names = sorted({_asked_name(package) for package in mine.values()})
    text = ""
    for at in range(0, len(names), 500):
        try:
            ran = _run(["apt-cache", "policy", *names[at : at + 500]], limit)
        except (OSError, subprocess.TimeoutExpired) as error:
            return (), f"apt-cache could not be asked: {error}"
        if ran.returncode:
            return (), f"apt-cache failed: {_last(ran.stderr)}"
        text += ran.stdout.decode("utf-8", "replace")
    policies = read_policy(text)
    if not any(version.origins for policy in policies.values() for version in policy.versions):
        return (), "apt knows no archive: its lists are empty (apt-get update)"
    found = []
    for key, package in mine.items():
        policy = policies.get(_asked_name(package)) or policies.get(package.name)
        if policy is None:
            continue
        newer = _newer(policy, package.version)
        if newer is None:
            continue
        found.append(
            Candidate(
                package=key,
                name=package.name,
                installed=package.version,
                candidate=newer.version,
                security=any("security" in origin for origin in newer.origins),
                origins=newer.origins,
            )
        )
    return tuple(found), ""


def ask_changelogs(
    inventory: Inventory, system: str, now: float, *, limit: float = 60.0, most: int | None = None
) -> Asked:
    """The CVE ids that the newer versions of a tree's Debian packages fix, by the changelogs in them.

    The tree must be of the release that this host's apt is set up for; of any other nothing is told. One
    package of each source is downloaded into a temporary folder, at most `limit` seconds each, `most` of
    them. Every id becomes an advisory of `system`, as of `now` (seconds since the epoch), that ends at the
    version whose entry names it.
    """
    moment = datetime.fromtimestamp(now, UTC).isoformat(timespec="seconds")
    source = Source(name="debian-changelogs", kind="changelogs", as_of=moment, origin="apt of this host")
    here = _system_here()
    if system and here != system:
        return Asked(_troubled(source, f"apt here is set up for {here or 'an unknown system'}, not {system}"))
    candidates, trouble = security_candidates(inventory, limit=limit)
    if trouble:
        return Asked(_troubled(source, trouble))
    advisories: dict[tuple[str, str, str], Advisory] = {}
    unread: dict[str, str] = {}
    told: dict[str, tuple[tuple[str, str], ...] | str] = {}
    for candidate in candidates:
        name, installed = spoken_of(inventory.packages[candidate.package])
        if name not in told:
            if most is not None and len(told) >= most:
                told[name] = f"only {most} changelogs were to be read"
            else:
                told[name] = _entries(candidate, limit)
        entries = told[name]
        if isinstance(entries, str):
            unread[candidate.package] = entries
            continue
        for identifier, version in fixed_above(entries, installed):
            key = (identifier, name, version)
            advisories.setdefault(
                key,
                Advisory(
                    id=identifier,
                    ecosystem=system or "Debian",
                    package=name,
                    ranges=(Range((Event("introduced", "0"), Event("fixed", version))),),
                    summary=f"fixed in {name} {version}, by its changelog",
                    references=(f"https://security-tracker.debian.org/tracker/{identifier}",),
                ),
            )
    if unread:
        source = _troubled(source, f"{len(unread)} changelogs could not be read")
    return Asked(source, tuple(advisories.values()), candidates, unread)


class Version(Struct, frozen=True):
    """One row of apt's table of versions."""

    version: str
    origins: tuple[str, ...]


class Policy(Struct, frozen=True):
    """What apt tells of one package."""

    candidate: str
    versions: tuple[Version, ...]


def read_policy(text: str) -> dict[str, Policy]:
    """The output of `apt-cache policy` for several packages, by name."""
    found: dict[str, Policy] = {}
    name, candidate = "", ""
    versions: list[Version] = []
    for line in [*text.splitlines(), "end:"]:
        if line and not line.startswith(" ") and line.endswith(":"):
            if name:
                found[name] = Policy(candidate, tuple(versions))
            name, candidate, versions = line[:-1], "", []
        elif line.startswith("  Candidate:"):
            candidate = line.partition(":")[2].strip()
        elif row := _VERSION.match(line):
            versions.append(Version(row["version"], ()))
        elif (
            (origin := _ORIGIN.match(line)) and versions and not origin["origin"].startswith("/var/lib/dpkg")
        ):
            last = versions.pop()
            versions.append(Version(last.version, (*last.origins, origin["origin"])))
    return found


def fixed_above(entries: Iterable[tuple[str, str]], installed: str) -> tuple[tuple[str, str], ...]:
    """Of pairs of a CVE id and the version whose entry names it, those above `installed`."""
    here = debian(installed)
    found: dict[str, str] = {}
    mended: set[str] = set()
    for identifier, version in entries:
        there = debian(version)
        if here is None or there is None:
            continue
        if there <= here:
            mended.add(identifier)
            continue
        known = found.get(identifier)
        if known is None or there < (debian(known) or there):
            found[identifier] = version
    # A later entry may only speak again of what an earlier one mended.
    return tuple(sorted((i, v) for i, v in found.items() if i not in mended))


def read_changelog(text: str) -> tuple[tuple[str, str], ...]:
    """Pairs of a CVE id and the version of the entry that names it, in the order of a Debian changelog."""
    starts = [*_ENTRY.finditer(text)]
    if not starts:
        return ()
    ends = [*(start.start() for start in starts[1:]), len(text)]
    return tuple(
        (identifier, start["version"])
        for start, end in zip(starts, ends, strict=True)
        for identifier in dict.fromkeys(_CVE.findall(text, start.end(), end))
    )


def changelog_of(package: Path, name: str) -> bytes | str:
    """The changelog in a `.deb` file, inflated; or, where it is a link, the name of the package that has it.

    Raises ValueError if there is none or the file is no package.
    """
    with package.open("rb") as file, _data_member(file) as stream:
        places = [f"usr/share/doc/{name}/changelog.Debian.gz", f"usr/share/doc/{name}/changelog.gz"]
        found: dict[str, bytes] = {}
        left = LARGEST_PACKAGE
        with tarfile.open(fileobj=stream, mode="r|") as archive:
            for member in archive:
                left -= max(0, member.size)
                if left < 0:
                    raise ValueError("the package is too large to look through")
                path = member.name.removeprefix("./")
                if path == f"usr/share/doc/{name}" and member.issym():
                    return _package(member.linkname.rstrip("/").rpartition("/")[2])
                if path not in places:
                    continue
                if member.issym() or member.islnk():
                    parts = member.linkname.split("/")
                    other = parts[-2] if len(parts) > 1 else name
                    if other not in (name, "..", "."):
                        return _package(other)
                    continue
                content = archive.extractfile(member)
                if content is not None:
                    found[path] = _inflated(content.read(LARGEST_CHANGELOG + 1))
                    if path == places[0]:
                        break
    for place in places:
        if place in found:
            return found[place]
    raise ValueError("it holds no changelog")


def _package(name: str) -> str:
    """A name that apt-get cannot take for an option or a file; raises ValueError for what is none."""
    if not _PACKAGE.fullmatch(name):
        raise ValueError(f"its changelog is said to be in {name[:60]!r}, which is no package")
    return name


def _system_here() -> str:
    try:
        return of_release(Path("/etc/os-release").read_text("utf-8", "replace"))
    except OSError:
        return ""


def _entries(candidate: Candidate, limit: float) -> tuple[tuple[str, str], ...] | str:
    """What a candidate's changelog names, or why it could not be read."""
    name, wanted = candidate.name, f"{candidate.name}={candidate.candidate}"
    with tempfile.TemporaryDirectory(prefix="changelogs-") as scratch:
        for _ in range(2):
            try:
                package = _downloaded(wanted, Path(scratch), limit)
                content = changelog_of(package, name)
            except subprocess.TimeoutExpired:
                return f"{wanted} did not arrive within {limit:g} s"
            except (OSError, ValueError, tarfile.TarError, lzma.LZMAError, zlib.error) as error:
                return f"{wanted}: {error}"
            except (EOFError, zstandard.ZstdError) as error:
                return f"{wanted}: {error}"
            if isinstance(content, bytes):
                return read_changelog(content.decode("utf-8", "replace"))
            # Packages of one source share a changelog through a link to the folder of one of them.
            name = wanted = content
    return f"its changelog is in {name}, and not there either"


def _downloaded(wanted: str, folder: Path, limit: float) -> Path:
    before = set(folder.glob("*.deb"))
    ran = _run(
        [
            "apt-get",
            "download",
            "-q",
            "-o",
            "Acquire::Retries=0",
            "-o",
            f"Acquire::http::Timeout={max(1, int(limit))}",
            "-o",
            "APT::Sandbox::User=root",
            wanted,
        ],
        limit,
        folder,
    )
    new = sorted(set(folder.glob("*.deb")) - before)
    if ran.returncode or not new:
        raise ValueError(f"apt-get download failed: {_last(ran.stderr) or 'nothing came'}")
    return new[0]


def _run(
    command: Sequence[str], limit: float, folder: Path | None = None
) -> subprocess.CompletedProcess[bytes]:
    """A command with all that it starts ended after `limit` seconds; raises TimeoutExpired then."""
    environment: Mapping[str, str] = {**os.environ, "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}
    with subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        try:
            out, err = process.communicate(timeout=limit)
        except BaseException:
            # apt's own children fetch; they are of its session, and end with it.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            raise
    return subprocess.CompletedProcess(command, process.returncode, out, err)


def _data_member(file: BinaryIO) -> BinaryIO:
    """The inflated stream of `data.tar.*` in an ar archive (deb(5)); only its own bytes are read."""
    if file.read(8) != b"!<arch>\n":
        raise ValueError("it is no Debian package")
    while header := file.read(60):
        if len(header) < 60 or header[58:] != b"`\n":
            raise ValueError("its archive is damaged")
        name = header[:16].decode("ascii", "replace").strip().rstrip("/")
        told = header[48:58].rstrip()
        if not told.isdigit():
            raise ValueError("its archive is damaged")
        size = int(told)
        if name.startswith("data.tar"):
            content = io.BytesIO(file.read(size))
            match name.removeprefix("data.tar"):
                case ".xz" | ".lzma":
                    return lzma.open(content)  # type: ignore[return-value]
                case ".gz":
                    return gzip.open(content)  # type: ignore[return-value]
                case ".zst":
                    return zstandard.ZstdDecompressor().stream_reader(content)
                case "":
                    return content
            raise ValueError(f"{name} is packed in a way that is not known here")
        file.seek(size + size % 2, os.SEEK_CUR)
    raise ValueError("it holds no data")


def _inflated(content: bytes) -> bytes:
    inflater = zlib.decompressobj(wbits=31)
    text = inflater.decompress(content, LARGEST_CHANGELOG)
    if not inflater.eof:
        raise ValueError("its changelog is cut short or too large")
    return text


def _newer(policy: Policy, installed: str) -> Version | None:
    """The highest version above the installed one that an archive has."""
    here = debian(installed)
    if here is None:
        return None
    above = [
        (place, version)
        for version in policy.versions
        if version.origins and (place := debian(version.version)) is not None and place > here
    ]
    return max(above, key=lambda pair: pair[0])[1] if above else None


def _asked_name(package: Package) -> str:
    return (
        f"{package.name}:{package.architecture}" if package.architecture not in ("", "all") else package.name
    )


def _last(text: bytes) -> str:
    lines = [line.strip() for line in text.decode("utf-8", "replace").splitlines() if line.strip()]
    return lines[-1] if lines else ""


def _troubled(source: Source, trouble: str) -> Source:
    fields = {name: getattr(source, name) for name in source.__struct_fields__}
    return Source(**{**fields, "trouble": trouble, "covers": ("Debian", "Ubuntu")})
