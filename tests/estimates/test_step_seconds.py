from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tradewind.errors import Misuse
from tradewind.estimates.step_seconds import Measured, step_seconds


def test_without_measurements_only_the_sizes_count():
    assert step_seconds([1, 2, 4], 2, []).tolist() == [[1.0, 1.0], [0.5, 0.5], [0.25, 0.25]]


@settings(max_examples=30)
@given(seed=st.integers(0, 1000), share=st.floats(0.4, 1.0))
def test_a_matrix_of_rank_one_is_completed(seed, share):
    chance = np.random.default_rng(seed)
    vcpus = np.array([1.0, 2.0, 4.0, 8.0])
    speeds = vcpus ** -chance.uniform(0.3, 1.0)  # more vCPUs bring less than their number
    truth = speeds[:, None] * chance.uniform(0.1, 10.0, 12)
    seen = chance.random(truth.shape) < share
    seen[:, 0] = True  # one setting on every machine tells their speeds
    seen[chance.integers(0, 4, 12), np.arange(12)] = True
    found = step_seconds(vcpus, 12, [Measured(i, h, truth[i, h]) for i, h in np.argwhere(seen)])
    assert np.allclose(found[seen], truth[seen])
    # the prior of the sizes is still felt, by less the more is measured
    assert np.abs(np.log(found / truth)).max() < 0.5
    assert np.median(np.abs(np.log(found / truth))) < 0.1


def test_a_new_machine_is_as_fast_as_its_size_says_next_to_those_measured():
    found = step_seconds([2, 4], 1, [Measured(0, 0, 3.0)])
    assert found[0, 0] == pytest.approx(3.0)
    assert found[1, 0] == pytest.approx(1.5, rel=0.05)


def test_a_new_setting_takes_what_the_others_take():
    found = step_seconds([1], 3, [Measured(0, 0, 1.0), Measured(0, 1, 4.0)])
    assert found[0, 2] == pytest.approx(2.0, rel=0.01)  # in the logarithm


def test_machines_are_told_apart_by_settings_that_ran_on_one_alone():
    """Twelve settings that take alike, six on each machine: the second is eight times as fast, not twice."""
    chance = np.random.default_rng(0)
    seconds = 60.0 * np.exp(chance.normal(0.0, 0.1, 12)) / np.repeat([1.0, 8.0], 6)
    measured = [Measured(int(at >= 6), at, float(each)) for at, each in enumerate(seconds)]
    found = step_seconds([4, 8], 13, measured)
    assert 4.0 < found[0, 12] / found[1, 12] < 8.5
    assert 4.0 < found[0, 0] / found[1, 0] < 8.5


def test_new_measurements_correct_old_ones():
    slow = [Measured(0, 0, 10.0)]
    assert step_seconds([1], 1, [*slow, *[Measured(0, 0, 1.0)] * 20])[0, 0] == pytest.approx(1.0, rel=0.01)
    once = step_seconds([1], 1, [*slow, Measured(0, 0, 1.0)])[0, 0]
    assert 1.0 < once < 10.0


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan"), float("inf")])
def test_a_time_that_cannot_be(seconds):
    with pytest.raises(Misuse, match="seconds"):
        step_seconds([1], 1, [Measured(0, 0, seconds)])


@pytest.mark.parametrize("vcpus", [[], [0.0], [1.0, float("nan")]])
def test_machines_that_cannot_be(vcpus):
    with pytest.raises(Misuse, match="vcpus"):
        step_seconds(vcpus, 1, [])
