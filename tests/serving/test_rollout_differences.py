"""How a shadow's answer differs."""

from __future__ import annotations

import numpy as np

from tradewind.serving.rollout.differences import Difference, difference


def test_numbers_within_rounding_are_the_same() -> None:
    one = {"y": np.array([[1.0, np.nan, np.inf], [0.0, 2.0, 3.0]], np.float32)}
    other = {"y": one["y"] + np.array([[1e-5, 0, 0], [0, 0.5, 0]], np.float32)}
    found = difference(one, other)
    assert (found.elements, found.differing) == (6, 1) and abs(found.largest - 0.5) < 1e-6 and not found.same
    assert difference(one, one) == Difference(6) and difference(one, one).same
    far = {"y": np.array([[1.0, 0.0, -np.inf], [0.0, 2.0, 3.0]], np.float32)}
    assert difference(one, far).differing == 2


def test_texts_and_what_cannot_be_compared() -> None:
    one = {"label": np.array([b"a", b"b"], object), "y": np.zeros(2)}
    other = {"label": np.array([b"a", b"c"], object), "y": np.zeros((2, 1)), "more": np.zeros(1)}
    assert difference(one, other) == Difference(2, 1, 0.0, ("more", "y"))
    assert difference({"y": np.array([1, 2])}, {"y": np.array([1.0, 2.0])}).same
    assert difference({"y": np.zeros(1)}, {"y": np.array([b"0"], object)}).shapes == ("y",)
