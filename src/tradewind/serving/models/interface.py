"""The seam between whatever runs a model and the engine that batches calls to it."""

from __future__ import annotations

from typing import Protocol

from tradewind.serving.tensors import Signature, Tensors


class LoadedModel(Protocol):
    """A model in memory.

    1. `predict` gets every input of the signature, with its datatype and shape, and gives every output. A
       batched model gets any number of rows and gives as many, each row's answer its own.
    2. It may be called from any thread, by one at a time.
    3. Opening one runs no code that came with the artefact, unless the user said that it may.
    """

    @property
    def signature(self) -> Signature:
        """What it takes and gives, inferred from the artefact."""
        ...

    @property
    def platform(self) -> str:
        """As metadata names it, such as onnxruntime_onnx."""
        ...

    @property
    def memory(self) -> int:
        """Bytes that it holds, as well as they can be told."""
        ...

    def predict(self, inputs: Tensors) -> Tensors:
        """The outputs for `inputs`."""
        ...

    def close(self) -> None:
        """Let go of its memory; may be called twice."""
        ...
