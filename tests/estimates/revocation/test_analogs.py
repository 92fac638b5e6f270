from __future__ import annotations

import math

import numpy as np
import pytest
from made_up_histories import MONDAY, A, B, C, prices

from tradewind.estimates.outlook import NEVER
from tradewind.estimates.revocation.analogs import STEPS, Analogs, Standing
from tradewind.estimates.revocation.experience import experience_of
from tradewind.market.histories import CapacityHistory, MarketHistory, PriceHistory

DAY = 86400.0


def standing(experience, prices, up=None, mood=15):
    pools = len(experience.columns.pools)
    return Standing(
        np.arange(pools),
        np.full(pools, True) if up is None else np.array(up),
        np.array(prices, float),
        np.full(pools, mood, np.uint8),
    )


def scenes_of(history, prices, up=None, now=MONDAY + 20 * DAY, known=None, many=16, chance=0.5, mood=15):
    experience = experience_of(history)
    marginals = np.full((len(prices), len(experience.deltas), len(experience.horizons)), chance)
    known = now if known is None else known
    return Analogs(experience).scenes(standing(experience, prices, up, mood), marginals, now, known, many)


def test_prices_begin_where_they_stand_and_end_leases(priced):
    scenes = scenes_of(priced, [0.05, 0.2, 0.0507])
    experience = experience_of(priced)
    assert scenes.weights.sum() == pytest.approx(1) and len(scenes.weights) == 16
    assert scenes.steps.tolist() == list(STEPS)
    assert np.allclose(scenes.prices[:, :, 0], [0.05, 0.2, 0.0507])
    for pool in range(2):
        for delta, above in enumerate(experience.deltas):
            dear = scenes.prices[:, pool] > scenes.prices[:, pool, :1] + above
            first = np.where(dear.any(axis=1), scenes.steps[dear.argmax(axis=1)], math.inf)
            assert (scenes.revoked[:, pool, delta] <= first).all()
    assert (np.diff(scenes.revoked, axis=2) >= 0).all()
    assert (scenes.revoked > 0).all()
    assert (scenes.revoked[:, :2, 0] < NEVER).mean() > 0.5


def test_a_scene_is_the_past_where_the_price_is_the_same():
    """On a market that repeats every day, what comes is what came, to the second."""
    times = np.concatenate([MONDAY + day * DAY + np.array([0.0, 30_000.0, 33_000.0]) for day in range(20)])
    values = np.tile([0.05, 0.1, 0.06], 20)
    scenes = scenes_of(
        MarketHistory("daily", {A: PriceHistory(A, times, values, end=MONDAY + 20 * DAY)}),
        [0.05],
        now=MONDAY + 15 * DAY + 18_000,
        mood=10,
        many=4,
    )
    assert (scenes.revoked[:, 0, 0] == 12_000).all(), "up by 0.05"
    assert (scenes.revoked[:, 0, 6] == NEVER).all(), "never up by 0.2"
    assert np.allclose(scenes.prices[:, 0][:, scenes.steps == 14_400], 0.1)
    assert np.allclose(scenes.prices[:, 0][:, scenes.steps == 10_800], 0.05)


def test_pools_that_went_together_go_together():
    tied = prices(A, 24.0, 0)
    history = MarketHistory("tied", {A: tied, B: tied.moved(B), C: prices(C, 24.0, 1)})
    scenes = scenes_of(history, [0.0505, 0.0505, 0.0505], many=32)
    assert np.array_equal(scenes.revoked[:, 0], scenes.revoked[:, 1])
    assert np.array_equal(scenes.prices[:, 0], scenes.prices[:, 1])
    assert not np.array_equal(scenes.revoked[:, 0], scenes.revoked[:, 2])


def test_slots_come_and_go(counted):
    scenes = scenes_of(counted, [0.1, 0.1], up=[True, False])
    assert (scenes.prices[:, 0, 0] == 0.1).all() and (scenes.prices[:, 1, 0] == NEVER).all()
    assert set(np.unique(scenes.prices)) == {0.1, NEVER}
    assert np.ptp(scenes.revoked, axis=2).max() == 0, "bids have no effect"
    for scene in range(len(scenes.weights)):
        lasts = scenes.revoked[scene, 0, 0]
        assert (scenes.prices[scene, 0, scenes.steps < lasts] == 0.1).all()
        back = scenes.revoked[scene, 1, 0]
        offered = scenes.prices[scene, 1] == 0.1
        if offered.any():
            assert back > 0, "a spell between two steps may have come first"
        if back == 0:
            assert not offered.any()


def test_where_a_pool_was_down_its_own_nearest_moment_goes_in(counted):
    """Both are up now; in every scene both are, though seldom at one moment of the past."""
    scenes = scenes_of(counted, [0.1, 0.1], many=32)
    assert (scenes.prices[:, :, 0] == 0.1).all()
    assert (scenes.revoked > 0).all()


def test_unpriced_pools_with_no_price_known_are_not_to_be_had_at_any(counted):
    scenes = scenes_of(counted, [math.nan, 0.1])
    assert (scenes.prices[:, 0] == NEVER).all() and (scenes.prices[:, 1, 0] == 0.1).all()


@pytest.mark.parametrize("days", [-1.0, 0.0, 0.3])
def test_without_a_past_the_marginals_are_played(priced, days):
    scenes = scenes_of(priced, [0.05, 0.06, 0.07], now=MONDAY + days * DAY, chance=0.25, many=40)
    within = (scenes.revoked <= 600).mean(axis=0)
    assert np.allclose(within, 0.25, atol=0.03)
    assert (scenes.prices == np.array([0.05, 0.06, 0.07])[:, None]).all()
    assert scenes.steps[-1] == 14_400


def test_sight_grows_with_the_past(priced):
    reach = [
        scenes_of(priced, [0.05] * 3, now=MONDAY + days * DAY).steps[-1] for days in (0.6, 0.8, 1.7, 3.1)
    ]
    assert reach == [14_400, 21_600, 43_200, 86_400]


def test_scenes_end_within_what_is_known():
    """The price of tomorrow is a spike, and no scene shows it."""
    known = MONDAY + 10 * DAY
    calm = np.arange(MONDAY, known, 3600.0)
    values = 0.05 + 0.0001 * (np.arange(len(calm)) % 7)
    history = MarketHistory(
        "spike", {A: PriceHistory(A, [*calm, known + 60], [*values, 9.0], end=known + 20 * DAY)}
    )
    scenes = scenes_of(history, [0.05], now=known + 30, known=known, many=32)
    assert scenes.prices.max() < 0.06


def test_a_pool_that_came_later_follows_its_marginals():
    new = PriceHistory(B, [MONDAY + 19.9 * DAY], [0.3], end=MONDAY + 24 * DAY)
    history = MarketHistory("later", {A: prices(A, 24.0, 0), B: new})
    scenes = scenes_of(history, [0.0505, 0.3], chance=0.5, many=20)
    assert np.allclose((scenes.revoked[:, 1] <= 600).mean(axis=0), 0.5)
    assert (scenes.prices[:, 1] == 0.3).all()


def test_a_slot_that_is_there_for_ever_never_ends():
    always = CapacityHistory.from_lifetimes(A, [("a", MONDAY, math.inf)], end=MONDAY + 24 * DAY)
    scenes = scenes_of(MarketHistory("always", {}, {A: always}), [0.1])
    assert (scenes.revoked == NEVER).all()
