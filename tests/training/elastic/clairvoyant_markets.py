"""Small markets for the tests of the clairvoyant's bound."""

from tradewind.market.billing.hourly_with_refund import HourlyWithRefund
from tradewind.market.catalog import Catalog, ListPrice
from tradewind.market.demands import Demand
from tradewind.market.histories import CapacityHistory, MarketHistory, PriceHistory
from tradewind.market.instances import InstanceType, Pool
from tradewind.market.recorded import RecordedMarket
from tradewind.market.resources import Resources
from tradewind.training.view import Goal, Progress

SMALL = InstanceType("small", Resources(vcpus=1, memory_gib=1))
LARGE = InstanceType("large", Resources(vcpus=4, memory_gib=4))
CATALOG = Catalog(
    "test",
    [
        ListPrice(SMALL, "east-1", 1.0, "2015-01-01", "a list"),
        ListPrice(LARGE, "east-1", 4.0, "2015-01-01", "a list"),
    ],
)
A, B, C = Pool("small", "east-1a"), Pool("small", "east-1b"), Pool("large", "east-1a")
HOURLY, BY_SECOND = 1_425_168_000.0, 1_580_515_200.0
"""A moment of each era of billing."""
SPAN = 40 * 3600.0


def market_of(prices, start, *, lives=None, notice=120.0, refunds=True, sold=(A,)):
    """`prices` by pool as (seconds, dollars) from `start`; `lives` by pool as (start, end) of slots."""
    recorded = {
        pool: PriceHistory(
            pool, [start + at for at, _ in steps], [price for _, price in steps], end=start + SPAN
        )
        for pool, steps in prices.items()
    }
    slots = {
        pool: CapacityHistory.from_lifetimes(
            pool,
            [(f"n{n}", start + begin, start + over) for n, (begin, over) in enumerate(each)],
            start=start,
            end=start + SPAN,
        )
        for pool, each in (lives or {}).items()
    }
    rule = None if refunds or start > 1.5e9 else HourlyWithRefund(refunds=False)
    return RecordedMarket(
        MarketHistory("test", recorded, slots, notice=notice),
        CATALOG,
        boot=0.0,
        on_demand=sold,
        spot_rule=rule,
    )


def goal_of(vcpus=1.0, *, kinds=(), count=64, deadline=None, servers=0):
    return Goal(
        workers=Demand(resources=Resources(vcpus=1), count=count, instance_types=kinds),
        state=Demand(resources=Resources(vcpus=1), count=servers),
        deadline=deadline,
        vcpus=vcpus,
    )


def progress_of(work, startup):
    return Progress(0.0, work, 0.0, 1.0, startup)
