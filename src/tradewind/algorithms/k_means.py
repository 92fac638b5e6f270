"""Streaming k-means, as three functions over a state and with scikit-learn's face."""

from __future__ import annotations

from tradewind.algorithms.kmeans.learner import KMeans
from tradewind.algorithms.kmeans.model import KMeansModel

__all__ = ["KMeans", "KMeansModel"]
