"""Databases of advisories on disk: those that are shipped, and those that a user imports.

`python -m tradewind.audit.vulnerabilities.stored SNAPSHOT TARGET` makes the shipped one again from a dump of
PyPA's database, one OSV record a line.
"""

from __future__ import annotations

import hashlib
import io
import json
import lzma
import struct
import sys
import zipfile
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec

from tradewind.audit.vulnerabilities.advisories import Advisory, from_osv
from tradewind.audit.vulnerabilities.formats import Imported, read_document, read_osv
from tradewind.audit.vulnerabilities.packing import packed, unpacked
from tradewind.audit.vulnerabilities.sources import Database, Source, moment_of, newest
from tradewind.data.durable_files import write_durably
from tradewind.errors import Corrupt, Misuse

SUFFIX = ".jsonl.gz"
LARGEST = 2 << 30
"""Bytes that an imported file may have, inflated ones included."""
LARGEST_RECORD = 32 << 20
"""Bytes of one record in an archive."""
SHIPPED, OVERLAY = "pypa-2024-10", "ml-overlay"
PYPA = "https://github.com/pypa/advisory-database"
LICENCE = "CC BY 4.0"
_DAMAGED = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, EOFError, OSError, RuntimeError, ValueError
)  # fmt: skip
"""What zipfile raises for an archive that is not what it says."""


def shipped() -> Database:
    """What comes with the package: PyPA's advisories as of their date, and our selection for ML packages."""
    return Database(_shipped())


def opened(folder: Path | None = None, *, with_shipped: bool = True) -> Database:
    """The shipped databases and those imported into `folder`, in order of their names.

    A file that cannot be read is a source with `trouble`, which clears nothing; so is a folder that is named
    but is not there.
    """
    contents: list[tuple[Source, tuple[Advisory, ...]]] = _shipped() if with_shipped else []
    if folder is not None and not folder.is_dir():
        contents.append((Source(name=str(folder), trouble="there is no such folder of advisories"), ()))
    elif folder is not None:
        for path in sorted(folder.glob(f"*{SUFFIX}")):
            name = path.name.removesuffix(SUFFIX)
            try:
                source, advisories = unpacked(path.read_bytes(), path.name)
            except (OSError, Corrupt) as error:
                contents.append((Source(name=name, trouble=f"cannot be read: {error}"), ()))
            else:
                contents.append((msgspec.structs.replace(source, name=name), advisories))
    return Database(contents)


def imported(
    path: Path, folder: Path, *, name: str = "", as_of: str = "", complete: tuple[str, ...] = ()
) -> Source:
    """Take a file of another tool into `folder`, whole or not at all; one of that name is replaced.

    Known are an OSV dump (a ZIP archive of records, or one record a line) and the JSON results of Grype,
    Trivy and pip-audit. `complete` names the ecosystems that a dump holds all of, such as `PyPI` for OSV's
    `PyPI/all.zip`; `as_of` the date where the file has none: without either it clears nothing.
    Raises Misuse if the file is of no known form or too large.
    """
    if as_of and moment_of(as_of) is None:
        raise Misuse(f"{as_of!r} is no date", field="as_of", fix="Write it as 2026-01-31")
    what = _read(path, complete)
    if complete and what.tool != "osv":
        raise Misuse(
            f"a result of {what.tool} is no complete list of an ecosystem", source=str(path), field="complete"
        )
    source = Source(
        name=name or f"{what.tool}-{path.name.partition('.')[0]}",
        as_of=as_of or what.as_of,
        covers=what.covers,
        examined=what.examined,
        origin=f"{what.tool}: {path.name}",
    )
    if not source.name.replace("-", "").replace("_", "").replace(".", "").isalnum():
        raise Misuse(f"{source.name!r} is no name of a database", field="name", fix="Use letters and dashes")
    try:
        content = packed(source, what.advisories)
    except UnicodeEncodeError as error:
        raise Misuse(f"holds text that is no Unicode: {error}", source=str(path)) from None
    target = folder / f"{source.name}{SUFFIX}"
    write_durably(target, content)
    return unpacked(content, target.name)[0]


def compiled(snapshot: Path) -> bytes:
    """The shipped form of a dump of PyPA's database, one OSV record a line, gzipped or not."""
    records = list(_lines(_content(snapshot), str(snapshot)))
    advisories = [_bare(each) for record in records for each in from_osv(record, str(snapshot))]
    source = Source(
        name=SHIPPED,
        kind="shipped",
        as_of=newest(each.modified for each in advisories),
        covers=("PyPI",),
        origin=PYPA,
        licence=f"{LICENCE}, the Python Packaging Advisory Database's authors; shortened",
    )
    return packed(source, advisories)


