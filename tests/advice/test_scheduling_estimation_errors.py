"""Injected errors of run-time estimates."""

import numpy as np
import pytest

from tradewind.advice.scheduling.estimation_errors import RunTimeErrors
from tradewind.advice.scheduling.jobs import Job, Stage
from tradewind.errors import Misuse

JOBS = [Job(str(at), 0.0, (Stage(1, (2.0,)), Stage(1, (3.0,)))) for at in range(4000)]


def test_without_errors_estimates_are_true():
    assert RunTimeErrors(0.0).estimates(JOBS, np.random.default_rng(0)) == [(2.0, 3.0)] * len(JOBS)


@pytest.mark.parametrize("share", [0.3, 1.0])
def test_errors_have_the_mean_the_spread_and_the_kinship_described(share):
    told = np.array(RunTimeErrors(share).estimates(JOBS, np.random.default_rng(1))) / (2.0, 3.0)
    assert told.mean() == pytest.approx(1.0, rel=0.06)
    assert np.log(told).std() == pytest.approx(share, rel=0.05)
    assert np.corrcoef(np.log(told).T)[0, 1] == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("share", [-0.1, float("nan"), float("inf")])
def test_impossible_errors_are_refused(share):
    with pytest.raises(Misuse, match="share"):
        RunTimeErrors(share)
