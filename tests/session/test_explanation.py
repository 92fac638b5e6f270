"""Explained from the journal alone: every lease, its reasons, its money and its work, finished or not."""

import sqlite3

import pytest

from tradewind import clock
from tradewind.control.journal import Journal
from tradewind.control.records import header_for
from tradewind.data.catalogs import aws_catalog
from tradewind.data.recorded_histories import DEMO_START, history
from tradewind.errors import Misuse
from tradewind.market.demands import Demand
from tradewind.market.recorded import RecordedMarket
from tradewind.market.resources import Resources
from tradewind.providers.simulated import SimulatedProvider
from tradewind.session.explanation import explain
from tradewind.session.report.reading import report_data
from tradewind.training.elastic import controller
from tradewind.training.elastic.bidding.cheapest_spot import CheapestSpot
from tradewind.training.elastic.modelled_work import ModelledWork
from tradewind.training.view import Goal, TrainingView

START = clock.moment("2020-01-05T00:00:00Z")


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """The folder of a run of some hours on four GPU workers, and the controller's result."""
    folder = tmp_path_factory.mktemp("run")
    market = RecordedMarket(history("demo"), aws_catalog(), boot=60.0, on_demand=["us-east-1"])
    goal = Goal(
        Demand(resources=Resources(gpus=1.0), count=4),
        Demand(resources=Resources(vcpus=2.0, memory_gib=4.0)),
        useful_vcpus=4.0,
    )
    policy = CheapestSpot()
    header = header_for(policy, TrainingView, start=DEMO_START, history="demo", version="0.1.0")
    with Journal(folder / "journal.sqlite", header, commit_every=50) as journal:
        work = ModelledWork(4 * 4 * 6 * 3600.0, 1.0, startup=60.0, workers=4, useful_vcpus=4.0)
        result = clock.simulate(
            controller.run(goal, policy, SimulatedProvider(market), work, journal), start=DEMO_START
        )
    return folder, result


def test_every_lease_is_told_with_its_money_and_its_work(ran) -> None:
    folder, result = ran
    told = explain(folder)
    names = [each for story in told.stories for each in story.leases]
    assert len(names) == len(set(names)) == result.leases
    assert told.revocations == result.revocations >= 3 and not told.reckoned
    assert sum(story.cost for story in told.stories) == pytest.approx(result.cost)
    assert told.cost == pytest.approx(result.cost) and told.cost_on_demand > told.cost
    assert sum(line.cost for line in told.pools) == pytest.approx(result.cost)
    assert sum(story.units for story in told.stories) == pytest.approx(result.units + told.redone, rel=1e-6)
    assert sum(story.share for story in told.stories) == pytest.approx(1.0)
    decided = {row.reason for row in report_data(folder).decisions}
    for story in told.stories:
        assert story.why in decided and story.ending in ("released", "revoked")
        assert story.purpose == "work" or story.units == 0
        cheaper = [each.per_vcpu for each in story.alternatives]
        assert cheaper == sorted(cheaper) or story.purpose == "state"
        assert len(cheaper) == 3 and (story.pool, story.terms) not in {
            (each.pool, each.terms) for each in story.alternatives
        }
    workers = [story for story in told.stories if story.purpose == "work"]
    for story in workers:
        if story.ending == "revoked":
            assert "warned 2m before" in story.dropped
        else:
            assert "the end of the run: all the work was done" in story.dropped
    # A worker on for the whole run did more than one that was revoked.
    by_hour = [story.units / len(story.leases) / story.held for story in workers if story.held > 1200]
    assert max(by_hour) < 1.3 * min(by_hour), "useful vCPUs are alike, and so is the work of an hour"


def test_the_first_hour_is_free_where_it_was(ran) -> None:
    folder, _ = ran
    told = explain(folder)
    early = [each for each in told.stories if each.ending == "revoked" and each.held < 3600]
    assert early and all(each.cost == 0 for each in early)
    assert told.free_hours == pytest.approx(sum(len(each.leases) * each.held for each in early) / 3600)
    late = [each for each in told.stories if each not in early]
    assert all(each.cost > 0 and each.free_hours == 0 for each in late)


