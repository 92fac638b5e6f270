"""Views of a job that can wait, with an outlook written down by hand."""

from bidding_views import NOW, server

from tradewind.estimates.outlook import NEVER, Outlook, Scenario
from tradewind.market.demands import Demand
from tradewind.market.instances import Pool
from tradewind.market.offers import Terms
from tradewind.market.resources import Resources
from tradewind.market.tariffs import Refund, Tariff
from tradewind.market.views import View
from tradewind.training.view import Goal, Progress, TrainingView

HOURLY = {Terms.SPOT: Tariff(3600.0), Terms.ON_DEMAND: Tariff(3600.0)}
REFUNDED = {Terms.SPOT: Tariff(3600.0, Refund.LAST_UNIT), Terms.ON_DEMAND: Tariff(3600.0)}
A = Pool("c3.xlarge", "a")
DELTAS, HORIZONS = (0.001, 0.05), (600.0, 1800.0, 3600.0)


def outlook(paths, low=(0.3, 0.5, 0.6), high=(0.0, 0.0, 0.0), pools=(A,)):
    steps = tuple(900.0 * each for each in range(len(paths[0])))
    scenarios = tuple(
        Scenario(1 / len(paths), tuple((NEVER, NEVER) for _ in pools), tuple(tuple(path) for _ in pools))
        for path in paths
    )
    return Outlook(NOW, pools, DELTAS, HORIZONS, tuple((low, high) for _ in pools), steps, scenarios)


def view(offers, held=(), *, hours=8.0, left=24.0, vcpus=8.0, tariffs=None, shown=None, startup=60.0):
    """A job of `hours` for `vcpus` with `left` hours to the deadline; the server is there already."""
    goal = Goal(
        workers=Demand(resources=Resources(vcpus=1.0), count=64),
        state=Demand(resources=Resources(vcpus=1.0)),
        deadline=NOW + left * 3600,
        vcpus=vcpus,
    )
    market = View(NOW, tuple(offers), tuple([*server(), *held]), (), tariffs=tariffs or {})
    progress = Progress(0.0, hours * vcpus * 3600, 0.0, 1.0, startup)
    return TrainingView(market, progress, goal, outlook=shown or outlook([[0.04] * 12]))
