"""What an hour of a replica is expected to cost, by hand."""

import pytest
from serving_worlds import offer, view_of

from tradewind.estimates.outlook import Outlook, Scenario
from tradewind.market.instances import Pool
from tradewind.market.offers import Terms
from tradewind.market.tariffs import Refund, Tariff
from tradewind.serving.provisioning.fleet import Fleet
from tradewind.serving.provisioning.spot_prospects import prospects, survival
from tradewind.testing.policies import NOW

OFFERS = [offer("small", 0.1), offer("small", 0.03, Terms.SPOT)]
POOL = Pool("small", "east-1a")
HOURLY = {True: Tariff(3600.0, Refund.LAST_UNIT), False: Tariff(3600.0)}


def outlook(low, high):
    """Revoked within half an hour and an hour: `low` of the bids 0.01 above the price, `high` of 0.07."""
    return Outlook(
        NOW, (POOL,), (0.01, 0.07), (1800.0, 3600.0), ((low, high),), (0.0,), (Scenario(1.0, (), ()),)
    )


def told(chances, tariffs=HOURLY, **given):
    options = {"startup": 0.0, "move": 0.0, "hold": 3600.0} | given
    ways = Fleet(view_of(OFFERS)).ways
    return prospects(ways, chances, tariffs, **options)


def test_a_bid_between_two_deltas_is_taken_for_the_lower():
    found = survival(outlook((0.5, 1.0), (0.0, 0.2)), POOL, 0.05)
    assert found is not None and found.at(3600.0) == 0.0
    assert survival(outlook((0.5, 1.0), (0.0, 0.2)), Pool("large", "x"), 0.05) is None


def test_on_demand_costs_its_price_for_what_is_left_after_the_start():
    """0.1 US dollars for 5 requests a second over 3600 - 600 s."""
    steady = [each for each in told(None, startup=600.0) if not each.way.spot]
    assert steady[0].unit == pytest.approx(0.1 / 5 * 3600 / 3000)


def test_an_hour_that_is_cut_short_is_free():
    """Low bid: half is revoked evenly over the hour, 2700 s lived, half of the price: 0.5 / 0.75 of it.
    High bid: nothing is revoked."""
    low, high = sorted(
        (each for each in told(outlook((0.25, 0.5), (0.0, 0.0))) if each.way.spot), key=lambda one: one.unit
    )
    assert low.limit == pytest.approx(0.04) and low.unit == pytest.approx(0.03 / 5 * 0.5 / 0.75)
    assert high.limit is None and high.unit == pytest.approx(0.03 / 5)
    assert (low.revoked, high.revoked) == (0.5, 0.0)


def test_a_start_up_and_a_move_make_the_low_bid_the_dearer_one():
    """Of 2700 s lived 600 are start-up less what died in it, and every second lease costs 1500 more."""
    best = told(outlook((0.25, 0.5), (0.0, 0.0)), startup=600.0, move=1500.0)[0]
    assert best.limit is None and best.way.spot


def test_by_the_second_the_first_hour_is_free_if_it_is_cut_short():
    tariffs = {True: Tariff(1.0, Refund.FIRST_HOUR), False: Tariff(1.0)}
    chances = outlook((0.25, 0.5), (0.25, 0.5))
    free = next(each for each in told(chances, tariffs) if each.way.spot)
    # Lived 2700 s in all, 1800 of them by the half that is not cut short.
    assert free.unit == pytest.approx(0.03 / 5 * 1800 / 2700) and free.limit is None
    paid = next(each for each in told(chances, {True: Tariff(1.0), False: Tariff(1.0)}) if each.way.spot)
    assert paid.unit == pytest.approx(0.03 / 5)


def test_the_cheapest_comes_first():
    units = [each.unit for each in told(outlook((0.3, 0.6), (0.1, 0.2)))]
    assert units == sorted(units) and len(units) == 3
