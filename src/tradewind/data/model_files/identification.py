"""What a file's bytes are: every format is tried, and a file that is two things at once is neither."""

from __future__ import annotations

import itertools
from collections.abc import Callable

from tradewind.data.model_files.containers import compressed, tar_archive, zip_archive
from tradewind.data.model_files.findings import Rule
from tradewind.data.model_files.formats import readings as formats
from tradewind.data.model_files.inspection import Inspection, Reading, Source
from tradewind.data.model_files.pickles import npy, plain, torch_tar, torch_zip

POLYGLOT = Rule(
    "file-polyglot", "blocked",
    "The bytes are two formats at once: what one reader takes for harmless, another loads.",
    "Do not load the file.",
)  # fmt: skip
UNKNOWN = Rule(
    "file-unknown", "blocked",
    "The bytes are no format that the scanner knows, so what would load them, and do, cannot be foreseen.",
    "Scan what it was made from, or ask for the weights as safetensors.",
)  # fmt: skip
FAULT = Rule(
    "scan-fault", "undecided",
    "The scanner itself failed; nothing is known of the file.",
    "Report it, with the file if that may be; do not load it until then.",
)  # fmt: skip
SPENT = Rule(
    "scan-budget", "undecided",
    "The file takes more work than one scan may: bytes unfolded, opcodes, members or nesting.",
    "Give a larger budget if the file is trusted that far.",
)  # fmt: skip
READINGS: tuple[Reading, ...] = (
    zip_archive.READING,
    torch_zip.READING,
    tar_archive.READING,
    torch_tar.READING,
    *compressed.READINGS,
    npy.READING,
    plain.READING,
    *formats.READINGS,
)
"""Formats with a mark, and those that refine one of them; all are asked."""
STRUCTURES: dict[str, Callable[[Source, Inspection], object]] = {
    "zip": zip_archive.structure,
    "tar": tar_archive.structure,
}
"""The check of a container as such, where another reading hands on its members."""
OWN_RULES = {rule.id: rule for rule in (POLYGLOT, UNKNOWN, FAULT, SPENT)}


def every_reading() -> tuple[Reading, ...]:
    """All formats that are known."""
    return (*READINGS, *formats.MESSAGES, *formats.LAST_RESORTS)


def recognised(source: Source) -> tuple[list[Reading], list[Reading]]:
    """The readings that the bytes satisfy: those by themselves, and those that say more of another one.

    Formats without a mark are asked only where none has one, in their order, and the first that fits it is.
    """
    found = [reading for reading in READINGS if reading.recognises(source)]
    names = {reading.name for reading in found}
    alone = [reading for reading in found if not reading.refines]
    if not alone:
        rest = (*formats.MESSAGES, *formats.LAST_RESORTS)
        return [*itertools.islice((each for each in rest if each.recognises(source)), 1)], []
    return alone, [reading for reading in found if reading.refines in names]
