"""Models in and out: opened from where a run left them, and given to others.

A model that was saved is arrays and a header in an open layout, see docs/models.md: others need no code of
ours to use it, and opening it runs none of theirs.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from tradewind import __version__
from tradewind.algorithms.catalogue import model_from
from tradewind.algorithms.interface import Model
from tradewind.data.durable_files import write_durably
from tradewind.data.model_files import arrays_digest, read_model_file, write_model_file
from tradewind.data.onnx_files import write_onnx
from tradewind.errors import Misuse, suggestion
from tradewind.session.model_cards import CARD, PAGE
from tradewind.session.stretch import MODEL, SPEC, Trained

FORMATS = ("onnx", "safetensors")
"""What `export` writes: an ONNX file, or a folder of our own layout."""


def load(path: str | os.PathLike[str]) -> Model:
    """The model of a finished run (its folder, or the folder `model` in it), or of a `model.safetensors`.

    Misuse where there is none, where it is damaged, or where it is of a kind that this version does not know;
    a pickle is never opened. MissingExtra for a kind that needs one.
    """
    arrays, header = read_model_file(model_folder(path))
    return model_from(arrays, header, str(path))


def model_folder(path: str | os.PathLike[str]) -> Path:
    """Where the model is that `path` means: the folder `model` of a run's, or `path` itself."""
    where = Path(path)
    if not (where / SPEC).is_file():
        return where
    if not (where / MODEL).is_dir():
        raise Misuse(
            "this run has no model: it is not done, or was simulated", source=str(path),
            fix="Finish it (tradewind resume), or train for real.",
        )  # fmt: skip
    return where / MODEL


def export(
    what: Trained | Model | str | os.PathLike[str], to: str | os.PathLike[str], format: str = "onnx"
) -> Path:
    """Write a model for others and return where: of a run, of a path as `load` takes it, or itself.

    `onnx` writes the one file `to`, which computes what `evaluate` does for dense rows in float32 and carries
    the header, the arrays' digest and the card's in its metadata. `safetensors` makes the folder `to`, with
    the model in our own layout and its card where it has one. Misuse where ONNX cannot express the model, or
    `to` is not to be written.
    """
    if format not in FORMATS:
        raise Misuse(f"{format!r} is no format", field="format", fix=suggestion(format, FORMATS))
    folder: Path | None = None
    model: Model
    if isinstance(what, Trained):
        if what.model is None:
            raise Misuse("nothing was learned", source=what.directory, fix="Finish the run, for real.")
        model, folder = what.model, Path(what.directory) / MODEL
    elif isinstance(what, str | os.PathLike):
        model, folder = load(what), model_folder(what)
    else:
        model = what
    card = folder / CARD if folder is not None and (folder / CARD).is_file() else None
    target = Path(to)
    if format == "onnx":
        if target.is_dir():
            raise Misuse("is a folder", source=str(to), fix="Name the file to write, such as model.onnx.")
        write_onnx(target, model.graph(), name=_name(model), about=_about(model, card))
        return target
    if target.exists() and not target.is_dir():
        raise Misuse("is a file", source=str(to), fix="Name the folder to make.")
    write_model_file(target, model.arrays(), model.header())
    if card is not None:
        for name in (CARD, PAGE):
            write_durably(target / name, (card.parent / name).read_bytes())
    return target


def _name(model: Model) -> str:
    return str(model.header().get("kind", "model")).rpartition(":")[2]


def _about(model: Model, card: Path | None) -> dict[str, Any]:
    """The metadata of an ONNX file, all of it text."""
    about = {
        "kind": str(model.header().get("kind", "")),
        "tradewind": __version__,
        "digest": arrays_digest(model.arrays()),
        "header": json.dumps(dict(model.header()), sort_keys=True),
    }
    if card is not None:
        about["card"] = hashlib.sha256(card.read_bytes()).hexdigest()
    return about
