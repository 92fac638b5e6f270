"""Ask and tell, over one store: rules of search and stopping, kills, and drivers side by side."""

from __future__ import annotations

import doctest
import math

import pytest

import tradewind
from tradewind.errors import Misuse, Permanent
from tradewind.tuning import study as module
from tradewind.tuning.earlier_studies import Earlier
from tradewind.tuning.interface import PAUSE, STOP
from tradewind.tuning.search.gaussian_process import GaussianProcessSearch
from tradewind.tuning.search.grid import FullGrid
from tradewind.tuning.search.population import PopulationTraining
from tradewind.tuning.search.random import RandomSearch
from tradewind.tuning.space import Space
from tradewind.tuning.stopping.asha import Asha
from tradewind.tuning.stopping.last_value import LastValue
from tradewind.tuning.stopping.median_rule import MedianRule
from tradewind.tuning.stopping.race import Race
from tradewind.tuning.study import Study
from tradewind.tuning.trial import COMPLETED, FAILED, STOPPED

SPACE = {"x": {"low": -1.0, "high": 1.0}, "kind": ["a", "b"]}


def loss(setting, step: int) -> float:
    return setting["x"] ** 2 + (0.5 if setting["kind"] == "b" else 0.0) + 1.0 / step


def curve(trial, steps: int = 10) -> float:
    for step in range(trial.step + 1, steps + 1):
        trial.report(step, loss(trial, step))
        trial.checkpoint(step, f"at {step}")
    return loss(trial, steps)


def test_the_example_holds():
    assert doctest.testmod(module).failed == 0


def test_the_best_is_found_and_all_is_on_record(tmp_path):
    study = Study(SPACE, trials=18, search=GaussianProcessSearch(initial=8), store=tmp_path / "s.sqlite")
    best = study.run(curve)
    assert best.setting["kind"] == "a" and abs(best.setting["x"]) < 0.1
    assert len(study.trials) == 18 and study.finished
    again = Study(SPACE, store=tmp_path / "s.sqlite")
    assert again.best == best and again.digest() == study.digest()


def test_a_maximum_is_sought_the_same_way():
    low = Study(SPACE, trials=10, search=GaussianProcessSearch(initial=5))
    high = Study(SPACE, trials=10, search=GaussianProcessSearch(initial=5), direction="maximize")
    low.run(lambda trial: loss(trial, 1))
    high.run(lambda trial: -loss(trial, 1))
    assert [each.setting for each in low.trials] == [each.setting for each in high.trials]
    assert low.best.number == high.best.number


@pytest.mark.parametrize(
    "stop",
    [
        LastValue(10, share=0.3, top=2),
        Race(10, share=0.5, width=12),
        Asha(10, eta=2),
        Asha(10, eta=2, variant="promotion"),
        MedianRule(10, least=3),
    ],
    ids=lambda stop: type(stop).__name__ + getattr(stop, "variant", ""),
)
def test_every_rule_saves_steps_and_ends_the_study(stop):
    study = Study(SPACE, trials=12, stop=stop)
    best = study.run(curve)
    states = [each.state for each in study.trials]
    assert set(states) == {COMPLETED, STOPPED} and study.finished
    assert sum(len(each.steps) for each in study.trials) < 12 * 10
    least = min(loss(each.setting, 10) for each in study.trials)
    assert loss(best.setting, 10) <= least + 0.05
    for each in study.trials:
        assert each.reason or each.state == COMPLETED, "why it was stopped is said"
        assert each.steps == tuple(range(1, len(each.steps) + 1)), "a paused trial went on where it was"


def test_a_population_copies_its_best():
    space = Space.of(SPACE)
    rule = PopulationTraining(space, 10, interval=3, members=6)
    study = Study(space, search=rule, stop=rule)
    asked = [study.ask() for _ in range(6)]
    assert study.ask() is None and not study.finished
    for step in range(1, 11):
        for at, trial in enumerate(asked):
            while step > trial.step:
                verdict = study.report(trial, step, loss(trial, step))
                study.checkpoint(
                    trial, step, f"{trial.number} at {step}"
                ) if verdict.action == "go_on" else None
                break
            if verdict.action == "become":
                asked[at] = study.ask()
                assert asked[at].setting == verdict.setting
                assert asked[at].checkpoint.startswith(f"{verdict.parent} at")
    for trial in asked:
        study.tell(trial, loss(trial, 10))
    assert any(each.parent is not None for each in study.trials)
    assert study.finished and study.best.final < 0.7


