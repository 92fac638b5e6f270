from __future__ import annotations

import math

import numpy as np
import pytest
from made_up_histories import MONDAY

from tradewind.errors import Misuse
from tradewind.estimates.revocation import base_rate
from tradewind.estimates.revocation.evaluation import (
    WEEK,
    answers,
    asked_of,
    brier,
    log_loss,
    reliability,
    rolling_origins,
    skill,
    skill_interval,
    weeks_left_out,
)
from tradewind.estimates.revocation.experience import experience_of
from tradewind.estimates.revocation.learning import NAMES, learn


def test_every_week_is_left_out_once_and_no_outcome_is_of_both(priced):
    experience = experience_of(priced)
    splits = list(weeks_left_out(experience))
    assert len(splits) == 4
    assert sorted(np.concatenate([split.asked for split in splits]).tolist()) == list(
        range(len(experience.moments))
    )
    for split in splits:
        start = 4 * 86400 + split.week * WEEK
        learned = experience.moments[split.learned]
        assert ((learned + experience.horizons[-1] < start) | (learned >= start + WEEK)).all()
        asked = experience.moments[split.asked]
        assert ((asked >= start) & (asked < start + WEEK)).all()


def test_one_week_gives_no_split(made_up):
    assert not list(weeks_left_out(experience_of(made_up.counted(3.0))))


def test_rolling_origins_learn_from_the_past_alone(priced):
    experience = experience_of(priced)
    splits = list(rolling_origins(experience, first=10 * 86400, every=5 * 86400))
    assert len(splits) == 3
    for number, split in enumerate(splits):
        origin = MONDAY + (10 + 5 * number) * 86400
        assert experience.moments[split.learned[-1]] + experience.horizons[-1] <= origin
        assert (experience.moments[split.asked] > origin).all()
    with pytest.raises(Misuse):
        next(rolling_origins(experience, every=0))


def test_where_bids_have_no_effect_one_counts(counted, priced):
    rows = np.arange(500)
    assert asked_of(experience_of(counted), rows).counted.sum(axis=1).max() == 1
    assert asked_of(experience_of(priced), rows).counted.all()
    one = asked_of(experience_of(priced), rows, np.array([1]))
    assert set(one.cases.pools.tolist()) == {1}


def test_answers_are_the_models(priced):
    experience = experience_of(priced)
    model = base_rate.learn(experience, np.arange(1500))
    asked = asked_of(experience, np.arange(0, 2000))
    chances = answers(model, experience, asked.cases)
    assert chances.shape == asked.came.shape
    assert len(np.unique(chances[:, 0, 0])) == 3


@pytest.mark.parametrize("name", [name for name in NAMES if name != "lstm"])
def test_the_same_seed_gives_the_same_answers(priced, name):
    experience = experience_of(priced)
    asked = asked_of(experience, np.arange(2000, 2100))
    once, again = (
        answers(learn(name, experience, np.arange(1900), seed=3), experience, asked.cases) for _ in range(2)
    )
    assert np.array_equal(once, again)


def test_an_unknown_model_is_misuse(priced):
    with pytest.raises(Misuse, match="empirical"):
        learn("emprical", experience_of(priced), np.arange(10))


def test_scores():
    stated, came = np.array([0.0, 0.5, 1.0]), np.array([False, True, True])
    assert brier(stated, came) == pytest.approx(0.25 / 3)
    assert log_loss(stated, came) == pytest.approx(math.log(2) / 3)
    assert log_loss(1 - stated, came) == pytest.approx((math.log(2) - 2 * math.log(1e-4)) / 3)
    assert math.isnan(brier(np.zeros(0), np.zeros(0, bool)))
    assert skill(0.1, 0.2) == pytest.approx(0.5)
    assert skill(0.0, 0.0) == 0 and skill(0.1, 0.0) == -math.inf


def test_reliability_is_what_came_of_what_was_stated():
    chance = np.random.default_rng(0)
    stated = chance.random(20_000)
    curve = reliability(stated, chance.random(20_000) < stated**2, bins=5)
    assert sum(each.many for each in curve) == 20_000
    for each in curve:
        assert each.came == pytest.approx(each.stated**2, abs=0.03)
    assert len(reliability(np.full(10, 1.0), np.ones(10, bool))) == 1


def test_the_interval_holds_the_skill_and_narrows():
    chance = np.random.default_rng(1)

    def interval(many):
        bars = chance.uniform(1, 2, many)
        return skill_interval(bars * chance.normal(0.8, 0.1, many), bars, seed=0)

    few, more = interval(8), interval(200)
    assert few[0] < 0.2 < few[1] + 0.1 and more[0] < 0.2 < more[1]
    assert more[1] - more[0] < few[1] - few[0]
