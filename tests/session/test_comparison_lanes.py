"""What is remembered of a run that is kept nowhere."""

from decimal import Decimal

import pytest

from tradewind.control.loop import Outcome
from tradewind.errors import Permanent
from tradewind.market.charges import Charge, Invoice
from tradewind.market.decisions import Decision, Release, Take
from tradewind.market.demands import Demand
from tradewind.market.instances import InstanceType, Pool
from tradewind.market.leases import Ending
from tradewind.market.news import Ended
from tradewind.market.offers import Bid, Offer, Price, Terms
from tradewind.market.resources import Resources
from tradewind.market.views import View
from tradewind.session.comparison_lanes import Bill, Lanes, Overdue
from tradewind.session.report.comparison_data import Held
from tradewind.training.view import Goal, Progress, TrainingView

TYPE = InstanceType("p2.xlarge", Resources(vcpus=4.0))
POOL = Pool("p2.xlarge", "us-east-1a")
GOAL = Goal(Demand(resources=Resources()), Demand(resources=Resources()))


def view(now: float) -> TrainingView:
    offers = (Offer(TYPE, "us-east-1a", Price(0.3, Terms.SPOT)),)
    return TrainingView(View(now, offers, ()), Progress(0.0, 1.0, 0.0, 1.0, 0.0), GOAL)


def take(count: int) -> Take:
    return Take(Bid(POOL, Terms.SPOT, count, 0.9))


def test_leases_alike_are_told_together() -> None:
    lanes = Lanes(1e6)
    lanes.record(view(10.0), None, Decision((take(3), take(1)), "begin", 20.0), None)
    lanes.record_outcomes((Outcome(("a", "b", "c")), Outcome(problem="no room")))
    lanes.record_news(50.0, Ended("b", 50.0, Ending.REVOKED))
    lanes.record(view(50.0), None, Decision((Release("a"), take(1)), "on", 60.0), None)
    lanes.record_outcomes((Outcome(), Outcome(("d",))))
    lanes.record_news(50.0, Ended("a", 50.0, Ending.RELEASED))
    lanes.record_news(90.0, Ended("d", 90.0, Ending.RELEASED))
    charge = Charge("b", POOL, Terms.SPOT, 10.0, 50.0, Decimal("0.25"))
    lanes.record_invoice(Invoice((charge,)))

    def held(count: int, started: float, ended: float, ending: str) -> Held:
        return Held(
            pool=str(POOL),
            terms="spot",
            purpose="work",
            vcpus=4.0,
            count=count,
            started=started,
            ended=ended,
            ending=ending,
        )

    assert lanes.held(100.0) == (
        held(1, 10.0, 50.0, "released"),
        held(1, 10.0, 50.0, "revoked"),
        held(1, 10.0, 100.0, "held"),
        held(1, 50.0, 90.0, "released"),
    )
    assert (lanes.taken, lanes.revoked, lanes.cost) == (4, 1, 0.25)


def test_a_decision_after_the_end_of_the_record_stops_the_run() -> None:
    bill = Bill(100.0)
    bill.record(view(100.0), None, Decision((), "wait", 200.0), None)
    with pytest.raises(Overdue, match="recorded market ended"):
        bill.record(view(100.1), None, Decision((), "wait", 200.0), None)
    assert issubclass(Overdue, Permanent) and bill.last == 100.1
