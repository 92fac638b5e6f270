"""Rows, rate and loss from looks at a state."""

import pytest

from tradewind.training.elastic.meter import Meter


def meter() -> Meter:
    return Meter(1000.0, lambda clocks: 10.0 * sum(clocks), rate=7.0, startup=3.0)


def test_estimates_hold_until_something_is_measured() -> None:
    progress = meter().progress()
    assert (progress.done, progress.total, progress.saved) == (0, 1000, 0)
    assert (progress.rate, progress.startup) == (7, 3)
    assert meter().loss() is None


def test_the_rate_is_rows_a_vcpu_second_of_what_worked() -> None:
    seen = meter()
    assert seen.look((0, 0), (0.0, 0.0), 100.0, 4.0) == {0, 1}
    assert seen.look((1, 0), (5.0, 10.0), 110.0, 2.0) == {0}
    assert seen.progress().rate == pytest.approx(10 / 40)
    assert seen.look((1, 2), (15.0, 30.0), 120.0, 2.0) == {1}
    assert seen.progress().rate == pytest.approx(30 / 60) and seen.progress().done == 30


def test_what_earlier_stretches_did_is_no_speed_of_this_one() -> None:
    seen = meter()
    seen.look((50, 30), (1.0, 800.0), 0.0, 1.0)
    assert seen.progress().rate == 7 and seen.progress().done == 800
    seen.look((51, 30), (2.0, 810.0), 10.0, 1.0)
    assert seen.progress().rate == pytest.approx(1.0)


def test_a_state_that_went_back_is_believed() -> None:
    seen = meter()
    seen.look((4, 4), (40.0, 80.0), 0.0, 1.0)
    assert seen.look((3, 3), (30.0, 60.0), 1.0, 1.0) == {0, 1}
    assert seen.progress().done == 60 and seen.loss() == pytest.approx(0.5)


def test_the_loss_is_that_of_the_last_looks() -> None:
    seen = meter()
    for at in range(100):
        seen.look((at, 0), (50.0 + (at >= 50) * (at - 50) * 0.1, 10.0 * at), float(at), 1.0)
    assert seen.loss() == pytest.approx(0.01)


def test_a_snapshot_says_how_many_rows_are_safe() -> None:
    seen = meter()
    assert seen.keep((2, 3)) == 50 == seen.progress().saved
