"""A variant watched: its slowdown, its state, and what a look of ours says."""

import math

import pytest

from tradewind.serving.variants.states import State
from tradewind.serving.variants.watching import LATE, Counts, Watched, probed, smoothed, watched
from variant_makers import rated

ONE = rated("a", per_row=0.002, fixed=0.008)  # a row takes 10 ms


def after(before, counts, *, replicas=1, waiting=0, seconds=1.0):
    return watched(before, counts, ONE, replicas=replicas, waiting=waiting, seconds=seconds)


def counts(calls, batches, took, rows=1, waited=0.0):
    """So many calls, each answered alone by a batch that took so long, beside what it waited."""
    spent = took + LATE
    return Counts(
        calls, batches, batches * rows, batches * (spent + waited), {rows: (batches, batches * spent)}
    )


def test_as_its_profile_says():
    seen = after(Watched(), counts(20, 20, 0.010))
    assert (seen.state, seen.slowdown, seen.rate, seen.batch, seen.quiet) == (
        State.ACTIVE, pytest.approx(1.0), 20.0, 1.0, False,
    )  # fmt: skip


def test_a_batch_that_was_held_up_moves_nothing_and_many_do():
    one = after(Watched(), counts(1, 1, 0.060))
    assert one.slowdown == pytest.approx((3 + 6) / 4)
    assert one.state is State.ACTIVE
    many = after(Watched(), counts(12, 12, 0.060))
    assert many.slowdown == pytest.approx((3 + 12 * 6) / 15)
    assert many.state is State.INTERFERED  # five times, at 12 of 100 batches a second


def test_slow_though_it_is_sent_too_much_is_overloaded():
    seen = after(Watched(), counts(300, 100, 0.010, waited=0.5), waiting=200)
    assert seen.state is State.OVERLOADED
    assert seen.slowdown == pytest.approx(1.0)


def test_only_what_is_new_counts():
    first = after(Watched(), counts(50, 50, 0.080))
    old = first.counts
    again = Counts(60, 60, 60, old.seconds + 10 * 0.011, {1: (60, old.batches[1][1] + 10 * 0.011)})
    seen = after(first, again, seconds=2.0)
    assert seen.rate == 5.0
    assert seen.slowdown == pytest.approx(smoothed(first.slowdown, 1.0, 10))


def test_a_model_that_is_counted_anew():
    before = after(Watched(), counts(50, 50, 0.010))
    seen = after(before, counts(5, 5, 0.010))
    assert seen.rate == 5.0


def test_nobody_asks_and_nothing_runs():
    before = after(Watched(), counts(50, 50, 0.080))
    quiet = after(before, before.counts)
    assert quiet.quiet and quiet.slowdown == before.slowdown
    assert after(before, before.counts, replicas=0).state is State.INACTIVE


def test_looks_bring_it_back():
    seen = after(Watched(), counts(50, 50, 0.080))
    assert seen.state is State.INTERFERED
    for _ in range(4):
        seen = probed(seen, ONE, 1, 0.010 + LATE)
    assert seen.slowdown < 1.5
    assert after(seen, seen.counts).state is State.ACTIVE


def test_rows_of_calls_and_batches_are_told_apart():
    # 10 calls of 2 rows, in 5 batches of 4 rows
    now = Counts(10, 10, 20, 10 * 0.02, {4: (5, 5 * (0.016 + LATE))})
    seen = after(Watched(), now)
    assert (seen.rows, seen.batch, seen.rate) == (2.0, 4.0, 20.0)
    assert seen.slowdown == pytest.approx(1.0)


def test_a_slowdown_is_forgotten_once_there_are_no_replicas():
    seen = after(Watched(), counts(50, 50, 0.080))
    gone = watched(seen, seen.counts, ONE, replicas=0, waiting=0, seconds=5.0, forget=5.0)
    assert gone.slowdown == pytest.approx(1 + (seen.slowdown - 1) / math.e)
