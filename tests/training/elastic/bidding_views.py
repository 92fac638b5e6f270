"""Views that can be reckoned by hand, and an outlook read off a history by counting."""

import math

import numpy as np

from tradewind.estimates.outlook import NEVER, Outlook, Scenario
from tradewind.market.demands import Demand
from tradewind.market.instances import Instance, InstanceType, Pool
from tradewind.market.leases import Lease, LeaseId, Revocation
from tradewind.market.offers import Offer, Price, Terms
from tradewind.market.resources import Resources
from tradewind.market.views import View
from tradewind.training.elastic.work import STATE, WORK
from tradewind.training.view import Goal, Progress, TrainingView

NOW = 1.4e9
KINDS = {
    "c3.xlarge": InstanceType("c3.xlarge", Resources(vcpus=4.0)),
    "d2.8xlarge": InstanceType("d2.8xlarge", Resources(vcpus=36.0)),
    "m3.medium": InstanceType("m3.medium", Resources(vcpus=1.0)),
}


def spot(kind, zone, price, available=None):
    return Offer(KINDS[kind], zone, Price(price, Terms.SPOT), available, 0.0)


def steady(kind, zone, price):
    return Offer(KINDS[kind], zone, Price(price, Terms.ON_DEMAND))


def leases(kind, zone, count, terms=Terms.SPOT, limit=None, age=0.0, purpose=WORK, name="l"):
    return [
        Lease(
            LeaseId(f"{name}-{zone}-{at}"),
            Instance(f"i-{name}-{zone}-{at}", KINDS[kind], zone),
            terms,
            NOW - age,
            limit,
            purpose,
        )
        for at in range(count)
    ]


def server(age=0.0):
    return leases("m3.medium", "s", 1, Terms.ON_DEMAND, age=age, purpose=STATE, name="server")


def view(
    offers,
    held=(),
    *,
    count=512,
    vcpus=None,
    servers=0,
    deadline=None,
    hours=1000.0,
    done=0.0,
    startup=0.0,
    outlook=None,
    tariffs=None,
    notices=(),
    now=NOW,
):
    """`hours` are those of one vCPU that the whole work takes, of which `done` are done."""
    return TrainingView(
        View(
            now,
            tuple(sorted(offers, key=lambda each: (each.type.name, each.zone, each.terms))),
            tuple(held),
            tuple(Revocation(LeaseId(each), now, now + 120) for each in notices),
            tariffs=tariffs or {},
        ),
        Progress(done * 3600, hours * 3600, 0.0, 1.0, startup),
        Goal(
            workers=Demand(resources=Resources(vcpus=1.0), count=count),
            state=Demand(resources=Resources(vcpus=1.0), count=servers),
            deadline=deadline,
            vcpus=vcpus,
        ),
        outlook=outlook,
    )


def outlook(chances, deltas=(0.01, 0.1), horizons=(1800.0, 3600.0), at=NOW):
    """`chances` by pool, as [delta][horizon]."""
    pools = tuple(sorted(chances))
    return Outlook(
        at,
        pools,
        deltas,
        horizons,
        tuple(tuple(map(tuple, chances[pool])) for pool in pools),
        (0.0,),
        (Scenario(1.0, tuple((NEVER,) * len(deltas) for _ in pools), tuple((NEVER,) for _ in pools)),),
    )


class Counted:
    """A forecaster that says how often it was so: one table by pool and delta, of moments a while apart."""

    name = "counted"
    refresh = 600.0

    def __init__(
        self,
        history,
        start,
        until,
        *,
        every,
        deltas=(0.0001, 0.001, 0.01, 0.03, 0.1, 0.2, 0.4),
        horizons=(300.0, 600.0, 1200.0, 1800.0, 2700.0, 3600.0, 7200.0),
    ):
        self.chances = {}
        self.deltas, self.horizons = deltas, horizons
        for pool, prices in history.prices.items():
            last = min(until, prices.end) - max(horizons)
            moments = np.arange(max(start, prices.start), last, every)
            rows = []
            for delta in deltas:
                ends = [prices.first_above(prices.at(at) + delta, at) for at in moments.tolist()]
                lasted = np.array([math.inf if end is None else end for end in ends]) - moments
                rows.append([float((lasted <= horizon).mean()) for horizon in horizons])
            self.chances[pool] = rows

    def outlook(self, now, offers, held=()):
        return outlook(self.chances, self.deltas, self.horizons, now)


def pool(kind, zone):
    return Pool(kind, zone)
