"""The scheduler chosen by rehearsing."""

import pytest

from tradewind.advice.scheduling.by_load import ByLoad, rehearse
from tradewind.advice.scheduling.capped_shortest_remaining import CappedShortestRemaining
from tradewind.advice.scheduling.fair import Fair
from tradewind.advice.scheduling.fifo import Fifo
from tradewind.advice.scheduling.jobs import Job, Stage
from tradewind.advice.scheduling.shapes import tpch_shaped
from tradewind.advice.scheduling.shortest_remaining_work import ShortestRemainingWork
from tradewind.advice.scheduling.simulation import Cluster
from tradewind.errors import Misuse
from tradewind.testing.schedulers import SchedulerLaws

FEW = {"streams": 3, "jobs": 9}
MIXED = [
    Job(f"{burst}-{at}", 200.0 * burst + at, (Stage(tasks, (1.0,)),))
    for burst in range(5)
    for at, tasks in enumerate((90, 90, 4, 4))
]
"""On one executor without moves, 188 s of work come every 200 s: short jobs behind long ones."""
SEEN = tpch_shaped(24, interval=25.0, seed=77)
"""On fifty executors, where one job cannot use them all."""


class Late:
    """First come, first served, by another name."""

    def __init__(self, inner, name):
        self.inner, self.name = inner, name

    def choose(self, view):
        return self.inner.choose(view)


RULES = ByLoad([Fifo(), Fair()], MIXED, Cluster(2), seed=0, streams=2, jobs=4)


class TestLaws(SchedulerLaws):
    def scheduler(self):
        return RULES


def test_one_machine_is_for_the_shortest_and_many_are_shared():
    candidates = [Fifo(), Fair(), ShortestRemainingWork()]
    one = rehearse(candidates, MIXED, Cluster(1, 0.0, 0.0, 0.0), seed=1, **FEW)
    assert one.chosen == "shortest_remaining_work"
    many = rehearse(candidates, SEEN, Cluster(50), seed=1, **FEW)
    assert many.chosen == "fair"
    assert many.averages["fair"] < many.averages["shortest_remaining_work"]
    assert "on 50 executors (simulated)" in many.why


def test_load_and_interval_are_those_seen():
    found = rehearse([Fair()], MIXED, Cluster(2, 0.0, 0.0, 0.0), seed=0, **FEW)
    assert found.interval == pytest.approx(803 / 19)
    assert found.load == pytest.approx(47 / (2 * 803 / 19))


def test_who_has_learned_must_win_beyond_doubt():
    same = Late(Fair(), "learned")
    assert rehearse([Fair()], SEEN, Cluster(50), seed=1, learned=[same], **FEW).chosen == "fair"
    better = Late(Fair(), "learned")
    few = rehearse([Fifo()], SEEN, Cluster(50), seed=1, learned=[better], **FEW)
    assert few.averages["learned"] < few.averages["fifo"] and few.chosen == "fifo"
    found = rehearse([Fifo()], SEEN, Cluster(50), seed=1, learned=[better], streams=8, jobs=6)
    assert found.chosen == "learned" and "less than fifo" in found.why
    worse = Late(Fifo(), "learned")
    assert rehearse([Fair()], SEEN, Cluster(50), seed=1, learned=[worse], **FEW).chosen == "fair"


def test_who_is_worse_beyond_doubt_drops_out():
    found = rehearse([Fair(), Fifo()], SEEN, Cluster(50), seed=1, streams=10, jobs=6)
    assert found.rehearsals == {"fair": 10, "fifo": 8}
    assert found.averages["fifo"] > found.averages["fair"]


def test_streams_keep_what_follows_on_what():
    # Bursts of four at once every 1000 s: they wait for one another on one executor, as in the past.
    past = [
        Job(f"{burst}-{at}", 1000.0 * burst + at / 100, (Stage(1, (10.0,)),))
        for burst in range(12)
        for at in range(4)
    ]
    found = rehearse([Fifo()], past, Cluster(1, 0.0, 0.0, 0.0), seed=0, streams=12, jobs=36)
    assert found.averages["fifo"] == pytest.approx(25.0, abs=3.0)


def test_it_does_as_the_chosen_does():
    scheduler = ByLoad([Fair(), Fifo()], SEEN, Cluster(50), seed=1, **FEW)
    assert scheduler.name == "by_load" and scheduler.rehearsal.chosen == "fair"
    assert scheduler.rehearsal == rehearse([Fair(), Fifo()], SEEN, Cluster(50), seed=1, **FEW)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (([Fair()], SEEN[:1]), "one job tells no load"),
        (([], SEEN), "candidates none"),
        (([CappedShortestRemaining(1.0), CappedShortestRemaining(2.0)], SEEN), "a name of its own"),
    ],
)
def test_what_cannot_be_rehearsed_is_refused(arguments, told):
    with pytest.raises(Misuse, match=told):
        rehearse(*arguments, Cluster(5), seed=0)
    with pytest.raises(Misuse, match="streams"):
        rehearse([Fair()], SEEN, Cluster(5), seed=0, streams=1)
