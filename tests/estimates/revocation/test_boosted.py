from __future__ import annotations

import numpy as np
import pytest

from tradewind.estimates.revocation import boosted, empirical
from tradewind.estimates.revocation.evaluation import answers, asked_of
from tradewind.estimates.revocation.experience import experience_of


@pytest.fixture(scope="module")
def learned(priced):
    experience = experience_of(priced)
    return boosted.learn(experience, np.arange(2500), many=6000)


def test_chances_fall_in_the_bid_and_rise_in_the_horizon(priced, learned):
    experience = experience_of(priced)
    cases = asked_of(experience, np.arange(0, 3400, 40)).cases
    ages = np.random.default_rng(0).uniform(0, 86400, len(cases))
    for each in (cases, cases.known_before(ages)):
        chances = answers(learned, experience, each)
        assert (np.diff(chances, axis=1) <= 1e-12).all()
        assert (np.diff(chances, axis=2) >= -1e-12).all()
        assert ((chances >= 0) & (chances <= 1)).all()


def test_it_learns_what_the_frequencies_miss(priced, learned):
    """Out of sample on the made-up market it is no worse than `empirical`."""
    experience = experience_of(priced)
    asked = asked_of(experience, np.arange(2560, 3400, 3))
    usual = empirical.learn(experience, np.arange(2500))
    error, bar = (
        float(((answers(model, experience, asked.cases) - asked.came) ** 2).mean())
        for model in (learned, usual)
    )
    assert error < 1.02 * bar


def test_where_little_is_known_the_frequencies_answer(priced):
    experience = experience_of(priced)
    cases = asked_of(experience, np.arange(50, 60)).cases
    model, usual = boosted.learn(experience, np.arange(20)), empirical.learn(experience, np.arange(20))
    assert np.array_equal(answers(model, experience, cases), answers(usual, experience, cases))


def test_without_prices_every_bid_is_the_same(counted):
    experience = experience_of(counted)
    model = boosted.learn(experience, np.arange(2000), many=3000)
    chances = answers(model, experience, asked_of(experience, np.arange(2100, 2300)).cases)
    assert np.ptp(chances, axis=1).max() == 0
    assert np.ptp(chances[:, 0, 2]) > 0.05, "and the moments differ"


def test_nothing_asked_is_nothing_answered(priced, learned):
    experience = experience_of(priced)
    cases = asked_of(experience, np.arange(10)).cases.chosen(np.zeros(0, np.int64))
    assert answers(learned, experience, cases).shape == (0, 10, 5)
