"""Latent Dirichlet allocation, as three functions over a state and with scikit-learn's face."""

from __future__ import annotations

from tradewind.algorithms.lda.learner import LatentDirichletAllocation
from tradewind.algorithms.lda.model import TopicModel

__all__ = ["LatentDirichletAllocation", "TopicModel"]
