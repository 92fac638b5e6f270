"""Rules by their names: every one of the table works, and what is misspelt is said."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

from tradewind.errors import Misuse
from tradewind.tuning.interface import Stopper
from tradewind.tuning.rules import SEARCHERS, STOPPERS, chosen, searcher, stopper
from tradewind.tuning.search.population import PopulationTraining
from tradewind.tuning.search.random import RandomSearch
from tradewind.tuning.space import Space
from tradewind.tuning.stopping.asha import Asha
from tradewind.tuning.stopping.median_rule import MedianRule
from tradewind.tuning.study import Study

SPACE = Space.of({"x": {"low": -1.0, "high": 1.0}, "n": {"low": 1, "high": 4}})
OPTIONS = {
    "random": {"seed": 3}, "grid": {"points": 3}, "sobol": {"seed": 1}, "gp": {"initial": 2, "seed": 2},
    "tpe": {"seed": 1, "n_startup_trials": 2}, "cmaes": {"seed": 1}, "pbt": {"interval": 2, "members": 4},
    "median": {"least": 2}, "asha": {"eta": 2}, "hyperband": {"eta": 2}, "decay_curve": {"least": 3},
    "early_curve": {"theta": 0.5}, "last_value": {"share": 0.5}, "race": {"share": 0.5},
}  # fmt: skip


@pytest.mark.parametrize("name", SEARCHERS)
def test_every_rule_of_search_tries_settings_of_the_space(name):
    study = Study(SPACE, search={"name": name, **OPTIONS.get(name, {})}, steps=4, trials=4)
    study.run(lambda trial: trial["x"] ** 2 + trial["n"])
    assert len(study.trials) == 4 and all(SPACE.fits(each.setting) for each in study.trials)
    assert study.search.propose(SPACE, [], 0) == searcher(
        name, SPACE, steps=4, **OPTIONS.get(name, {})
    ).propose(SPACE, [], 0)


@pytest.mark.parametrize("name", STOPPERS)
def test_every_rule_of_stopping_judges_trials_of_that_length(name):
    study = Study(SPACE, stop=name, steps=6, trials=3)
    assert isinstance(study.stop, Stopper) and study.stop.max_steps == 6

    def objective(trial) -> float:
        for step in range(trial.step + 1, 7):
            trial.report(step, trial["n"] + 1 / step)
        return float(trial["n"])

    study.run(objective)
    assert study.finished
    rule = stopper(name, 6, **OPTIONS.get(name, {}))
    assert all(getattr(rule, key) == value for key, value in OPTIONS.get(name, {}).items())


def test_a_rule_may_be_given_as_it_is():
    random, median = RandomSearch(4), MedianRule(5)
    assert chosen(random, median, SPACE, None) == (random, median)
    look, end = chosen(None, None, SPACE, None)
    assert isinstance(look, RandomSearch) and end is None


def test_hyphens_capitals_and_optunas_own_spelling_are_understood():
    assert isinstance(stopper("Early-Curve", 9), type(stopper("early_curve", 9)))
    assert searcher("CMA-ES", SPACE).sampler == searcher("cmaes", SPACE).sampler == "cma-es"


def test_a_population_stops_its_members_itself():
    look, end = chosen({"name": "pbt", "interval": 2}, None, SPACE, 8)
    assert isinstance(look, PopulationTraining) and end is look
    assert chosen({"name": "pbt", "interval": 2}, "pbt", SPACE, 8)[1].interval == 2
    with pytest.raises(Misuse, match="PopulationTraining says itself"):
        chosen(look, "median", SPACE, 8)
    with pytest.raises(Misuse, match="PopulationTraining says itself"):
        chosen(look, Asha(8), SPACE, 8)
    with pytest.raises(Misuse, match="is no rule"):
        chosen("random", "pbt", SPACE, 8)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"search": "gpp"}, "Did you mean 'gp'"),
        ({"search": "bayesian"}, "Known: cmaes, gp, grid, pbt, random, sobol, tpe"),
        ({"search": {"initial": 3}}, "search: name: it does not say which rule"),
        ({"search": {"name": "gp", "intial": 3}}, "gp: intial: .*Did you mean 'initial'"),
        ({"search": {"name": "random", "self": 3}}, "random: self"),
        ({"search": {"name": "tpe", "sampler": "gp"}}, "tpe: sampler"),
        ({"search": {"name": "tpe", "startup": 1}}, "tpe"),
        ({"search": {"name": "gp", "initial": 0}}, "initial"),
        ({"search": {"name": "pbt", "interval": 2}}, "pbt: steps: it is not said"),
        ({"search": "pbt", "steps": 8}, "pbt: interval: is missing"),
        ({"search": RandomSearch}, "search: .*Give an instance, or a name"),
        ({"search": 3}, "search: 3 is no rule"),
        ({"stop": "ahsa", "steps": 4}, "Did you mean 'asha'"),
        ({"stop": "asha"}, "asha: steps: it is not said"),
        ({"stop": {"name": "asha", "max_steps": 3}, "steps": 4}, "asha: max_steps"),
        ({"stop": {"name": "asha", "etta": 3}, "steps": 4}, "Did you mean 'eta'"),
        ({"stop": "asha", "steps": 0}, "max_steps"),
        ({"stop": MedianRule}, "stop: .*Give an instance"),
        ({"stop": RandomSearch()}, "stop: .*is no rule"),
        ({"stop": MedianRule(5), "steps": 6}, "6 are not the 5"),
    ],
)
def test_what_is_no_rule_is_said(options, said):
    with pytest.raises(Misuse, match=said):
        Study(SPACE, **options)


def test_every_option_of_a_rule_may_be_said():
    for name in SEARCHERS.keys() - {"tpe", "cmaes"}:
        rule = searcher(name, SPACE, steps=8, **OPTIONS.get(name, {}))
        hidden = {"space", "max_steps"}
        for option in inspect.signature(type(rule)).parameters.keys() - hidden:
            again = {**OPTIONS.get(name, {}), option: getattr(rule, option)}
            assert isinstance(searcher(name, SPACE, steps=8, **again), type(rule))


def test_no_rule_is_loaded_before_it_is_named():
    code = (
        "import sys, tradewind.tuning.rules as rules\n"
        "assert not any(each.startswith(('scipy', 'numba', 'optuna')) for each in sys.modules), sys.modules\n"
        "rules.stopper('asha', 9)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
