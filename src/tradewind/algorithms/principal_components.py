"""Principal component analysis: the learner and its model; see `pca` for how."""

from __future__ import annotations

from tradewind.algorithms.pca.learner import PCA
from tradewind.algorithms.pca.model import PCAModel

__all__ = ["PCA", "PCAModel"]
