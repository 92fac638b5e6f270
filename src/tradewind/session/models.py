"""Models in and out: opened from where a run left them, and given to others.

A model that was saved is arrays and a header in an open layout, see docs/models.md: others need no code of
ours to use it, and opening it runs none of theirs.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any, Protocol, cast

from tradewind import __version__
from tradewind.algorithms.catalogue import model_from
from tradewind.algorithms.interface import Model
from tradewind.data.durable_files import creating_directory, write_durably
from tradewind.data.model_files.layout import arrays_digest, read_model_file, write_model_file
from tradewind.data.onnx_files import write_onnx
from tradewind.data.preparation import Preparation
from tradewind.errors import Misuse, suggestion
from tradewind.session.model_cards import CARD, PAGE
from tradewind.session.model_folders import MODEL, model_folder

TENSORS, HEADER, STEPS = "model.safetensors", "model.json", "preparation"
"""In a model's folder its arrays, its header for people, and the folder of what rows go through before it."""
FORMATS = ("onnx", "safetensors")
"""What `export` writes: an ONNX file, or a folder of our own layout."""


class Finished(Protocol):
    """What `train` gives."""

    directory: str
    model: Any


def load(path: str | os.PathLike[str]) -> Model:
    """The model of a finished run (its folder, or the folder `model` in it), or of a `model.safetensors`.

    Misuse where there is none, where it is damaged, or where it is of a kind that this version does not know;
    a pickle is never opened. MissingExtra for a kind that needs one.
    """
    arrays, header = read_model_file(model_folder(path))
    return model_from(arrays, header, str(path))


def export(
    what: Finished | Model | str | os.PathLike[str], to: str | os.PathLike[str], format: str = "onnx"
) -> Path:
    """Write a model for others and return where: of a run, of a path as `load` takes it, or itself.

    `onnx` writes the one file `to`, which computes what `evaluate` does for dense rows in float32 and carries
    the header, the arrays' digest and the card's in its metadata; steps of a preparation are not in it, only
    their digest. `safetensors` makes the folder `to`, with
    the model in our own layout, and its preparation and card where it has them. What was there is replaced.
    Misuse, with nothing changed, where ONNX cannot express the model, or `to` cannot be written.
    """
    if format not in FORMATS:
        raise Misuse(f"{format!r} is no format", field="format", fix=suggestion(format, FORMATS))
    folder: Path | None = None
    model: Model
    if isinstance(what, str | os.PathLike):
        model, folder = load(what), model_folder(what)
    elif hasattr(what, "directory"):
        run = cast(Finished, what)
        if run.model is None:
            raise Misuse("nothing was learned", source=run.directory, fix="Finish the run, for real.")
        model, folder = run.model, Path(run.directory) / MODEL
    else:
        model = what
    if folder is not None and folder.is_file():
        folder = folder.parent if folder.name == TENSORS else None
    if folder is not None and not (folder / TENSORS).is_file():
        folder = None
    target = Path(to)
    if "\0" in str(target):
        raise Misuse("no file can be called so", source=repr(str(to)), fix="Name another place.")
    try:
        if format == "onnx":
            _write_onnx(target, model, folder)
        else:
            _write_folder(target, model, folder)
    except OSError as problem:
        raise Misuse(
            f"cannot be written ({problem.strerror})", source=str(to), fix="Name another place."
        ) from None
    return target


def _write_onnx(target: Path, model: Model, folder: Path | None) -> None:
    if target.is_dir():
        raise Misuse("is a folder", source=str(target), fix="Name the file to write, such as model.onnx.")
    card = folder / CARD if folder is not None and (folder / CARD).is_file() else None
    steps = folder / STEPS if folder is not None and (folder / STEPS).is_dir() else None
    write_onnx(target, model.graph(), name=_name(model), about=_about(model, card, steps))


def _write_folder(target: Path, model: Model, folder: Path | None) -> None:
    """The model with its preparation and card, byte by byte, for the card knows the files' digests."""
    if target.exists() and not target.is_dir():
        raise Misuse("is a file", source=str(target), fix="Name the folder to make.")
    if folder is not None and target.resolve() == folder.resolve():
        return
    if not target.exists():
        with creating_directory(target) as partial:
            _fill(partial, model, folder)
        return
    for name in (CARD, PAGE):  # first, for they tell of what was there before
        (target / name).unlink(missing_ok=True)
    _fill(target, model, folder)


def _fill(target: Path, model: Model, folder: Path | None) -> None:
    if folder is None:
        write_model_file(target, model.arrays(), model.header())
        return
    steps = sorted((folder / STEPS).rglob("*")) if (folder / STEPS).is_dir() else []
    for source in (*steps, *(folder / name for name in (TENSORS, HEADER, CARD, PAGE))):
        if source.is_file():
            write_durably(target / source.relative_to(folder), source.read_bytes())


def _name(model: Model) -> str:
    return str(model.header().get("kind", "model")).rpartition(":")[2]


def _about(model: Model, card: Path | None, steps: Path | None) -> dict[str, Any]:
    """The metadata of an ONNX file, all of it text."""
    about = {
        "kind": str(model.header().get("kind", "")),
        "tradewind": __version__,
        "digest": arrays_digest(model.arrays()),
        "header": json.dumps(dict(model.header()), sort_keys=True),
    }
    if card is not None:
        about["card"] = hashlib.sha256(card.read_bytes()).hexdigest()
    if steps is not None:
        about["preparation"] = Preparation.load(steps).digest()
    return about
