"""The scanner of model files: never an exception, and never `clean` for what would reach a forbidden global.

What a mutated pickle would do is asked of Python's own unpickler, with a `find_class` that gives nothing real
and stops at the first name that acts. So the law needs no second opinion on what mutation left of a payload.
"""

from __future__ import annotations

import bz2
import gzip
import importlib
import io
import json
import lzma
import pickle
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from fuzz_targets.target import Broken, Target

from tradewind.data.model_files.inspection import Budget
from tradewind.data.model_files.scanner import scan_bytes

ROOMY = Budget(unpacked=32 << 20, opcodes=500_000, memo=100_000, members=1_000)
FORBIDDEN = {"os", "posix", "subprocess", "sys", "builtins.eval", "builtins.exec", "builtins.open",
             "builtins.__import__", "builtins.getattr", "builtins.compile", "shutil", "socket", "runpy",
             "importlib", "pty", "webbrowser", "__builtin__.eval"}  # fmt: skip
"""Modules, and names in modules, that nobody's list allows."""
_MOST, _MOST_PICKLES = 1 << 20, 64
bad: list[bytes] = []
"""Malicious files, filled in by whoever runs a target."""


class _Reached(Exception):
    pass


class _Anything:
    """Stands for whatever a pickle names: takes any call, state and item."""

    def __init__(self, *given: Any, **more: Any) -> None: ...
    def __call__(self, *given: Any, **more: Any) -> _Anything:
        return self

    def __setitem__(self, key: Any, value: Any) -> None: ...
    def __setstate__(self, state: Any) -> None: ...
    def append(self, each: Any) -> None:
        """As lists have it."""

    def extend(self, each: Any) -> None:
        """As lists have it."""


