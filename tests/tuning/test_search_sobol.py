"""Sobol search: even, repeatable, by number."""

import numpy as np
import pytest
from scipy.stats import qmc

from tradewind.errors import Misuse
from tradewind.tuning.search.sobol import SobolSearch, sobol_points
from tradewind.tuning.space import Space

SPACE = Space.of(
    {"x": {"low": 0.0, "high": 1.0}, "c": ["a", "b"], "y": {"low": 0.0, "high": 1.0, "when": {"c": "a"}}}
)


def test_a_number_is_a_point_of_one_sequence():
    whole = sobol_points(3, 4, 0, 32)
    assert (sobol_points(3, 4, 11, 1)[0] == whole[11]).all()
    assert (sobol_points(3, 4, 5, 7) == whole[5:12]).all()
    assert (sobol_points(4, 4, 0, 32) != whole).any()
    assert sobol_points(3, 2, 0, 5).shape == (5, 2)


def test_it_is_more_even_than_chance():
    points = sobol_points(0, 3, 0, 64)
    assert qmc.discrepancy(points) < 0.5 * qmc.discrepancy(np.random.default_rng(0).random((64, 3)))
    # Each of eight slabs has its eight points, in every dimension.
    assert (np.sort((points * 8).astype(int), axis=0) == np.repeat(np.arange(8), 8)[:, None]).all()


def test_it_proposes_settings_of_the_space():
    found = [SobolSearch(1).propose(SPACE, (), n) for n in range(16)]
    assert found == [SobolSearch(1).propose(SPACE, (), n) for n in range(16)]
    assert all(SPACE.fits(each) for each in found)
    assert sum(each["c"] == "a" for each in found) == 8


def test_more_parameters_than_the_sequence_has_are_told():
    with pytest.raises(Misuse, match="at random"):
        sobol_points(0, 30_000, 0, 1)