def test_what_is_tried_ends_with_the_space():
    study = Study({"kind": ["a", "b", "c"]}, search=FullGrid())
    study.run(lambda trial: {"a": 2.0, "b": 1.0, "c": 3.0}[trial["kind"]])
    assert [each.setting["kind"] for each in study.trials] == ["a", "b", "c"]
    assert study.best.setting == {"kind": "b"}


def test_money_ends_it():
    study = Study(SPACE, budget=1.0)

    def costly(trial) -> float:
        trial.report(1, 0.0, dollars=0.4)
        return loss(trial, 1)

    study.run(costly)
    assert len(study.trials) == 3 and study.dollars == pytest.approx(1.2)
    assert study.ended == "the budget of 1 US dollars is spent: 1.2"


def test_the_best_within_a_budget_is_of_what_it_pays_for():
    """With what a trial costs known, nothing is begun that the budget does not pay for."""
    study = Study(SPACE, budget=1.0, least=0.4)
    running = [study.ask(), study.ask()]
    assert study.ask() is None and not study.finished
    for trial in running:
        study.tell(trial, loss(trial, 1), dollars=0.4)
    assert study.finished and study.ask() is None
    assert study.ended == "0.2 of 1 US dollars are left, and a trial costs 0.4"
    assert study.best.final == min(each.final for each in study.trials)


def test_a_budget_that_one_trial_spends_ends_the_study_and_is_told():
    study = Study(SPACE, budget=1.0)
    study.tell(study.ask(), 0.5, dollars=2.5)
    assert study.ask() is None and study.best.number == 0
    assert study.ended == "the budget of 1 US dollars buys no trial: trial 0 alone cost 2.5"


def test_its_seconds_pass_whoever_drives_it_and_if_nobody_does(tmp_path):
    moment = [1000.0]
    options = {"seconds": 60.0, "store": tmp_path / "s.sqlite", "now": lambda: moment[0]}
    study = Study(SPACE, **options)
    study.tell(study.ask(), 1.0)
    moment[0] += 50.0
    again = Study(SPACE, **options)
    trial = again.ask()
    moment[0] += 10.0
    assert again.ask() is None and not again.finished, "what has begun is brought to its end"
    again.tell(trial, 0.5)
    assert again.finished and again.ended == "the study's 60 seconds are over"
    assert Study(SPACE, **options).ask() is None and again.best.final == 0.5


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        (math.nan, "the objective gave nan"),
        (math.inf, "the objective gave inf"),
        (-math.inf, "the objective gave -inf"),
        (None, "the objective gave None"),
        ("0.5", "'0.5' is no number"),
        ([1.0, 2.0], "is no number"),
        (ValueError("no data"), "ValueError: no data"),
    ],
)
def test_a_failure_is_the_trials_own(what, reason):
    def objective(trial):
        if trial.number == 0:
            if isinstance(what, Exception):
                raise what
            return what
        return loss(trial, 1)

    study = Study(SPACE, trials=3)
    study.run(objective)
    assert study.trials[0].state == FAILED and reason in study.trials[0].reason
    assert [each.state for each in study.trials[1:]] == [COMPLETED, COMPLETED]


