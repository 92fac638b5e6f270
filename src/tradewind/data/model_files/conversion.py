"""A model file that holds pickles, written anew as safetensors: tensors by name, and the rest as JSON.

First the file is scanned, and only a clean one is converted. Then the same inert machine reads it again, and
the stubs that it leaves are written down: nothing of torch, scikit-learn or the model's own code is imported,
so this works where they are not installed. A state dictionary becomes what safetensors' own loaders read; of
anything else the structure is in the metadata, under `structure`, with each class as its name and state.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, BinaryIO

from msgspec import Struct

from tradewind.data.durable_files import replacing
from tradewind.data.model_files.allowed.lists import shipped
from tradewind.data.model_files.containers.zip_archive import opened
from tradewind.data.model_files.containers.zip_directory import members_of
from tradewind.data.model_files.conversion_graph import Graph
from tradewind.data.model_files.conversion_tensors import Refused, Storages, Tensor, source_bytes
from tradewind.data.model_files.identification import recognised
from tradewind.data.model_files.inspection import Allowed, Budget, Source
from tradewind.data.model_files.pickles.npy import header_of
from tradewind.data.model_files.pickles.plain import read_pickle
from tradewind.data.model_files.pickles.stream import Broken
from tradewind.data.model_files.pickles.stubs import Array, Named, Stored
from tradewind.data.model_files.pickles.torch_legacy import MAGIC, element_size
from tradewind.data.model_files.pickles.torch_legacy import Storages as LegacyStorages
from tradewind.data.model_files.pickles.torch_zip import Storages as ZipStorages
from tradewind.data.model_files.pickles.torch_zip import root_of
from tradewind.data.model_files.scanner import scan_file
from tradewind.data.model_files.scanning import Scanning
from tradewind.errors import Misuse

FORMAT = "tradewind-converted-1"
_LARGEST = 4 << 30
_LONGEST = 100_000_000
_UNPACKED = {"gzip", "bz2", "xz", "lzma", "zlib", "zstd", "zfile"}


class Converted(Struct, frozen=True):
    """What was written."""

    path: str
    digest: str
    """SHA-256 of the file that was converted."""
    tensors: int
    size: int
    """Bytes of the tensors."""
    state_dictionary: bool
    """Whether it is a mapping from names to tensors and nothing else."""
    shared: tuple[tuple[str, ...], ...] = ()
    """Tensors that viewed one storage, and have bytes of their own now."""


class _Members(Scanning):
    """An inspection that keeps what is packed inside instead of looking into it."""

    def __init__(self, allowed: Allowed) -> None:
        super().__init__(allowed, Budget())
        self.members: list[tuple[str, Source]] = []

    def inside(self, content: bytes | BinaryIO, name: str, within: Source) -> str:
        """Keep a member's bytes; the file they are unpacked to ends with its container."""
        kept = Source(content, name)
        self.members.append((name, Source(source_bytes(kept), name)))
        if not isinstance(content, bytes):
            content.close()
        return ""


def convert(
    path: str | os.PathLike[str], target: str | os.PathLike[str], *, allowed: Allowed | None = None
) -> Converted:
    """Write the tensors and the structure of the file at `path` to `target`, a safetensors file.

    Misuse where the scan's verdict is not clean, where the format holds no pickles or arrays of numpy, and
    where something cannot be written without loss; nothing is written then.
    """
    scan = scan_file(path, allowed=allowed)
    if scan.verdict != "clean":
        first = next((each for each in scan.findings if each.level != "note"), None)
        why = f"{first.rule}: {first.message}" if first else "no reason"
        raise Misuse(
            f"the scan's verdict is {scan.verdict} ({why})", source=str(path),
            fix="Only a clean file is converted: `tradewind audit model` shows all findings.",
        )  # fmt: skip
    names = shipped() if allowed is None else allowed
    try:
        with Path(path).open("rb") as file:
            graph = _graph(Source(file), names, scan.format)
    except Refused as problem:
        raise Misuse(
            f"it cannot be converted: it holds {problem}", source=str(path),
            fix="Export the model from the library that made it, as safetensors or ONNX.",
        ) from None  # fmt: skip
    except (Broken, ValueError, IndexError, TypeError, KeyError, RecursionError, OverflowError) as problem:
        raise Misuse(
            f"it cannot be converted ({type(problem).__name__}: {problem})", source=str(path),
            fix="Export the model from the library that made it.",
        ) from None  # fmt: skip
    if scan_file(path, allowed=allowed).digest != scan.digest:
        raise Misuse("the file changed meanwhile", source=str(path), fix="Convert it when nobody writes it.")
    metadata = {"format": FORMAT, "source": Path(path).name, "source_sha256": scan.digest}
    if not graph.flat:
        metadata["structure"] = json.dumps(graph.structure)
    write_raw(Path(target), graph.tensors, metadata)
    size = sum(len(each.content) for each in graph.tensors.values())
    shared = tuple(tuple(each) for each in graph.shared())
    return Converted(str(target), scan.digest, len(graph.tensors), size, graph.flat, shared)


