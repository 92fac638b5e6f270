"""Steps of an update."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tradewind.errors import Misuse
from tradewind.serving.rollout import plans
from tradewind.serving.rollout.plans import COUNT, PERCENT, Size, Step


def test_the_steps_by_hand() -> None:
    assert plans.all_at_once() == (Step(1.0),)
    assert plans.canary(Size(PERCENT, 10), 4) == (Step(0.1), Step(1.0))
    assert plans.canary(Size(COUNT, 1), 4) == (Step(0.25), Step(1.0))
    assert [each.share for each in plans.linear(Size(PERCENT, 50), 1)] == [0.5, 1.0]
    assert [each.share for each in plans.linear(Size(COUNT, 1), 4)] == [0.25, 0.5, 0.75, 1.0]
    assert plans.rolling(Size(COUNT, 2), 5) == (Step(0.4, 0.4, 1.0), Step(0.8, 0.8, 0.6), Step(1, 1, 1 - 0.8))


@settings(max_examples=60, deadline=None)
@given(st.integers(5, 50), st.integers(1, 20))
def test_steps_grow_to_the_whole_and_capacity_never_lacks(percent, instances) -> None:
    for steps in (plans.linear(Size(PERCENT, max(10, percent)), instances),
                  plans.rolling(Size(PERCENT, percent), instances)):  # fmt: skip
        shares = [each.share for each in steps]
        assert shares == sorted(set(shares)) and shares[-1] == 1.0
        before = 0.0
        for step in steps:
            # Until the step is taken blue carries what it carried before, and green then carries its part.
            assert step.blue >= 1.0 - before - 1e-9 and step.green >= step.share
            before = step.share


@pytest.mark.parametrize(
    ("steps", "size", "said"),
    [
        (plans.canary, Size(PERCENT, 51), "51 %"),
        (plans.canary, Size(COUNT, 5), "CanarySize"),
        (plans.linear, Size(PERCENT, 9), "LinearStepSize"),
        (plans.rolling, Size(PERCENT, 4), "MaximumBatchSize"),
        (plans.rolling, Size("DOZENS", 1), "DOZENS"),
        (plans.canary, Size(COUNT, 0), "CanarySize"),
    ],
)
def test_sizes_that_are_none(steps, size, said) -> None:
    with pytest.raises(Misuse, match=said):
        steps(size, 4)
