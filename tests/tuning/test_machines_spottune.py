import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from machine_views import BIG, NOW, alone, lease, offer, outlook, placed, view
from msgspec.structs import replace

from tradewind.errors import Misuse
from tradewind.market.decisions import Release, Take
from tradewind.market.instances import Pool
from tradewind.market.leases import Revocation
from tradewind.market.offers import Terms
from tradewind.market.tariffs import Refund, Tariff
from tradewind.tuning.machines.interface import Queued
from tradewind.tuning.machines.spottune import LEAST_DELTA, MOST_DELTA, SpotTune


def decided(seen, **options):
    return SpotTune(**options).decide(seen, None)[0]


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 99))
def test_it_takes_the_spot_machine_of_formula_2_2_at_a_bid_within_the_bounds(number, seed):
    seen = alone(number, Terms.SPOT)
    if seen is None:
        return
    (trial,) = seen.queued
    taken = [each.bid for each in decided(seen, seed=seed, revoked=0.3).actions if isinstance(each, Take)]
    fitting = [each for each in seen.market.offers if each.type.name in seen.types]
    fitting = [each for each in fitting if each.type.resources.covers(seen.demand.resources)]
    fitting = [each for each in fitting if not seen.demand.zones or each.zone in seen.demand.zones]
    names = seen.demand.instance_types
    fitting = [each for each in fitting if not names or each.type.name in names]
    assert len(taken) == bool(fitting)
    if not taken:
        return
    prices = {each.pool: each.price.per_hour for each in fitting}
    assert LEAST_DELTA - 1e-9 <= taken[0].limit - prices[taken[0].pool] <= MOST_DELTA + 1e-9
    if seen.outlook is None:  # p is the same for all, so the least price times seconds is the least of 2.2
        costs = {
            each.pool: each.price.per_hour * seen.seconds_of(trial.trial, each.type.name) for each in fitting
        }
        assert costs[taken[0].pool] == pytest.approx(min(costs.values()))


def test_formula_2_2_loves_what_will_be_revoked():
    safe, risky = Pool("small", "a"), Pool("small", "b")
    chances = outlook([safe, risky], [((0.0, 0.0),) * 2, ((0.5, 0.9),) * 2], deltas=(0.0, 0.1))
    seen = view([offer(0.05), offer(0.1, zone="b")], [Queued(0, 100)], outlook=chances)
    (taken,) = decided(seen).actions
    # 0.1 * (1 - 0.9) is less than 0.05: that is what the paper takes, and what cheapest_step does not
    assert taken.bid.pool == risky


def test_a_bid_is_a_function_of_seed_trial_and_moment():
    def bids(seed=0, trials=(0, 1), now=NOW):
        seen = view([offer(0.1)], [Queued(each, 100) for each in trials])
        seen = replace(seen, market=replace(seen.market, now=now))
        return [each.bid.limit for each in decided(seen, seed=seed).actions]

    assert bids() == bids() and len(set(bids())) == 2
    assert bids(trials=(1, 0)) == bids()[::-1]  # not of what was drawn before
    assert not set(bids(seed=1)) & set(bids()) and not set(bids(now=NOW + 1)) & set(bids())


def test_over_many_trials_the_bids_are_even():
    seen = view([offer(0.1)], [Queued(at, 100) for at in range(400)])
    limits = sorted(each.bid.limit - 0.1 for each in decided(seen).actions)
    assert abs(limits[200] - 0.1) < 0.02 and limits[20] < 0.03 and limits[-20] > 0.17


def test_it_leaves_at_the_end_of_the_first_hour_whatever_that_costs():
    held = lease(age=600.0)
    seen = view([offer(0.1)], placed=[placed(0)], leases=[held], checkpoint=20.0)
    decision = decided(seen)
    assert decision.actions == () and decision.wake_at == held.started + 3600 - 20 - 1
    old = lease(age=3579.0)
    seen = view([offer(0.1)], placed=[placed(0, age=3579.0)], leases=[old], checkpoint=20.0)
    assert decided(seen).actions == (Release(old.id),)
    nearly_done = view([offer(0.1)], placed=[placed(0, left=0)], leases=[old], checkpoint=20.0)
    assert decided(nearly_done).actions == ()


def test_what_is_under_notice_is_left_to_the_provider_for_its_refund():
    held = lease(age=3590.0)
    notice = Revocation(held.id, NOW, NOW + 5)
    free = {Terms.SPOT: Tariff(1.0, Refund.FIRST_HOUR)}
    seen = view([offer(0.1)], placed=[placed(0, age=3590.0)], leases=[held], notices=[notice], tariffs=free)
    assert decided(seen).actions == ()
    assert decided(view([], leases=[held], notices=[notice], tariffs=free)).actions == ()


def test_it_takes_no_more_than_there_are_and_none_on_demand():
    offers = [offer(0.1, available=1), offer(0.01, BIG, terms=Terms.ON_DEMAND)]
    decision = decided(view(offers, [Queued(at, 100) for at in range(3)]))
    assert len(decision.actions) == 1 and "2 wait" in decision.reason


@pytest.mark.parametrize(("field", "value"), [("seed", 1.5), ("seed", True), ("revoked", 1.0)])
def test_a_bad_argument_is_named(field, value):
    with pytest.raises(Misuse, match=field):
        SpotTune(**{field: value})
