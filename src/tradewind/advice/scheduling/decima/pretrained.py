"""Decima with the weights that the package carries."""

from __future__ import annotations

from pathlib import Path

from tradewind.advice.scheduling.decima.network import Network
from tradewind.advice.scheduling.decima.scheduler import Decima
from tradewind.data.tensor_files import read_tensors

WEIGHTS = Path(__file__).parent / "weights.safetensors"
"""Trained by `benchmarks/advice/scheduling_training.py` on a simulated cluster of 10 executors."""


def trained(path: Path = WEIGHTS) -> Decima:
    """Decima with the weights of a safetensors file, those of the package if none is given.

    Raises Corrupt for a file that is broken, and Misuse for weights of another network.
    """
    arrays, _ = read_tensors(path)
    return Decima(Network(arrays, str(path)))
