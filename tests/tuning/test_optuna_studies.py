"""Studies that come from Optuna and go there, by the real Optuna, and lose nothing on the way."""

from __future__ import annotations

import json
import math
import sys

import optuna
import pytest
from optuna.trial import TrialState

from tradewind.errors import MissingExtra, Misuse
from tradewind.tuning.optuna_studies import from_optuna, to_optuna
from tradewind.tuning.search.random import RandomSearch
from tradewind.tuning.space import Choice, Float, Integer, Space
from tradewind.tuning.study import Study
from tradewind.tuning.trial import COMPLETED, FAILED, PAUSED, RUNNING, STOPPED, WAITING

optuna.logging.set_verbosity(optuna.logging.ERROR)

SPACE = {
    "rate": {"low": 1e-4, "high": 1.0, "log": True},
    "depth": {"low": 1, "high": 9},
    "wide": {"low": 1, "high": 512, "log": True},
    "kind": ["a", "b", True, None, 0.5],
    "tail": {"low": 0.0, "high": 1.0, "when": {"kind": ["b", True]}},
}


def theirs(direction: str = "minimize"):
    """A study of Optuna's with a trial in every state."""
    study = optuna.create_study(
        direction=direction, sampler=optuna.samplers.RandomSampler(3), study_name="theirs"
    )
    study.set_user_attr("who", {"name": "me", "age": math.inf})

    def objective(trial: optuna.Trial) -> float:
        rate = trial.suggest_float("rate", 1e-4, 1.0, log=True)
        step = trial.suggest_float("step", 0.0, 1.0, step=0.1)
        units = trial.suggest_int("units", 8, 64, step=8)
        many = trial.suggest_int("many", 0, 10_000, step=2)
        kind = trial.suggest_categorical("kind", ["a", "b", None])
        tail = trial.suggest_float("tail", 0.0, 1.0) if kind == "b" else 0.0
        trial.set_user_attr("seen", {"number": trial.number})
        for at in range(3):
            trial.report(rate + step + at, at * 2)
        if trial.number % 4 == 1:
            raise optuna.TrialPruned
        if trial.number % 4 == 2:
            raise ValueError("it broke")
        return rate + step + units + many + tail

    study.optimize(objective, n_trials=12, catch=ValueError)
    study.enqueue_trial(
        {"rate": 0.1, "step": 0.2, "units": 16, "many": 4, "kind": "a"}, user_attrs={"mine": 1}
    )
    return study


def frozen(trial) -> dict:
    return {
        "number": trial.number, "state": trial.state, "value": trial.value, "params": trial.params,
        "distributions": trial.distributions, "curve": trial.intermediate_values,
        "user": {key: value for key, value in trial.user_attrs.items() if not key.startswith("tradewind:")},
        "system": trial.system_attrs,
    }  # fmt: skip


def test_optunas_study_comes_whole_and_goes_back(tmp_path):
    before = theirs("maximize")
    study = from_optuna(before, store=tmp_path / "s.sqlite", trials=15, search=RandomSearch(1))
    assert study.name == "theirs" and study.direction == "maximize"
    kinds = {each.name: each.of for each in study.space.parameters}
    assert kinds["rate"] == Float(1e-4, 1.0, True) and kinds["kind"] == Choice(("a", "b", None))
    assert kinds["step"] == Choice(tuple(round(0.1 * at, 1) for at in range(11)))
    assert kinds["units"] == Choice((8, 16, 24, 32, 40, 48, 56, 64)) and kinds["many"] == Integer(0, 10_000)
    assert dict(study.space.parameters[-1].when) == {"kind": ("b",)}
    assert "13 trials" in study.notes[0] and "many loses its step of 2" in study.notes[0]
    assert "tail goes with kind = 'b'" in study.notes[0]
    states = {COMPLETED: TrialState.COMPLETE, STOPPED: TrialState.PRUNED, FAILED: TrialState.FAIL}
    for ours, other in zip(study.trials, before.trials, strict=True):
        assert states.get(ours.state, TrialState.WAITING) == other.state
        assert dict(zip(ours.steps, ours.values, strict=True)) == other.intermediate_values
        if ours.state == COMPLETED:
            assert ours.final == other.value and ours.seconds == other.duration.total_seconds()
    assert study.best.number == before.best_trial.number
    again = to_optuna(study)
    assert again.direction == before.direction and again.user_attrs["who"] == before.user_attrs["who"]
    for one, other in zip(again.trials, before.trials, strict=True):
        found, expected = frozen(one), frozen(other)
        # Optuna says 0.30000000000000004 where we say 0.3
        for params in (found["params"], expected["params"]):
            if params:
                params["step"] = pytest.approx(params["step"])
        assert found == expected