def _graph(source: Source, allowed: Allowed, form: str, depth: int = 0) -> Graph:
    plain, finer = recognised(source)
    names = {each.name for each in (*plain, *finer)}
    inspection = _Members(allowed)
    if "torch-zip" in names and "torchscript" not in names:
        return _torch_zip(source, inspection)
    if "npy" in names:
        return Graph(_npy(source, inspection), _no_storages)
    if names & _UNPACKED and depth < 4:
        plain[0].inspect(source, inspection)
        if len(inspection.members) == 1:
            return _graph(inspection.members[0][1], allowed, form, depth + 1)
    if names == {"zip"}:
        plain[0].inspect(source, inspection)
        arrays = {name.removesuffix(".npy"): _npy(inner, inspection) for name, inner in inspection.members}
        return Graph(arrays, _no_storages)
    if names == {"pickle"}:
        return _pickle(source, inspection)
    raise Refused(f"the format {form}, of which there is nothing to convert")


def _no_storages(stored: Stored) -> bytes:
    raise Refused(f"a storage {stored.key} outside of torch's files")


def _npy(source: Source, inspection: _Members) -> object:
    if source.read(0, 6) != b"\x93NUMPY":
        raise Refused(f"a member {source.name} that is no array")
    header = header_of(source)
    if header.objects:
        return read_pickle(source, inspection, header.start)[0]
    size = header.itemsize
    for each in header.shape:
        size *= each
    order = "F" if header.fortran else "C"
    return Array(source, header.dtype, header.shape, order, header.start, size)


def _torch_zip(source: Source, inspection: _Members) -> Graph:
    members = members_of(source)
    root = root_of(members) or ""
    by_name = {member.name: member for member in members}

    def content(name: str) -> bytes:
        member = by_name[name]
        if member.size > _LARGEST:
            raise Refused(f"a member of {member.size} bytes")
        file = opened(source, member, inspection)
        if file is None:
            raise Refused(f"a member {name} that cannot be read")
        return source_bytes(Source(file))

    order = f"{root}byteorder"
    if order in by_name and content(order) != b"little":
        raise Refused("tensors of a big-endian machine")
    inner = Source(content(f"{root}data.pkl"), "data.pkl")
    named = ZipStorages(by_name, f"{root}data/")
    root_value, _ = read_pickle(inner, inspection, persistent=named.identified)
    return Graph(root_value, _cached(lambda stored: content(f"{root}data/{stored.key}")))


def _cached(read: Storages) -> Storages:
    """The storage that was read last is kept: views of one follow one another."""
    last: list[Any] = [None, b""]

    def read_once(stored: Stored) -> bytes:
        if last[0] != stored.key:
            last[:] = [stored.key, read(stored)]
        return bytes(last[1])

    return read_once


def _pickle(source: Source, inspection: _Members) -> Graph:
    """A plain pickle, or torch's old form: number, version, machine, object, keys, storages."""
    storages = LegacyStorages(source)
    value, offset = read_pickle(source, inspection, 0, persistent=storages.identified(0))
    if type(value) is not int or value != MAGIC:
        if offset != source.size:
            raise Refused("several pickles in a row")
        return Graph(value, _no_storages)
    storages.legacy = True
    root: object = None
    for count in range(1, 5):
        value, offset = read_pickle(source, inspection, offset, persistent=storages.identified(count))
        if count == 2 and isinstance(value, dict) and value.get("little_endian") is not True:
            raise Refused("tensors of a big-endian machine")
        root = value if count == 3 else root
    storages.passed(value, offset, inspection)

    def read(stored: Stored) -> bytes:
        if stored.view is not None:
            raise Refused("a view of a storage, as torch before 0.4 wrote")
        place = storages.offsets[stored.key]
        return source.read(place, stored.numel * _size(stored))

    return Graph(root, _cached(read))


def _size(stored: Stored) -> int:
    return element_size(Named(stored.kind))


def write_raw(target: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Write tensors of any dtype of safetensors, durably; bfloat16 too, which numpy has not."""
    header: dict[str, Any] = {"__metadata__": metadata}
    at = 0
    # Wide types first, so that each begins where its elements would be aligned.
    order = sorted(tensors, key=lambda name: (-_width(tensors[name]), name))
    for name in order:
        tensor = tensors[name]
        places = [at, at + len(tensor.content)]
        header[name] = {"dtype": tensor.dtype, "shape": list(tensor.shape), "data_offsets": places}
        at = places[1]
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    if len(text) > _LONGEST:
        raise Misuse(
            f"the structure takes {len(text)} bytes", source=str(target),
            fix="Export the model from the library that made it.",
        )  # fmt: skip
    with replacing(target) as partial, partial.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name in order:
            file.write(tensors[name].content)


def _width(tensor: Tensor) -> int:
    digits = "".join(each for each in tensor.dtype if each.isdigit())
    return int(digits[:2]) if digits and not tensor.dtype.startswith("F8") else 8
