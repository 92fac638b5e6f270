from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_histories import MONDAY, A, B, C, capacity, spot, standing

from tradewind.data.recorded_histories import history
from tradewind.errors import Misuse
from tradewind.estimates.outlook import NEVER, Forecaster, Outlook
from tradewind.estimates.revocation import boosted
from tradewind.estimates.revocation.experience import experience_of
from tradewind.estimates.revocation.forecasters import forecaster
from tradewind.market.histories import CapacityHistory, MarketHistory, PriceHistory

DAY = 86400.0
NOW = MONDAY + 18 * DAY + 1234.5


def check(outlook: Outlook) -> None:
    """What every outlook keeps."""
    shape = len(outlook.pools), len(outlook.deltas), len(outlook.horizons)
    revoked = np.array(outlook.revoked).reshape(shape)
    assert ((revoked >= 0) & (revoked <= 1)).all()
    assert (np.diff(revoked, axis=1) <= 1e-12).all() and (np.diff(revoked, axis=2) >= -1e-12).all()
    assert list(outlook.pools) == sorted(outlook.pools)
    assert outlook.steps[0] == 0 and (np.diff(outlook.steps) > 0).all()
    assert sum(scenario.weight for scenario in outlook.scenarios) == pytest.approx(1)
    for scenario in outlook.scenarios:
        assert scenario.weight >= 0
        ends = np.array(scenario.revoked).reshape(shape[:2])
        assert ((ends >= 0) & (ends <= NEVER)).all() and (np.diff(ends, axis=1) >= 0).all()
        prices = np.array(scenario.prices).reshape(shape[0], len(outlook.steps))
        assert ((prices > 0) & (prices <= NEVER)).all()
    assert msgspec.json.decode(msgspec.json.encode(outlook), type=Outlook) == outlook


@pytest.mark.parametrize("name", ["base_rate", "hour_of_day", "empirical"])
@pytest.mark.parametrize("which", ["priced", "counted"])
def test_an_outlook_at_any_moment_of_any_past(which, name, request):
    market = request.getfixturevalue(which)
    for days in (-2.0, 0.0, 0.01, 0.5, 2.0, 9.0, 23.9, 40.0, math.inf):
        foresight: Forecaster = forecaster(name, market, MONDAY + days * DAY)
        assert foresight.name == name
        for now in (MONDAY + 100, NOW, market.end):
            offers = standing(market, now)
            outlook = foresight.outlook(now, offers)
            check(outlook)
            assert outlook.at == now
            assert {offer.pool for offer in offers} <= set(outlook.pools)
            assert foresight.outlook(now, offers) == outlook


@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_nothing_after_until_leaks(priced, counted, data):
    """Another future of the same past gives the same outlooks, to the last bit."""
    until = MONDAY + data.draw(st.floats(0.5, 22.0)) * DAY
    now = until + data.draw(st.sampled_from((0.0, 700.0, 50_000.0)))
    for past in (priced, counted):
        changed = MarketHistory(
            past.name,
            {pool: another_price(each, until) for pool, each in past.prices.items()},
            {pool: another_capacity(each, until) for pool, each in past.capacities.items()},
        )
        offers = tuple(spot(pool, 0.06, 1) for pool in past.pools[:2])
        for name in ("empirical", "hour_of_day"):
            one, two = (forecaster(name, each, until).outlook(now, offers) for each in (past, changed))
            assert msgspec.json.encode(one) == msgspec.json.encode(two)


def another_price(history: PriceHistory, until: float) -> PriceHistory:
    kept = history.times <= until
    times = [*history.times[kept], until + 30, until + 5000]
    values = [*history.prices[kept], 3.0, 0.02]
    return PriceHistory(history.pool, times, values, end=until + 9000)


def another_capacity(history: CapacityHistory, until: float) -> CapacityHistory:
    kept = history.starts <= until
    return CapacityHistory(
        history.pool,
        [name for name, keep in zip(history.ids, kept, strict=True) if keep],
        history.starts[kept],
        np.where(history.ends > until, until + 77, history.ends)[kept],
        start=history.start,
        end=until + 9000,
    )


def test_boosted_does_not_leak_either(priced):
    until = MONDAY + 14.5 * DAY
    changed = MarketHistory(
        "priced",
        {pool: another_price(each, until) for pool, each in priced.prices.items()},
        {pool: another_capacity(each, until) for pool, each in priced.capacities.items()},
    )
    offers = (spot(A, 0.051), spot(B, 0.06))
    one, two = (forecaster("boosted", each, until).outlook(until + 500, offers) for each in (priced, changed))
    check(one)
    assert one == two


def test_an_endless_until_knows_what_a_new_forecaster_would(priced):
    offers = standing(priced, NOW)
    known, endless = (forecaster("empirical", priced, until) for until in (NOW, math.inf))
    assert endless.outlook(NOW, offers) == known.outlook(NOW, offers)
    past = forecaster("empirical", priced, NOW - 5 * DAY).outlook(NOW, offers)
    assert past.revoked != known.outlook(NOW, offers).revoked


