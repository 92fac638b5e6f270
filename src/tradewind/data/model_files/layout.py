"""Models and snapshots on disk: arrays and a JSON header, in an open layout, written whole or not at all.

A model is a directory with `model.safetensors`, which holds the arrays and, in its metadata, the header; and
`model.json`, the header again for people and for plain tools, with the digest of the arrays it belongs to.
The first is replaced by one rename and is what counts when a kill came between the two.

A snapshot is a directory `snapshot-<clock>` with `state.safetensors` and `state.json`, made beside and
renamed into place. Nothing here, nor in reading, ever unpickles.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tradewind.data.durable_files import (
    creating_directory,
    remove_directory,
    remove_unfinished,
    write_durably,
)
from tradewind.data.tensor_files import read_tensors, write_tensors
from tradewind.errors import Corrupt, Misuse

FORMAT_VERSION = 1
_TENSORS, _HEADER = "model.safetensors", "model.json"
_STATE, _STATE_HEADER = "state.safetensors", "state.json"
_SNAPSHOT = re.compile(r"snapshot-(\d{12})(?:\.(\d+))?")
_PICKLES = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")

Arrays = dict[str, NDArray[Any]]


def write_model_file(directory: Path, arrays: Mapping[str, NDArray[Any]], header: Mapping[str, Any]) -> None:
    """Make `arrays` and `header` (plain JSON values) the model in `directory`; durable on return."""
    _check_arrays(arrays, str(directory))
    try:
        text = json.dumps(dict(header), indent=2, sort_keys=True, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise Misuse(
            f"the header is not plain JSON ({error})", source=str(directory), field="header",
            fix="Keep numbers, text, lists and mappings in it.",
        ) from None  # fmt: skip
    digest = arrays_digest(arrays)
    about = {"format": f"tradewind-model-{FORMAT_VERSION}", "digest": digest}
    write_tensors(directory / _TENSORS, arrays, {**about, "header": text})
    shown = {
        **about,
        "arrays": {name: _shape(array) for name, array in arrays.items()},
        "header": json.loads(text),
    }
    write_durably(directory / _HEADER, (json.dumps(shown, indent=2, sort_keys=True) + "\n").encode())


def read_model_file(path: str | os.PathLike[str]) -> tuple[Arrays, dict[str, Any]]:
    """The arrays and the header of a model's directory, or of its `model.safetensors`.

    Raises Misuse for a pickle, which is never opened, and for what is no whole model of ours.
    """
    where = Path(path)
    if where.is_dir():
        where = where / _TENSORS
    if not where.is_file():
        raise Misuse("there is no model here", source=str(path), fix=f"Give a directory with {_TENSORS}.")
    refuse_pickle(where)
    try:
        arrays, metadata = read_tensors(where)
    except Corrupt as error:
        raise Misuse(str(error), fix="Give a whole model.safetensors that Tradewind wrote.") from None
    if metadata.get("format") != f"tradewind-model-{FORMAT_VERSION}":
        raise Misuse(
            f"the format is {metadata.get('format', 'not stated')!r}", source=str(where), field="format",
            fix=f"This version reads tradewind-model-{FORMAT_VERSION}.",
        )  # fmt: skip
    if metadata.get("digest") != arrays_digest(arrays):
        raise Misuse("the arrays were altered or damaged", source=str(where), fix="Fetch the file again.")
    try:
        header = json.loads(metadata["header"])
    except (KeyError, ValueError, RecursionError):
        header = None
    if not isinstance(header, dict):
        raise Misuse(
            "the header is no JSON object", source=str(where), field="header", fix="Fetch the file again."
        )
    return arrays, header


def refuse_pickle(path: Path) -> None:
    """Raise Misuse if a file is a pickle, or an archive or array file that holds one; it is not loaded."""
    with path.open("rb") as file:
        start = file.read(4096)
    archive = start[:4] == b"PK\x03\x04" and path.suffix in (
        ".pt",
        ".pth",
        ".bin",
        ".ckpt",
        ".npz",
        ".zip",
        ".skops",
    )
    objects = start[:6] == b"\x93NUMPY" and b"|O" in start
    pickled = start[:2] in _PICKLES and not _tensors(start, path)
    if pickled or archive or objects or path.suffix in (".pkl", ".pickle", ".joblib"):
        raise Misuse(
            "this is a pickle, or may hold one; loading it could run anything", source=str(path),
            fix="Save the model as safetensors.",
        )  # fmt: skip


def _tensors(start: bytes, path: Path) -> bool:
    """Whether a file begins as safetensors do: its header's length can have a pickle's first two bytes."""
    return start[8:9] == b"{" and 8 + int.from_bytes(start[:8], "little") <= path.stat().st_size


def write_snapshot(
    root: Path, clock: int, arrays: Mapping[str, NDArray[Any]], header: Mapping[str, Any], keep: int = 2
) -> Path:
    """Write `root/snapshot-<clock>` whole, then remove all but the newest `keep`; where it lies.

    A second snapshot of the same clock goes beside the first and is the newer one. One process writes at a
    time: what a killed writer left is removed.
    """
    _check_arrays(arrays, str(root))
    root.mkdir(parents=True, exist_ok=True)
    remove_unfinished(root)
    same = [again for found, again, _ in _snapshots(root) if found == clock]
    target = root / (f"snapshot-{clock:012d}" + (f".{max(same) + 1}" if same else ""))
    text = json.dumps(dict(header), sort_keys=True, allow_nan=False)
    with creating_directory(target) as partial:
        write_tensors(partial / _STATE, arrays, {"format": f"tradewind-snapshot-{FORMAT_VERSION}"})
        about = {
            "format": f"tradewind-snapshot-{FORMAT_VERSION}",
            "clock": clock,
            "digest": arrays_digest(arrays),
            "header_digest": hashlib.blake2b(text.encode(), digest_size=16).hexdigest(),
            "header": json.loads(text),
        }
        write_durably(partial / _STATE_HEADER, json.dumps(about, sort_keys=True).encode())
    for _, _, old in _snapshots(root)[:-keep]:
        remove_directory(old)
    return target


def read_snapshot(path: Path) -> tuple[Arrays, dict[str, Any]]:
    """The arrays and the header of a snapshot; Corrupt if it is not whole."""
    try:
        about = json.loads((path / _STATE_HEADER).read_bytes())
        stated = about["format"], about["digest"], about["header_digest"]
        header: dict[str, Any] = about["header"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Corrupt(f"{path / _STATE_HEADER}: not a whole snapshot ({error})") from None
    arrays, _ = read_tensors(path / _STATE)
    text = json.dumps(header, sort_keys=True)
    found = (
        f"tradewind-snapshot-{FORMAT_VERSION}",
        arrays_digest(arrays),
        hashlib.blake2b(text.encode(), digest_size=16).hexdigest(),
    )
    for field, told, is_ in zip(("format", "arrays", "header"), stated, found, strict=True):
        if told != is_:
            raise Corrupt(f"{path}: the {field} are not what was written")
    return arrays, header


def newest_snapshot(root: Path) -> tuple[Path, Arrays, dict[str, Any]] | None:
    """The newest whole snapshot under `root`, with its arrays and header; None if there is none.

    Raises Corrupt if there are snapshots and none of them is whole.
    """
    damaged: list[str] = []
    for _, _, path in reversed(_snapshots(root)):
        try:
            arrays, header = read_snapshot(path)
        except Corrupt as error:
            damaged.append(str(error))
        else:
            return path, arrays, header
    if damaged:
        raise Corrupt("; ".join(damaged))
    return None


def _snapshots(root: Path) -> list[tuple[int, int, Path]]:
    """Clock, ordinal and path of each snapshot, oldest first."""
    if not root.is_dir():
        return []
    found = []
    for path in root.iterdir():
        match = _SNAPSHOT.fullmatch(path.name)
        if match:
            found.append((int(match[1]), int(match[2] or 0), path))
    return sorted(found)


def arrays_digest(arrays: Mapping[str, NDArray[Any]]) -> str:
    """Hexadecimal digest of named arrays: names, types, shapes and every byte."""
    digest = hashlib.blake2b(digest_size=16)
    for name in sorted(arrays):
        array = np.asarray(arrays[name], order="C")
        digest.update(f"{name} {array.dtype.str} {array.shape};".encode())
        digest.update(array.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def _shape(array: NDArray[Any]) -> dict[str, Any]:
    return {"dtype": str(array.dtype), "shape": list(array.shape)}


def _check_arrays(arrays: Mapping[str, NDArray[Any]], source: str) -> None:
    for name, array in arrays.items():
        if np.asarray(array).dtype.kind not in "fiub" or np.asarray(array).dtype.itemsize > 8:
            raise Misuse(
                f"an array of {np.asarray(array).dtype} cannot be saved", source=source, field=name,
                fix="Keep numbers of at most 8 bytes.",
            )  # fmt: skip