@pytest.mark.parametrize(
    ("reports", "reason"),
    [
        ([(3, 1.0), (2, 1.0)], "step: 2 is not after 3"),
        ([(3, 1.0), (3, 1.0)], "step: 3 is not after 3"),
        ([(-1, 1.0)], "step: -1 is no step"),
        ([(1.5, 1.0)], "step: 1.5 is no whole number"),
        ([("2", 1.0)], "step: '2' is no whole number"),
        ([(1, "0.5")], "value: '0.5' is no number"),
        ([(1, None)], "value: None is no number"),
    ],
)
@pytest.mark.parametrize("direct", [False, True])
def test_a_report_that_makes_no_sense_fails_its_trial(reports, reason, direct):
    study = Study(SPACE, trials=2)
    if direct:
        trial = study.ask()
        with pytest.raises(Misuse, match=reason):
            for step, value in reports:
                study.report(trial, step, value)
        study.tell(trial, 1.0)
        return

    def objective(trial) -> float:
        for step, value in reports if trial.number == 0 else ():
            trial.report(step, value)
        return 1.0

    assert study.run(objective).number == 1
    assert study.trials[0].state == FAILED and reason in study.trials[0].reason


def test_values_on_the_way_that_are_no_numbers_are_kept_and_hurt_nobody():
    study = Study(SPACE, trials=8, stop=MedianRule(4, least=2))

    def objective(trial) -> float:
        for step in range(1, 5):
            trial.report(step, {0: math.nan, 1: -math.inf, 2: math.inf}.get(trial.number, 1.0 / step))
        return 1.0

    study.run(objective)
    assert all(each.state == COMPLETED for each in study.trials[3:])
    assert math.isnan(study.trials[0].values[0]) and study.trials[1].values[0] == -math.inf


def test_a_study_in_which_everything_fails_is_given_up():
    tried = []

    def broken(trial) -> float:
        tried.append(trial.number)
        raise OSError("no such file: data.csv")

    study = Study(SPACE, trials=100)
    with pytest.raises(Permanent, match=r"study: 10 trials failed one after another.*OSError: no such file"):
        study.run(broken)
    assert len(tried) == 10 and study.finished and "10 trials failed" in study.ended
    with pytest.raises(Misuse, match=r"no trial is completed of 10; of 10 that failed: OSError: no such"):
        _ = study.best
    # who has mended it goes on
    again = Study(SPACE, trials=100, store=study.store, failures=3)
    assert not again.finished
    with pytest.raises(Permanent, match="3 trials failed"):
        again.run(broken)
    mended = Study(SPACE, trials=20, store=study.store)
    assert mended.run(lambda trial: loss(trial, 1)).number >= 13
    endless = Study(SPACE, trials=12, failures=None)
    with pytest.raises(Misuse, match="no trial is completed of 12"):
        endless.run(broken)


def test_now_and_then_a_failure_ends_nothing():
    study = Study(SPACE, trials=12, failures=3)
    study.run(lambda trial: math.nan if trial.number % 3 else 1.0)
    assert [each.state for each in study.trials].count(FAILED) == 8 and study.finished


class Nothing:
    def propose(self, space, trials, number):
        return None


class Elsewhere:
    def propose(self, space, trials, number):
        return {"x": 3.0, "kind": "a"}


def test_a_search_without_any_fitting_setting_is_told():
    study = Study(SPACE, search=Nothing())
    with pytest.raises(Misuse, match="no trial is completed"):
        study.run(lambda trial: 1.0)
    assert study.ended == "Nothing has nothing to try: no setting is possible"
    with pytest.raises(Misuse, match=r"Elsewhere: x: 3.0 is outside"):
        Study(SPACE, search=Elsewhere()).ask()


def test_conditions_that_never_hold_are_told():
    space = {
        "kind": ["a", "b"],
        "depth": {"low": 1, "high": 3, "when": {"kind": "a"}},
        "width": {"low": 1, "high": 3, "when": {"kind": "b", "depth": [1, 2]}},
    }
    with pytest.raises(Misuse, match=r"width: its condition never holds: no value of kind .*kind and depth"):
        Study(space)
    space["width"]["when"] = {"kind": ["a", "b"], "depth": 2}
    assert len(Study(space).space) == 3


