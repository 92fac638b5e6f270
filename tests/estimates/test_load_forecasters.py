"""Every load forecaster: what it must say of simple loads, and what must hold of any forecast."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tradewind.errors import Misuse
from tradewind.estimates.load.forecasters import NAMES, load_forecaster
from tradewind.estimates.load.linear_weighted import LinearWeighted
from tradewind.estimates.load.moving_average import MovingAverage
from tradewind.estimates.load.past_errors import LEVELS, of_errors
from tradewind.estimates.load.persistence import Persistence
from tradewind.estimates.load.seasonal_naive import SeasonalNaive

AT = 1_577_836_800.0
pytestmark = pytest.mark.filterwarnings("error")


def days(number, seed=0, noise=0.03, drift=0.0):
    """Minutes of a load with a daily course, a level that wanders by `drift` a day, and noise."""
    chance = np.random.default_rng(seed)
    minutes = np.arange(number * 1440)
    course = 1.0 + 0.6 * np.sin(2 * np.pi * minutes / 1440) + 0.2 * np.sin(6 * np.pi * minutes / 1440)
    level = np.exp(np.cumsum(chance.normal(0.0, drift / np.sqrt(1440), len(minutes))))
    return 100.0 * course * level * (1 + chance.normal(0.0, noise, len(minutes)))


@pytest.mark.parametrize("name", NAMES)
@given(
    rates=st.lists(st.floats(0, 1e6, allow_subnormal=False), min_size=1, max_size=40),
    steps=st.integers(1, 70),
    interval=st.sampled_from((1.0, 60.0, 3600.0, 86_400.0)),
)
@settings(max_examples=15, deadline=None)
def test_any_forecast_is_in_order(name, rates, steps, interval):
    known = np.array(rates)
    before = known.copy()
    told = load_forecaster(name).forecast(known, AT, interval, steps)
    again = load_forecaster(name).forecast(known, AT, interval, steps)
    table = np.array(told.quantiles)
    assert told == again and (known == before).all()
    assert told.levels == LEVELS and table.shape == (len(LEVELS), steps) and len(told.mean) == steps
    assert np.isfinite(table).all() and (table >= 0).all() and (np.diff(table, axis=0) >= 0).all()
    assert np.isfinite(told.mean).all() and min(told.mean) >= 0 and told.at == AT


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("many", [1, 2, 5, 30, 300])
def test_a_constant_load_stays(name, many):
    told = load_forecaster(name).forecast(np.full(many, 7.0), AT, 60.0, 60)
    assert told.mean == pytest.approx([7.0] * 60) and np.array(told.quantiles) == pytest.approx(7.0)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("rates", "field"), [([], "rates"), ([1.0, -1.0], "rates"), ([np.nan], "rates"), ([[1.0]], "rates")]
)
def test_what_is_no_load_is_refused(name, rates, field):
    with pytest.raises(Misuse, match=field):
        load_forecaster(name).forecast(np.array(rates), AT, 60.0, 5)


def test_bad_steps_intervals_and_names_are_refused():
    for interval, steps in ((60.0, 0), (0.0, 5), (np.nan, 5)):
        with pytest.raises(Misuse):
            Persistence().forecast(np.ones(3), AT, interval, steps)
    with pytest.raises(Misuse, match="persistence"):
        load_forecaster("persistance")
    for maker in (SeasonalNaive, MovingAverage, LinearWeighted):
        with pytest.raises(Misuse):
            maker(0.0)


def test_by_hand():
    rates = np.array([1.0, 2.0, 3.0, 10.0])
    assert Persistence().forecast(rates, AT, 60.0, 2).mean == (10.0, 10.0)
    assert MovingAverage(180.0).forecast(rates, AT, 60.0, 2).mean == pytest.approx((5.0, 5.0))
    # (3 x 10 + 2 x 3 + 1 x 2) / 6
    assert LinearWeighted(180.0).forecast(rates, AT, 60.0, 1).mean == pytest.approx((38 / 6,))
    season = SeasonalNaive(180.0).forecast(np.array([1.0, 2.0, 3.0, 4.0]), AT, 60.0, 5)
    assert season.mean == pytest.approx((2.0, 3.0, 4.0, 2.0, 3.0))


def test_weighted_quantiles_by_hand():
    """Ten equal errors of -5..4: the level 0.5 of eleven is the sixth, from ten elevenths on the largest."""
    found = of_errors(np.arange(-5.0, 5.0), np.ones(10))
    assert found.tolist() == [-4.0, 0.0, 3.0, 4.0, 4.0, 4.0]
    assert of_errors(np.zeros(0), np.zeros(0)).tolist() == [0.0] * len(LEVELS)


def errors_of(name, rates, origins, ahead):
    forecaster = load_forecaster(name)
    told = [forecaster.forecast(rates[:origin], AT, 60.0, 60) for origin in origins]
    came = rates[np.array(origins)[:, None] + np.array(ahead) - 1]
    mean = np.array([each.mean for each in told])[:, np.array(ahead) - 1]
    table = np.array([each.quantiles for each in told])[:, :, np.array(ahead) - 1]
    return np.sqrt(((mean - came) ** 2).mean(axis=0)), (came[:, None] <= table).mean(axis=0)


def test_ours_is_better_than_persistence_and_the_season_at_every_horizon():
    rates = days(12, drift=0.2)
    origins, ahead = list(range(8 * 1440, 12 * 1440 - 60, 97)), [1, 5, 10, 30, 60]
    ours, covered = errors_of("seasonal_regression", rates, origins, ahead)
    for peer in ("persistence", "seasonal_naive"):
        theirs, _ = errors_of(peer, rates, origins, ahead)
        assert (ours < theirs).all(), (peer, ours, theirs)
    assert (np.abs(covered[LEVELS.index(0.9)] - 0.9) < 0.1).all()
    assert (covered[LEVELS.index(0.99)] > 0.95).all()


def test_what_the_newer_half_of_the_past_denies_is_not_believed():
    """Two days in which every move is undone in the next minute, then two in which moves go on: what the
    former teach is wrong of the latter, and nothing is better than to stay."""
    minutes = np.arange(2 * 1440)
    undone, going_on = 100.0 + 20.0 * (minutes % 2), 100.0 + 20.0 * np.sin(2 * np.pi * minutes / 60)
    forecaster = load_forecaster("seasonal_regression")
    rates = np.concatenate((undone, going_on))
    assert forecaster.forecast(rates, AT, 60.0, 1).mean == (rates[-1],)
    believed = forecaster.forecast(np.concatenate((undone, undone)), AT, 60.0, 1).mean[0]
    assert believed == pytest.approx(100.0, abs=3.0) and undone[-1] == 120.0


def test_ours_knows_nothing_but_the_past():
    """A forecast is the same whatever follows, and that of a load that is doubled is doubled."""
    rates = days(9, drift=0.1)
    forecaster = load_forecaster("seasonal_regression")
    told = forecaster.forecast(rates[: 8 * 1440], AT, 60.0, 60)
    later = np.concatenate((rates[: 8 * 1440], np.full(500, 1e6)))
    assert forecaster.forecast(later[: 8 * 1440], AT, 60.0, 60) == told
    doubled = forecaster.forecast(2 * rates[: 8 * 1440], AT, 60.0, 60)
    assert doubled.mean == pytest.approx(2 * np.array(told.mean), rel=1e-6)


def test_two_weeks_of_minutes_are_quick():
    """At most 2 ms of the processor; four times that here, for others run beside it."""
    rates = days(14)
    forecaster = load_forecaster("seasonal_regression")
    forecaster.forecast(rates, AT, 60.0, 60)
    spent = []
    for _ in range(5):
        began = time.process_time()
        forecaster.forecast(rates, AT, 60.0, 60)
        spent.append(time.process_time() - began)
    assert min(spent) < 0.008
