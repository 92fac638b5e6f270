"""A linear learner whose pace a test sets while it runs, so that what it injects finds the run at work."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tradewind import clock
from tradewind.algorithms.batch import Batch
from tradewind.algorithms.interface import State
from tradewind.algorithms.linear.learner import LinearLearner

FOLDER = "TRADEWIND_TEST_PACE"
"""The variable that names the folder of the file `pace`, the seconds that a worker waits before a batch."""


class PacedLearner(LinearLearner):
    """Learns exactly what a `LinearLearner` of the same optimizer learns."""

    def __init__(self, optimizer: str = "sgd") -> None:
        super().__init__(optimizer=optimizer)

    def parameters(self) -> dict[str, Any]:
        """The one argument."""
        return {"optimizer": self.optimizer}

    def update(self, state: State, stream: Iterator[Batch], synchronized: bool) -> None:
        """As ever, waiting before each batch; leaves a note of the wall's time that its process believes."""
        folder = os.environ.get(FOLDER)
        if folder:
            Path(folder, f"wall-{os.getpid()}").write_text(repr(clock.wall()))
        super().update(state, self._paced(stream, folder), synchronized)

    def _paced(self, stream: Iterator[Batch], folder: str | None) -> Iterator[Batch]:
        nobody = threading.Event()
        for batch in stream:
            if folder and (pace := float(Path(folder, "pace").read_text() or 0)):
                nobody.wait(pace)
            yield batch