def test_an_interrupted_driver_gives_its_trial_back():
    study = Study(SPACE, trials=2)

    def objective(trial):
        if trial.step == 0:
            trial.report(1, 5.0)
            trial.checkpoint(1, "here")
            raise KeyboardInterrupt
        assert (trial.step, trial.place) == (1, "here")
        return loss(trial, 1)

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            study.run(objective)
        study.tell(again := study.ask(), 1.0)
        assert again.step == 1 and again.checkpoint == "here"
    assert [each.moves for each in study.trials] == [1, 1] and not any(each.failures for each in study.trials)


def test_a_trial_is_stopped_by_somebody_else():
    study = Study(SPACE, trials=1)
    trial = study.ask()
    other = Study(SPACE, store=study.store)
    assert other.kill(0, "too dear")
    verdict = study.report(trial, 1, 0.5)
    assert (verdict.action, verdict.reason) == (STOP, "too dear")
    assert study.trials[0].state == STOPPED and not other.kill(0)


def test_a_study_goes_on_only_as_it_began():
    study = Study(SPACE, trials=1)
    study.run(lambda trial: 0.0)
    with pytest.raises(Misuse, match="direction"):
        Study(SPACE, direction="maximize", store=study.store)
    with pytest.raises(Misuse, match="space"):
        Study({"x": {"low": -1.0, "high": 2.0}, "kind": ["a", "b"]}, store=study.store)
    with pytest.raises(Misuse, match="about"):
        Study(SPACE, store=study.store, about={"data": "abc"})
    told = Study(SPACE, name="told", store=study.store, about={"data": "abc"})
    with pytest.raises(Misuse, match=r"about\.data"):
        Study(SPACE, name="told", store=study.store, about={"data": "abd"})
    assert Study.open(study.store, "told").digest() == told.digest()


def test_one_that_is_there_is_opened_by_its_name(tmp_path):
    study = Study(SPACE, name="mine", direction="maximize", store=tmp_path / "s.sqlite", driver="boss")
    trial = study.ask()
    other = Study.open(tmp_path / "s.sqlite", "mine", stop="last_value", steps=10, driver="worker")
    assert (other.space, other.direction, other.name) == (study.space, "maximize", "mine")
    assert [other.report(trial, step, 0.5).action for step in range(1, 5)] == ["go_on"] * 3 + [PAUSE]
    assert study.trials[0].values == (0.5,) * 4 and study.trials[0].state == "paused"
    with pytest.raises(Misuse, match="Did you mean 'mine'"):
        Study.open(tmp_path / "s.sqlite", "mime")
    with pytest.raises(Misuse, match="there is no such file"):
        Study.open(tmp_path / "t.sqlite", "mine")
    assert not (tmp_path / "t.sqlite").exists()
    study.store.create("strange", {"kind": "else"})
    with pytest.raises(Misuse, match="strange: is no study of this kind"):
        Study.open(study.store, "strange")


def shown(store, name: str = "old", scale: float = 1.0, direction: str = "minimize") -> Study:
    """A study of the same space with 14 trials at random."""
    old = Study(SPACE, name=name, direction=direction, trials=14, store=store, search=RandomSearch(5))
    old.run(lambda trial: scale * loss(trial, 1) + (300.0 if abs(scale) > 1 else 0.0))
    return old


GP, TPE = {"name": "gp", "initial": 10}, {"name": "tpe", "n_startup_trials": 10}


@pytest.mark.parametrize(
    ("kind", "search"), [("identical", GP), ("transfer", GP), ("transfer", TPE), ("listed", TPE)]
)
def test_it_begins_with_what_earlier_studies_had_shown(tmp_path, kind, search):
    if kind == "transfer":
        shown(tmp_path / "old.sqlite", scale=-1000.0, direction="maximize")
        earlier = Earlier("old", store=tmp_path / "old.sqlite")
    else:
        old = shown(tmp_path / "old.sqlite")
        trials = old.trials if kind == "listed" else None
        earlier = Earlier("old", store=tmp_path / "old.sqlite", identical=True, trials=trials)
    warm, cold = [], []
    for seed in range(4):
        options = {"trials": 2, "search": {**search, "seed": seed}}
        study = Study(SPACE, store=tmp_path / "new.sqlite", name=f"new {seed}", earlier=[earlier], **options)
        study.run(lambda trial: loss(trial, 1))
        warm += [each.final for each in study.trials]
        other = Study(SPACE, **options)
        other.run(lambda trial: loss(trial, 1))
        cold += [each.final for each in other.trials]
        assert len(study.trials) == 2 and study.dollars == 0.0, "foreign trials are not its own"
    assert sum(warm) / 8 < 1.2 < 1.35 < sum(cold) / 8
    assert study.notes[0].startswith("14 trials of 'old', with")
    again = Study(SPACE, name="new 3", store=tmp_path / "new.sqlite")
    assert again.notes == study.notes and again.earlier == study.earlier, "named again or not"


