"""The order of versions: PEP 440 for Python packages, dpkg's for Debian's, Semantic Versioning for the rest.

A version that its scheme cannot read has no place in the order; who compares it is told None and must not
take that for an answer.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

Key = tuple[Any, ...]
Order = Callable[[str], Key | None]
"""A version's place: keys compare as the versions do; None for what is no version."""

LONGEST = 1000
"""Letters of a version; a longer one has no place. Python converts no number of very many digits."""
DEBIAN_LIKE = ("Debian", "Ubuntu")
_EPOCH = re.compile(r"[0-9]+")
_DEBIAN = re.compile(r"[A-Za-z0-9.+~:-]+")
_PIECES = re.compile(r"([^0-9]*)([0-9]*)")
_SEMANTIC = re.compile(
    r"v?(0|[1-9][0-9]*)(?:\.(0|[1-9][0-9]*))?(?:\.(0|[1-9][0-9]*))?"
    r"(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?"
)


def pep440(text: str) -> Key | None:
    """The place of a Python package's version by PEP 440.

    A local part (`2.5.1+cpu`) has no say: a build of 2.5.1 for processors without GPU is a 2.5.1, and whoever
    writes advisories knows nothing of it.
    """
    if len(text) > LONGEST:
        return None
    try:
        version = Version(text)
    except InvalidVersion:
        return None
    return (version if version.local is None else Version(version.public),)


def debian(text: str) -> Key | None:
    """The place of a Debian package's version by dpkg's rule (deb-version(7)): epoch, upstream, revision."""
    text = text.strip()
    if len(text) > LONGEST or not _DEBIAN.fullmatch(text):
        return None
    epoch, colon, rest = text.partition(":")
    if colon and not _EPOCH.fullmatch(epoch):
        return None
    number, rest = (int(epoch), rest) if colon else (0, text)
    upstream, dash, revision = rest.rpartition("-")
    if not dash:
        upstream, revision = rest, ""
    if not upstream:
        return None
    return (number, _pieces(upstream), _pieces(revision))


def semantic(text: str) -> Key | None:
    """The place of a version by Semantic Versioning 2.0, missing minor and patch numbers being 0."""
    found = _SEMANTIC.fullmatch(text.strip()) if len(text) <= LONGEST else None
    if found is None:
        return None
    numbers = tuple(int(part or 0) for part in found.groups()[:3])
    if not found.group(4):
        return (*numbers, (1,))
    # A pre-release comes before its release; in it numbers come before words, and fewer fields before more.
    fields = tuple((0, int(f), "") if f.isdecimal() else (1, 0, f) for f in found.group(4).split("."))
    return (*numbers, (0, *fields))


def order_of(ecosystem: str, kind: str = "ECOSYSTEM") -> Order | None:
    """The order of a range of `kind` in an OSV ecosystem, or None where we know none (GIT, for one)."""
    if kind == "SEMVER":
        return semantic
    if kind != "ECOSYSTEM":
        return None
    if ecosystem == "PyPI":
        return pep440
    return debian if ecosystem.partition(":")[0] in DEBIAN_LIKE else None


def normal_name(ecosystem: str, name: str) -> str:
    """A package's name as it is compared: by PEP 503 for Python, in lower case for all others."""
    return str(canonicalize_name(name)) if ecosystem == "PyPI" else name.lower()


def _pieces(text: str) -> tuple[tuple[tuple[int, ...], int], ...]:
    """Words and numbers in turn; the last piece stands for the end, before which only `~` comes."""
    found = [
        ((*(_rank(letter) for letter in word), 0), int(digits or 0))
        for word, digits in _PIECES.findall(text)
        if word or digits
    ]
    return (*found, ((0,), 0))


def _rank(letter: str) -> int:
    if letter == "~":
        return -1
    return ord(letter) if letter.isalpha() else ord(letter) + 256
