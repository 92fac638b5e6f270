"""What trials tell a model: finished, stopped, failed, pending and foreign ones."""

import math

import numpy as np
import pytest

from tradewind.tuning.columns import Columns
from tradewind.tuning.observations import observed
from tradewind.tuning.space import Space
from tradewind.tuning.trial import COMPLETED, FAILED, PAUSED, RUNNING, STOPPED, WAITING, Trial

COLUMNS = Columns(Space.of({"x": {"low": 0.0, "high": 1.0}}))


def done(number, x, loss, **more):
    return Trial(number, {"x": x}, COMPLETED, final=loss, **more)


def of(trials, identical=(), most=100):
    return observed(COLUMNS, trials, identical, most)


def test_what_is_finished_counts_and_what_runs_is_pending():
    seen = of([done(0, 0.1, 3.0), done(1, 0.2, 1.0), Trial(2, {"x": 0.3}), Trial(3, {"x": 0.4}, WAITING)])
    assert seen.rows[:, 0].tolist() == [0.1, 0.2] and seen.losses == pytest.approx([1.0, -1.0])
    assert seen.pending[:, 0].tolist() == [0.3, 0.4]
    assert seen.taken(np.array([[0.1], [0.3], [0.5]])).tolist() == [True, True, False]
    assert seen.units[:, 0].tolist() == [0.2, 0.1] and seen.started == 4


@pytest.mark.parametrize("state", [STOPPED, PAUSED])
def test_a_stopped_trial_is_carried_to_the_end_but_never_first(state):
    curves = [
        Trial(n, {"x": n / 10}, COMPLETED, (1, 2), (end + 2.0, end), final=end)
        for n, end in enumerate((1.0, 3.0, 4.0))
    ]
    slow = Trial(3, {"x": 0.7}, state, (1,), (7.0,))
    good = Trial(4, {"x": 0.8}, state, (1,), (2.0,))
    losses = of([*curves, slow, good]).losses
    expected = of([*curves, done(3, 0.7, 5.0), done(4, 0.8, 1.0)]).losses
    assert losses == pytest.approx(expected)
    # With two curves nothing is carried.
    assert of([*curves[:2], slow]).losses == pytest.approx(of([*curves[:2], done(3, 0.7, 7.0)]).losses)


@pytest.mark.parametrize(
    "lost", [Trial(2, {"x": 0.5}, FAILED), done(2, 0.5, math.nan), done(2, 0.5, math.inf)]
)
def test_a_failed_trial_is_as_bad_as_the_worst(lost):
    seen = of([done(0, 0.1, 3.0), done(1, 0.2, 1.0), lost])
    assert seen.losses[2] == seen.losses[0] > seen.losses[1]
    assert of([lost]).losses.tolist() == [0.0]
    alike = of([done(0, 0.1, 3.0), done(1, 0.2, 3.0), lost])
    assert alike.losses[2] > alike.losses[0] == alike.losses[1]


def test_earlier_studies_are_standardised_by_themselves():
    own = [done(n, n / 10, float(n)) for n in range(4)]
    other = [done(n, 0.5 + n / 10, 1e6 * n + 5e7, foreign="old") for n in range(4)]
    seen = of([*other, *own])
    assert seen.extra == 1 and seen.rows[:, 1].tolist() == [0.0] * 4 + [1.0] * 4
    assert seen.losses[:4] == pytest.approx(seen.losses[4:])
    assert seen.own.tolist() == [True] * 4 + [False] * 4 and seen.bent.tolist() == [True, False]
    assert not seen.taken(np.array([[0.5]]))[0]
    same = of([*other, *own], ["old"])
    assert same.extra == 0 and same.own.all()
    assert same.losses[:4].min() > same.losses[4:].max()


def test_what_does_not_fit_or_tells_nothing_is_left_out():
    seen = of(
        [
            Trial(0, {"x": 5.0}, COMPLETED, final=1.0, foreign="wide"),
            Trial(0, {"x": 0.5}, RUNNING, foreign="open"),
            Trial(1, {"x": 0.5}, FAILED, foreign="broken"),
            done(0, 0.1, 1.0),
        ]
    )
    assert seen.rows.tolist() == [[0.1]] and len(seen.pending) == 0 and seen.extra == 0


def test_no_trials_are_none():
    seen = of([])
    assert seen.rows.shape == (0, 1) and seen.pending.shape == (0, 1) and seen.units.shape == (0, 1)


def test_tails_are_drawn_in_and_order_is_kept():
    raw = np.exp(np.linspace(0, 12, 20))
    seen = of([done(n, n / 20, float(loss)) for n, loss in enumerate(raw)])
    assert (np.diff(seen.losses) > 0).all()
    assert seen.losses.max() < 3.0 < ((raw - raw.mean()) / raw.std()).max()


def test_of_too_many_the_best_and_the_newest_stay():
    seen = of([done(n, n / 100, float(n)) for n in range(100)], most=20)
    assert seen.rows[:, 0] == pytest.approx([*np.arange(10) / 100, *np.arange(90, 100) / 100])