def test_earlier_trials_outside_the_space_are_left_out_and_said(tmp_path):
    old = shown(tmp_path / "s.sqlite")
    narrow = {**SPACE, "x": {"low": -0.5, "high": 0.5}}
    study = Study(narrow, store=tmp_path / "s.sqlite", earlier=[Earlier("old"), Earlier("none", trials=())])
    fitting = [each for each in old.trials if abs(each.setting["x"]) <= 0.5]
    assert [each.number for each in study.earlier[0].trials] == [each.number for each in fitting]
    assert study.earlier[0].left_out == 14 - len(fitting) > 0
    assert f"{14 - len(fitting)} outside the space left out (x: " in study.notes[0]
    assert study.notes[1].startswith("0 trials of 'none'")


def test_rules_of_stopping_do_not_see_earlier_trials(tmp_path):
    shown(tmp_path / "s.sqlite")
    seen = []

    class Looking(MedianRule):
        def judge(self, trial, trials):
            seen.append([each.foreign for each in trials])
            return super().judge(trial, trials)

    study = Study(SPACE, trials=4, stop=Looking(10, least=1), store=tmp_path / "s.sqlite",
                  earlier=[Earlier("old", identical=True)])  # fmt: skip
    study.run(curve)
    assert seen and not any(any(each) for each in seen)
    assert study.best.number in range(4)


def test_what_is_no_earlier_study_is_told(tmp_path):
    shown(tmp_path / "s.sqlite")
    options = {"store": tmp_path / "s.sqlite"}
    with pytest.raises(Misuse, match=r"there is no study 'odl'.*Did you mean 'old'"):
        Study(SPACE, name="one", earlier=[Earlier("odl")], **options)
    with pytest.raises(Misuse, match="there is no such file"):
        Study(SPACE, name="one", earlier=[Earlier("old", store=tmp_path / "t.sqlite")], **options)
    with pytest.raises(Misuse, match="does not begin with itself"):
        Study(SPACE, name="two", earlier=[Earlier("two")], **options)
    Study(SPACE, name="three", earlier=[Earlier("old")], **options)
    with pytest.raises(Misuse, match="identical = True is not what this study began with"):
        Study(SPACE, name="three", earlier=[Earlier("old", identical=True)], **options)


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"direction": "minimise"}, "Did you mean 'minimize'"),
        ({"trials": 0}, "trials"),
        ({"budget": 0.0}, "budget"),
        ({"budget": math.nan}, "budget"),
        ({"budget": 1.0, "least": 2.0}, "budget: 1 buys no trial, for one costs 2"),
        ({"seconds": 0.0}, "seconds: 0.0 buys no trial"),
        ({"failures": 0}, "failures"),
        ({"space": {}}, "nothing to search"),
    ],
)
def test_what_cannot_be_meant(options, field):
    with pytest.raises(Misuse, match=field):
        Study(options.pop("space", SPACE), **options)


def test_a_misspelt_parameter_is_told():
    study = Study({"minibatch_size": [100, 1000]}, trials=1)
    with pytest.raises(Misuse, match="Did you mean 'minibatch_size'"):
        _ = study.ask()["minibach_size"]


def test_nothing_completed_has_no_best():
    with pytest.raises(Misuse, match="no trial is completed"):
        _ = Study(SPACE, search=RandomSearch(3)).best


def test_it_is_at_the_front_door():
    assert tradewind.Study is Study
