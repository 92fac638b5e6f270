"""Fits fold by fold: what travels to other processes, what is kept, and what an interruption costs."""

from __future__ import annotations

import pickle
import threading
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.metrics import check_scoring
from sklearn.model_selection import KFold
from sklearn.svm import SVC

from tradewind.session.search_cv_run import Run, Work, folds_of, heard, rows_of
from tradewind.session.search_cv_space import Searched
from tradewind.tuning.search.grid import FullGrid
from tradewind.tuning.study import Study
from tradewind.tuning.trial import COMPLETED, RUNNING, WAITING

X, y = load_iris(return_X_y=True)
SEARCHED = Searched({"C": [0.1, 1.0, 10.0]})


def work(estimator=None, scoring="accuracy", folds=3):
    estimator = SVC() if estimator is None else estimator
    how = {
        "scorer": check_scoring(estimator, scoring), "fit_params": {}, "score_params": {}, "verbose": 0,
        "return_train_score": True, "error_score": np.nan, "return_times": True,
    }  # fmt: skip
    splits = list(KFold(folds, shuffle=True, random_state=0).split(X))
    return Work(estimator=estimator, X=X, y=y, splits=splits, how=how)


def run(study, **changes):
    search = SimpleNamespace(
        n_splits_=3, seconds=None, n_jobs=None, pre_dispatch="2*n_jobs", store="kept", **changes
    )
    return Run(search, study, SEARCHED, changes.pop("work", None) or work(), "score", True)


def study(tmp_path, **options):
    store = tmp_path / "s.sqlite"
    return Study(SEARCHED.space, name="s", direction="maximize", search=FullGrid(), store=store, **options)


def test_what_is_to_be_fitted_travels_and_measures_the_same():
    here, there = work(), pickle.loads(pickle.dumps(work()))
    for fold in range(3):
        one, other = (each.measured({"C": 0.5}, fold) for each in (here, there))
        assert one["test_scores"] == other["test_scores"] and one["train_scores"] == other["train_scores"]
    assert here.estimator.C == 1.0 and not hasattr(here.estimator, "classes_"), "a clone was fitted"


def test_folds_are_kept_as_they_were_measured(tmp_path):
    mine = study(tmp_path)
    done = run(mine)
    done.to_the_end()
    assert [each.state for each in mine.trials] == [COMPLETED] * 3
    kept = folds_of(Study.open(tmp_path / "s.sqlite", "s"))
    assert kept == done.measured, "what is read back is what was there, to the bit"
    candidates, out, folds = rows_of(mine.trials, kept, SEARCHED, 3)
    assert candidates == [{"C": 0.1}, {"C": 1.0}, {"C": 10.0}] and folds == [3, 3, 3] and len(out) == 9
    for number, trial in enumerate(mine.trials):
        scores = [each["test_scores"] for each in out[3 * number : 3 * number + 3]]
        assert trial.final == np.mean(scores)
        assert trial.values == tuple(np.mean(scores[: k + 1]) for k in range(3)), (
            "a fold's step is the mean so far"
        )
        assert trial.seconds == pytest.approx(
            sum(each["fit_time"] + each["score_time"] for each in out[3 * number : 3 * number + 3])
        )


def test_an_interruption_gives_candidates_back_and_keeps_their_folds(tmp_path):
    mine = study(tmp_path)
    fits = []

    class Tired(SVC):
        def fit(self, X, y):
            fits.append(self.C)
            if len(fits) == 5:
                raise KeyboardInterrupt
            return super().fit(X, y)

    with pytest.raises(KeyboardInterrupt):
        run(mine, work=work(Tired())).to_the_end()
    assert [each.state for each in mine.trials] == [COMPLETED, WAITING] and mine.trials[1].moves == 1
    run(mine, work=work(Tired())).to_the_end()
    assert fits == [0.1, 0.1, 0.1, 1.0, 1.0, 1.0, 1.0, 10.0, 10.0, 10.0], (
        "only the one that was cut off again"
    )
    assert [each.state for each in mine.trials] == [COMPLETED] * 3


def test_what_was_measured_and_not_yet_told_is_not_measured_again(tmp_path):
    """As a kill leaves it between the last fold and the candidate's end."""
    mine = study(tmp_path)
    done = run(mine)
    done.to_the_end()
    other = Study(
        SEARCHED.space, name="t", direction="maximize", search=FullGrid(), store=tmp_path / "s.sqlite"
    )
    asked = other.ask()
    for fold in range(3):
        document = done.measured[0][fold]
        other.store.note("t", "search_cv fold", number=0, document=document)
        if fold < 2:
            other.report(asked, fold + 1, 0.5)
    other.requeue(asked, "killed", "failure")
    again = run(other)
    again.to_the_end()
    assert 0 not in again.measured and set(again.measured) == {1, 2}
    assert other.trials[0].final == mine.trials[0].final and len(other.trials[0].steps) == 3


def test_one_that_somebody_else_took_or_stopped_is_let_go(tmp_path):
    mine = study(tmp_path, lease=1.0)
    rival = Study.open(tmp_path / "s.sqlite", "s", search=FullGrid(), driver="rival")
    calls = []

    class Watched(SVC):
        def fit(self, X, y):
            calls.append(self.C)
            if len(calls) == 2:
                rival.store.release("s", mine.driver, "a mistake")
                assert rival.ask().number == 0
            if self.C == 1.0:
                mine.kill(1, "too dear")
            return super().fit(X, y)

    process = run(mine, work=work(Watched()))
    process.seconds = 1e9
    process._late = lambda: len(calls) > 3
    process.to_the_end()
    states = [each.state for each in mine.trials]
    assert states[0] == RUNNING and mine.trials[0].driver == "rival" and states[1] == "stopped"
    assert mine.trials[1].reason == "too dear"


def test_what_is_claimed_is_kept_while_a_long_fit_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr("tradewind.session.search_cv_run.BEAT", 0.01)
    beats, three = [], threading.Event()
    mine = study(tmp_path)
    real = mine.store.heartbeat

    def heartbeat(*names, **moments):
        beats.append(real(*names, **moments))
        if len(beats) == 3:
            three.set()

    monkeypatch.setattr(mine.store, "heartbeat", heartbeat)
    mine.ask()
    with heard(mine):
        assert three.wait(30)
    assert beats[0] == {0: ""}
