"""Whole studies: of a learner, of a function, in this process and over real ones."""

import pytest

import tradewind as tw
from tradewind.data.prediction_log import FEASIBILITY, RUN_TIME, PredictionLog
from tradewind.data.trial_store import TrialStore
from tradewind.errors import Misuse
from tradewind.session.known_run_times import KnownRunTimes
from tradewind.session.tune import MACHINES, tune

SPACE = {"learning_rate": {"low": 1e-3, "high": 1.0, "log": True}, "l2": [1e-6, 1e-3]}


def rows(folder):
    lines = [
        f"{'+1' if (k * 7919) % 5 < 2 else '-1'} {1 + (k * 7919) % 5}:1 {6 + k % 5}:0.5" for k in range(600)
    ]
    (folder / "rows.libsvm").write_text("\n".join(lines) + "\n")
    return str(folder / "rows.libsvm")


def tuned(folder, **options):
    given = {"space": SPACE, "trials": 5, "epochs": 3, "runtime": "inline", "search": "random", **options}
    learner = tw.LinearLearner(loss="logistic")
    return tune(learner, rows(folder), split={"test": 0.25}, out=str(folder / "runs"), **given)


def parabola(trial, shift=0.0):
    value = (trial["x"] - shift) ** 2
    for step in range(1, 4):
        trial.report(step, value + 1 / step)
    return value


def test_a_learner_is_tuned_and_the_best_can_be_trained(tmp_path):
    found = tuned(tmp_path)
    assert found.outcome == "done" and found.trials == found.completed == 5 and found.cost == 0.0
    assert found.metric == "accuracy" and found.best.final == max(
        each.final for each in TrialStore(found.store).trials(found.name).all()
    ), "accuracy is maximized without saying so"
    assert set(found.fields) == {"learner.rate", "learner.l2"}
    assert found.fields["learner.rate"] == found.setting["learning_rate"]
    page = tmp_path / "again.html"
    found.report(page)
    assert "learning_rate" in page.read_text()
    assert (tmp_path / "runs" / "study" / "report.html").exists()


def test_a_study_of_that_name_goes_on_and_another_question_is_refused(tmp_path):
    first = tuned(tmp_path, trials=3)
    second = tuned(tmp_path, trials=5)
    assert (first.trials, second.trials) == (3, 5)
    whole = tuned(tmp_path, trials=5, name="whole")
    settings = [
        [each.setting for each in TrialStore(run.store).trials(run.name).all()] for run in (second, whole)
    ]
    assert settings[0] == settings[1], "interrupted or not, the same is tried"
    with pytest.raises(Misuse, match="another"):
        tuned(tmp_path, epochs=4)
    with pytest.raises(Misuse, match="another"):
        tuned(tmp_path, space={"l2": [0.1]})


def test_a_function_is_tuned(tmp_path):
    found = tune(
        parabola, space={"x": {"low": -1.0, "high": 1.0}}, trials=12, steps=3, search="gp", stop="median",
        arguments={"shift": 0.5}, runtime="inline", out=str(tmp_path),
    )  # fmt: skip
    assert abs(found.setting["x"] - 0.5) < 0.2 and found.fields == {} and found.outcome == "done"


def test_all_that_failed_leaves_no_best(tmp_path):
    found = tune(
        "test_tune:breaks", space={"x": [1, 2]}, trials=2, search="grid", runtime="inline", out=str(tmp_path)
    )
    assert found.best is None and found.failed == 2
    with pytest.raises(Misuse, match="no trial"):
        _ = found.setting


def breaks(trial):
    raise ValueError(f"no {trial['x']}")


def test_over_real_processes_it_finds_what_it_finds_here(tmp_path):
    here = tuned(tmp_path, name="here", trials=3)
    there = tuned(
        tmp_path, name="there", trials=3, runtime="processes", workers={"count": 2}, stop="asha",
        provider={"kind": "local", "speed": 600},
    )  # fmt: skip
    assert there.outcome == "done" and there.trials == 3 and there.cost > 0 and there.failed == 0
    curves = [
        {
            each.number: dict(zip(each.steps, each.values, strict=True))
            for each in TrialStore(run.store).trials(run.name).all()
        }
        for run in (here, there)
    ]
    for number, curve in curves[1].items():
        assert curve and all(curves[0][number][step] == value for step, value in curve.items())
    assert (tmp_path / "runs" / "there" / "journal.sqlite").exists()
    log = PredictionLog(tmp_path / "runs" / "index.sqlite")
    timed, ended = log.outcomes(RUN_TIME), log.outcomes(FEASIBILITY)
    assert timed and {row.came for row in ended} == {1.0} and log.tracked(RUN_TIME) is None
    assert len({row.workload for row in timed + ended}) == 1
    known = KnownRunTimes(log).seconds(timed[0].workload, timed[0].details["machine_type"], 1, 1.0)
    assert known.expected == timed[0].came
    tuned(
        tmp_path, name="again", trials=1, runtime="processes", workers={"count": 1},
        provider={"kind": "local", "speed": 600},
    )  # fmt: skip
    assert log.tracked(RUN_TIME, timed[0].workload).count == 1, "the second study knew what to expect"


def test_every_rule_for_machines_is_there():
    for home in MACHINES.values():
        module, _, name = home.partition(":")
        assert name in dir(__import__(module, fromlist=[name]))


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"machines": "cheapest_stpe"}, "cheapest_step"),
        ({"machines": {"name": "cheapest_step", "marign": 0.1}}, "margin"),
        ({"search": "grdi"}, "grid"),
        ({"stop": {"name": "asha", "eat": 3}}, "eta"),
        ({"metric": "acuracy"}, "accuracy"),
        ({"forecast": "lsmt", "runtime": "processes"}, "lstm"),
    ],
)
def test_what_is_wrong_is_told_before_anything_is_rented(tmp_path, options, part):
    with pytest.raises(Misuse) as told:
        tuned(tmp_path, **options)
    assert part in str(told.value)


def test_rows_that_only_this_process_has_are_refused(tmp_path):
    with pytest.raises(Misuse, match="save the rows"):
        tune(tw.LinearLearner(), ([[0.0], [1.0]], [0, 1]), space=SPACE, out=str(tmp_path))
