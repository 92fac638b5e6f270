"""What kind of model a file or a folder is, by its content, and a refusal of what could run code.

A file's name decides nothing: a pickle called model.onnx is a pickle. Nothing is unpickled, imported or run.
"""

from __future__ import annotations

import json
import pickletools
import zipfile
from enum import Enum
from pathlib import Path

from tradewind.errors import Misuse
from tradewind.serving.models.onnx_layout import is_onnx

SERVED = "ONNX, Tradewind's own models, scikit-learn as skops, PyTorch as torch.export's .pt2"
"""What may be opened, in words."""
_LARGEST = 16 << 30
_FREE = 256 << 20
_TIMES = 100
_MEMBERS = 100_000
_LOOKED_AT = 1 << 16
_HEADER = 100 << 20
_TENSORS = "model.safetensors"
_PREFERRED = (_TENSORS, "model.onnx", "model.skops", "model.pt2")
_ENDINGS = (".onnx", ".skops", ".pt2", ".safetensors")


class Kind(Enum):
    """A kind of artefact."""

    ONNX = "onnx"
    LEARNER = "learner"
    """`model.safetensors` of ours, with or without a preparation beside it."""
    WEIGHTS = "weights"
    """Other safetensors: arrays without the network that they belong to."""
    SKOPS = "skops"
    EXPORTED = "pt2"
    """A program of torch.export."""


_REFUSED = {
    b"\x89HDF\r\n\x1a\n": ("an HDF5 file, as Keras writes; its layers may hold code", "ONNX (tf2onnx)"),
    b"\x93NUMPY": ("a numpy array, no model", "ONNX"),
    b"\x1f\x8b": ("a gzip file, as joblib writes; it may hold a pickle", "skops"),
    b"BZh": ("a bzip2 file, as joblib writes; it may hold a pickle", "skops"),
    b"\xfd7zXZ": ("an xz file, as joblib writes; it may hold a pickle", "skops"),
    b"\x5d\x00\x00\x80": ("an lzma file, as joblib writes; it may hold a pickle", "skops"),
    b"\x04\x22\x4d\x18": ("an lz4 file, as joblib writes; it may hold a pickle", "skops"),
    b"\x78\x01": ("a zlib file, as joblib writes; it may hold a pickle", "skops"),
    b"\x78\x5e": ("a zlib file, as joblib writes; it may hold a pickle", "skops"),
    b"\x78\x9c": ("a zlib file, as joblib writes; it may hold a pickle", "skops"),
    b"\x78\xda": ("a zlib file, as joblib writes; it may hold a pickle", "skops"),
    b"ZF\x00": ("a file of old joblib; it may hold a pickle", "skops"),
    b"\x7fELF": ("machine code", "ONNX"),
    b"#!": ("a script", "ONNX"),
}


def artefact_in(path: Path) -> Path:
    """The file that a folder means, or `path` itself if it is one. Misuse if there is none, or several."""
    if path.is_file():
        return path
    if not path.is_dir():
        raise Misuse("there is nothing here", source=str(path), fix="Give a model's file or folder.")
    for name in (*_PREFERRED, f"model/{_TENSORS}"):
        if (path / name).is_file():
            return path / name
    found = sorted(each for each in path.iterdir() if each.is_file() and each.suffix in _ENDINGS)
    if len(found) == 1:
        return found[0]
    if found:
        raise Misuse(
            f"there are several models here: {', '.join(each.name for each in found)}", source=str(path),
            fix="Give the file.",
        )  # fmt: skip
    if (path / "saved_model.pb").is_file():
        raise Misuse("this is a TensorFlow SavedModel", source=str(path), fix="Convert it to ONNX (tf2onnx).")
    others = sorted(each for each in path.iterdir() if each.is_file())
    if len(others) == 1:
        return others[0]
    raise Misuse("there is no model here", source=str(path), fix=f"Served are {SERVED}.")


def recognised(path: Path) -> Kind:
    """The kind of artefact that a file is. Misuse, naming a safe way, for what is not served."""
    with path.open("rb") as file:
        start = file.read(_LOOKED_AT)
    if _is_safetensors(start, path):
        return Kind.LEARNER if _format(path).startswith("tradewind-model-") else Kind.WEIGHTS
    if start[:2] == b"PK":
        return _archive(path)
    for magic, (told, way) in _REFUSED.items():
        if start.startswith(magic):
            raise Misuse(f"this is {told}", source=str(path), fix=f"Save the model as {way}.")
    if is_onnx(path):
        return Kind.ONNX
    if is_pickle(start):
        raise Misuse(
            "this is a pickle; loading it could run anything", source=str(path),
            fix="Save the model as ONNX, scikit-learn's as skops, PyTorch's by torch.export.save.",
        )  # fmt: skip
    if path.suffix == ".py":
        raise Misuse(
            "this is code, which is not run because a file is there", source=str(path),
            fix="Name the class yourself, as module:Class.",
        )  # fmt: skip
    raise Misuse("this is no model that is served here", source=str(path), fix=f"Served are {SERVED}.")


def _is_safetensors(start: bytes, path: Path) -> bool:
    length = int.from_bytes(start[:8], "little")
    return start[8:9] == b"{" and length >= 2 and 8 + length <= path.stat().st_size


def _format(path: Path) -> str:
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        try:
            header = json.loads(file.read(min(length, _HEADER)))
            return str(header["__metadata__"]["format"])
        except (ValueError, LookupError, TypeError, RecursionError):
            return ""


def is_pickle(start: bytes) -> bool:
    """Whether bytes begin as a pickle of any protocol; they are read, never run."""
    if start[:1] == b"\x80" and start[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return True
    count = 0
    try:
        for operation, _, _ in pickletools.genops(start):
            count += 1
            if operation.name == "STOP":
                return count > 1
            if count >= 1000:
                return True
    except Exception:  # whatever a malformed stream makes of it: no pickle
        return False
    return False


def _archive(path: Path) -> Kind:
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as problem:
        raise Misuse(f"the archive is damaged ({problem})", source=str(path), fix="Fetch it again.") from None
    unpacked, packed = sum(each.file_size for each in members), path.stat().st_size
    if unpacked > _LARGEST or len(members) > _MEMBERS or (unpacked > _FREE and unpacked > _TIMES * packed):
        raise Misuse(
            f"the archive of {packed} bytes unpacks to {unpacked} in {len(members)} files", source=str(path),
            fix="Save the model uncompressed, if it really is so large.",
        )  # fmt: skip
    names = {each.filename for each in members}
    ends = {each.rpartition("/")[2] for each in names}
    if "schema.json" in names:
        return Kind.SKOPS
    if "data.pkl" in ends:
        told = "a TorchScript archive" if "constants.pkl" in ends else "a torch.save archive"
        raise Misuse(
            f"this is {told}, which is a pickle; loading it could run anything", source=str(path),
            fix="Save the program by torch.export.save, or the weights as safetensors.",
        )  # fmt: skip
    if "archive_format" in ends and any("/models/" in f"/{each}" for each in names):
        return Kind.EXPORTED
    if any(each.endswith(".h5") for each in ends):
        raise Misuse(
            "this is a Keras archive; its layers may hold code", source=str(path),
            fix="Export the model as ONNX: model.export(path, format='onnx').",
        )  # fmt: skip
    raise Misuse("this archive is no model that is served", source=str(path), fix=f"Served are {SERVED}.")
