"""MArk's network: its slopes, what it learns of a load with a rhythm, and when it is learned anew."""

import numpy as np
import pytest

from tradewind.estimates.load import lstm
from tradewind.estimates.load.lstm import AHEAD, Lstm, Network, loss, said


def rhythm(minutes, seed=0):
    """Half an hour's course and noise."""
    chance = np.random.default_rng(seed)
    return 100.0 + 30.0 * np.sin(2 * np.pi * np.arange(minutes) / 30) + chance.normal(0.0, 1.0, minutes)


def drawn(seed=0):
    chance = np.random.default_rng(seed)
    return {name: each.astype(np.float64) for name, each in lstm._drawn(chance).items()}


def test_the_slopes_are_those_of_the_loss():
    chance = np.random.default_rng(1)
    weights, step = drawn(), 1e-5
    inputs, targets = chance.uniform(-1, 1, (3, 7)), chance.uniform(-1, 1, (3, AHEAD))
    told, slopes = loss(weights, inputs, targets)
    assert told == pytest.approx(float(((said(weights, inputs) - targets) ** 2).mean()), rel=1e-5)
    for name, each in weights.items():
        at = tuple(int(chance.integers(size)) for size in each.shape)
        kept = each[at]
        each[at] = kept + step
        above, _ = loss(weights, inputs, targets)
        each[at] = kept - step
        below, _ = loss(weights, inputs, targets)
        each[at] = kept
        assert slopes[name][at] == pytest.approx((above - below) / (2 * step), rel=1e-4, abs=1e-8), name


def test_it_learns_a_rhythm_that_persistence_misses():
    rates = rhythm(2 * 1440)
    network = lstm.learn(rates[:1440])
    origins = np.arange(1440, 2 * 1440 - AHEAD, 13)
    moves = network.moves(rates, origins)
    for ahead in (1, 10, 20):
        came = rates[origins + ahead] - rates[origins]
        assert np.sqrt(np.mean((moves[:, ahead - 1] - came) ** 2)) < 0.5 * np.sqrt(np.mean(came**2))


def test_it_knows_nothing_of_what_is_to_come():
    rates = rhythm(200)
    network = Network(lstm._drawn(np.random.default_rng(0)), -10.0, 10.0)
    changed = np.concatenate((rates[:151], np.zeros(49)))
    assert (network.moves(rates, np.array([150])) == network.moves(changed, np.array([150]))).all()


def test_it_is_learned_once_a_week_and_before_the_first_day_is_persistence(monkeypatch):
    cuts = []

    def learned(past):
        cuts.append((len(past.rates), float(past.rates[-1])))
        return Network(lstm._drawn(np.random.default_rng(0)), -1.0, 1.0)

    monkeypatch.setattr(lstm, "_learned", learned)
    week, start = 7 * 1440, 100 * 7 * 1440 * 60.0
    rates = np.arange(3.0 * week)
    young = Lstm().forecast(rates[:1439], start + 1439 * 60.0, 60.0, 3)
    assert cuts == [] and young.mean == (1438.0,) * 3
    for known in (1500, 2 * week, 3 * week - 1):
        Lstm().forecast(rates[max(0, known - 2 * week) : known], start + known * 60.0, 60.0, 3)
    six = 6 * 1440
    assert cuts == [(1440, 1439.0), *[(six, 2 * week - 1.0)] * 2]