def test_without_a_bill_it_is_reckoned_from_the_prices_on_record(ran, tmp_path) -> None:
    """As after a kill of the driver: neither charges nor a result."""
    folder, result = ran
    path = tmp_path / "journal.sqlite"
    with sqlite3.connect(folder / "journal.sqlite") as before, sqlite3.connect(path) as after:
        before.backup(after)
        after.execute("DELETE FROM charges")
        after.execute("DELETE FROM results")
    told = explain(path)
    assert told.reckoned and told.outcome == "running"
    assert sum(story.cost for story in told.stories) == pytest.approx(result.cost, rel=0.02)
    exact = {each: story.cost for story in explain(folder).stories for each in story.leases[:1]}
    for story in told.stories:
        assert story.reckoned and story.cost == pytest.approx(exact[story.leases[0]], rel=0.05)


def test_a_small_run(tmp_path, write_run) -> None:
    write_run(tmp_path / "journal.sqlite")
    told = explain(tmp_path)
    one, other = told.stories
    assert (one.leases, one.ending, one.cost, one.free_hours) == (("a",), "revoked", 0.0, 1.0)
    assert one.dropped == "revoked by the provider, warned 2m before"
    assert (other.ended, other.dropped) == (START + 7200, "released: done")
    assert other.cost == pytest.approx(0.57) and other.why == "p2 is cheapest at $0.27"
    assert [(each.pool, each.terms) for each in other.alternatives] == [
        ("p2.xlarge@us-east-1b", "spot"),
        ("p2.xlarge@us-east-1a", "on_demand"),
    ]
    # The samples are of 60 s and 7000 s, and 200 units lie between them: a was there until 3600 s.
    seconds = (3600 - 60, 7000 - 60)
    assert one.units == pytest.approx(200 * seconds[0] / sum(seconds))
    assert other.units == pytest.approx(200 * seconds[1] / sum(seconds))


def test_one_lease_alone(tmp_path, write_run) -> None:
    write_run(tmp_path / "journal.sqlite")
    whole, told = explain(tmp_path), explain(tmp_path, lease="b")
    assert [story.leases for story in told.stories] == [("b",)]
    assert told.stories[0].units == whole.stories[1].units and told.cost == whole.cost
    with pytest.raises(Misuse, match="no lease 'c'"):
        explain(tmp_path, lease="c")


def test_a_run_that_goes_on_or_was_cut_off(tmp_path, write_run) -> None:
    write_run(tmp_path / "journal.sqlite", finished=False)
    one, other = explain(tmp_path).stories
    assert one.ending == "revoked" and one.cost == 0.0 and one.reckoned
    assert other.ending == "held" and other.ended is None
    assert other.dropped == "was to be released where the record ends: done"
    assert other.cost == pytest.approx(0.27 + 0.30, rel=0.01)


def test_each_stretch_of_a_resumed_run_has_its_own_leases(tmp_path, write_run, resume_run) -> None:
    write_run(tmp_path / "journal.sqlite")
    resume_run(tmp_path / "journal.sqlite")
    told = explain(tmp_path)
    assert [(story.leases, story.stretch, story.reckoned) for story in told.stories] == [
        (("a",), 0, True),
        (("b",), 0, True),
        (("a",), 1, False),
    ]
    assert told.stories[2].cost == pytest.approx(0.20) and told.stories[2].units == pytest.approx(300.0)
    assert told.stories[1].cost == pytest.approx(0.57, rel=0.01)
    assert len(explain(tmp_path, lease="a").stories) == 2


def test_where_there_is_nothing_to_explain(tmp_path) -> None:
    with pytest.raises(Misuse, match="no journal"):
        explain(tmp_path)
