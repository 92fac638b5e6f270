"""Exhaustive search."""

from configurations import SPACE, view, world

from tradewind.advice.configuration.replayed import replayed
from tradewind.advice.configuration.rules.exhaustive import Exhaustive
from tradewind.testing.advisors import AdvisorLaws


class TestLaws(AdvisorLaws):
    def advisor(self):
        return Exhaustive()


def test_everything_by_price():
    end, why = replayed(Exhaustive(), view(), world())
    prices = [SPACE[run.configuration].per_hour for run in end.runs]
    assert len(prices) == len(SPACE) and prices == sorted(prices) and why == "Every configuration was tried."
