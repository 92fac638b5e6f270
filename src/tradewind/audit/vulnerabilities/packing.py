"""The form in which databases are kept: gzip over one JSON object a line, the source first, then advisories.

The same content gives the same bytes: keys are in the order of the structs, records in the order of package
and id, and the archive holds no date.
"""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections.abc import Iterable

import msgspec

from tradewind.audit.vulnerabilities.advisories import Advisory
from tradewind.audit.vulnerabilities.sources import Source
from tradewind.errors import Corrupt

FORMAT = "tradewind-advisories-1"
LARGEST = 1 << 30
"""Bytes that a database may have when inflated."""


class Header(msgspec.Struct, frozen=True):
    """The first line."""

    format: str
    source: Source


def packed(source: Source, advisories: Iterable[Advisory]) -> bytes:
    """The bytes of a database; the digest in `source` is left out, as it is these bytes' own."""
    ordered = sorted(advisories, key=lambda each: (each.ecosystem, each.package, each.id))
    source = msgspec.structs.replace(source, digest="", records=len(ordered))
    encoder = msgspec.json.Encoder()
    lines = [encoder.encode(Header(FORMAT, source)), *(encoder.encode(each) for each in ordered)]
    return gzip.compress(b"\n".join(lines) + b"\n", compresslevel=9, mtime=0)


def unpacked(content: bytes, name: str = "") -> tuple[Source, tuple[Advisory, ...]]:
    """What `packed` made, with its digest.

    Raises Corrupt if it is not whole or of another form.
    """
    try:
        inflater = zlib.decompressobj(wbits=31)
        text = inflater.decompress(content, LARGEST)
        if not inflater.eof or inflater.unconsumed_tail or inflater.unused_data:
            raise Corrupt(f"{name}: the archive of advisories is cut short, too long or followed by more")
        first, _, rest = text.partition(b"\n")
        header = msgspec.json.decode(first, type=Header)
        if header.format != FORMAT:
            raise Corrupt(f"{name}: its form is {header.format!r}, not {FORMAT!r}")
        decoder = msgspec.json.Decoder(Advisory)
        advisories = tuple(decoder.decode(line) for line in rest.splitlines())
    except (zlib.error, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Corrupt(f"{name}: no database of advisories: {error}") from error
    if len(advisories) != header.source.records:
        raise Corrupt(f"{name}: {header.source.records} records are told, {len(advisories)} are there")
    digest = hashlib.sha256(content).hexdigest()
    return msgspec.structs.replace(header.source, digest=digest), advisories