def test_the_study_goes_on_on_our_side():
    before = theirs()
    study = from_optuna(before, trials=16)
    first = study.ask()
    assert first.number == 12 and first.setting["units"] == 16
    study.tell(first, 1.5)
    study.run(lambda trial: float(trial["units"]))
    assert [each.state for each in study.trials[12:]] == [COMPLETED] * 4 and study.finished
    after = to_optuna(study, name="after")
    assert len(after.trials) == 16 and after.trials[12].value == 1.5
    assert after.trials[12].user_attrs["mine"] == 1
    after.sampler = optuna.samplers.TPESampler(seed=1)
    trial = after.ask()
    assert trial.number == 16
    after.tell(trial, 2.0)


def test_our_study_goes_whole_and_comes_back(tmp_path):
    study = Study(SPACE, name="ours", direction="maximize", store=tmp_path / "s.sqlite", trials=20)
    for number in range(15):
        trial = study.ask()
        for step in (1, 2, 5):
            study.report(
                trial, step, math.nan if number == 3 else number / step, dollars=step * 0.1, seconds=step / 3
            )
        study.checkpoint(trial, 5, "there")
        if number % 5 == 0:
            study.tell(trial, state=STOPPED, reason="too slow", dollars=0.7)
        elif number % 5 == 1:
            study.tell(trial, state=FAILED, reason="it broke")
        elif number % 5 == 2 and number > 5:
            continue
        else:
            study.tell(trial, float(number), seconds=12.3456789)
    study.requeue(study.ask(), "its machine was taken")
    place = tmp_path / "optuna.sqlite"
    there = to_optuna(study, storage=place)
    assert there.best_trial.number == study.best.number
    assert [each.state for each in there.trials].count(TrialState.WAITING) == 3
    assert there.best_trial.duration.total_seconds() == pytest.approx(12.345679)
    waiting = [each for each in there.trials if each.state == TrialState.WAITING]
    assert waiting[-1].user_attrs["tradewind:revocations"] == 1
    with pytest.raises(Misuse, match=r"there is a study 'ours'.*Choose another"):
        to_optuna(study, storage=place)
    back = from_optuna("ours", storage=place)
    assert back.space == study.space and back.direction == "maximize"
    for one, other in zip(back.trials, study.trials, strict=True):
        assert one.state == (WAITING if other.state in (RUNNING, PAUSED) else other.state)
        for name in ("setting", "steps", "final", "dollars", "seconds"):
            assert getattr(one, name) == getattr(other, name), (other.number, name)
        assert list(map(repr, one.values)) == list(map(repr, other.values))
        if other.state in (STOPPED, FAILED):
            assert one.reason == other.reason
    third = to_optuna(back)
    assert [frozen(each) for each in third.trials if each.number != 3] == [
        frozen(each) for each in there.trials if each.number != 3
    ]
    assert third.trials[-1].user_attrs == there.trials[-1].user_attrs


def test_a_copy_that_was_cut_short_is_gone_on_with(tmp_path, monkeypatch):
    before, place = theirs(), tmp_path / "s.sqlite"
    insert = Study.__init__.__globals__["TrialStore"].insert
    calls = []

    def failing(self, name, trial):
        calls.append(trial.number)
        if len(calls) == 6:
            raise KeyboardInterrupt
        return insert(self, name, trial)

    monkeypatch.setattr("tradewind.tuning.optuna_studies.TrialStore.insert", failing)
    with pytest.raises(KeyboardInterrupt):
        from_optuna(before, store=place)
    whole = from_optuna(before, store=place)
    assert calls == [*range(6), *range(5, 13)]
    assert whole.trials == from_optuna(before, store=place).trials
    assert [each.setting for each in whole.trials] == [each.setting for each in from_optuna(before).trials]
    assert len(whole.notes) == 1
    assert [each.user_attrs["seen"] for each in to_optuna(whole).trials[:12]] == [
        {"number": number} for number in range(12)
    ]
    with pytest.raises(Misuse, match="it has other trials"):
        other = Study(whole.space, name="theirs", trials=1, search=RandomSearch(9))
        other.ask()
        from_optuna(before, store=other.store)


