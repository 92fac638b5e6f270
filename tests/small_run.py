"""A run of two leases, written to a journal: what tests of reports begin with."""

from decimal import Decimal
from pathlib import Path

import msgspec

from tradewind import clock
from tradewind.control.journal import Journal
from tradewind.control.loop import Outcome
from tradewind.control.records import Header, Sample
from tradewind.market.charges import Charge, Invoice
from tradewind.market.decisions import Decision, Release, Take
from tradewind.market.instances import Instance, InstanceType, Pool
from tradewind.market.leases import Ending, Lease, Revocation
from tradewind.market.news import Ended, Warned
from tradewind.market.offers import Bid, Offer, Price, Terms
from tradewind.market.resources import Resources
from tradewind.market.views import View
from tradewind.session.report.data import EstimateRow, Source
from tradewind.session.report.reading import RunResult, Told

START = clock.moment("2020-01-05T00:00:00Z")
TYPE = InstanceType("p2.xlarge", Resources(vcpus=4.0, memory_gib=61.0, gpus=1.0, gpu_kind="K80"))
POOL = Pool("p2.xlarge", "us-east-1a")


def _offers(price: float, other: float = 0.5) -> tuple[Offer, ...]:
    return (
        Offer(TYPE, "us-east-1a", Price(0.9, Terms.ON_DEMAND)),
        Offer(TYPE, "us-east-1a", Price(price, Terms.SPOT)),
        Offer(TYPE, "us-east-1b", Price(other, Terms.SPOT)),
    )


def _lease(name: str, zone: str = "us-east-1a") -> Lease:
    return Lease(name, Instance(name, TYPE, zone), Terms.SPOT, START + 10, 0.9)


def write_run(path: Path, *, finished: bool = True) -> None:
    """Write a run of two spot leases, one of them revoked; cut off before its end unless `finished`."""
    told = Told(
        title="a small run",
        facts=(("learner", "LinearLearner"),),
        real=("Nothing ran.",),
        simulated=("The market.",),
        sources=(Source("prices", "somebody", "MIT"),),
    )
    header = Header(
        version="0.1.0",
        policy="cheapest_spot",
        policy_home="x:y",
        arguments={"margin": 2},
        view="tradewind.market.views:View",
        seed=3,
        history="demo",
        start=START,
        details=msgspec.to_builtins(told),
    )
    take = Decision((Take(Bid(POOL, Terms.SPOT, 2, 0.9)),), "p2 is cheapest at $0.27", START + 3600)
    stay = Decision((), "nothing cheaper", START + 7200)
    leave = Decision((Release("b"),), "done", START + 9000)
    with Journal(path, header) as journal:
        journal.record(View(START, _offers(0.27), ()), None, take, None)
        journal.record_outcomes((Outcome(("a", "b")),))
        journal.record_sample(Sample(START + 60, 100.0, 300.0, 0.69, 2, 0.1, 0.3))
        notice = Revocation("a", START + 3480, START + 3600)
        journal.record_news(START + 3480, Warned(notice))
        journal.record(
            View(START + 3480, _offers(0.30), (_lease("a"), _lease("b")), (notice,)), None, stay, None
        )
        journal.record_outcomes(())
        journal.record_news(START + 3600, Ended("a", START + 3600, Ending.REVOKED))
        journal.record_sample(Sample(START + 7000, 300.0, 300.0, 0.33, 1, 0.5, 1.5))
        journal.record(View(START + 7200, _offers(0.30), (_lease("b"),)), None, leave, None)
        if not finished:
            return
        journal.record_outcomes((Outcome(),))
        journal.record_news(START + 7200, Ended("b", START + 7200, Ending.RELEASED))
        charges = [
            Charge(
                "a", POOL, Terms.SPOT, START, START + 3600, Decimal("0.0000"), "revoked in its first hour"
            ),
            Charge("b", POOL, Terms.SPOT, START, START + 3600, Decimal("0.27")),
            Charge("b", POOL, Terms.SPOT, START + 3600, START + 7200, Decimal("0.30")),
        ]
        journal.record_invoice(Invoice(tuple(charges)))
        result = RunResult(
            outcome="done",
            wall_seconds=120.0,
            quality=0.85,
            quality_name="accuracy",
            estimates=(EstimateRow("cost", "dollars", 0.4, 0.5, 0.6, 0.57),),
        )
        journal.record_result("report", result)


def resume_run(path: Path) -> None:
    """Go on with that run for an hour on one lease, which is numbered `a` again."""
    header = Header(
        policy="cheapest_spot",
        policy_home="x:y",
        view="tradewind.market.views:View",
        history="demo",
        start=START + 7200,
    )
    take = Decision((Take(Bid(POOL, Terms.SPOT, 1, 0.9)),), "on again", START + 10800)
    with Journal(path, header) as journal:
        journal.record_sample(Sample(START + 7200, 300.0, 600.0, 0.33, 0, 0.0, 1.5))
        journal.record(View(START + 7200, _offers(0.30), ()), None, take, None)
        journal.record_outcomes((Outcome(("a",)),))
        journal.record_sample(Sample(START + 10800, 600.0, 600.0, 0.31, 1, 0.2, 2.5))
        journal.record_news(START + 10800, Ended("a", START + 10800, Ending.RELEASED))
        charge = Charge("a", POOL, Terms.SPOT, START + 7200, START + 10800, Decimal("0.20"))
        journal.record_invoice(Invoice((charge,)))
        journal.record_result("report", RunResult(outcome="done"))
