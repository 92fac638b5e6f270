"""Every rule for machines keeps the laws of `testing.machine_rules`."""

from tradewind.market.offers import Terms
from tradewind.testing.machine_rules import MachineRuleLaws
from tradewind.tuning.machines.cheapest_step import CheapestStep
from tradewind.tuning.machines.one_type import OneType
from tradewind.tuning.machines.spottune import SpotTune


class TestCheapestStep(MachineRuleLaws):
    def rule(self):
        return CheapestStep()


class TestCheapestStepInAHurry(MachineRuleLaws):
    def rule(self):
        return CheapestStep(revoked=0.4, value_of_time=2.0, margin=0.0)


class TestCheapestStepThatExploresAndWaits(MachineRuleLaws):
    def rule(self):
        return CheapestStep(explore=50, waits=1.2)

    def would_take(self, offer, view):
        return False  # it may rather wait for a machine that is there


class TestSpotTune(MachineRuleLaws):
    def rule(self):
        return SpotTune(seed=7)

    def would_take(self, offer, view):
        return offer.terms is Terms.SPOT


class TestCheapestSpot(MachineRuleLaws):
    def rule(self):
        return OneType("cheapest", "spot")

    def would_take(self, offer, view):
        return False  # but for the one type: see the rule's own tests


class TestFastestOnDemand(TestCheapestSpot):
    def rule(self):
        return OneType("fastest", "on_demand")
