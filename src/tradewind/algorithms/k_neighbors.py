"""Nearest neighbours: the learners and their model; see `neighbors` for how."""

from __future__ import annotations

from tradewind.algorithms.neighbors.learner import KNeighborsClassifier, KNeighborsRegressor
from tradewind.algorithms.neighbors.model import NeighborsModel

__all__ = ["KNeighborsClassifier", "KNeighborsRegressor", "NeighborsModel"]