def test_scenarios_come_near_to_the_marginals(priced):
    """Tilting leaves the scenarios' frequencies nearer to the chances than the analogs' own weights are."""
    gaps = []
    for now in NOW + np.arange(6) * 40_000.0:
        outlook = forecaster("empirical", priced, float(now)).outlook(
            float(now), standing(priced, float(now))
        )
        ends = np.array([scenario.revoked for scenario in outlook.scenarios])
        weights = np.array([scenario.weight for scenario in outlook.scenarios])
        within = ends[..., None] <= np.array(outlook.horizons)
        up = np.array([scenario.prices for scenario in outlook.scenarios])[0, :, 0] < NEVER
        chances = np.array(outlook.revoked)
        gaps.append(
            [
                np.abs(np.tensordot(share, within, 1) - chances)[up].mean()
                for share in (weights, np.full(len(weights), 1 / len(weights)))
            ]
        )
    told, raw = np.mean(gaps, axis=0)
    assert told < 0.12 and told < 0.8 * raw


def test_what_we_hold_is_up_though_it_is_not_offered(counted):
    foresight = forecaster("empirical", counted, NOW)
    without = foresight.outlook(NOW, (spot(B, 0.1, 1),))
    holding = foresight.outlook(NOW, (spot(B, 0.1, 1),), held=(A,))
    assert all(scenario.prices[0][0] == NEVER for scenario in without.scenarios)
    assert all(scenario.prices[0][0] < NEVER for scenario in holding.scenarios), "at its type's price"
    check(holding)


def test_room_that_is_offered_counts(made_up):
    """A pool with more slots free outlives one with its last."""
    wide = MarketHistory("wide", {}, {C: capacity(C, 40.0, 3, most=6)})
    foresight = forecaster("empirical", wide, MONDAY + 39 * DAY)
    few, many = (foresight.outlook(MONDAY + 39 * DAY, (spot(C, 0.1, free),)) for free in (1, 6))
    assert few.revoked[0][0][2] > many.revoked[0][0][2] + 0.1


def test_as_many_scenarios_as_asked(priced):
    offers = standing(priced, NOW)
    for many in (1, 5, 64):
        outlook = forecaster("empirical", priced, NOW, scenarios=many).outlook(NOW, offers)
        assert len(outlook.scenarios) == many
        check(outlook)


def test_where_no_pool_is_known_or_offered_none_is_forecast(priced):
    outlook = forecaster("empirical", priced, MONDAY - DAY).outlook(MONDAY - DAY, ())
    assert outlook.pools == () and len(outlook.scenarios) == 32
    check(outlook)


def test_one_record_is_a_past(made_up):
    short = MarketHistory("short", {A: PriceHistory(A, [MONDAY + 7], [0.1], end=MONDAY + 8)})
    outlook = forecaster("empirical", short, MONDAY + 8).outlook(MONDAY + 8, (spot(A, 0.1),))
    check(outlook)
    assert 0.05 < outlook.revoked[0][0][2] < 0.15, "the prior's"


def test_a_model_learned_before_is_taken(priced):
    model = boosted.learn(experience_of(priced), np.arange(1500), many=2000)
    foresight = forecaster("boosted", priced, NOW, model=model, refresh=60.0)
    assert foresight.refresh == 60.0
    check(foresight.outlook(NOW, standing(priced, NOW)))


@pytest.mark.parametrize(
    ("name", "until", "options", "field"),
    [
        ("emprical", NOW, {}, "name"),
        ("empirical", math.nan, {}, "until"),
        ("empirical", NOW, {"scenarios": 0}, "scenarios"),
        ("empirical", NOW, {"refresh": 0.0}, "refresh"),
    ],
)
def test_what_makes_no_sense_is_misuse(priced, name, until, options, field):
    with pytest.raises(Misuse) as caught:
        forecaster(name, priced, until, **options)
    assert caught.value.field == field
    if field == "name":
        assert "empirical" in str(caught.value)


def test_a_model_of_another_name_is_misuse(priced):
    model = boosted.learn(experience_of(priced), np.arange(20))
    with pytest.raises(Misuse, match="boosted"):
        forecaster("empirical", priced, NOW, model=model)


def test_real_prices_give_outlooks(bench_data):
    """Ten pools of 2015, three of which stand out of the record on its first days."""
    market = history(bench_data("spot/prices-2015.csv.gz"))
    for moment in (market.start + 1, market.start + 2 * DAY, market.start + 100 * DAY):
        offers = tuple(
            spot(pool, each.at(moment)) for pool, each in market.prices.items() if each.covers(moment)
        )
        check(forecaster("empirical", market, moment).outlook(moment + 300, offers))
