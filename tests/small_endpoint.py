"""Endpoints that never answered: their journals are real, what is written into them made up, so that each
number is known."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

from tradewind import clock
from tradewind.control.journal import Journal
from tradewind.control.loop import Outcome
from tradewind.control.records import header_for
from tradewind.market.charges import Invoice
from tradewind.market.decisions import Decision, Take
from tradewind.market.instances import Instance, InstanceType, Pool
from tradewind.market.leases import Ending, Lease, LeaseId, Revocation
from tradewind.market.news import Ended, Warned
from tradewind.market.offers import Bid, Offer, Price, Terms
from tradewind.market.resources import Resources
from tradewind.market.views import View
from tradewind.serving.objective import Objective
from tradewind.serving.provisioning.controller import Result
from tradewind.serving.provisioning.course import (
    BUCKETS,
    FUNCTION_TARIFF,
    FUNCTIONS,
    STANDING,
    FunctionTariff,
    Held,
    Standing,
)
from tradewind.serving.provisioning.fixed import Fixed
from tradewind.serving.provisioning.interface import FunctionUse, Profile, Replica, ServingView, Traffic

START = clock.moment("2020-02-01T03:40:00Z")
TYPE = InstanceType("p2.xlarge", Resources(vcpus=4.0, memory_gib=61.0, gpus=1.0, gpu_kind="K80"))
POOL = Pool("p2.xlarge", "us-east-1c")
LEASES = tuple(
    Lease(LeaseId(name), Instance(name, TYPE, POOL.zone), Terms.SPOT, START + at, 0.9)
    for name, at in (("lease-0001", 0.0), ("lease-0002", 600.0))
)
SPEED = 60.0
BOUNDS = (0.01, 0.05, 0.1)
LATE, REFUSED = 6.0, 4.0
BILL = 0.2375


def view(at: float, leases: tuple[Lease, ...]) -> ServingView:
    offers = (
        Offer(TYPE, "us-east-1c", Price(0.9, Terms.ON_DEMAND)),
        Offer(TYPE, "us-east-1c", Price(0.3, Terms.SPOT)),
    )  # fmt: skip
    return ServingView(
        View(START + at, offers, leases), Objective(0.05), (Profile("p2.xlarge", 20.0, 0.002, 0.05),),
        tuple(Replica(each.id, "p2.xlarge", each.started + 60.0) for each in leases),
        Traffic(60.0, START + at, (1.0,), (1.0,), (0.0,), 0.0), 60.0,
    )  # fmt: skip


CALLED, CHARGES = 50.0, (Decimal("0.0003"), Decimal("0.0002125"))
"""Requests that functions answered, where there are any, and what is charged for them."""


def standing(
    at: float, spent: float, answered: int, *, missed: bool = False, functions: bool = False
) -> Standing:
    """`answered` requests, nine of ten within 10 ms and one within 50; ten missed on top where it is so."""
    late, refused = (LATE, REFUSED) if missed else (0.0, 0.0)
    held = Held("p2.xlarge", "spot", 1 + (600 <= at < 1500), (at >= 60) + (660 <= at < 1500))
    return Standing(
        begun=answered + late + refused, in_time=answered, late=late, refused=refused, retried=2.0 * missed,
        stays=(9 * answered // 10, answered // 10, int(late), 0), held=(held,), spent=spent,
        overflowed=CALLED * functions, functions=CHARGES[0] + CHARGES[1] if functions else Decimal(0),
    )  # fmt: skip


def write_endpoint(path: Path, *, killed: bool = False, empty: bool = False, functions: bool = False) -> None:
    """Half an hour of the market at sixty to one: 600 requests in the first 25 minutes, at two a second of
    them and the same in the last five, at ten; the second of two machines was taken away at 25 minutes."""
    details = {
        "title": "Endpoint made",
        "real": ["It <was> not."],
        "simulated": ["All of it."],
        "speed": SPEED,
    }
    policy = Fixed(20.0)
    with Journal(
        path, header_for(policy, ServingView, start=START, history="demo", details=details)
    ) as journal:
        if empty:
            return
        journal.record_measurement(START, BUCKETS, BOUNDS)
        for at, leases in ((0.0, ()), (600.0, LEASES[:1]), (1700.0, LEASES[:1])):
            take = Take(Bid(POOL, Terms.SPOT, 1, 0.9))
            actions = (take,) if at < 700 else ()
            journal.record(
                view(at, leases), None, Decision(actions, f"a <reason> at {at:g}", START + at + 60), None
            )
            journal.record_outcomes((Outcome(granted=(LEASES[int(at > 0)].id,)),) if actions else ())
        if functions:
            journal.record_measurement(START, FUNCTION_TARIFF, FunctionTariff(0.001, 0.0000166667, 0.0000002))
            for at, requests, dollars in ((60.0, 30.0, CHARGES[0]), (120.0, 20.0, CHARGES[1])):
                use = FunctionUse(START + at - 60.0, START + at, requests, requests + 2, 12.5, dollars)
                journal.record_measurement(START + at, FUNCTIONS, use)
        for at in range(0, 1501, 10):
            journal.record_measurement(START + at, STANDING, standing(at, at / 10_000, 600 * at // 1500))
        notice = Revocation(LEASES[1].id, START + 1380.0, START + 1500.0)
        journal.record_news(START + 1380.0, Warned(notice))
        journal.record_news(START + 1500.0, Ended(LEASES[1].id, START + 1500.0, Ending.REVOKED))
        for at in range(1510, 1801, 10):
            now = standing(at, at / 10_000, 600 + 500 * (at - 1500) // 300 // 10 * 10, missed=True,
                           functions=functions)  # fmt: skip
            journal.record_measurement(START + at, STANDING, now)
        if killed:
            return
        journal.record_news(START + 1800.0, Ended(LEASES[0].id, START + 1800.0, Ending.RELEASED))
        journal.record_invoice(Invoice(()))
        result = Result(
            reason="it was asked to stop", started=START, seconds=1800.0, cost=BILL, functions=0.0,
            requests=1110.0, in_time=1100.0, late=LATE, refused=REFUSED, overflowed=0.0, cold=0.0,
            retried=2.0, leases=2, revocations=1, failures=0, replica_hours=0.75, decisions=3,
        )  # fmt: skip
        journal.record_result("endpoint", result)