def test_what_does_not_fit_a_given_space_is_left_out_and_said():
    before = theirs()
    narrow = {"rate": {"low": 1e-4, "high": 1.0, "log": True}, "units": {"low": 8, "high": 64}}
    with pytest.raises(Misuse, match=r"low"):
        from_optuna(before, space={**narrow, "units": {"low": 9, "high": 8}})
    study = from_optuna(before, space=narrow)
    assert study.trials == () and "13 outside the space were left out" in study.notes[0]
    assert "is no parameter" in study.notes[0]
    study.tell(study.ask(), 1.0)


def test_failures_that_came_along_end_nothing():
    before = optuna.create_study()
    for _ in range(12):
        before.tell(before.ask({"x": optuna.distributions.FloatDistribution(0, 1)}), state=TrialState.FAIL)
    study = from_optuna(before, trials=14)
    study.run(lambda trial: trial["x"])
    assert [each.state for each in study.trials] == [FAILED] * 12 + [COMPLETED] * 2


def test_what_only_some_trials_have_goes_with_what_tells_them_apart():
    kinds = optuna.distributions

    def study_of(*trials) -> optuna.Study:
        before = optuna.create_study()
        for params in trials:
            there = {
                name: kinds.IntDistribution(1, 6) if name == "layers" else kinds.FloatDistribution(0.0, 9.0)
                for name in params
            }
            state = TrialState.FAIL if params.get("x") == 0.5 else TrialState.COMPLETE
            before.add_trial(
                optuna.trial.create_trial(
                    state=state, value=None if state == TrialState.FAIL else 1.0, params=params,
                    distributions=there,
                )
            )  # fmt: skip
        return before

    layers = study_of({"layers": 1}, {"layers": 2, "second": 0.5}, {"layers": 5, "second": 0.6})
    space = from_optuna(layers).space
    assert dict(space.parameters[1].when) == {"layers": (2, 3, 4, 5, 6)}
    # one that failed before it asked for all tells nothing where the others tell enough
    early = study_of({"x": 0.5}, {"x": 1.0, "y": 2.0}, {"x": 2.0, "y": 3.0})
    study = from_optuna(early)
    assert study.space.parameters[1].when == () and len(study.trials) == 2
    assert "1 outside the space were left out" in study.notes[0]
    with pytest.raises(Misuse, match=r"y: trial 1 has it, trial 0 has not.*Give space="):
        from_optuna(study_of({"x": 1.5}, {"x": 1.0, "y": 2.0}))


def test_bounds_that_changed_are_the_widest_and_each_trial_keeps_its_own():
    before = optuna.create_study()
    for high in (1.0, 3.0, 2.0):
        before.tell(before.ask({"x": optuna.distributions.FloatDistribution(high - 1, high)}), high)
    study = from_optuna(before)
    assert study.space == Space.of({"x": {"low": 0.0, "high": 3.0}})
    assert [each.distributions for each in to_optuna(study).trials] == [
        each.distributions for each in before.trials
    ]


def test_several_objectives_and_empty_studies_are_refused():
    with pytest.raises(Misuse, match="2 objectives"):
        from_optuna(optuna.create_study(directions=["minimize", "maximize"]))
    with pytest.raises(Misuse, match="no trial says"):
        from_optuna(optuna.create_study())
    with pytest.raises(Misuse, match="there is no study 'gone'"):
        from_optuna("gone", storage=optuna.storages.InMemoryStorage())
    with pytest.raises(Misuse, match="there is no such file"):
        from_optuna("gone", storage="no/such/file.sqlite")
    with pytest.raises(Misuse, match="True for 1"):
        to_optuna(Study({"x": [1, True]}))


def test_without_optuna_the_extra_is_named(monkeypatch):
    study = Study({"x": [1, 2]})
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MissingExtra, match=r"tradewind\[tuning\]"):
        to_optuna(study)
    with pytest.raises(MissingExtra, match=r"tradewind\[tuning\]"):
        from_optuna("any")


def test_our_notes_are_json(tmp_path):
    study = from_optuna(theirs(), store=tmp_path / "s.sqlite")
    notes = [each for each in study.store.history("theirs") if each.kind == "noted"]
    assert len(notes) == 14 and all(json.loads(each.document["attributes"]) is not None for each in notes)
