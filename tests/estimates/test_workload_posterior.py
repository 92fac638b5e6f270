"""What runs of a workload tell of it."""

import math

import numpy as np
import pytest
from scipy.stats import multivariate_normal, truncnorm

from tradewind.estimates.workload_posterior import conditioned
from tradewind.estimates.workload_prior import Course, WorkloadPrior, matern

COLUMNS = np.linspace(-2, 2, 7)[:, None]
NOTHING, NO_LOGS = np.zeros(0, np.int64), np.zeros(0)


def course(slope, *, scale=1.0, noise=0.01, weight=1.0, length=1.0):
    return Course(slope * COLUMNS[:, 0], 0.2 * matern(COLUMNS, np.array([length])), scale, noise, weight)


def given_(courses, ended, logs, cut=(), limits=()):
    prior = WorkloadPrior(tuple(courses), 5.0, 2.0)
    return conditioned(
        prior,
        np.array(ended, np.int64),
        np.array(logs, float),
        np.array(cut, np.int64),
        np.array(limits, float),
    )


def test_one_course_is_a_normal_distribution_conditioned():
    one = course(-0.5, scale=1.5)
    at, logs = [1, 4], np.array([6.0, 4.2])
    found = given_([one], at, logs)
    joint = 1.5 * one.covariance + 2.0
    inner = np.linalg.inv(joint[np.ix_(at, at)] + 0.01 * np.eye(2))
    mean = one.means + 5.0 + joint[:, at] @ inner @ (logs - one.means[at] - 5.0)
    covariance = joint - joint[:, at] @ inner @ joint[at]
    assert found.mean == pytest.approx(mean, abs=1e-5)
    assert found.variance == pytest.approx(np.diag(covariance), abs=1e-5)
    assert found.covariances(np.array([0, 6])) == pytest.approx(covariance[[0, 6]], abs=1e-5)
    assert found.noise == 0.01


def test_courses_are_weighed_by_how_likely_they_made_it():
    courses = [course(-0.5, weight=0.7), course(0.5, weight=0.3)]
    at, logs = [0, 3, 6], np.array([5.4, 5.0, 5.9])
    found = given_(courses, at, logs)
    evidence = []
    for each in courses:
        matrix = (each.covariance + 2.0)[np.ix_(at, at)] + (0.01 + 1e-8) * np.eye(3)
        evidence.append(each.weight * multivariate_normal(each.means[at] + 5.0, matrix).pdf(logs))
    assert found.weights == pytest.approx(np.array(evidence) / sum(evidence))
    assert found.mean == pytest.approx(found.weights @ found.means)
    # what one course does not know the other may: the variance between them counts
    assert (found.variance >= found.weights @ found.variances - 1e-12).all()


def test_nothing_seen_leaves_the_prior():
    found = given_([course(-0.5, weight=0.25), course(0.5, weight=0.75)], [], [])
    assert found.weights == pytest.approx([0.25, 0.75])
    assert found.variances[0] == pytest.approx(np.full(7, 2.2))


def test_a_run_that_was_ended_counts_as_a_truncated_mean():
    found = given_([course(0.0)], [], [], [3], [6.0])
    # of the run itself, noise included, exactly; the course has its share of it
    spread = math.sqrt(2.2 + 0.01)
    low = (6.0 - 5.0) / spread
    whole = truncnorm(low, np.inf, 5.0, spread)
    share = 2.2 / 2.21
    assert found.mean[3] == pytest.approx(5.0 + share * (whole.mean() - 5.0))
    left = 2.2 - share**2 * (2.21 - whole.var())
    assert found.variance[3] == pytest.approx(left)
    assert found.covariances(np.array([3]))[0, 3] == pytest.approx(left)


def test_ended_runs_weigh_courses_too():
    courses = [course(-1.0, weight=0.5), course(1.0, weight=0.5)]
    found = given_(courses, [3], [5.0], [6], [6.5])
    assert found.weights[1] > 0.95
    hopeless = given_(courses, [3], [5.0], [6], [60.0])
    assert np.isfinite(hopeless.mean).all() and hopeless.mean[6] > 30.0


def test_the_probability_of_ending_within_a_limit():
    found = given_([course(0.0)], [3], [5.0])
    within = found.within(np.full(7, 5.0))
    assert within[3] == pytest.approx(0.5, abs=0.01)
    assert (found.within(np.full(7, 9.0)) > within).all()
    assert found.within(np.full(7, -50.0)) == pytest.approx(np.zeros(7), abs=1e-12)
