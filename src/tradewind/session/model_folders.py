"""Where a run's model lies."""

from __future__ import annotations

import os
from pathlib import Path

from tradewind.errors import Misuse

MODEL, SPEC = "model", "spec.json"
"""A model's folder and a spec in a run's folder."""


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
