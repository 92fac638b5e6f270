"""The published policies under the laws of all policies."""

import pytest

from tradewind.market.decisions import Decision, Release, Take
from tradewind.market.demands import Demand
from tradewind.market.instances import Instance
from tradewind.market.leases import Lease, LeaseId
from tradewind.market.offers import Bid, Offer, Price, Terms
from tradewind.market.resources import Resources
from tradewind.market.views import View
from tradewind.testing.policies import NOW, TYPES, PolicyLaws
from tradewind.training.elastic.bidding.bidbrain import BidBrain
from tradewind.training.elastic.bidding.cheapest_spot import CheapestSpot
from tradewind.training.elastic.bidding.checkpoint_restart import CheckpointRestart
from tradewind.training.elastic.bidding.on_demand import OnDemand
from tradewind.training.elastic.bidding.tradewind import Tradewind
from tradewind.training.elastic.bidding.uniform_progress import UniformProgress
from tradewind.training.view import Goal, Progress, TrainingView


class TestOnDemand(PolicyLaws):
    def policy(self):
        return OnDemand()


class TestCheapestSpot(PolicyLaws):
    def policy(self):
        return CheapestSpot()


class TestCheapestSpotThatMoves(PolicyLaws):
    def policy(self):
        return CheapestSpot(move_when=0.2)


class TestCheckpointRestart(PolicyLaws):
    def policy(self):
        return CheckpointRestart()


class TestBidBrain(PolicyLaws):
    foresees = True

    def policy(self):
        return BidBrain()


class TestTradewind(PolicyLaws):
    foresees = True
    overlaps = True

    def policy(self):
        return Tradewind()


class TestUniformProgress(PolicyLaws):
    def policy(self):
        return UniformProgress()


class Greedy(OnDemand):
    """Breaks every law, so that a law that cannot fail is noticed."""

    asked = 0

    def decide(self, view, memory):
        Greedy.asked += 1
        bids = [Take(Bid(each.pool, each.terms, count=99, limit=9.0)) for each in view.market.offers]
        view.market.forecasts[f"asked {self.asked}"] = 1.0
        return Decision((*bids, Release(LeaseId("nobody's"))), f"no. {Greedy.asked}, ", NOW), memory


@pytest.mark.parametrize("law", [name for name in dir(PolicyLaws) if name.startswith("test_law")])
def test_every_law_can_be_broken(law):
    class Broken(PolicyLaws):
        def policy(self):
            return Greedy()

    offers = (
        Offer(TYPES[1], "east-1a", Price(0.2, Terms.ON_DEMAND)),
        Offer(TYPES[1], "east-1a", Price(0.1, Terms.SPOT), 3),
    )
    lease = Lease(LeaseId("a"), Instance("b", TYPES[1], "east-1a"), Terms.SPOT, NOW - 5)
    goal = Goal(
        Demand(resources=Resources(vcpus=2.0), count=2), Demand(resources=Resources(vcpus=1.0)), vcpus=4.0
    )
    view = TrainingView(View(NOW, offers, (lease,), (), {}), Progress(1.0, 9.0, 0.0, 1.0, 1.0), goal)
    inner = getattr(PolicyLaws, law).hypothesis.inner_test
    with pytest.raises(AssertionError):
        inner(Broken(), view if "law_2" in law else [view])
