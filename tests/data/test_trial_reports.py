"""What becomes of a report."""

import math

import numpy as np
import pytest

from tradewind.data.trial_records import Report
from tradewind.data.trial_store import Superseded, TrialStore
from tradewind.errors import Misuse


@pytest.fixture
def store():
    with TrialStore("sqlite://") as found:
        found.create("study", {})
        for at in range(3):
            found.add("study", {"at": at})
        yield found


def claimed(store, number=0, driver="one"):
    return store.claim("study", driver, moment=0.0, number=number)


def test_the_same_once_more_is_nothing_new(store):
    claim = claimed(store)
    assert store.report(claim, 1, 0.5) == "recorded"
    assert store.report(claim, 2, math.nan) == "recorded"
    before = store.history("study")
    assert store.report(claim, 2, math.nan) == store.report(claim, 1, 0.5) == "again"
    assert store.history("study") == before or repr(store.history("study")) == repr(before)


@pytest.mark.parametrize(("step", "value"), [(1, 0.4), (2, 0.6), (0, 0.1), (1, math.nan)])
def test_a_step_does_not_go_backwards_nor_change(store, step, value):
    claim = claimed(store)
    store.report(claim, 1, 0.5)
    store.report(claim, 2, 0.4)
    with pytest.raises(Misuse, match=f"trial 0: step: {step} is not after"):
        store.report(claim, step, value)
    assert store.trials("study")[0].steps == (1, 2)
    assert store.report(claim, 3, 0.3) == "recorded"


def test_steps_done_again_after_a_revocation_keep_their_first_values(store):
    first = claimed(store)
    for step in (10, 20, 30):
        store.report(first, step, 1.0 / step)
    store.checkpoint(first, 10, "place")
    store.requeue(first, "taken")
    second = claimed(store, driver="two")
    assert store.report(second, 20, 1.0 / 20) == "again"
    assert store.report(second, 25, 7.0) == "recorded"
    assert store.report(second, 30, 0.5) == "differs"
    assert store.report(second, 30, 0.5) == "again"
    with pytest.raises(Misuse, match="step"):
        store.report(second, 30, 0.6)
    with pytest.raises(Misuse, match="step"):
        store.report(second, 22, 0.6)
    assert store.report(second, 40, 0.1) == "recorded"
    trial = store.trials("study")[0]
    assert trial.steps == (10, 20, 25, 30, 40) and trial.values == (0.1, 1 / 20, 7.0, 1 / 30, 0.1)
    assert trial.redone == 1 and trial.revocations == 1
    store.requeue(second, "taken again")
    third = claimed(store)
    assert store.report(third, 30, 1 / 30) == "again"
    assert store.report(third, 40, 0.1) == "again"


def test_one_report_spoils_no_other(store):
    claims = [claimed(store, number) for number in range(3)]
    store.report(claims[1], 5, 0.5)
    store.requeue(claims[2], "taken")
    reports = [
        Report(claims[0], 1, 0.1), Report(claims[1], 4, 0.2), Report(claims[2], 1, 0.3),
        Report(claims[1], 5, 0.5), Report(claims[0], 2, 0.4), Report(claims[1], 6, 0.6),
    ]  # fmt: skip
    assert store.report_many(reports) == ("recorded", "refused", "lost", "again", "recorded", "recorded")
    told = [(event.number, event.step) for event in store.history("study") if event.kind == "reported"]
    assert told == [(1, 5), (0, 1), (0, 2), (1, 6)]
    assert store.report_many([Report(claims[0], 3, 0.1), Report(claims[1], 7, 0.2)]) == ("recorded",) * 2
    assert store.report_many([]) == ()


def test_reports_of_two_studies_go_to_each(store):
    store.create("other", {})
    store.add("other", {})
    other = store.claim("other", "one", moment=0.0)
    mine = claimed(store)
    assert store.report_many([Report(mine, 1, 0.1), Report(other, 1, 0.2)]) == ("recorded", "recorded")
    assert store.trials("other")[0].values == (0.2,) and store.trials("study")[0].values == (0.1,)


def test_who_lost_the_trial_is_told_so(store):
    claim = claimed(store)
    store.report(claim, 1, 0.5)
    store.release("study", "one")
    other = claimed(store, driver="two")
    with pytest.raises(Superseded, match="trial 0: attempt 1, by one"):
        store.report(claim, 2, 0.4)
    for late in (
        lambda: store.finish(claim, final=0.1),
        lambda: store.requeue(claim, "taken"),
        lambda: store.pause(claim, "low"),
        lambda: store.checkpoint(claim, 1, "place"),
        lambda: store.assign(claim, "offer"),
    ):
        with pytest.raises(Superseded):
            late()
    assert store.report(other, 2, 0.4) == "recorded"


@pytest.mark.parametrize("step", [-1, 1.5, "1", None, 2**70])
def test_what_is_no_step_is_refused(store, step):
    with pytest.raises(Misuse, match="step"):
        store.report(claimed(store), step, 0.5)


@pytest.mark.parametrize("value", [None, "0.5", b"1", [1.0], 1j])
def test_what_is_no_number_is_refused(store, value):
    with pytest.raises(Misuse, match="value"):
        store.report(claimed(store), 1, value)


def test_numbers_of_numpy_are_numbers(store):
    claim = claimed(store)
    assert store.report(claim, np.int64(3), np.float32(0.5)) == "recorded"
    assert store.report(claim, 4, np.float64("nan")) == "recorded"
    trial = store.trials("study")[0]
    assert trial.steps == (3, 4) and trial.values[0] == 0.5 and math.isnan(trial.values[1])
    assert all(type(value) is float for value in trial.values)


def test_what_was_spent_only_grows(store):
    claim = claimed(store)
    store.report(claim, 1, 0.5, dollars=0.2, seconds=10.0)
    store.report(claim, 2, 0.5, dollars=0.1)
    store.requeue(claim, "taken", dollars=0.3, seconds=20.0)
    trial = store.trials("study")[0]
    assert (trial.dollars, trial.seconds) == (0.3, 20.0)
