"""How likely a run is to come to its end."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tradewind.estimates.completion import feasibility

MEMORY = np.log(np.tile([4.0, 8.0, 16.0, 32.0, 64.0], 2))[:, None]
KINDS = np.repeat([0.0, 1.0], 5)[:, None]
NONE = np.zeros((0, 10))
ENDED = np.zeros(0, np.int64), np.zeros(0, np.bool_)


def after(model, *runs):
    where, fine = [run[0] for run in runs], [run[1] for run in runs]
    return model.given(np.array(where, np.int64), np.array(fine, np.bool_))


def test_without_runs_nearly_all_is_likely_and_more_memory_likelier():
    found = after(feasibility(MEMORY, KINDS, NONE))
    assert (found > 0.5).all() and found[4] > 0.9
    assert (np.diff(found[:5]) >= 0).all()


def test_a_failure_is_held_against_what_has_less():
    found = after(feasibility(MEMORY, KINDS, NONE), (2, False), (4, True))
    assert found[1] < 0.35 and found[2] < 0.35 and found[7] < 0.6
    assert found[9] > 0.85 and found[4] > 0.85


def test_success_with_little_speaks_for_what_has_more():
    model = feasibility(MEMORY, KINDS, NONE)
    assert after(model, (0, True))[1:].min() > after(model)[1:].min()
    assert after(model, (0, True))[5:].min() > 0.8


def test_where_others_fail_this_one_may_too():
    fared = np.ones((6, 10))
    fared[:4, MEMORY[:, 0] < np.log(10)] = 0.0
    found = after(feasibility(MEMORY, KINDS, fared))
    assert found[[0, 1, 5, 6]].max() < 0.5 < 0.8 < found[[2, 3, 4]].min()
    fine = after(feasibility(MEMORY, KINDS, np.ones((6, 10))))
    assert fine.min() > 0.85


def test_without_memory_what_is_alike_fares_alike():
    model = feasibility(np.zeros((10, 0)), KINDS, NONE)
    found = after(model, (0, False), (1, False), (5, True), (6, True))
    assert found[2] < 0.6 < 0.8 < found[7]


def test_others_that_did_not_run_somewhere_tell_nothing_of_it():
    fared = np.full((3, 10), np.nan)
    assert after(feasibility(MEMORY, KINDS, fared)) == pytest.approx(after(feasibility(MEMORY, KINDS, NONE)))


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.integers(0, 9), st.booleans()), max_size=8), st.integers(0, 4))
def test_more_memory_never_lowers_it(runs, many):
    chance = np.random.default_rng(many)
    fared = np.where(chance.random((many, 10)) < 0.3, np.nan, (chance.random((many, 10)) < 0.6) * 1.0)
    found = after(feasibility(MEMORY, KINDS, fared), *runs)
    assert (np.diff(found[:5]) >= -1e-12).all() and (np.diff(found[5:]) >= -1e-12).all()
    assert found.min() >= 0 and found.max() <= 1
