"""Trials: what is known of them at a step."""

import math

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tradewind.tuning.trial import COMPLETED, Trial


def test_the_loss_is_the_final_one_or_the_last():
    assert Trial(0, {}).loss is None
    assert Trial(0, {}, steps=(1, 2), losses=(3.0, 2.0)).loss == 2.0
    assert Trial(0, {}, COMPLETED, (1, 2), (3.0, 2.0), final=1.5).loss == 1.5
    assert math.isnan(Trial(0, {}, steps=(1,), losses=(math.nan,)).loss)


@given(st.lists(st.integers(1, 100), unique=True, max_size=8).map(sorted), st.integers(0, 110))
@settings(max_examples=40, deadline=None)
def test_the_loss_at_a_step_is_the_last_before_it(steps, step):
    trial = Trial(0, {}, steps=tuple(steps), losses=tuple(float(each) for each in steps))
    assert trial.loss_at(step) == max((float(each) for each in steps if each <= step), default=None)


def test_a_trial_is_a_value():
    trial = Trial(3, {"a": 1, "b": None, "c": True}, steps=(1,), losses=(0.5,), parent=2, foreign="old")
    assert msgspec.json.decode(msgspec.json.encode(trial), type=Trial) == trial
    with pytest.raises(AttributeError):
        trial.number = 4
