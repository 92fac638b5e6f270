"""A replica in the server's own process: the least work a request, for models whose code is trusted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from tradewind.serving.models.interface import LoadedModel
from tradewind.serving.server.replicas.interface import ModelFailed, reason_of
from tradewind.serving.tensors import Signature, Tensors


class InServer:
    """Holds a model in this process. Quick batches are run by the event loop's thread, others beside it.

    `opened` loads the model; it is called in the thread beside.
    """

    inline = True
    spent = False

    def __init__(self, opened: Callable[[], LoadedModel]) -> None:
        self._opened = opened
        self._model: LoadedModel | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="model")

    @property
    def signature(self) -> Signature:
        """Of the model."""
        return self._loaded.signature

    @property
    def platform(self) -> str:
        """As metadata names it."""
        return self._loaded.platform

    @property
    def memory(self) -> int:
        """Bytes that the model says it holds."""
        return self._loaded.memory

    @property
    def _loaded(self) -> LoadedModel:
        if self._model is None:
            raise RuntimeError("this replica is not open")
        return self._model

    async def open(self) -> None:
        """Load the model; raises what loading it raises."""
        try:
            self._model = await asyncio.get_running_loop().run_in_executor(self._thread, self._opened)
        except BaseException:
            self._thread.shutdown(wait=False)
            raise

    async def run(self, inputs: Tensors) -> Tensors:
        """The outputs for one batch, computed beside the event loop."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self.run_here, inputs)

    def run_here(self, inputs: Tensors) -> Tensors:
        """The outputs for one batch, computed in the caller's thread."""
        try:
            return self._loaded.predict(inputs)
        except Exception as problem:
            raise ModelFailed(reason_of(problem)) from problem

    async def close(self) -> None:
        """Let go of the model, once the batch in hand is over."""
        self._thread.shutdown(wait=False)
        if self._model is not None:
            model, self._model = self._model, None
            model.close()
