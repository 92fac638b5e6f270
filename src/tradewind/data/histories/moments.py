"""Moments as recorded files write them: ISO 8601, UTC where they name no zone."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

_SECONDS_LENGTH = len("2020-01-31T12:00:00")


def moments(texts: Sequence[str]) -> NDArray[np.float64]:
    """Seconds since the epoch of ISO 8601 texts, UTC where they name no zone. Raises ValueError."""
    bare = [text.removesuffix("Z").removesuffix("+00:00") for text in texts]
    if all(len(text) >= _SECONDS_LENGTH and "+" not in text and text.count("-") == 2 for text in bare):
        parsed = np.array(bare, dtype="datetime64[us]")
        return parsed.astype(np.int64) / 1e6
    return np.array([recorded_moment(text) for text in texts])


def recorded_moment(text: str) -> float:
    """Seconds since the epoch of one such text, which states seconds. Raises ValueError."""
    if len(text) < _SECONDS_LENGTH:
        raise ValueError(text)
    parsed = datetime.fromisoformat(text)
    return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()
