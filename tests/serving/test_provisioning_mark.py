"""MArk's greedy plan, decision by decision."""

import msgspec
import pytest
from serving_worlds import lease, offer, view_of

from tradewind.errors import Misuse
from tradewind.estimates.load.interface import LoadForecast
from tradewind.market.decisions import Release, Take
from tradewind.market.leases import Revocation
from tradewind.market.offers import Terms
from tradewind.serving.provisioning.interface import FunctionProfile
from tradewind.serving.provisioning.mark import Mark
from tradewind.testing.policies import NOW
from tradewind.testing.provisioning import ProvisioningLaws

OFFERS = [offer("small", 0.1), offer("medium", 0.2), offer("large", 0.9)]
"""For 5, 9 and 30 requests a second: small is the cheapest of a request, then medium, then large."""


class TestLaws(ProvisioningLaws):
    def policy(self):
        return Mark()


def seen(rates, leases=(), offers=OFFERS, at=0.0, notices=()):
    """A view whose forecast is `rates`, the last one for ever after."""
    view = view_of(offers, leases, [1.0], at=at)
    mean = (*rates, *([rates[-1]] * (50 - len(rates))))
    forecast = LoadForecast(NOW + at, 60.0, mean, (0.5,), (mean,))
    market = msgspec.structs.replace(view.market, revocations=tuple(notices))
    return msgspec.structs.replace(view, forecast=forecast, market=market)


def taken(decision):
    return {
        (each.bid.pool.instance_type, each.bid.terms.value): each.bid.count
        for each in decision.actions
        if isinstance(each, Take)
    }


def test_it_takes_what_serves_a_request_the_cheapest():
    """10 requests a second for 50 minutes: two small ones cost 0.1 an hour for 5, and leave nothing."""
    policy = Mark(headroom=1.0)
    decision, memory = policy.decide(seen([10.0]), policy.recall())
    assert taken(decision) == {("small", "on_demand"): 2}
    assert memory.last == ((("small", 2),),)


def test_a_short_peak_is_not_worth_a_second_launch():
    """Seven more for one minute: one medium serves 7 x 60 for 0.2 x (60 + 180) s, two small ones 5 and 2 of
    them for 0.1 x (60 + 180) s each. The first small one is as dear for a request as 0.0048 to 0.00476."""
    policy = Mark(headroom=1.0)
    held = [lease(1), lease(2)]
    decision, _ = policy.decide(seen([10.0, 17.0, 10.0], held), policy.recall())
    # small: 0.1 * 240 / 5 = 4.8 a request a second and minute; medium: 0.2 * 240 / 7 = 6.9; so small, and
    # then small again for the two that are left: 0.1 * 240 / 2 = 12 against 0.2 * 240 / 2.
    assert taken(decision) == {("small", "on_demand"): 2}


def test_what_is_held_costs_no_launch():
    """A small one at 0.11 costs 0.11 x 3180 / 5 = 70 with its launch and 66 without, the medium one that is
    held 0.2 x 3000 / 9 = 66.7."""
    policy = Mark(headroom=1.0)
    offers = [offer("small", 0.11), offer("medium", 0.2)]
    decision, memory = policy.decide(seen([9.0], [lease(1, "medium")], offers), policy.recall())
    assert decision.actions == () and memory.last == ((("medium", 1),),)
    quick = Mark(headroom=1.0, launch=0.0)
    decision, _ = quick.decide(seen([9.0], [lease(1, "medium")], offers), quick.recall())
    assert taken(decision) == {("small", "on_demand"): 2}


def test_the_headroom_and_the_busiest_five_seconds_count():
    """4 x 1.2 = 4.8 fit on one small; twice as much in the busiest five seconds does not."""
    policy = Mark()
    assert taken(policy.decide(seen([4.0]), policy.recall())[0]) == {("small", "on_demand"): 1}
    view = seen([4.0])
    peaks = msgspec.structs.replace(view.traffic, peaks=(2.0,))
    decision, _ = policy.decide(msgspec.structs.replace(view, traffic=peaks), policy.recall())
    assert taken(decision) == {("small", "on_demand"): 2}


def test_a_peak_after_the_head_waits():
    policy = Mark(headroom=1.0)
    decision, _ = policy.decide(seen([4.0] * 6 + [40.0]), policy.recall())
    assert taken(decision) == {("small", "on_demand"): 1}


def test_in_after_six_plans_without_it():
    policy = Mark(headroom=1.0)
    held = [lease(1), lease(2, started=-500.0), lease(3, started=-800.0)]
    memory, actions = policy.recall(), []
    for at in range(7):
        decision, memory = policy.decide(seen([4.0], held, at=60.0 * at), memory)
        actions.append(decision.actions)
    assert actions[:5] == [()] * 5
    assert actions[5] == (Release(held[1].id), Release(held[2].id))  # the youngest first


def test_between_two_plans_only_losses_are_made_good():
    offers = [*OFFERS, offer("small", 0.03, Terms.SPOT)]
    policy = Mark(headroom=1.0)
    held = [lease(1, terms=Terms.SPOT), lease(2, terms=Terms.SPOT)]
    view = seen([9.0], held, offers)
    decision, memory = policy.decide(view, policy.recall())
    assert decision.actions == ()
    decision, same = policy.decide(seen([90.0], held, offers, at=20.0), memory)
    assert decision.actions == () and same == memory
    gone = Revocation(held[0].id, NOW + 30, NOW + 150)
    decision, same = policy.decide(seen([9.0], held, offers, at=30.0, notices=[gone]), memory)
    assert taken(decision) == {("small", "on_demand"): 1} and same == memory


def test_it_wants_a_forecast():
    with pytest.raises(Misuse, match="forecast"):
        Mark().decide(view_of(OFFERS, (), [1.0]), Mark().recall())
    with pytest.raises(Misuse, match="headroom"):
        Mark(headroom=0.0)


PEAK = [9.0, 17.0, 9.0]
"""Two small ones are held for 9 a second; for the 7 more of one minute a small one at 0.10 an hour costs
0.10 / 3600 x (60 + 180) / (5 x 60) = 2.2e-5 a request, for the 2 that are then left 5.6e-5."""


@pytest.mark.parametrize(
    ("per_request", "cold", "concurrency", "small"),
    [
        (2e-5, 0.7, 1000, 0), (4e-5, 0.7, 1000, 1), (6e-5, 0.7, 1000, 2), (2e-5, 5.0, 1000, 2),
        (2e-5, 0.7, 4, 1),
    ],
    ids=["all_called", "the_rest_called", "none_called", "late_when_cold", "some_at_a_time"],
)  # fmt: skip
def test_functions_take_what_costs_less_as_calls(per_request, cold, concurrency, small):
    policy = Mark(headroom=1.0)
    view = seen(PEAK, [lease(1), lease(2)])
    function = FunctionProfile(per_request, 0.3, cold, concurrency)
    decision, _ = policy.decide(msgspec.structs.replace(view, function=function), policy.recall())
    assert taken(decision) == ({("small", "on_demand"): small} if small else {})


def test_without_overflow_functions_are_not_reckoned_with():
    policy = Mark(headroom=1.0, overflow=False)
    view = msgspec.structs.replace(
        seen(PEAK, [lease(1), lease(2)]), function=FunctionProfile(1e-9, 0.3, 0.7, 1000)
    )
    assert taken(policy.decide(view, policy.recall())[0]) == {("small", "on_demand"): 2}
