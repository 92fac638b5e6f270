"""What the page is given of a study: all of it once, then what is new, whoever drives the study."""

from __future__ import annotations

import math

import msgspec
import pytest

from tradewind.console.view import StudyView
from tradewind.data.trial_records import MOVE
from tradewind.data.trial_store import TrialStore
from tradewind.errors import Misuse
from tradewind.tuning.study import Study


def begun(**options) -> tuple[Study, StudyView]:
    study = Study({"x": {"low": 0.0, "high": 1.0}}, name="s", trials=4, **options)
    return study, StudyView(study.store, "s")


def points(line) -> list[tuple[int, float, float, float | None]]:
    return [(each.step, each.seconds, each.dollars, each.value) for each in line.points]


def test_a_study_is_told_whole_and_then_only_what_is_new():
    study, view = begun(direction="maximize")
    one, two = study.ask(), study.ask()
    study.report(one, 1, 0.5, dollars=0.25, seconds=10.0)
    study.report(two, 1, math.nan, dollars=0.5, seconds=10.0)
    first = view.shown()
    assert (first.study, first.direction, first.fresh) == ("s", "maximize", True)
    assert first.states == {"running": 2} and first.dollars == 0.75 and first.workers == 2
    assert [points(each) for each in first.trials] == [[(1, 10.0, 0.25, 0.5)], [(1, 10.0, 0.5, None)]]
    assert first.trials[0].setting == one.setting and first.trials[0].attempt == 1
    again = view.shown(first.sequence)
    assert again.trials == [] and not again.fresh and again.dollars == 0.75
    study.report(one, 2, 0.6, dollars=0.5, seconds=20.0)
    later = view.shown(first.sequence)
    assert [(each.number, points(each)) for each in later.trials] == [(0, [(2, 20.0, 0.5, 0.6)])]
    assert len(view.shown().trials[0].points) == 2, "another page begins from nothing"
    assert view.shown(10_000).fresh, "and so does one that saw another study of this name"
    msgspec.json.encode(view.shown())


def test_money_goes_by_the_trials_that_run_and_by_what_they_cost_lately():
    study, view = begun()
    one, two = study.ask(), study.ask()
    for step in range(1, 11):
        study.report(one, step, 1.0, dollars=0.01 * max(0, step - 5), seconds=10.0 * step)
    study.report(two, 1, 1.0, dollars=1.0, seconds=10.0)
    assert view.shown().dollars_per_second == pytest.approx(0.001 + 0.1)
    study.tell(two, 1.0)
    told = view.shown()
    assert told.dollars_per_second == pytest.approx(0.001) and told.dollars == pytest.approx(1.05)
    assert told.states == {"running": 1, "completed": 1} and told.trials[1].final == 1.0


def test_who_reports_no_time_is_reckoned_by_the_wall_over_all_attempts():
    study, view = begun()
    store = study.store
    store.add("s", {"x": 0.5}, moment=0.0)
    claim = store.claim("s", "somebody", moment=100.0)
    store.report(claim, 1, 0.9, moment=130.0)
    store.requeue(claim, "its machine went", MOVE, moment=131.0)
    claim = store.claim("s", "another", moment=500.0)
    store.report(claim, 2, 0.8, moment=510.0)
    assert points(view.shown().trials[0]) == [(1, 30.0, 0.0, 0.9), (2, 40.0, 0.0, 0.8)]
    assert view.shown().trials[0].attempt == 2


def test_workers_are_those_that_drivers_noted_and_one_a_trial_elsewhere():
    study, view = begun()
    one, _ = study.ask(), study.ask()
    study.store.note("s", "workers", number=0, document={"workers": 5})
    assert view.shown().workers == 6
    study.store.note("s", "quality", number=0, document={"quality": 0.875, "metric": "accuracy"})
    told = view.shown()
    assert told.trials[0].quality == "accuracy 0.875"
    assert [each.number for each in view.shown(told.sequence - 1).trials] == [0], "a note is news"
    study.requeue(one, "elsewhere")
    assert view.shown().workers == 1
    study.ask()
    assert view.shown().workers == 2, "what was noted of an attempt ends with it"


def test_why_a_trial_ended_is_told_and_that_its_end_is_wanted():
    study, view = begun()
    one, two = study.ask(), study.ask()
    study.kill(0, "enough")
    assert view.shown().trials[0].stop_wanted == "enough" and view.shown().trials[0].state == "running"
    study.report(one, 1, 0.5)
    study.tell(two, state="failed", reason="no data")
    assert [(each.state, each.reason) for each in view.shown().trials] == [
        ("stopped", "enough"), ("failed", "no data"),
    ]  # fmt: skip


def test_a_study_that_is_not_there_is_answered_with_the_likely_one():
    store = TrialStore("sqlite://")
    with pytest.raises(Misuse, match="Begin one first"):
        StudyView(store, "s")
    store.create("grid", {})
    with pytest.raises(Misuse, match=r"Did you mean 'grid'\?"):
        StudyView(store, "gird")
    assert StudyView(store, "grid").shown().direction == "minimize"
