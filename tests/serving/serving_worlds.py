"""Views of an endpoint made up by hand, for golden decisions, and small markets to rehearse in."""

import numpy as np

from tradewind.data.request_traces import RequestTrace
from tradewind.market.catalog import Catalog, ListPrice
from tradewind.market.decisions import Decision, Release, Take
from tradewind.market.histories import MarketHistory, PriceHistory
from tradewind.market.instances import Instance, Pool
from tradewind.market.leases import Lease, LeaseId
from tradewind.market.offers import Bid, Offer, Price, Terms
from tradewind.market.recorded import RecordedMarket
from tradewind.market.tariffs import Tariff
from tradewind.market.views import View
from tradewind.serving.objective import Objective
from tradewind.serving.provisioning.controller import Endpoint
from tradewind.serving.provisioning.interface import Replica, ServingView, Traffic
from tradewind.testing.policies import NOW, TYPES
from tradewind.testing.provisioning import PROFILES

KINDS = {kind.name: kind for kind in TYPES}


def offer(kind, price, terms=Terms.ON_DEMAND, zone="east-1a", available=None):
    return Offer(KINDS[kind], zone, Price(price, terms), available)


def lease(number, kind="small", started=-1000.0, terms=Terms.ON_DEMAND):
    name = LeaseId(f"lease-{number:04d}")
    return Lease(name, Instance(name, KINDS[kind], "east-1a"), terms, NOW + started)


def view_of(
    offers=(),
    leases=(),
    rates=(),
    peaks=None,
    ongoing=None,
    interval=60.0,
    at=0.0,
    hourly=False,
    startup=120.0,
):
    rates = tuple(rates)
    tariffs = {Terms.ON_DEMAND: Tariff(3600.0), Terms.SPOT: Tariff(3600.0)} if hourly else {}
    return ServingView(
        View(NOW + at, tuple(offers), tuple(leases), tariffs=tariffs),
        Objective(1.0, 0.99),
        PROFILES,
        tuple(Replica(each.id, each.instance.type.name, each.started + 120.0) for each in leases),
        Traffic(
            interval,
            NOW + at,
            rates,
            tuple(rates if peaks is None else peaks),
            tuple(rates if ongoing is None else ongoing),
            0.0,
        ),
        120.0,
    )


CATALOG = Catalog(
    "made up",
    [ListPrice(KINDS[name], "east-1", price, "2020-01-01", "made up") for name, price in
     (("small", 0.10), ("medium", 0.20), ("large", 0.50))],
)  # fmt: skip
START = 1_577_836_800.0
"""2020-01-01, by the second."""
BID_ERA = 1_433_116_800.0
"""2015-06-01, by the hour."""
POOL = Pool("small", "east-1a")


def market_of(prices, start=START, notice=120.0, spot_rule=None, days=3.0):
    """A market of pools by (type, zone) with [(seconds from the start, price)]."""
    histories = {}
    for (kind, zone), steps in prices.items():
        pool = Pool(kind, zone)
        times = np.array([start + at for at, _ in steps])
        histories[pool] = PriceHistory(pool, times, [price for _, price in steps], end=start + days * 86_400)
    history = MarketHistory("made up", histories, notice=notice)
    return RecordedMarket(history, CATALOG, boot=0.0, spot_rule=spot_rule)


def trace_of(rates, start=START, interval=60.0):
    """A trace of rates, requests a second by interval."""
    return RequestTrace("made up", start, interval, np.asarray(rates, np.float64) * interval)


def endpoint_of(**given):
    return Endpoint(**({"objective": Objective(1.0), "profiles": PROFILES, "startup": 120.0} | given))


class SpotOnce:
    """Takes `count` spot leases whenever there are fewer, up to `limit`, but while a notice stands."""

    name = "spot_once"
    overflow = False
    forecaster = ""

    def __init__(self, count=3, limit=None, heed=False):
        self.count, self.limit, self.heed = count, limit, heed

    def recall(self):
        return None

    def decide(self, view, memory):
        offers = [each for each in view.market.offers if each.terms is Terms.SPOT and each.pool == POOL]
        actions = []
        going = {each.lease for each in view.market.revocations}
        if self.heed:
            actions += [Release(lease) for lease in sorted(going)]
        lacking = 0 if going else self.count - len(view.market.leases)
        if lacking > 0 and offers and (self.limit is None or offers[0].price.per_hour <= self.limit):
            actions.append(Take(Bid(POOL, Terms.SPOT, lacking, self.limit)))
        return Decision(tuple(actions), f"{lacking} lacked.", view.now + 86_400.0), None
