"""The size of a package release by release: from an index's metadata, or from wheels that lie in a folder."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Literal

from msgspec import Struct
from packaging.utils import (
    canonicalize_name,
    parse_sdist_filename,
    parse_wheel_filename,
)
from packaging.version import Version

from tradewind.errors import Misuse

Form = Literal["wheel", "sdist"]


class Distribution(Struct, frozen=True):
    """One file of a release."""

    file: str
    size: int
    """Bytes to download."""
    uploaded: float | None = None
    """Seconds since the epoch."""
    unpacked: int | None = None
    """Bytes of its files, where the archive itself could be looked into."""
    yanked: bool = False


class Release(Struct, frozen=True):
    """One version, by the one file of it that is compared with other versions'."""

    version: str
    form: Form
    chosen: Distribution
    files: int
    """How many files the release has."""


def listed(document: object, source: str) -> list[Distribution]:
    """The files in a project's page of an index, in the JSON form of PEP 691.

    Sizes came with PEP 700; Misuse if the index gives none.
    """
    files = document.get("files") if isinstance(document, Mapping) else None
    if not isinstance(files, Sequence) or isinstance(files, str):
        raise Misuse("this is no page of an index", source=source, field="files", fix="Give PEP 691's JSON.")
    found = []
    for number, each in enumerate(files):
        if not isinstance(each, Mapping) or not isinstance(each.get("filename"), str):
            raise Misuse("this is no file of an index", source=source, field=f"files[{number}]")
        size = each.get("size")
        if not isinstance(size, int) or isinstance(size, bool) or size < 0:
            raise Misuse(
                "the index gives no size", source=source, field=f"files[{number}].size",
                fix="Ask an index of API version 1.1 (PEP 700), or give a folder of wheels.",
            )  # fmt: skip
        found.append(
            Distribution(
                each["filename"],
                size,
                _moment(each.get("upload-time"), source, number),
                yanked=bool(each.get("yanked")),
            )
        )
    return found


def _moment(told: object, source: str, number: int) -> float | None:
    if told is None:
        return None
    try:
        return datetime.fromisoformat(str(told)).timestamp()
    except (ValueError, OverflowError, OSError):
        raise Misuse(
            f"{str(told)[:60]!r} is no moment", source=source, field=f"files[{number}].upload-time"
        ) from None  # fmt: skip


def releases(
    distributions: Iterable[Distribution],
    project: str,
    *,
    platform: str = "manylinux",
    machine: str = "x86_64",
) -> list[Release]:
    """The releases of a project in order of version, each by its largest wheel for one kind of machine.

    A wheel for any machine counts where a release has none for that; the source where it has no wheel. Yanked
    files, those of other projects, and what is neither wheel nor source are left out.
    """
    found: dict[Version, list[tuple[int, int, Form, Distribution]]] = {}
    for each in distributions:
        if each.yanked:
            continue
        try:
            name, version, _, tags = parse_wheel_filename(each.file)
            here = [tag.platform for tag in tags]
            fits = any(platform in tag and machine in tag for tag in here)
            rank, form = (2, "wheel") if fits else (1, "wheel") if "any" in here else (-1, "wheel")
        except ValueError:  # InvalidWheelFilename, or a number that Python does not convert
            try:
                name, version = parse_sdist_filename(each.file)
            except ValueError:
                continue
            rank, form = 0, "sdist"
        if name == canonicalize_name(project) and rank >= 0:
            found.setdefault(version, []).append(
                (rank, each.size, "wheel" if form == "wheel" else "sdist", each)
            )
    made = []
    for version, files in sorted(found.items(), key=lambda pair: pair[0]):
        _, _, form_, chosen = max(files, key=lambda row: (row[0], row[1], row[3].file))
        made.append(Release(str(version), form_, chosen, len(files)))
    return made
