"""Views for rules for machines, made of a few lines."""

import math

from msgspec.structs import replace

from tradewind.estimates.outlook import Outlook, Scenario
from tradewind.market.demands import Demand
from tradewind.market.instances import Instance, InstanceType
from tradewind.market.leases import Lease, LeaseId
from tradewind.market.offers import Offer, Price, Terms
from tradewind.market.resources import Resources
from tradewind.market.tariffs import Refund, Tariff
from tradewind.market.views import View
from tradewind.testing.machine_rules import tuning_view
from tradewind.tuning.machines.interface import Placed, TuningView
from tradewind.tuning.machines.step_cost import HOUR, Stakes, step_cost

NOW = 1.6e9
SMALL, BIG = InstanceType("small", Resources(vcpus=1.0)), InstanceType("big", Resources(vcpus=8.0))
PER_SECOND = {Terms.SPOT: Tariff(), Terms.ON_DEMAND: Tariff()}


def offer(price, kind=SMALL, zone="a", terms=Terms.SPOT, available=None, wait=0.0):
    return Offer(kind, zone, Price(price, terms), available, wait)


def lease(name="l", age=600.0, kind=SMALL, zone="a", terms=Terms.SPOT, limit=None):
    return Lease(LeaseId(name), Instance(f"i-{name}", kind, zone), terms, NOW - age, limit)


def placed(trial, name="l", left=100, age=600.0):
    return Placed(trial, LeaseId(name), left, NOW - age)


def view(offers=(), queued=(), placed=(), leases=(), notices=(), seconds=60.0, tariffs=PER_SECOND, **rest):
    """A moment; `seconds` is what a step takes on one vCPU, or by trial what it takes on big and small."""
    count = max(1, len(queued) + len(placed))
    numbers = [each.trial for each in (*queued, *placed)]
    by_trial = (
        seconds
        if isinstance(seconds, dict)
        else {str(number): (seconds / BIG.resources.vcpus, seconds) for number in numbers}
    )
    demand = Demand(resources=Resources(vcpus=1.0), count=count)
    market = View(NOW, tuple(offers), tuple(leases), tuple(notices), tariffs=tariffs)
    return TuningView(market, tuple(queued), tuple(placed), demand, ("big", "small"), by_trial, **rest)


def outlook(pools, revoked, deltas=(0.01, 0.1), horizons=(600.0, 3600.0)):
    """`revoked` by pool: rows by delta, of chances by horizon."""
    scenario = Scenario(1.0, tuple((1e9,) * len(deltas) for _ in pools), tuple((0.1,) for _ in pools))
    return Outlook(NOW, tuple(pools), deltas, horizons, tuple(revoked), (0.0,), (scenario,))


def alone(number, terms=None):
    """The view of that number with one trial that waits and nothing that is held; None where none waits."""
    made_up = tuning_view(number)
    if not made_up.queued:
        return None
    offers = tuple(each for each in made_up.market.offers if terms is None or each.terms is terms)
    market = replace(made_up.market, offers=offers, leases=(), revocations=())
    return replace(made_up, market=market, queued=made_up.queued[:1], placed=(), idle_since={}, prices={})


def expected(view, trial, offer, delta, base, worth=0.0):
    """What a step costs on an offer by the general formula, written out for one machine."""
    seconds = view.seconds_of(trial.trial, offer.type.name)
    overhead = max(offer.wait, view.boot) + (view.restore if trial.begun else 0.0)
    horizon = min(HOUR, max(trial.left * seconds + overhead, overhead + seconds, 1.0))
    hazard, refunded, tariff = 0.0, 0.0, view.market.tariff(offer.terms)
    if offer.terms.revocable:
        hazard = -math.log(1 - base) / HOUR
        known = view.outlook
        if known is not None and offer.pool in known.pools:
            near = min(range(len(known.horizons)), key=lambda at: abs(math.log(known.horizons[at] / horizon)))
            below = [at for at, each in enumerate(known.deltas) if delta is not None and each <= delta]
            row = len(known.deltas) - 1 if delta is None else max(below, default=0)
            chance = min(known.revoked[known.pools.index(offer.pool)][row][near], 1 - 1e-9)
            hazard = -math.log(1 - chance) / known.horizons[near]
        if tariff.refund is Refund.FIRST_HOUR:
            refunded = min(1.0, HOUR / horizon)
        elif tariff.refund is Refund.LAST_UNIT:
            refunded = min(1.0, tariff.unit / 2 / horizon)
    stakes = Stakes(horizon, overhead, min(view.lost, horizon / 2), refunded, worth)
    return step_cost(offer.price.per_hour, seconds, 1 - math.exp(-hazard * horizon), stakes)
