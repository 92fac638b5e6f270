"""A database is the same bytes for the same content, and damage never passes for content."""

from __future__ import annotations

import gzip
import hashlib

import pytest

from tradewind.audit.vulnerabilities.advisories import Advisory, Event, Import, Range
from tradewind.audit.vulnerabilities.packing import packed, unpacked
from tradewind.audit.vulnerabilities.sources import Source
from tradewind.errors import Corrupt

SOURCE = Source(name="s", as_of="2026-01-01", covers=("PyPI",), examined=(("PyPI", "x", "1"),))
FIRST = Advisory("A", "PyPI", "x", ranges=(Range((Event("introduced", "0"), Event("fixed", "1"))),))
SECOND = Advisory("B", "PyPI", "a", imports=(Import(("a.b",)),), score=7.5, severity="high", versions=("1",))
WHOLE = packed(SOURCE, [FIRST, SECOND])


def test_round_trip() -> None:
    source, advisories = unpacked(WHOLE)
    assert advisories == (SECOND, FIRST)
    assert source.records == 2
    assert source.digest == hashlib.sha256(WHOLE).hexdigest()
    assert source.examined == SOURCE.examined
    assert packed(source, reversed(advisories)) == WHOLE


@pytest.mark.parametrize(
    "damaged",
    [
        b"",
        b"{}",
        WHOLE[:-9],
        WHOLE + b"x",
        WHOLE[:40] + b"\x00\x00\x00" + WHOLE[43:],
        gzip.compress(b"{}\n"),
        gzip.compress(gzip.decompress(WHOLE).replace(b"advisories-1", b"advisories-9")),
        gzip.compress(b"\n".join(gzip.decompress(WHOLE).splitlines()[:2])),
    ],
    ids=["empty", "plain", "cut", "more", "changed", "header", "form", "record"],
)
def test_damage_is_told(damaged: bytes) -> None:
    with pytest.raises(Corrupt, match="mine"):
        unpacked(damaged, "mine")


@pytest.mark.parametrize(
    "line", [b'{"format": "\xcb"}', b'{"source":' + b"[" * 100_000], ids=["bytes", "deep"]
)
def test_a_first_line_of_another_form_is_told(line: bytes) -> None:
    with pytest.raises(Corrupt, match="no database"):
        unpacked(gzip.compress(line))
