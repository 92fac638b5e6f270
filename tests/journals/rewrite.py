"""Writes the journals of this folder again, after a decision was changed on purpose."""

from pathlib import Path

from tradewind import clock
from tradewind.control.journal import Journal
from tradewind.control.records import header_for
from tradewind.data.catalogs import aws_catalog
from tradewind.market.demands import Demand
from tradewind.market.histories import MarketHistory, PriceHistory
from tradewind.market.instances import Pool
from tradewind.market.recorded import RecordedMarket
from tradewind.market.resources import Resources
from tradewind.providers.simulated import SimulatedProvider
from tradewind.training.elastic import controller
from tradewind.training.elastic.bidding.cheapest_spot import CheapestSpot
from tradewind.training.elastic.modelled_work import ModelledWork
from tradewind.training.view import Goal, TrainingView

START = clock.moment("2015-06-01T00:00:00Z")


def main() -> None:
    """One pool goes above the on-demand price an hour after the start, and with it the next one soon."""
    prices = {}
    for zone, low, rise in (
        ("us-east-1a", 0.03, 3600.0),
        ("us-east-1b", 0.04, 3650.0),
        ("us-east-1e", 0.05, 9e9),
    ):
        pool = Pool("c3.xlarge", zone)
        steps = [(-3600.0, low), (rise, 0.5), (7200.0, low)] if rise < 9e9 else [(-3600.0, low)]
        times, values = zip(*steps, strict=True)
        prices[pool] = PriceHistory(pool, [START + at for at in times], values, end=START + 86_400)
    market = RecordedMarket(MarketHistory("made up", prices), aws_catalog(), boot=0.0)
    goal = Goal(Demand(resources=Resources(vcpus=4), count=2), Demand(resources=Resources(vcpus=1)))
    policy, work = CheapestSpot(), ModelledWork(3 * 3600 * 8.0, 1.0, startup=60.0)
    path = Path(__file__).with_name("taken-again-under-notice.sqlite")
    path.unlink(missing_ok=True)
    header = header_for(policy, TrainingView, history="made up", start=START)
    with Journal(path, header, commit_every=1000) as journal:
        clock.simulate(controller.run(goal, policy, SimulatedProvider(market), work, journal), start=START)


if __name__ == "__main__":
    main()
