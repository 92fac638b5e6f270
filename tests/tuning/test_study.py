"""Ask and tell, over one store: rules of search and stopping, kills, and drivers side by side."""

from __future__ import annotations

import doctest
import math
import os
import signal
import subprocess
import sys
import threading
from itertools import count

import pytest

import tradewind
from tradewind.errors import Misuse
from tradewind.tuning import study as module
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
from tradewind.tuning.trial import COMPLETED, FAILED, RUNNING, STOPPED

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
    study = Study(SPACE, trials=25, search=GaussianProcessSearch(initial=8), store=tmp_path / "s.sqlite")
    best = study.run(curve)
    assert best.setting["kind"] == "a" and abs(best.setting["x"]) < 0.1
    assert len(study.trials) == 25 and study.finished
    again = Study(SPACE, store=tmp_path / "s.sqlite")
    assert again.best == best and again.digest() == study.digest()


def test_a_maximum_is_sought_the_same_way():
    low = Study(SPACE, trials=15, search=GaussianProcessSearch(initial=5))
    high = Study(SPACE, trials=15, search=GaussianProcessSearch(initial=5), direction="maximize")
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


@pytest.mark.parametrize("what", [math.nan, None, ValueError("no data")])
def test_a_failure_is_the_trials_own(what):
    def objective(trial):
        if trial.number == 0:
            if isinstance(what, Exception):
                raise what
            return what
        return loss(trial, 1)

    study = Study(SPACE, trials=3)
    study.run(objective)
    first = study.trials[0]
    assert first.state == FAILED and ("no data" in first.reason or "the objective gave" in first.reason)
    assert [each.state for each in study.trials[1:]] == [COMPLETED, COMPLETED]


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


def test_threads_share_a_study_and_try_each_setting_once(tmp_path):
    place, seen = tmp_path / "s.sqlite", []

    def work() -> None:
        study = Study(SPACE, trials=24, stop=LastValue(6, share=0.5), store=place)
        while not study.finished:
            trial = study.ask()
            if trial is None:
                continue
            seen.append((trial.number, trial.step))
            for step in range(trial.step + 1, 7):
                study.checkpoint(trial, step, str(step))
                if study.report(trial, step, loss(trial, step)).action == PAUSE:
                    break
            else:
                study.tell(trial, loss(trial, 6))

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    study = Study(SPACE, store=place)
    assert len(seen) == len(set(seen)) == 24 + 3
    assert sorted(each.state for each in study.trials).count(COMPLETED) == 3
    assert len({tuple(each.setting.values()) for each in study.trials}) == 24


DRIVER = """
import sys
from tradewind.tuning.stopping.asha import Asha
from tradewind.tuning.study import Study

study = Study({"x": {"low": 0.0, "high": 1.0}}, trials=9, stop=Asha(8, eta=2), store=sys.argv[1], lease=0.05)
while not study.finished:
    trial = study.ask()
    if trial is None:
        continue
    for step in range(trial.step + 1, 9):
        study.checkpoint(trial, step, str(step))
        if study.report(trial, step, trial["x"] + 1 / step).action != "go_on":
            break
        print(trial.number, step, flush=True)
    else:
        study.tell(trial, trial["x"] + 1 / 8)
print("done", flush=True)
"""


def test_a_killed_driver_costs_neither_a_trial_nor_a_step(tmp_path):
    """Killed again and again, it ends with the curves and verdicts of a driver that nobody killed."""

    def drive(place, lines: int | None) -> bool:
        """Whether it came to its end; it is killed once it has said so many lines."""
        with subprocess.Popen(
            [sys.executable, "-c", DRIVER, str(place)], stdout=subprocess.PIPE, text=True, env=os.environ
        ) as process:
            for said in count(1):
                line = process.stdout.readline().strip()
                if line == "done":
                    return True
                assert line, "the driver failed"
                if said == lines:
                    process.send_signal(signal.SIGKILL)
                    return False
        raise AssertionError

    assert drive(tmp_path / "whole.sqlite", None)
    for lines in (1, 7, 4):
        assert not drive(tmp_path / "killed.sqlite", lines)
    assert drive(tmp_path / "killed.sqlite", None)
    space = {"x": {"low": 0.0, "high": 1.0}}
    whole = Study(space, store=tmp_path / "whole.sqlite").trials
    killed = Study(space, store=tmp_path / "killed.sqlite").trials
    assert [(each.setting, each.steps, each.values, each.state, each.final) for each in killed] == [
        (each.setting, each.steps, each.values, each.state, each.final) for each in whole
    ]
    assert sum(each.releases for each in killed) <= 3 and not any(each.failures for each in killed)
    assert not any(each.state == RUNNING for each in killed)


def test_a_study_goes_on_only_as_it_began():
    study = Study(SPACE, trials=1)
    study.run(lambda trial: 0.0)
    with pytest.raises(Misuse, match="direction"):
        Study(SPACE, direction="maximize", store=study.store)
    with pytest.raises(Misuse, match="space"):
        Study({"x": {"low": -1.0, "high": 2.0}, "kind": ["a", "b"]}, store=study.store)


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"direction": "minimise"}, "Did you mean 'minimize'"),
        ({"trials": 0}, "trials"),
        ({"budget": 0.0}, "budget"),
        ({"budget": math.nan}, "budget"),
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
