"""Gaussian processes: what they expect, and that nothing upsets them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

from tradewind.errors import Misuse
from tradewind.estimates.gaussian_process import GaussianProcess


def made_up(n=30, d=3, seed=0):
    chance = np.random.default_rng(seed)
    points = chance.random((n, d))
    return points, np.sin(5 * points[:, 0]) + points[:, 1] ** 2


def test_it_is_scikit_learns_with_the_same_numbers():
    points, targets = made_up()
    process = GaussianProcess.fitted(points, targets)
    kernel = ConstantKernel(process.signal) * Matern(process.lengths, nu=2.5) + WhiteKernel(process.noise)
    peer = GaussianProcessRegressor(kernel, optimizer=None).fit(
        points, (targets - process.shift) / process.scale
    )
    queries = np.random.default_rng(1).random((10, 3))
    means, deviations = peer.predict(queries, return_std=True)
    ours, variances = process.predict(queries)
    assert ours == pytest.approx(means * process.scale + process.shift, rel=1e-5)
    # Theirs has the noise in it, and loses digits where ours does.
    assert variances / process.scale**2 == pytest.approx(deviations**2 - process.noise, abs=1e-7)


def test_it_learns_which_column_matters():
    points, targets = made_up(80, 4)
    process = GaussianProcess.fitted(points, targets)
    assert process.lengths[:2].max() < process.lengths[2:].min()
    fresh, truth = made_up(100, 4, seed=5)
    assert np.abs(process.predict(fresh)[0] - truth).mean() < 0.02
    assert process.noise < 1e-3


def test_it_learns_the_noise():
    points, targets = made_up(80)
    noisy = targets + np.random.default_rng(2).normal(0, 0.3, 80)
    process = GaussianProcess.fitted(points, noisy)
    assert process.noise * process.scale**2 == pytest.approx(0.09, rel=0.5)


def test_bending_helps_where_the_scale_changes():
    chance = np.random.default_rng(4)
    points, fresh = chance.random((25, 1)), chance.random((200, 1))

    def steep(x):
        return np.sin(12 * x[:, 0] ** 4)

    plain = GaussianProcess.fitted(points, steep(points))
    bent = GaussianProcess.fitted(points, steep(points), warped=[True])
    assert bent.a[0] > 1.2
    errors = [np.abs(each.predict(fresh)[0] - steep(fresh)).mean() for each in (plain, bent)]
    assert errors[1] < errors[0]


def test_a_column_that_is_not_to_be_bent_is_not():
    points, targets = made_up(40)
    process = GaussianProcess.fitted(points, targets, warped=[True, False, False])
    assert process.a[0] != 1.0 and (process.a[1:] == 1.0).all() and (process.b[1:] == 1.0).all()


def test_scaled_points_go_back_and_slopes_agree():
    points, targets = made_up(40)
    process = GaussianProcess.fitted(points, targets, warped=[True, True, False])
    scaled = process.scaled_points(points)
    assert process.unscaled_points(scaled) == pytest.approx(points, abs=1e-9)
    query = process.scaled_points([[0.3, 0.6, 0.2]])[0]
    _, _, to_means, to_variance = process.slopes(query)
    for k, step in enumerate(1e-5 * np.eye(3)):
        up, down = process.moments((query + step)[None]), process.moments((query - step)[None])
        assert to_means[0, k] == pytest.approx((up[0] - down[0])[0, 0] / 2e-5, rel=1e-4, abs=1e-7)
        assert to_variance[k] == pytest.approx((up[1] - down[1])[0] / 2e-5, rel=1e-3, abs=1e-7)
    stretches = process.stretches(np.array([0.3, 0.6, 0.2]))
    moved = process.unscaled_points((query + 1e-6)[None])[0] - [0.3, 0.6, 0.2]
    assert stretches == pytest.approx(moved / 1e-6, rel=1e-4)


def test_conditioning_is_seeing_more():
    points, targets = made_up(30)
    process = GaussianProcess.fitted(points[:24], targets[:24])
    more = process.conditioned(points[24:], targets[24:])
    cov = np.linalg.inv(more.inverse.T @ more.inverse)
    known = process.scaled_points(points)
    exact = process.signal * Matern(nu=2.5)(known) + process.noise * np.eye(30)
    assert cov == pytest.approx(exact, abs=1e-6)
    queries = np.random.default_rng(1).random((5, 3))
    cross = process.signal * Matern(nu=2.5)(process.scaled_points(queries), known)
    expected = cross @ np.linalg.solve(exact, (targets - process.shift) / process.scale)
    assert more.predict(queries)[0] == pytest.approx(expected * process.scale + process.shift, rel=1e-6)
    one_by_one = process
    for at in range(24, 30):
        one_by_one = one_by_one.conditioned(points[at], targets[at : at + 1])
    assert one_by_one.predict(queries)[0] == pytest.approx(more.predict(queries)[0], rel=1e-7)
    assert one_by_one.predict(queries)[1] == pytest.approx(more.predict(queries)[1], rel=1e-5)


def test_futures_share_their_variance():
    points, targets = made_up(20)
    process = GaussianProcess.fitted(points, targets)
    futures = process.conditioned(np.full((1, 3), 0.5), [[-3.0], [0.0], [3.0]])
    means, variances = futures.predict([[0.5, 0.5, 0.5], [0.1, 0.2, 0.9]])
    assert means.shape == (3, 2) and variances.shape == (2,)
    assert means[0, 0] < means[1, 0] < means[2, 0]
    assert variances[0] < process.predict([[0.5, 0.5, 0.5]])[1][0]
    single = process.conditioned(np.full((1, 3), 0.5), [3.0])
    assert single.predict([[0.1, 0.2, 0.9]])[0] == pytest.approx(means[2, 1:])


def test_what_is_expected_together_is_what_is_expected_alone():
    points, targets = made_up(20)
    process = GaussianProcess.fitted(points, targets)
    queries = np.random.default_rng(1).random((4, 3))
    means, covariance = process.joint(queries)
    assert means == pytest.approx(process.predict(queries)[0])
    assert np.diag(covariance) == pytest.approx(process.predict(queries)[1], rel=1e-6, abs=1e-12)
    assert np.linalg.eigvalsh(covariance).min() > -1e-9


@given(
    st.integers(1, 12), st.integers(1, 3), st.integers(0, 99),
    st.sampled_from([1e-300, 1e-9, 1.0, 1e9, 1e300]),
    st.sampled_from(["plain", "constant", "duplicates", "conflict", "corners"]),
)  # fmt: skip
@settings(max_examples=25, deadline=None)
def test_nothing_upsets_it(n, d, seed, size, case):
    chance = np.random.default_rng(seed)
    points, targets = chance.random((n, d)), chance.normal(size=n)
    if case == "constant":
        targets[:] = 1.0
    if case in ("duplicates", "conflict"):
        points[:] = points[0]
        targets = np.full(n, 0.3) if case == "duplicates" else targets
    if case == "corners":
        points = np.round(points)
    process = GaussianProcess.fitted(points, targets * size, warped=np.ones(d, bool))
    means, variances = process.predict(np.concatenate([points, chance.random((5, d)), np.zeros((1, d))]))
    assert np.isfinite(means).all()
    # The square of 1e300 is more than a double holds; of 1e-300 less.
    assert (variances >= 0).all() and (size == 1e300 or np.isfinite(variances).all())
    assert np.abs(means).max() <= 20 * size
    again = GaussianProcess.fitted(points, targets * size, warped=np.ones(d, bool))
    assert again.predict(points)[0].tobytes() == process.predict(points)[0].tobytes()


def test_many_points_are_learned_from_in_part_and_all_conditioned_upon():
    points, targets = made_up(300, 2)
    process = GaussianProcess.fitted(points, targets, most=60)
    assert len(process.scaled) == 300
    assert np.abs(process.predict(points)[0] - targets).max() < 0.02


def test_the_scale_of_targets_changes_nothing_else():
    points, targets = made_up()
    small, large = (
        GaussianProcess.fitted(points, targets),
        GaussianProcess.fitted(points, targets * 1e6 + 3e6),
    )
    queries = np.random.default_rng(1).random((5, 3))
    assert large.predict(queries)[0] == pytest.approx(small.predict(queries)[0] * 1e6 + 3e6, rel=1e-4)


@pytest.mark.parametrize(
    ("points", "targets", "said"),
    [
        (np.zeros((3, 2)), np.zeros(4), "shape"),
        (np.zeros(3), np.zeros(3), "shape"),
        (np.zeros((0, 2)), np.zeros(0), "something in them"),
        (np.zeros((2, 1)), [0.0, np.nan], "not finite"),
        ([[0.0], [np.inf]], [0.0, 1.0], "not finite"),
        ([[0.0], [1.5]], [0.0, 1.0], "outside the unit cube"),
    ],
)
def test_bad_observations_are_told(points, targets, said):
    with pytest.raises(Misuse, match=said):
        GaussianProcess.fitted(points, targets)


def test_bad_questions_are_told():
    points, targets = made_up(5)
    with pytest.raises(Misuse, match="warped"):
        GaussianProcess.fitted(points, targets, warped=[True])
    process = GaussianProcess.fitted(points, targets)
    with pytest.raises(Misuse, match="columns"):
        process.predict([[0.5]])
    with pytest.raises(Misuse, match="targets for"):
        process.conditioned(points[:2], [1.0])
