"""The arithmetic of the Matern kernel against numpy's and against differences."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal
from sklearn.gaussian_process.kernels import Matern

from tradewind.estimates import matern

CHANCE = np.random.default_rng(3)
N, D = 23, 4
POINTS = CHANCE.random((N, D))
TARGETS = np.sin(POINTS @ np.arange(1.0, D + 1))
WARPED = np.array([True, False, True, False])
THETA = np.concatenate([CHANCE.normal(0, 0.4, D), [0.3, -4.0], [0.3, -0.2, -0.4, 0.25]])


def test_the_kernel_is_scikit_learns():
    expected = 1.7 * Matern(nu=2.5)(POINTS, POINTS[:5])
    assert matern.covariance(POINTS, POINTS[:5], 1.7) == pytest.approx(expected, abs=1e-12)


def test_bending_is_undone_and_is_none_at_one():
    a, b = np.array([0.5, 1.0, 2.0, 1.0]), np.array([1.5, 1.0, 0.7, 1.0])
    bent = matern.warp(POINTS, a, b)
    assert bent[:, 0] == pytest.approx(1 - (1 - POINTS[:, 0] ** 0.5) ** 1.5)
    assert (bent[:, [1, 3]] == POINTS[:, [1, 3]]).all()
    assert matern.unwarp(bent, a, b) == pytest.approx(POINTS, abs=1e-9)


def test_the_inverse_factor_is_one():
    matrix = matern.covariance(POINTS, POINTS, 1.0) + 1e-3 * np.eye(N)
    fine, inverse, logs = matern.inverse_factor(matrix)
    assert fine and (np.triu(inverse, 1) == 0).all()
    assert inverse @ matrix @ inverse.T == pytest.approx(np.eye(N), abs=1e-10)
    assert 2 * logs == pytest.approx(np.linalg.slogdet(matrix)[1])
    assert matern.solved(inverse, TARGETS) == pytest.approx(np.linalg.solve(matrix, TARGETS), rel=1e-6)
    assert not matern.inverse_factor(-matrix)[0]
    assert not matern.inverse_factor(np.full((3, 3), np.nan))[0]


def test_the_likelihood_is_that_of_a_normal_distribution():
    fine, value, _ = matern.likelihood(THETA, POINTS, TARGETS, WARPED)
    a, b = np.ones(D), np.ones(D)
    a[WARPED], b[WARPED] = np.exp(THETA[D + 2 :: 2]), np.exp(THETA[D + 3 :: 2])
    scaled = matern.warp(POINTS, a, b) / np.exp(THETA[:D])
    covariance = np.exp(THETA[D]) * Matern(nu=2.5)(scaled) + np.exp(THETA[D + 1]) * np.eye(N)
    assert fine
    assert value == pytest.approx(multivariate_normal(np.zeros(N), covariance).logpdf(TARGETS), rel=1e-9)


def test_its_gradient_is_that_of_differences():
    _, _, gradient = matern.likelihood(THETA, POINTS, TARGETS, WARPED)
    steps = 1e-5 * np.eye(THETA.size)
    found = [
        (
            matern.likelihood(THETA + e, POINTS, TARGETS, WARPED)[1]
            - matern.likelihood(THETA - e, POINTS, TARGETS, WARPED)[1]
        )
        / 2e-5
        for e in steps
    ]
    assert gradient == pytest.approx(found, rel=1e-5, abs=1e-6)


def test_moments_and_their_slopes():
    matrix = matern.covariance(POINTS, POINTS, 1.4) + 1e-3 * np.eye(N)
    _, inverse, _ = matern.inverse_factor(matrix)
    both = np.stack([TARGETS, TARGETS**2])
    weights = np.stack([matern.solved(inverse, each) for each in both])
    queries = CHANCE.random((6, D))
    means, variances = matern.moments(queries, POINTS, 1.4, inverse, weights)
    cross = matern.covariance(queries, POINTS, 1.4)
    assert means == pytest.approx((cross @ np.linalg.solve(matrix, both.T)).T)
    assert variances == pytest.approx(1.4 - np.diag(cross @ np.linalg.solve(matrix, cross.T)))
    mean, variance, to_means, to_variance = matern.slopes_at(queries[0], POINTS, 1.4, inverse, weights)
    assert mean == pytest.approx(means[:, 0]) and variance == pytest.approx(variances[0])
    for k, step in enumerate(1e-5 * np.eye(D)):
        up = matern.moments(queries[:1] + step, POINTS, 1.4, inverse, weights)
        down = matern.moments(queries[:1] - step, POINTS, 1.4, inverse, weights)
        assert to_means[:, k] == pytest.approx((up[0] - down[0])[:, 0] / 2e-5, rel=1e-5, abs=1e-7)
        assert to_variance[k] == pytest.approx((up[1] - down[1])[0] / 2e-5, rel=1e-5, abs=1e-7)
