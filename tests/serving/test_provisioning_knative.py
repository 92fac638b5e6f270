"""Knative's rule, decision by decision."""

from serving_worlds import lease, offer, view_of

from tradewind.serving.provisioning.knative import Knative, Panic
from tradewind.testing.policies import NOW
from tradewind.testing.provisioning import ProvisioningLaws

OFFERS = [offer("small", 0.1)]


class TestLaws(ProvisioningLaws):
    def policy(self):
        return Knative(0.6, down_delay=600.0)


def wanted(decision, held):
    change = sum(each.bid.count if hasattr(each, "bid") else -1 for each in decision.actions)
    return held + change


def test_calm_it_follows_the_stable_window():
    """Small holds 1 at its rate, target 0.7: ceil(2.9 / 0.7) = 5 of 4; panic would ask for 2.9 too."""
    held = [lease(number) for number in range(4)]
    decision, memory = Knative().decide(view_of(OFFERS, held, [10.0], ongoing=[2.9]), Panic())
    assert wanted(decision, 4) == 5 and memory.since is None


def test_in_by_half_at_most():
    held = [lease(number) for number in range(9)]
    decision, _ = Knative().decide(view_of(OFFERS, held, [1.0], ongoing=[0.2]), Panic())
    assert wanted(decision, 9) == 4


def test_it_panics_at_twice_and_stays_for_a_stable_window():
    held = [lease(number) for number in range(4)]
    busy = view_of(OFFERS, held, [10.0], peaks=[20.0], ongoing=[2.9])
    decision, memory = Knative().decide(busy, Panic())  # 2.9 * 20 / 10 = 5.8: ceil(5.8 / 0.7) = 9 of 4
    assert wanted(decision, 4) == 9 and memory == Panic(NOW, 9)
    calm = view_of(OFFERS, held, [1.0], ongoing=[0.2], at=30.0)
    decision, memory = Knative().decide(calm, memory)
    assert wanted(decision, 4) == 9 and memory.since == NOW
    decision, memory = Knative().decide(view_of(OFFERS, held, [1.0], ongoing=[0.2], at=60.0), memory)
    assert wanted(decision, 4) == 2 and memory.since is None


def test_a_short_interval_is_its_own_panic_window():
    """Six of ten seconds: the stable window is their mean, the panic window the last of them."""
    held = [lease(number) for number in range(4)]
    view = view_of(OFFERS, held, [1.0] * 6, ongoing=[1.0] * 5 + [6.4], interval=10.0)
    decision, memory = Knative().decide(view, Panic())
    assert memory.most == 10 and wanted(decision, 4) == 10  # ceil(6.4 / 0.7), and 2.5 times what is ready


def test_the_delay_holds_the_most_that_was_wanted():
    policy, held = Knative(down_delay=120.0), [lease(number) for number in range(8)]
    memory, found = policy.recall(), []
    for at, ongoing in enumerate([4.0, 4.5, 2.9, 2.9, 2.9]):
        decision, memory = policy.decide(
            view_of(OFFERS, held, [1.0], ongoing=[ongoing], at=60.0 * at), memory
        )
        found.append(wanted(decision, 8))
    assert found == [6, 7, 7, 5, 5]


def test_bounds():
    held = [lease(1)]
    view = view_of(OFFERS, held, [10.0], ongoing=[90.0])
    assert wanted(Knative(most=6).decide(view, Panic())[0], 1) == 6
    assert wanted(Knative(least=3).decide(view_of(OFFERS, held), Panic())[0], 1) == 3
