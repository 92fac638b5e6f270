"""GPU code inside ELF files, by processor, and what one kind of device would never run of it.

CUDA's compiler puts machine code for several devices (cubins) and portable code (PTX) side by side into the
section `.nv_fatbin`: regions, each a list of elements for the same kernels, as the locator of Negativa-ML
(MLSys 2025) reads them. Only their headers are read here, which needs neither GPU nor CUDA's tools; which
kernels a program calls is not known without a GPU, so what is told is what the target could not choose.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import BinaryIO, Literal

from msgspec import Struct

from tradewind.audit.inventory.elf import read_sections
from tradewind.audit.trees import Files

SECTIONS = (".nv_fatbin", "__nv_relfatbin")
MAGIC = 0xBA55ED50
CUBIN = 2
MOST_ELEMENTS = 4_000_000
"""Elements that are read of one file at most."""


class Element(Struct, frozen=True, gc=False):
    """The code of some kernels for one kind of device."""

    kind: Literal["cubin", "ptx"]
    sm: int
    """The compute capability it is made for, ten times: 80 for 8.0."""
    offset: int
    """Where it begins in the file, its header first."""
    bytes: int
    """With its header."""


class Region(Struct, frozen=True, gc=False):
    """Elements of which a device chooses one."""

    offset: int
    bytes: int
    elements: tuple[Element, ...]


class GpuCode(Struct, frozen=True):
    """The GPU code of one file."""

    regions: tuple[Region, ...]
    section_bytes: int
    """Bytes of the sections that hold it."""
    damaged: bool = False
    """Whether a header did not hold; what follows it in its section is not told."""

    @property
    def bytes(self) -> int:
        """Bytes of all elements."""
        return sum(element.bytes for region in self.regions for element in region.elements)

    def by_device(self) -> dict[str, int]:
        """Bytes by kind and device, `sm_80` for machine code and `compute_80` for PTX, in order."""
        found: dict[tuple[int, str], int] = {}
        for region in self.regions:
            for each in region.elements:
                name = f"sm_{each.sm}" if each.kind == "cubin" else f"compute_{each.sm}"
                found[each.sm, name] = found.get((each.sm, name), 0) + each.bytes
        return {name: count for (_, name), count in sorted(found.items())}

    def unneeded(self, target_sm: int) -> tuple[Element, ...]:
        """The elements that a device of capability `target_sm` never chooses."""
        return tuple(element for region in self.regions for element in unneeded(region, target_sm))


def unneeded(region: Region, target_sm: int) -> tuple[Element, ...]:
    """The elements of a region that a device of capability `target_sm` never chooses.

    Needed are those of the best capability: the highest of a cubin that the device runs (its own major
    number, no higher minor one), and PTX of the same; without such a cubin, the highest PTX that it can
    translate. The rule of Negativa-ML takes the highest capability of either kind, so where only a cubin of
    an older major number has it, that rule removes the PTX that the device would run. A region with nothing
    for the device keeps all.
    """
    major = target_sm // 10
    cubins = [
        e.sm for e in region.elements if e.kind == "cubin" and e.sm // 10 == major and e.sm <= target_sm
    ]
    portable = [e.sm for e in region.elements if e.kind == "ptx" and e.sm <= target_sm]
    if not cubins and not portable:
        return ()
    best = max(cubins or portable)
    return tuple(e for e in region.elements if e.sm != best or (not cubins and e.kind == "cubin"))


def read_gpu_code(file: BinaryIO) -> GpuCode | None:
    """The GPU code of an ELF file; None where it has none, or is no ELF file."""
    sections = [each for each in read_sections(file) if each.name in SECTIONS and each.size]
    if not sections:
        return None
    file.seek(0, 2)
    length = file.tell()
    regions: list[Region] = []
    damaged = False
    for section in sections:
        end = min(section.offset + section.size, length)
        damaged |= end < section.offset + section.size or not _regions(file, section.offset, end, regions)
    return GpuCode(tuple(regions), sum(each.size for each in sections), damaged)


def _regions(file: BinaryIO, start: int, end: int, found: list[Region]) -> bool:
    """Add the regions from `start` to `end`; whether all headers held."""
    at, count = start, sum(len(region.elements) for region in found)
    while at + 16 <= end:
        file.seek(at)
        header = file.read(16)
        magic, _, header_size, fat_size = struct.unpack("<IHHQ", header)
        if magic != MAGIC:
            # Regions are aligned: between them lies nothing but zeros.
            if any(header[:8]):
                return False
            at += 8
            continue
        region_end = at + header_size + fat_size
        if header_size < 16 or region_end > end:
            return False
        elements = []
        here = at + header_size
        while here + 32 <= region_end:
            file.seek(here)
            kind, _, size, payload = struct.unpack_from("<HHIQ", head := file.read(32))
            sm = struct.unpack_from("<I", head, 28)[0]
            count += 1
            if size < 32 or here + size + payload > region_end or count > MOST_ELEMENTS:
                return False
            elements.append(Element("cubin" if kind == CUBIN else "ptx", sm, here, size + payload))
            here += size + payload
        found.append(Region(at, header_size + fat_size, tuple(elements)))
        at = region_end
    return True


def gpu_code_of(files: Files, paths: Iterable[str] | None = None) -> dict[str, GpuCode]:
    """The GPU code of each file that has some, by path: of all libraries and programs, or of `paths`.

    A file that has several names is told once, by its first.
    """
    tree = files.tree
    found: dict[str, GpuCode] = {}
    nodes: set[int] = set()
    for path in sorted(tree.entries if paths is None else paths):
        entry = tree.entries[path]
        if entry.kind != "file" or entry.size < 1024 or entry.node in nodes:
            continue
        name = path.rpartition("/")[2]
        if not (name.endswith(".so") or ".so." in name or entry.mode & 0o111):
            continue
        if entry.node:
            nodes.add(entry.node)
        with files.open(path) as file:
            code = read_gpu_code(file)
        if code is not None:
            found[path] = code
    return found
