"""What a function of a served model runs: it opens the model once, and answers each event with its outputs.

    {"describe": true}     {"signature": {...}, "platform": "...", "memory": BYTES}, after `hold` seconds
    {"inputs": [...]}      {"outputs": [...]}, or {"failed": REASON} where the model raised

Tensors are as in `tensor_events`. Tradewind itself and what the model needs are the function's layer: on the
local host whatever is installed beside the host, on AWS a layer that the user makes of the same packages.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from tradewind.errors import TradewindError
from tradewind.serving.models.interface import LoadedModel
from tradewind.serving.models.opening import Opening, open_model
from tradewind.serving.server.replicas.functions.tensor_events import listed, tensors_of
from tradewind.serving.server.replicas.interface import reason_of
from tradewind.serving.tensors import Tensors

OPENING = "opening.json"
"""The file of a package that says how its model is opened."""
MODEL = "model"
"""Its folder with the artefact."""

_LONGEST_HOLD = 1.0
"""Seconds. Calls that last a little while overlap, and so each has an environment of its own."""

Answer = dict[str, Any]


def opened(package: str | Path) -> Callable[[Answer, object], Answer]:
    """A handler that answers with the model of a package; raises what opening it raises."""
    folder = Path(package)
    opening = msgspec.convert(json.loads((folder / OPENING).read_bytes()), Opening)
    if opening.path:
        opening = replace(opening, path=str(folder / opening.path))
    model = open_model(opening)

    def handler(event: Answer, context: object) -> Answer:
        """Answer one event."""
        if event.get("describe"):
            if hold := float(event.get("hold", 0.0)):
                threading.Event().wait(min(hold, _LONGEST_HOLD))
            signature = msgspec.to_builtins(model.signature)
            return {"signature": signature, "platform": model.platform, "memory": model.memory}
        try:
            return {"outputs": listed(model.predict(_inputs(model, event)))}
        except Exception as problem:
            return {"failed": reason_of(problem)}

    return handler


def _inputs(model: LoadedModel, event: Answer) -> Tensors:
    """The event's tensors, every input of the signature among them."""
    tensors = tensors_of(event.get("inputs"))
    for each in model.signature.inputs:
        given = tensors.get(each.name)
        if given is None or given.ndim != len(each.shape):
            raise TradewindError(f"input {each.name!r} is missing, or has not {len(each.shape)} dimensions")
    return tensors
