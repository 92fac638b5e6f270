"""Estimators of a user's own, for tests: a module that workers can import."""

from __future__ import annotations

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin


class Centroids(ClassifierMixin, BaseEstimator):
    """The nearest mean of a class; what it learns are sums."""

    def partial_fit(self, X, y, classes=None):
        """Add up."""
        if not hasattr(self, "sums_"):
            self.classes_ = np.asarray(classes)
            self.sums_ = np.zeros((len(self.classes_), X.shape[1]))
            self.counts_ = np.zeros(len(self.classes_))
        for k, label in enumerate(self.classes_):
            self.sums_[k] += X[y == label].sum(axis=0)
            self.counts_[k] += np.sum(y == label)
        return self

    def predict(self, X):
        """The class of the nearest mean."""
        means = self.sums_ / np.maximum(self.counts_, 1)[:, None]
        return self.classes_[np.square(X[:, None] - means).sum(axis=2).argmin(axis=1)]


class Steps(RegressorMixin, BaseEstimator):
    """Least squares by one step of gradient descent a batch."""

    def __init__(self, rate=0.05):
        self.rate = rate

    def partial_fit(self, X, y):
        """A step."""
        if not hasattr(self, "slope_"):
            self.slope_, self.offset_ = np.zeros(X.shape[1]), 0.0
        error = X @ self.slope_ + self.offset_ - y
        self.slope_ = self.slope_ - self.rate * X.T @ error / len(X)
        self.offset_ = float(self.offset_ - self.rate * error.mean())
        return self

    def predict(self, X):
        """A linear function."""
        return X @ self.slope_ + self.offset_


class Secretive(Steps):
    """Keeps a generator between its steps."""

    def partial_fit(self, X, y):
        """A step, at random."""
        if not hasattr(self, "generator"):
            self.generator = np.random.default_rng(0)
        return super().partial_fit(X, y)


class Growing(Steps):
    """Keeps every row."""

    def partial_fit(self, X, y):
        """A step more to look at."""
        self.seen_ = np.vstack([getattr(self, "seen_", X[:0]), X])
        return super().partial_fit(X, y)
