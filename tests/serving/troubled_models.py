"""Models that do what a model should not, when a request asks for it; imported by replicas under test."""

from __future__ import annotations

import ctypes
import os
import signal
import threading

import numpy as np

_ONE_ROW = {"inputs": {"rows": ["FP32", [-1, 4]]}, "outputs": {"score": ["FP32", [-1]]}}
_ONE_TEXT = {"inputs": {"text": ["BYTES", [-1]]}, "outputs": {"loud": ["BYTES", [-1]]}}
_FACTORS = np.array((2.0, -1.0, 0.5, 3.0), np.float32)
CRASH, HANG, LEAK, WRONG, RAISE, LEAVE = 1001.0, 1002.0, 1003.0, 1004.0, 1005.0, 1006.0
"""What the first value of a row asks for; any other is scored."""


class Troubled:
    """Scores rows as the linear model does, unless a row asks for trouble."""

    signature = _ONE_ROW

    def __init__(self) -> None:
        self._kept: list[bytearray] = []

    def predict(self, inputs):
        rows = inputs["rows"]
        for asked in rows[:, 0]:
            if asked == CRASH:
                ctypes.string_at(0)
            elif asked == HANG:
                threading.Event().wait()
            elif asked == LEAK:
                self._kept.append(bytearray(os.urandom(1 << 20) * 64))
            elif asked == WRONG:
                return np.zeros(len(rows) + 1, np.float32)
            elif asked == RAISE:
                raise ValueError("no such row")
            elif asked == LEAVE:
                os._exit(3)
        return rows @ _FACTORS


class Deaf(Troubled):
    """Hangs where no signal but SIGKILL reaches it."""

    def predict(self, inputs):
        if (inputs["rows"][:, 0] == HANG).any():
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        return super().predict(inputs)


class Slow:
    """Scores up to 4 rows at a time, and takes 40 ms for it: 100 rows a second in full batches."""

    signature = _ONE_ROW

    def predict(self, inputs):
        threading.Event().wait(0.04)
        return inputs["rows"] @ _FACTORS


class Shouting:
    """Texts in capitals."""

    signature = _ONE_TEXT

    def predict(self, inputs):
        loud = np.empty(len(inputs["text"]), object)
        loud[:] = [each.decode().upper().encode() for each in inputs["text"]]
        return loud
