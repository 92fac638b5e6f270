"""From trials to lines: means, paired differences, what counts as late, and that nothing is dropped."""

import math

import pytest

from tradewind import clock
from tradewind.session.comparison_table import ENOUGH_WEEKS, blocks_of, lines_of
from tradewind.session.report.comparison_data import CLAIRVOYANT, Trial

WEEK = 7 * 86_400.0
MONDAY = clock.moment("2015-03-16T00:00:00Z")


def trial(policy: str, start: float, cost: float, **told) -> Trial:
    told = {"seconds": 3600.0, "work": 10.0, "bound": 1.0, "outcome": "done", **told}
    return Trial(policy=policy, start=start, cost=cost, **told)


def test_means_differences_and_shares() -> None:
    starts = [MONDAY + k * WEEK for k in range(10)]
    trials = [trial("ours", at, 2.0 + k % 2, seconds=1000.0 * (k + 1)) for k, at in enumerate(starts)]
    trials += [trial("theirs", at, 5.0 + k % 2, revocations=k, leases=2 * k) for k, at in enumerate(starts)]
    trials += [trial(CLAIRVOYANT, at, 1.0) for at in starts]
    ours, theirs, least = lines_of(trials, ("ours", "theirs", CLAIRVOYANT), deadline=None)
    assert ours.cost.mean == 2.5 and ours.difference is None and ours.of_bound == 2.5
    assert ours.cost.low < 2.5 < ours.cost.high and ours.cost.blocks == 10
    assert ours.per_vcpu_hour == pytest.approx(0.25)
    assert ours.seconds == 5500.0 and ours.seconds_p95 == pytest.approx(9550.0)
    # Both pay more in the same weeks: the difference is the same from every start.
    assert (theirs.difference.low, theirs.difference.mean, theirs.difference.high) == (3.0, 3.0, 3.0)
    assert theirs.difference.excludes_zero and theirs.revocations == 4.5 and theirs.leases == 9.0
    assert least.of_bound == 1.0 and least.difference.mean == -1.5


def test_weeks_are_drawn_where_there_are_enough() -> None:
    assert blocks_of([MONDAY + k * WEEK for k in range(ENOUGH_WEEKS)]) == ("week", ENOUGH_WEEKS)
    same_week = [MONDAY + k * 3600.0 for k in range(100)]
    assert blocks_of(same_week) == ("start", 1)
    trials = [trial("ours", at, float(k % 5)) for k, at in enumerate(same_week)]
    (line,) = lines_of(trials, ("ours",), deadline=None)
    assert line.cost.blocks == 100 and math.isfinite(line.cost.low)


def test_who_did_not_do_the_work_is_counted_with_the_reason() -> None:
    starts = [MONDAY + k * WEEK for k in range(4)]
    trials = [trial("ours", at, 2.0) for at in starts]
    trials += [
        trial("theirs", starts[0], 4.0),
        trial("theirs", starts[1], 1.0, outcome="refused", reason="too dear", work=0.0),
        trial("theirs", starts[2], 9.0, outcome="unfinished", reason="the budget", late=True),
        trial("theirs", starts[3], 9.0, outcome="failed", reason="broken", late=True),
    ]
    ours, theirs = lines_of(trials, ("ours", "theirs"), deadline=7200.0)
    assert (theirs.starts, theirs.done, theirs.refused, theirs.unfinished) == (4, 1, 1, 2)
    assert theirs.missed == 2, "who refuses says so before any money is spent, and misses nothing"
    assert theirs.reasons == (("broken", 1), ("the budget", 1), ("too dear", 1))
    assert theirs.cost.mean == 4.0 and theirs.difference.mean == 2.0, "over the starts that both did"
    assert ours.missed == 0 and ours.reasons == ()


def test_late_runs_are_not_held_against_the_bound_of_timely_ones() -> None:
    trials = [
        trial("ours", MONDAY, 3.0),
        trial("ours", MONDAY + WEEK, 0.5, late=True),
        trial("ours", MONDAY + 2 * WEEK, 3.0, bound=None),
    ]
    (line,) = lines_of(trials, ("ours",), deadline=3600.0)
    assert line.of_bound == 3.0 and line.missed == 1 and line.done == 3


def test_a_policy_that_never_did_the_work() -> None:
    trials = [trial("ours", MONDAY + k * WEEK, 0.0, outcome="refused", reason="no room") for k in range(3)]
    trials += [trial("theirs", MONDAY + k * WEEK, 1.0) for k in range(3)]
    ours, theirs = lines_of(trials, ("ours", "theirs"), deadline=None)
    assert ours.cost is None and ours.seconds is None and ours.reasons == (("no room", 3),)
    assert theirs.cost.mean == 1.0 and theirs.difference is None