def _bare(advisory: Advisory) -> Advisory:
    """Without what matching does not ask: commits are nothing that an inventory holds, but that there are
    only commits must still be told."""
    ranges = tuple(each for each in advisory.ranges if each.kind != "GIT")
    if not ranges and advisory.ranges:
        ranges = tuple(msgspec.structs.replace(each, events=()) for each in advisory.ranges[:1])
    return msgspec.structs.replace(advisory, ranges=ranges)


def _shipped() -> list[tuple[Source, tuple[Advisory, ...]]]:
    folder = files("tradewind.audit.vulnerabilities") / "shipped"
    found = [unpacked((folder / f"{SHIPPED}{SUFFIX}").read_bytes(), SHIPPED)]
    content = (folder / "ml_overlay.jsonl").read_bytes()
    advisories = read_osv(_lines(content, OVERLAY), OVERLAY).advisories
    source = Source(
        name=OVERLAY,
        kind="shipped",
        as_of=newest(each.modified for each in advisories),
        records=len(advisories),
        digest=hashlib.sha256(content).hexdigest(),
        origin="kept by hand; every record tells where it was read",
    )
    return [*found, (source, advisories)]


def _read(path: Path, complete: tuple[str, ...]) -> Imported:
    name = str(path)
    if not path.is_file():
        raise Misuse("there is no such file", source=name)
    if zipfile.is_zipfile(path):
        return read_osv(_members(path), name, complete)
    content = _content(path)
    try:
        document = json.loads(content)
    except ValueError:
        return read_osv(_lines(content, name), name, complete)
    except RecursionError:
        raise Misuse("is nested too deeply", source=name) from None
    if isinstance(document, list):
        return read_osv(document, name, complete)
    what = read_document(document, name)
    return msgspec.structs.replace(what, covers=complete) if what.tool == "osv" else what


def _content(path: Path) -> bytes:
    if path.stat().st_size > LARGEST:
        raise Misuse(f"has more than {LARGEST} bytes", source=str(path))
    content = path.read_bytes()
    if not content.startswith(b"\x1f\x8b"):
        return content
    inflater = zlib.decompressobj(wbits=31)
    try:
        text = inflater.decompress(content, LARGEST)
    except zlib.error as error:
        raise Misuse(f"is a damaged archive: {error}", source=str(path)) from error
    if not inflater.eof:
        raise Misuse("is cut short or inflates to too much", source=str(path))
    return text


def _lines(content: bytes, name: str) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(io.BytesIO(content), start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise Misuse(f"line {number} is no JSON: {error}", source=name) from error
        if not isinstance(record, dict):
            raise Misuse(f"line {number} is no OSV record", source=name)
        yield record


def _members(path: Path) -> Iterator[dict[str, Any]]:
    left = LARGEST
    try:
        with zipfile.ZipFile(path) as archive:
            for member in sorted(archive.infolist(), key=lambda each: each.filename):
                if not member.filename.endswith(".json"):
                    continue
                with archive.open(member) as file:
                    # Read by the bytes that come, not by those that the archive claims.
                    content = file.read(min(left, LARGEST_RECORD) + 1)
                left -= len(content)
                if left < 0 or len(content) > LARGEST_RECORD:
                    raise Misuse("inflates to too much", source=str(path), field=member.filename)
                yield from _lines(json.dumps(json.loads(content)).encode(), f"{path}!{member.filename}")
    except _DAMAGED as error:
        raise Misuse(f"is a damaged archive: {error}", source=str(path)) from error


def main(arguments: list[str]) -> int:
    """Compile a snapshot into the shipped form; prints what was made."""
    if len(arguments) != 2:
        sys.stderr.write("python -m tradewind.audit.vulnerabilities.stored SNAPSHOT TARGET\n")
        return 2
    snapshot, target = (Path(each) for each in arguments)
    content = compiled(snapshot)
    write_durably(target, content)
    source, _ = unpacked(content, target.name)
    moment = moment_of(source.as_of)
    date = datetime.fromtimestamp(moment, UTC).date().isoformat() if moment is not None else "no date"
    sys.stdout.write(
        f"{target.name}: {source.records} advisories up to {date}, {len(content)} bytes, {source.digest}\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
