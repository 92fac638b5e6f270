"""Random probes: an order by the seed, and when it ends."""

from configurations import SPACE, view, world

from tradewind.advice.configuration.interface import Stop
from tradewind.advice.configuration.rules.random import Random
from tradewind.testing.advisors import AdvisorLaws


class TestLaws(AdvisorLaws):
    def advisor(self):
        return Random(5)


def test_an_order_by_the_seed():
    runs = world()
    orders = set()
    for seed in range(5):
        known = ()
        while not isinstance(said := Random(99).next(view(*known, seed=seed)), Stop):
            known += (runs[said.configuration],)
        assert said.reason == "Every configuration was tried."
        orders.add(tuple(run.configuration for run in known))
        assert sorted(run.configuration for run in known) == list(range(len(SPACE)))
    assert len(orders) == 5


def test_a_budget_that_is_spent_ends_it():
    run = world()[5]
    assert isinstance(Random().next(view(run, budget=run.dollars)), Stop)
    assert not isinstance(Random().next(view(run, budget=run.dollars * 2)), Stop)