class _Watched(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """Nothing real; stops at what acts."""
        if module in FORBIDDEN or f"{module}.{name}" in FORBIDDEN:
            raise _Reached(f"{module}.{name}")
        return _Anything

    def persistent_load(self, pid: Any) -> Any:
        """Nothing real."""
        return _Anything()


def reached(content: bytes) -> str:
    """The forbidden global that loading the content would look up, in it or in what it packs; or empty."""
    for plain in _layers(content):
        file = io.BytesIO(plain)
        for _ in range(_MOST_PICKLES):
            try:
                _Watched(file).load()
            except _Reached as found:
                return str(found)
            except (Exception, RecursionError):
                break
    return ""


def _layers(content: bytes) -> Iterator[bytes]:
    """The content, what it unfolds to, and its members, one level deep."""
    yield content
    unfold: tuple[Callable[[], bytes], ...] = (
        lambda: zlib.decompressobj(31).decompress(content, _MOST),
        lambda: zlib.decompressobj(15).decompress(content, _MOST),
        lambda: bz2.BZ2Decompressor().decompress(content, _MOST),
        lambda: lzma.LZMADecompressor().decompress(content, _MOST),
    )
    for each in unfold:
        try:
            yield each()
        except (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError, MemoryError):
            continue
    if content.startswith(b"PK\3\4"):
        try:
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                for member in archive.infolist()[:20]:
                    if member.filename.endswith("/data.pkl") or member.filename.endswith((".pkl", ".npy")):
                        with archive.open(member) as file:
                            yield _array(file.read(_MOST))
        except Exception:  # a damaged archive, however it is damaged
            return
    elif content.startswith(b"\x93NUMPY"):
        yield _array(content)


def _array(content: bytes) -> bytes:
    """The pickle behind the header of an array of objects; the content itself if it is no array."""
    if not content.startswith(b"\x93NUMPY") or len(content) < 12:
        return content
    wide = content[6] > 1
    size = int.from_bytes(content[8 : 12 if wide else 10], "little")
    start = (12 if wide else 10) + size
    return content[start:] if b"'|O'" in content[:start] or b"'O'" in content[:start] else b""


def _scan(content: bytes) -> None:
    scan = scan_bytes(content, "fuzzed", budget=ROOMY)
    if any("MemoryError" in each.message for each in scan.findings):
        raise Broken("more memory was asked for than there may be")
    if scan.verdict != "clean":
        return
    found = reached(content)
    if found:
        raise Broken(f"clean, as {scan.format}, though loading it looks up {found}")
    if any(content.startswith(each) or content.endswith(each) for each in bad):
        raise Broken(f"clean, as {scan.format}, with a malicious file at its beginning or its end")


def attacks() -> list[tuple[str, bytes]]:
    """Malicious files of the benchmark's corpus by name; those that cannot be made here are left out."""
    found = []
    for module in ("known_attacks", "unseen_gadgets", "unseen_opcodes", "unseen_libraries", "unseen_formats",
                   "unseen_containers"):  # fmt: skip
        try:
            made = importlib.import_module(f"model_corpus.{module}").attacks()
        except ImportError:
            continue
        for each in made:
            try:
                found.append((each.name, each.make("/dev/shm/never-made")))
            except (ImportError, OSError, ValueError):
                continue
    return found


def _malicious(wanted: Callable[[bytes], bool]) -> list[bytes]:
    return [content for _, content in attacks() if wanted(content) and len(content) <= 1 << 16]


def _packed(content: bytes) -> bool:
    starts = (b"PK\3\4", b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd", b"\x93NUMPY", b"\x78")
    return content.startswith(starts) or content[257:262] == b"ustar"


def _plain(content: bytes) -> bool:
    return not _packed(content) and (content[:1] == b"\x80" or content[-1:] == b".")


def _structured(content: bytes) -> bool:
    return not _packed(content) and not _plain(content)


def _pickles() -> list[bytes]:
    return [*_malicious(_plain), *(pickle.dumps([1, {"a": (2.5, "b")}, {3}], n) for n in range(6))]


def _containers() -> list[bytes]:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        info = tarfile.TarInfo("a.txt")
        archive.addfile(info)
    array = io.BytesIO()
    np.save(array, np.arange(4))
    zipped = io.BytesIO()
    with zipfile.ZipFile(zipped, "w") as archive_:
        archive_.writestr("archive/data.pkl", pickle.dumps({"a": 1}, 2))
        archive_.writestr("archive/version", "3\n")
    plain = pickle.dumps({"a": 1})
    return [
        *_malicious(_packed), out.getvalue(), array.getvalue(), zipped.getvalue(), gzip.compress(plain),
        bz2.compress(plain), lzma.compress(plain), zlib.compress(plain),
    ]  # fmt: skip


def _structures() -> list[bytes]:
    header = b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"__metadata__":{"format":"pt"}}'
    template = b"{% for m in messages %}{{ m['content'] | trim }}{% endfor %}"
    gguf = b"GGUF" + struct.pack("<IQQ", 3, 0, 2)
    for key, value in ((b"general.architecture", b"llama"), (b"tokenizer.chat_template", template)):
        gguf += struct.pack("<Q", len(key)) + key + struct.pack("<IQ", 8, len(value)) + value
    config = {
        "class_name": "Sequential",
        "config": {"layers": [{"class_name": "Dense", "config": {"units": 1}}]},
    }
    return [
        *_malicious(_structured), struct.pack("<Q", len(header)) + header + bytes(4), gguf, _ONNX,
        json.dumps({"chat_template": template.decode(), "model_type": "x"}).encode(),
        json.dumps(config).encode(),
        b"\x89HDF\r\n\x1a\n" + bytes(600),
    ]  # fmt: skip


_ONNX = bytes.fromhex(
    "08083a3b0a1012016112016222044964656e746974790a0012016712"
    "01675a130a0161120e0a0c080112080a0208010a0208015a00620f0a016212"
)
TARGETS = (
    Target("scan-pickle", _scan, _pickles, ()),
    Target("scan-container", _scan, _containers, ()),
    Target("scan-structure", _scan, _structures, ()),
)
