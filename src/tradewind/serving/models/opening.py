"""What is to be opened, and the opening of it: recognised by content, tried once, its memory measured.

What a model is charged: the bytes of its artefact at the least, and what the process grew by while it was
opened and first answered, its runtime's own code apart, up to four times the artefact and 16 MiB, for other
work grows it meanwhile too.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import msgspec
from msgspec import Struct

from tradewind.data.model_files.admission import admit, admit_beside
from tradewind.errors import Misuse, TradewindError
from tradewind.serving.models.answers import RowsDiffer, first_answer
from tradewind.serving.models.interface import LoadedModel
from tradewind.serving.models.onnx import OnnxModel
from tradewind.serving.models.onnx import ready as onnx_ready
from tradewind.serving.models.python_class import PythonModel, open_class
from tradewind.serving.models.recognition import Kind, artefact_in, recognised
from tradewind.serving.models.sklearn import EstimatorModel, open_skops
from tradewind.serving.models.sklearn import ready as skops_ready
from tradewind.serving.models.torch import ExportedModel, NetworkModel, open_exported, open_weights
from tradewind.serving.models.torch import ready as torch_ready
from tradewind.serving.tensors import Signature

_TIMES, _MORE = 4, 16 << 20
_READY: dict[Kind, Callable[[], object]] = {
    Kind.ONNX: onnx_ready,
    Kind.SKOPS: skops_ready,
    Kind.EXPORTED: torch_ready,
    Kind.WEIGHTS: torch_ready,
}
_BY_SKOPS = ("skops-unknown-type",)
_PAGE = os.sysconf("SC_PAGE_SIZE")

Opened = OnnxModel | EstimatorModel | ExportedModel | NetworkModel | PythonModel
_LEARNER = "tradewind.serving.models.learner"
"""Imported for a model of ours alone: with it comes a compiler, a quarter of a second of every start."""


class Opening(Struct, frozen=True):
    """How a model is opened; plain values, so that another process can be told. Filled in by the operator."""

    path: str = ""
    """The artefact: a file, or a folder with one in it; with `python`, what its constructor gets."""
    python: str = ""
    """`module:Class` of a model in Python, see `python_class`; naming it is consent to run it."""
    network: str = ""
    """`module:Class` of the network that weights in safetensors belong to; naming it is consent too."""
    trusted: tuple[str, ...] = ()
    """Types beside those that skops knows to be safe, as `package.module.Type`."""
    threads: int = 1
    """Threads of one operator."""
    warm_up: bool = True
    """Whether it must answer requests of zeros before it is given out."""
    shapes: dict[str, tuple[int, ...]] = {}
    """Lengths of open dimensions in those requests, by the input's name, without the rows."""
    unscanned: bool = False
    """Whether the files beside a class in Python are not scanned, as its operator vouches for them too."""


def open_model(what: Opening | str | os.PathLike[str]) -> LoadedModel:
    """The model that `what` says, ready to answer; blocks meanwhile.

    Misuse, naming the file and a safe way, for a pickle and for whatever else is not served, and where the
    first answer is not what the signature says; MissingExtra where a package is not installed. Nothing is
    left open then.
    """
    opening = what if isinstance(what, Opening) else Opening(os.fspath(what))
    source = opening.path or opening.python
    if "\0" in source or not source:
        raise Misuse("this names no model", source=repr(source), fix="Give a file, a folder or module:Class.")
    try:
        model, before = _opened(opening)
    except OSError as problem:
        raise Misuse(
            f"cannot be read ({problem.strerror or problem})", source=source, fix="Give a file that can be."
        ) from None
    try:
        if opening.warm_up:
            _try(model, source, opening)
    except TradewindError:
        model.close()
        raise
    grown = min(resident() - before, _TIMES * model.memory + _MORE)
    model.memory = max(model.memory, grown)
    return model


def _try(model: Opened, source: str, opening: Opening) -> None:
    """The first answer. What was only taken for batched, by its open axes, is not if its rows are not."""
    if not isinstance(model, OnnxModel | ExportedModel):
        first_answer(model, source, opening.shapes)
        return
    try:
        first_answer(model, source, opening.shapes, alike=True)
    except RowsDiffer:
        told = model.signature
        model.signature = Signature(told.inputs, told.outputs, batched=False)
        first_answer(model, source, opening.shapes)


def _opened(opening: Opening) -> tuple[Opened, int]:
    """The model, and the bytes that the process took before, with the runtime's own code among them."""
    if opening.python:
        folder = Path(opening.path) if opening.path else None
        if folder is not None and not opening.unscanned:
            admit_beside(folder, trusted=opening.trusted)  # before any of its code is imported
        before = resident()
        return open_class(opening.python, folder), before
    path = artefact_in(Path(opening.path))
    kind = recognised(path)
    if opening.network and kind is not Kind.WEIGHTS:
        raise Misuse(
            f"a network is named, and the artefact is {kind.value}", source=str(path), field="network",
            fix="Give the weights as safetensors, or leave the network out.",
        )  # fmt: skip
    if kind is Kind.WEIGHTS and not opening.network:
        raise Misuse(
            "these are weights alone", source=str(path), field="network",
            fix="Name the class of the network they belong to, as module:Class.",
        )  # fmt: skip
    if kind in _READY:
        _READY[kind]()
    # skops itself says which types are not trusted, knowing its own; nothing is imported before.
    admit(path, trusted=opening.trusted, judged_later=_BY_SKOPS if kind is Kind.SKOPS else ())
    before = resident()
    if kind is Kind.ONNX:
        return OnnxModel(path, threads=opening.threads, shapes=opening.shapes), before
    if kind is Kind.LEARNER:
        return import_module(_LEARNER).open_learner(path), before
    if kind is Kind.SKOPS:
        return open_skops(path, opening.trusted), before
    if kind is Kind.EXPORTED:
        return open_exported(path, threads=opening.threads), before
    return open_weights(path, opening.network, threads=opening.threads), before


def artefact_bytes(path: str | os.PathLike[str]) -> int:
    """Bytes of a file, or of a folder's files: what its model needs at the least; 0 if there is none."""
    where = Path(path)
    if where == Path():  # no artefact, as of a class that has none; not all of the current folder
        return 0
    if where.is_dir():
        return sum(each.stat().st_size for each in where.rglob("*") if each.is_file())
    return where.stat().st_size if where.is_file() else 0


def resident() -> int:
    """Bytes of memory that this process takes."""
    with open("/proc/self/statm", "rb") as counts:
        return int(counts.read().split()[1]) * _PAGE


def told(opening: Opening) -> dict[str, object]:
    """An opening as plain JSON values; `msgspec.convert` makes it again."""
    plain: dict[str, object] = msgspec.to_builtins(opening)
    return plain
