"""Optuna's samplers: functions of their arguments, and as good as inside Optuna."""

import sys

import optuna
import pytest

from tradewind.errors import MissingExtra, Misuse
from tradewind.tuning.search.optuna_samplers import OptunaSearch
from tradewind.tuning.space import Space
from tradewind.tuning.trial import COMPLETED, FAILED, RUNNING, STOPPED, Trial

SPACE = Space.of(
    {
        "x": {"low": 0.0, "high": 1.0},
        "k": {"low": 1, "high": 9},
        "c": ["a", True, 1],
        "y": {"low": 1e-3, "high": 1.0, "log": True, "when": {"c": "a"}},
    }
)
BOX = Space.of({"x": {"low": 0.0, "high": 1.0}, "y": {"low": -5.0, "high": 5.0}})
NAMES = ("tpe", "cma-es", "nsga-ii", "nsga-iii", "qmc", "random")


def loss(setting):
    return (setting["x"] - 0.3) ** 2 + 0.1 * setting.get("y", 2.0) ** 2


def run(search, space, count):
    trials = []
    for number in range(count):
        setting = search.propose(space, trials, number)
        if number % 7 == 5:
            trials.append(Trial(number, setting, FAILED))
        elif number % 7 == 6:
            trials.append(Trial(number, setting, STOPPED, (1, 2), (9.0, 5.0)))
        else:
            trials.append(Trial(number, setting, COMPLETED, final=loss(setting)))
    return trials


@pytest.mark.parametrize("space", [SPACE, BOX], ids=["mixed", "box"])
@pytest.mark.parametrize("name", NAMES)
def test_a_proposal_is_a_function_of_its_arguments(name, space):
    search = OptunaSearch(name, 3)
    trials = run(search, space, 24)
    assert all(space.fits(each.setting) for each in trials)
    for number in (0, 13, 23, 24):
        fresh = OptunaSearch(name, 3).propose(space, trials[:number], number)
        assert search.propose(space, trials[:number], number) == fresh
        if number < 24:
            assert fresh == trials[number].setting
    assert OptunaSearch(name, 4).propose(space, trials[:13], 13) != trials[13].setting


@pytest.mark.parametrize("name", ["tpe", "cma-es"])
def test_what_is_kept_holds_when_trials_end_out_of_order(name):
    search, trials = OptunaSearch(name, 1), []
    for number in range(20):
        setting = search.propose(BOX, trials, number)
        assert setting == OptunaSearch(name, 1).propose(BOX, trials, number)
        trials.append(Trial(number, setting, RUNNING, (1,), (3.0,)))
        for at in range(number - 4, number - 2):
            if at >= 0 and trials[at].state == RUNNING and (at + number) % 2:
                trials[at] = Trial(at, trials[at].setting, COMPLETED, final=loss(trials[at].setting))


@pytest.mark.parametrize("name", ["tpe", "cma-es"])
def test_it_finds_better_than_chance(name):
    found = [min(loss(t.setting) for t in run(OptunaSearch(name, seed), BOX, 40)) for seed in range(3)]
    drawn = [min(loss(t.setting) for t in run(OptunaSearch("random", seed), BOX, 40)) for seed in range(3)]
    assert sum(found) < sum(drawn)


def test_cma_es_goes_on_from_generation_to_generation():
    search = OptunaSearch("cma-es", 0, popsize=6)
    trials = []
    for number in range(60):
        setting = search.propose(BOX, trials, number)
        trials.append(Trial(number, setting, COMPLETED, final=loss(setting)))
    spread = [
        max(t.setting["y"] for t in part) - min(t.setting["y"] for t in part)
        for part in (trials[1:13], trials[-12:])
    ]
    assert spread[1] < 0.5 * spread[0]


def test_a_running_trial_is_not_proposed_again():
    trials = run(OptunaSearch("tpe", 0), BOX, 25)
    search = OptunaSearch("tpe", 0)
    first = search.propose(BOX, trials, 25)
    second = search.propose(BOX, [*trials, Trial(25, first, RUNNING)], 26)
    assert first != second


def test_foreign_trials_count_where_they_fit():
    old = [
        Trial(n, {"x": n / 30, "y": 0.1}, COMPLETED, final=abs(n / 30 - 0.6), foreign="old")
        for n in range(30)
    ]
    wide = Trial(0, {"x": 7.0, "y": 0.0}, COMPLETED, final=-9.0, foreign="wide")
    found = [OptunaSearch("tpe", s).propose(BOX, [*old, wide], 0)["x"] for s in range(8)]
    assert sum(abs(each - 0.6) < 0.2 for each in found) >= 6


def test_arguments_go_to_the_sampler_and_its_words_are_kept():
    trials = run(OptunaSearch("tpe", 0), BOX, 15)
    late = OptunaSearch("tpe", 0, n_startup_trials=100).propose(BOX, trials, 15)
    assert late != OptunaSearch("tpe", 0).propose(BOX, trials, 15)
    with pytest.raises(Misuse, match="n_startup"):
        OptunaSearch("tpe", 0, n_startup=3)
    with pytest.raises(Misuse, match="Did you mean 'tpe'"):
        OptunaSearch("tpee")


def test_it_leaves_optunas_own_level_of_words_alone(capfd):
    before = optuna.logging.get_verbosity()
    run(OptunaSearch("cma-es", 0), SPACE, 10)
    assert optuna.logging.get_verbosity() == before
    assert capfd.readouterr().err == ""


def test_without_optuna_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MissingExtra, match=r"tradewind\[tuning\]"):
        OptunaSearch()


@pytest.mark.parametrize(
    ("name", "package", "extra"), [("cma-es", "cmaes", "tuning"), ("gp", "torch", "deep")]
)
def test_what_a_sampler_needs_besides_is_named(monkeypatch, name, package, extra):
    trials = run(OptunaSearch("random", 0), BOX, 20)
    # Optuna imports it where it is first used, and may have.
    for known in [each for each in sys.modules if each.startswith(("optuna", package))]:
        monkeypatch.delitem(sys.modules, known)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtra, match=rf"{package}.*tradewind\[{extra}\]"):
        OptunaSearch(name).propose(BOX, trials, 20)
