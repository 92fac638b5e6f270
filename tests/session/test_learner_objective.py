"""Trials that train a learner of ours: what they report, and that being stopped changes nothing of it."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
from small_specs import inline

from tradewind.algorithms.linear.learner import LinearLearner
from tradewind.data.tensor_files import read_tensors
from tradewind.errors import Misuse
from tradewind.session import learner_objective
from tradewind.session.learner_objective import judged_by, objective, steps
from tradewind.session.learner_space import spec_with
from tradewind.session.train import train
from tradewind.tuning.attempt import Over
from tradewind.tuning.search.population import PopulationTraining
from tradewind.tuning.space import Space
from tradewind.tuning.stopping.asha import Asha
from tradewind.tuning.stopping.last_value import LastValue
from tradewind.tuning.study import Study
from tradewind.tuning.trial import COMPLETED, FAILED, STOPPED

MODES = pytest.mark.parametrize("mode", ["bulk_synchronous", "stale_synchronous", "asynchronous"])


class Recorded:
    """A trial that keeps what it is told, makes a checkpoint after each step and may be stopped."""

    def __init__(self, setting, folder, place="", stop=None):
        self.setting, self.place, self.folder, self.stop = setting, place, folder, stop
        self.reports, self.places = [], {}

    def keep(self, save):
        self.save = save

    def report(self, step, value):
        self.reports.append((step, value))
        path = self.folder / f"{step}-{len(list(self.folder.iterdir()))}"
        self.save(path)
        self.places[step] = path
        if step == self.stop:
            raise Over


@pytest.fixture
def rows(tmp_path):
    (tmp_path / "kept").mkdir()
    write_noise(tmp_path / "rows.libsvm", 410)
    return {"path": str(tmp_path / "rows.libsvm"), "split": {"test": 0.2}}


def write_noise(path, count):
    """Rows that cannot be told apart well; of 410 some 330 are to learn from, which no part divides."""
    chance = np.random.default_rng(5)
    x = chance.normal(size=(count, 4)).round(3)
    y = np.where(x[:, 0] + chance.normal(size=count) > 0, "+1", "-1")
    lines = [
        f"{label} " + " ".join(f"{k + 1}:{v}" for k, v in enumerate(row))
        for label, row in zip(y, x, strict=True)
    ]
    path.write_text("\n".join(lines) + "\n")


def fields(rows, **changes):
    return {
        "learner": "LinearLearner",
        "data": rows,
        "epochs": 4,
        "batch": 20,
        "parts": 3,
        "metric": "log_loss",
        **changes,
    }


def test_it_learns_what_a_run_learns(rows, tmp_path):
    """Bit for bit: the quality of the finished model is that of `train`."""
    trial = Recorded({"learning_rate": 0.3, "minibatch_size": 15}, tmp_path / "kept")
    value = objective(trial, **fields(rows, metric=""))
    (tmp_path / "prices.csv").write_text("")
    run = train(
        inline(
            tmp_path, data=rows, epochs=4, batch=15, parts=3, learner={"kind": "LinearLearner", "rate": 0.3}
        )
    )
    assert trial.reports[-1] == (4, value) and [step for step, _ in trial.reports] == [1, 2, 3, 4]
    assert value == run.quality
    header = json.loads(read_tensors(trial.places[4])[1]["header"])
    assert all(each["left"] for each in header["workers"]), "the state that is kept is the finished one"


@MODES
@pytest.mark.parametrize("rows_per_step", [None, 250])
def test_stopped_after_any_step_it_goes_on_bit_for_bit(rows, tmp_path, mode, rows_per_step):
    told = partial(
        objective,
        **fields(
            rows,
            consistency=mode,
            staleness=2 if mode == "stale_synchronous" else 0,
            rows_per_step=rows_per_step,
        ),
    )
    whole = Recorded({"rate": 0.3}, tmp_path / "kept")
    final = told(whole)
    assert len(whole.reports) == (4 if rows_per_step is None else 5)
    for stop in range(1, len(whole.reports) + 1, 2):
        begun = Recorded({"rate": 0.3}, tmp_path / "kept", stop=stop)
        with pytest.raises(Over):
            told(begun)
        rest = Recorded({"rate": 0.3}, tmp_path / "kept", place=str(begun.places[stop]))
        assert told(rest) == final
        assert begun.reports + rest.reports == whole.reports
        last = len(whole.reports)
        if stop < last:
            arrays, again = read_tensors(whole.places[last])[0], read_tensors(rest.places[last])[0]
            assert {k: v.tobytes() for k, v in arrays.items()} == {k: v.tobytes() for k, v in again.items()}


def test_another_process_goes_on_where_this_one_stopped(rows, tmp_path):
    whole = Recorded({"rate": 0.3}, tmp_path / "kept")
    final = objective(whole, **fields(rows))
    code = (
        "import json, sys; from tradewind.session.learner_objective import objective\n"
        "class Trial:\n"
        "    setting, place = {'rate': 0.3}, sys.argv[2]\n"
        "    def keep(self, save): pass\n"
        "    def report(self, step, value): print(step, value.hex())\n"
        "print(objective(Trial(), **json.loads(sys.argv[1])).hex())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps(fields(rows)), str(whole.places[2])],
        capture_output=True, text=True, check=True, env=os.environ,
    )  # fmt: skip
    told = [f"{step} {value.hex()}" for step, value in whole.reports[2:]] + [final.hex()]
    assert done.stdout.split("\n")[:-1] == told


@pytest.mark.parametrize("damage", ["gone", "cut", "other"])
def test_a_checkpoint_that_is_lost_costs_steps_and_not_the_trial(rows, tmp_path, damage):
    whole = Recorded({"rate": 0.3}, tmp_path / "kept")
    final = objective(whole, **fields(rows))
    place = whole.places[2]
    if damage == "gone":
        place.unlink()
    elif damage == "cut":
        place.write_bytes(place.read_bytes()[:-40])
    else:
        place.write_bytes(b"something else altogether")
    again = Recorded({"rate": 0.3}, tmp_path / "kept", place=str(place))
    assert objective(again, **fields(rows)) == final and again.reports == whole.reports


def test_other_rows_than_it_began_with_are_refused(rows, tmp_path):
    whole = Recorded({}, tmp_path / "kept")
    objective(whole, **fields(rows))
    write_noise(tmp_path / "rows.libsvm", 400)
    with pytest.raises(Misuse, match="other rows"):
        objective(Recorded({}, tmp_path / "kept", place=str(whole.places[2])), **fields(rows))


def test_a_setting_takes_over_what_another_learned(rows, tmp_path):
    """As in population-based training: with its own rate, batch and order of reading from there on."""
    first = Recorded({"rate": 0.5}, tmp_path / "kept")
    objective(first, **fields(rows))
    place = str(first.places[2])
    other = Recorded({"rate": 0.01, "batch": 10}, tmp_path / "kept", place=place)
    objective(other, **fields(rows))
    assert [step for step, _ in other.reports] == [3, 4]
    before, after = read_tensors(first.places[2])[0], read_tensors(other.places[3])[0]
    moved = max(
        float(np.abs(after[key] - before[key]).max()) for key in before if key.startswith("weights/values")
    )
    fast = read_tensors(first.places[3])[0]
    further = max(
        float(np.abs(fast[key] - before[key]).max()) for key in before if key.startswith("weights/values")
    )
    assert 0 < moved < further / 4, "it goes on from those weights, at its own rate"
    header = json.loads(read_tensors(other.places[4])[1]["header"])
    assert all(each["left"] for each in header["workers"])
    with pytest.raises(Misuse, match="other tables"):
        objective(Recorded({"optimizer": "ftrl"}, tmp_path / "kept", place=place), **fields(rows))


def test_a_population_runs_through_a_study(rows, tmp_path):
    space = Space.of({"rate": {"low": 0.001, "high": 1.0, "log": True}})
    rule = PopulationTraining(space, 4, interval=1, members=5)
    study = Study(space, search=rule, stop=rule)
    asked = [study.ask() for _ in range(5)]
    open_ = {each.number: each for each in asked}
    for number, trial in list(open_.items()):
        for verdict in _through(study, trial, rows, tmp_path):
            if verdict == "become":
                open_[number] = study.ask()
    study.run(partial(objective, **fields(rows)), folder=tmp_path / "kept")
    children = [each for each in study.trials if each.parent is not None]
    assert children and not [each.reason for each in study.trials if each.state == FAILED]
    assert all(each.steps[-1] == 4 for each in study.trials if each.state == COMPLETED)


def _through(study, trial, rows, tmp_path):
    """Report and keep step by step, as somebody who drives trials himself."""

    class Driven(Recorded):
        def report(self, step, value):
            path = tmp_path / "kept" / f"{trial.number}-{step}"
            self.save(path)
            study.checkpoint(trial, step, str(path))
            verdict = study.report(trial, step, value)
            if verdict.action != "go_on":
                raise Over(verdict.action)

    try:
        study.tell(
            trial, objective(Driven(trial.setting, tmp_path / "kept", trial.checkpoint), **fields(rows))
        )
    except Over as over:
        yield str(over)


def test_a_study_stops_and_ends(rows, tmp_path):
    study = Study(
        {"rate": {"low": 1e-4, "high": 1.0, "log": True}, "batch": [10, 20]}, trials=8, stop=Asha(4, eta=2)
    )
    best = study.run(partial(objective, **fields(rows)), folder=tmp_path / "kept")
    assert {each.state for each in study.trials} == {COMPLETED, STOPPED}
    assert best.final == min(each.final for each in study.trials if each.state == COMPLETED)
    spec = spec_with(inline(tmp_path, data=rows), best.setting)
    assert spec.learner.arguments == {"loss": "logistic", "rate": best.setting["rate"]}


def test_one_that_was_paused_goes_on_from_its_checkpoint(rows, tmp_path):
    space = {"rate": {"low": 1e-4, "high": 1.0, "log": True}}
    study = Study(space, trials=5, stop=LastValue(4, share=0.5, top=2))
    study.run(partial(objective, **fields(rows)), folder=tmp_path / "kept")
    whole = Study(space, trials=5)
    whole.run(partial(objective, **fields(rows)))
    done = [each for each in study.trials if each.state == COMPLETED]
    assert len(done) == 2 and len(list((tmp_path / "kept").iterdir())) == 5
    for each in done:
        assert (each.attempt, each.checkpoint_step, each.redone) == (2, 2, 0)
        assert (each.values, each.final) == (
            whole.trials[each.number].values,
            whole.trials[each.number].final,
        )


class Odd(LinearLearner):
    """Its models score what is not finite; from the second step on, where its state stays finite."""

    def __init__(self, score: str = "nan", broken: bool = False) -> None:
        super().__init__()
        self.score_, self.broken = float(score), broken

    def initialize(self, state, sample):
        super().initialize(state, sample)
        if self.broken:
            state.initialize("broken", np.zeros(1))

    def update(self, state, stream, synchronized):
        super().update(state, map(partial(self._spoiled, state), stream), synchronized)

    def _spoiled(self, state, batch):
        if self.broken:
            state.push("broken", np.array([np.nan]))
        return batch

    def finalize(self, state, **config):
        model = super().finalize(state, **config)
        object.__setattr__(self, "scored", getattr(self, "scored", 0) + 1)
        if self.scored > 1 or self.broken:
            return SimpleNamespace(metric="", score=lambda batch, metric: self.score_)
        return model


@pytest.mark.parametrize(
    ("options", "values"),
    [
        ({"score": "nan"}, 4),
        ({"score": "inf"}, 4),
        ({"score": "-inf"}, 4),
        ({"score": "nan", "broken": True}, 1),
    ],
)
def test_values_that_are_not_finite_are_recorded(rows, options, values):
    study = Study({"batch": [20]}, search="grid")
    told = fields(rows, learner={"kind": "test_learner_objective:Odd", **options})
    with contextlib.suppress(Misuse):  # there may be no best
        study.run(partial(objective, **told))
    (trial,) = study.trials
    assert (len(trial.values), trial.state) == (values, FAILED), trial.reason
    assert repr(trial.values[-1]) == options["score"]
    assert f"the objective gave {options['score']}" in trial.reason


def test_a_setting_that_diverges_fails_alone(rows, tmp_path):
    study = Study({"rate": [1e30, 0.1]}, search="grid")
    told = fields(
        rows, learner={"kind": "LinearLearner", "optimizer": "sgd", "loss": "squared"}, metric="mse"
    )
    best = study.run(partial(objective, **told))
    assert best.number == 1 and study.trials[0].state == FAILED
    assert "Give a smaller rate" in study.trials[0].reason


def test_the_rows_are_read_once_for_each_version(rows, tmp_path, monkeypatch):
    reads = []
    real = learner_objective.material_of
    monkeypatch.setattr(learner_objective, "material_of", lambda *a: reads.append(1) or real(*a))
    for rate in (0.1, 0.2, 0.3):
        objective(Recorded({"rate": rate}, tmp_path / "kept"), **fields(rows, epochs=1))
    assert len(reads) == 1
    objective(Recorded({"loss": "squared"}, tmp_path / "kept"), **fields(rows, epochs=1, metric="mse"))
    write_noise(tmp_path / "rows.libsvm", 300)
    before = len(reads)
    objective(Recorded({"rate": 0.1}, tmp_path / "kept"), **fields(rows, epochs=1))
    assert len(reads) == before + 1


def test_validation_rows_come_before_test_rows(rows, tmp_path):
    write_noise(tmp_path / "valid.libsvm", 90)
    write_noise(tmp_path / "test.libsvm", 80)
    values = {}
    for name, more in (
        ("test", {"test": "test.libsvm"}),
        ("validation", {"validation": "valid.libsvm"}),
        ("both", {"test": "test.libsvm", "validation": "valid.libsvm"}),
    ):
        data = {"path": rows["path"], **{key: str(tmp_path / file) for key, file in more.items()}}
        values[name] = objective(Recorded({}, tmp_path / "kept"), **fields(data))
    assert values["both"] == values["validation"] != values["test"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"data": "adult"}, "no rows are held back"),
        ({"rows_per_step": 0}, "rows_per_step"),
        ({"learner": "LinearLerner"}, "LinearLearner"),
        ({"epoch": 3}, "epochs"),
        ({"metric": "acuracy"}, "accuracy"),
        ({"learner": {"kind": "LinearLearner", "los": "hinge"}}, "loss"),
    ],
)
def test_what_cannot_be_meant_is_refused(rows, tmp_path, change, told):
    trial = Recorded({}, tmp_path / "kept")
    with pytest.raises(Misuse, match=told):
        objective(trial, **{**fields(rows), **change})
    assert not trial.reports


def test_steps_are_counted_before_anything_runs(rows):
    told = {key: value for key, value in fields(rows).items() if key != "metric"}
    assert steps(**told) == 4 == steps(**told, setting={"batch": 7})
    assert steps(**told, setting={"epochs": 9}) == 9
    assert steps(**told, rows_per_step=250) == 5
    assert steps(**told, rows_per_step=10**9) == 1
    assert steps(**told, rows_per_step=1) == 4 * 6, "a round of batches at least"


@pytest.mark.parametrize(
    ("learner", "metric", "found"),
    [
        ("LinearLearner", "", ("accuracy", "maximize")),
        ("LinearLearner", "log_loss", ("log_loss", "minimize")),
        ({"kind": "KMeans", "k": 3}, "", ("msd", "minimize")),
        ("PCA", "", ("variance_captured", "maximize")),
    ],
)
def test_which_way_a_metric_is_better_is_known(rows, learner, metric, found):
    assert judged_by(**fields(rows, learner=learner, metric=metric)) == found


def test_a_metric_is_checked_before_any_trial(rows):
    with pytest.raises(Misuse, match="accuracy"):
        judged_by(**fields(rows, metric="acuracy"))
    with pytest.raises(Misuse, match="direction"):
        judged_by(**fields(rows, learner="ColumnScaler", metric=""))
    assert judged_by(**fields(rows, learner="ColumnScaler", metric="", direction="minimize"))[1] == "minimize"


@pytest.mark.parametrize(
    "learner",
    [
        {"kind": "KMeans", "k": 3},
        "FactorizationMachineClassifier",
        {
            "kind": "PartialFitLearner",
            "estimator": "sklearn.linear_model:SGDClassifier",
            "arguments": {"loss": "log_loss"},
        },
    ],
)
def test_other_learners_go_on_where_they_stopped(rows, tmp_path, learner):
    told = fields(rows, learner=learner, metric="", epochs=2)
    whole = Recorded({}, tmp_path / "kept")
    final = objective(whole, **told)
    rest = Recorded({}, tmp_path / "kept", place=str(whole.places[1]))
    assert objective(rest, **told) == final and rest.reports == whole.reports[1:]
