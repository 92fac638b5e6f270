"""Where a search without knowledge begins."""

import numpy as np
from configurations import SPACE, measured, view

from tradewind.advice.configuration.first_probes import latin_probe, sobol_probe
from tradewind.advice.configuration.interface import AdvisingView
from tradewind.advice.configuration.objective import Objective
from tradewind.advice.configuration.space import Configuration, ConfigurationSpace

ALL = np.arange(len(SPACE))


def walked(choose, many, seed):
    runs, open_ = (), ALL
    for _ in range(many):
        number = choose(view(*runs, seed=seed), open_)
        runs, open_ = (*runs, measured(number, 10.0)), open_[open_ != number]
    return [run.configuration for run in runs]


def test_sobol_points_are_new_each_time_and_depend_on_the_seed():
    orders = {tuple(walked(sobol_probe, 12, seed)) for seed in range(5)}
    assert len(orders) == 5 and all(sorted(order) == list(range(12)) for order in orders)


def test_points_fill_the_space_better_than_chance_does():
    def hole(numbers):
        rows = SPACE.rows
        return max(min(((rows[n] - row) ** 2).sum() for n in numbers) for row in rows)

    chance = np.random.default_rng(0)
    for choose in (sobol_probe, lambda known, open_: latin_probe(known, open_, 4)):
        filled = np.mean([hole(walked(choose, 4, seed)) for seed in range(30)])
        assert filled < np.mean([hole(chance.permutation(12)[:4]) for _ in range(200)])


def test_a_latin_hypercube_takes_each_quarter_of_a_wide_column_once():
    line = ConfigurationSpace(tuple(Configuration(f"c{n}", 1.0, {"size": n}) for n in range(40, 140)))
    for seed in range(5):
        runs = ()
        for _ in range(4):
            known = AdvisingView(line, Objective(), runs, seed=seed)
            runs = (*runs, measured(latin_probe(known, np.arange(100), 4), 1.0, space=line))
        assert sorted(run.configuration // 25 for run in runs) == [0, 1, 2, 3]


def test_where_no_features_are_told_chance_decides():
    plain = ConfigurationSpace(tuple(Configuration(f"c{n}", 1.0, {}) for n in range(9)))
    found = {
        choose(AdvisingView(plain, Objective(), seed=seed), np.arange(9))
        for choose in (sobol_probe, lambda known, open_: latin_probe(known, open_, 3))
        for seed in range(20)
    }
    assert len(found) > 4
