"""The bootstrap by blocks: what it covers, that it is exact where it can be, and what it refuses."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tradewind import clock
from tradewind.errors import Misuse
from tradewind.estimates.bootstrap import MeanInterval, calendar_week, paired_interval


def test_few_blocks_are_drawn_in_every_way() -> None:
    """Of three blocks there are 27 equally likely draws; the percentiles are those of all of them."""
    values, blocks = [1.0, 2.0, 6.0, 6.0, 9.0], ["a", "a", "b", "c", "c"]
    sums, sizes = {"a": 3.0, "b": 6.0, "c": 15.0}, {"a": 2, "b": 1, "c": 2}
    means = sorted(
        sum(sums[each] for each in drawn) / sum(sizes[each] for each in drawn)
        for drawn in itertools.product("abc", repeat=3)
    )
    found = paired_interval(values, blocks, draws=200_000, level=0.8)
    assert found.mean == pytest.approx(24 / 5) and found.blocks == 3
    for bound, share in ((found.low, 0.1), (found.high, 0.9)):
        near = means[int(share * 27) - 1 : int(share * 27) + 2]
        assert min(near) <= bound <= max(near)


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    chance = np.random.default_rng(3)
    held = wide = 0
    for trial in range(300):
        # Weeks differ more than the starts within them, as on a market.
        weeks = np.repeat(np.arange(25), 8)
        values = 1.0 + chance.normal(size=25)[weeks] + 0.3 * chance.normal(size=200)
        by_week = paired_interval(values, weeks, draws=400, seed=trial)
        by_start = paired_interval(values, np.arange(200), draws=400, seed=trial)
        held += by_week.low <= 1.0 <= by_week.high
        wide += by_start.low <= 1.0 <= by_start.high
    assert 0.90 <= held / 300 <= 0.985
    assert wide / 300 < 0.7, "taken one by one, the starts claim to know far more than they do"


def test_equal_questions_get_equal_answers() -> None:
    values, blocks = np.arange(20.0) - 8, np.arange(20) // 3
    assert paired_interval(values, blocks) == paired_interval(list(values), list(blocks))
    assert paired_interval(values, blocks, seed=1) != paired_interval(values, blocks, seed=2)


def test_one_block_says_nothing() -> None:
    found = paired_interval([3.0, 4.0], ["w", "w"])
    assert found == MeanInterval(-math.inf, 3.5, math.inf, 1) and not found.excludes_zero


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(st.floats(-1e6, 1e6), st.integers(0, 5)), min_size=1, max_size=30),
    st.floats(-1e3, 1e3),
)
def test_bounds_are_in_order_and_move_with_the_values(pairs, shift) -> None:
    values, blocks = np.array([each for each, _ in pairs]), [block for _, block in pairs]
    found = paired_interval(values, blocks, draws=50)
    moved = paired_interval(values + shift, blocks, draws=50)
    assert found.low <= found.high
    assert found.excludes_zero == (found.low > 0 or found.high < 0)
    if found.blocks > 1:
        assert min(values) - 1e-6 <= found.low and found.high <= max(values) + 1e-6
        assert moved.low == pytest.approx(found.low + shift, abs=1e-6)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (([], []), "no row"),
        (([[1.0]], ["a"]), "no row"),
        (([1.0, math.nan], ["a", "b"]), "finite"),
        (([1.0], ["a", "b"]), "2 blocks for 1"),
    ],
)
def test_what_is_no_sample_is_refused(arguments, words) -> None:
    with pytest.raises(Misuse, match=words):
        paired_interval(*arguments)


def test_what_is_no_question_is_refused() -> None:
    with pytest.raises(Misuse, match="level"):
        paired_interval([1.0, 2.0], ["a", "b"], level=95)
    with pytest.raises(Misuse, match="draws"):
        paired_interval([1.0, 2.0], ["a", "b"], draws=0)


def test_weeks_go_from_monday_to_sunday() -> None:
    monday = clock.moment("2015-03-16T00:00:00Z")
    weeks = [calendar_week(monday + day * 86_400 + 3600) for day in range(-1, 8)]
    assert weeks == [weeks[1] - 1, *[weeks[1]] * 7, weeks[1] + 1]
