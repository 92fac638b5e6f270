"""The drop-in for scikit-learn's searches: their results, their checks, and a kill -9 in the middle."""

from __future__ import annotations

import doctest
import json
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import warnings

import joblib
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits, load_iris
from sklearn.decomposition import PCA
from sklearn.dummy import DummyClassifier
from sklearn.exceptions import FitFailedWarning
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import accuracy_score, make_scorer
from sklearn.model_selection import GridSearchCV, GroupKFold, KFold, RandomizedSearchCV, StratifiedKFold
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils.estimator_checks import check_estimator

from tradewind.errors import Misuse
from tradewind.session import search_cv as module
from tradewind.session.search_cv import TradewindSearchCV
from tradewind.tuning.search.random import RandomSearch
from tradewind.tuning.stopping.median_rule import MedianRule
from tradewind.tuning.study import Study
from tradewind.tuning.trial import COMPLETED, FAILED, STOPPED

X, y = load_iris(return_X_y=True)
RANGES = {"C": {"low": 0.01, "high": 100.0, "log": True}, "gamma": {"low": 1e-4, "high": 10.0, "log": True}}


def same(ours, theirs):
    """Everything but times is equal, types too."""
    assert set(ours.cv_results_) == set(theirs.cv_results_)
    for key, expected in theirs.cv_results_.items():
        found = ours.cv_results_[key]
        assert type(found) is type(expected), key
        if "_time" in key:
            assert np.all(found >= 0) and found.shape == expected.shape
        elif isinstance(expected, list):
            assert str(found) == str(expected)
        else:
            np.testing.assert_array_equal(found, expected, err_msg=key)
            assert found.dtype == expected.dtype, key
    for name in ("best_index_", "best_score_", "n_splits_", "multimetric_"):
        assert getattr(ours, name, None) == getattr(theirs, name, None), name
    assert str(getattr(ours, "best_params_", None)) == str(getattr(theirs, "best_params_", None))


def test_the_example_holds():
    assert doctest.testmod(module).failed == 0


PIPE = Pipeline([("scale", StandardScaler()), ("reduce", PCA(2)), ("clf", LogisticRegression())])
GRIDS = {
    "lists": (SVC(), {"kernel": ["rbf", "linear"], "C": np.logspace(-1, 1, 3), "gamma": ["scale", 0.1]}, {}),
    "several": (SVC(), [{"kernel": ["linear"], "C": [1, 10]}, {"kernel": ["rbf"], "gamma": [0.1, 1.0]}], {}),
    "steps of a pipeline": (
        PIPE,
        [
            {"reduce": ["passthrough", PCA(1)], "clf": [LogisticRegression(), SVC()], "clf__C": [0.1]},
            {"clf": [KNeighborsClassifier()], "clf__n_neighbors": (1, 5)},
        ],
        {},
    ),
    "twice the same": (KNeighborsClassifier(), {"n_neighbors": [3, 3, 5], "weights": ["uniform", None]}, {}),
    "nothing": (KNeighborsClassifier(), {}, {}),
    "train scores": (
        DecisionTreeClassifier(random_state=0), {"max_depth": [1, 2, None]}, {"return_train_score": True}
    ),
    "a metric": (SVC(), {"C": [0.1, 1.0]}, {"scoring": "f1_macro", "cv": 3}),
    "metrics": (
        SVC(), {"C": [0.001, 1.0]},
        {"scoring": ["accuracy", "f1_macro"], "refit": "f1_macro", "return_train_score": True},
    ),
    "metrics, no refit": (
        SVC(), {"C": [0.01, 1.0]},
        {"scoring": {"a": "accuracy", "b": make_scorer(accuracy_score)}, "refit": False},
    ),
    "a function of results": (
        SVC(), {"C": [0.01, 1.0, 9.0]}, {"refit": lambda results: int(results["rank_test_score"].argmax())}
    ),
    "a function of metrics": (
        SVC(), {"C": [0.01, 1.0]},
        {"scoring": lambda e, X, y: {"right": e.score(X, y), "wrong": 1 - e.score(X, y)}, "refit": "right"},
    ),
    "jobs": (SVC(), {"C": [0.1, 1.0, 2.0, 3.0, 4.0]}, {"n_jobs": 2, "cv": 2}),
}  # fmt: skip


@pytest.mark.parametrize("name", GRIDS)
def test_a_grid_gives_what_grid_search_gives(name):
    estimator, grid, options = GRIDS[name]
    with joblib.parallel_config(backend="threading"):
        ours = TradewindSearchCV(estimator, grid, search="grid", **options).fit(X, y)
    theirs = GridSearchCV(estimator, grid, **{**options, "n_jobs": None}).fit(X, y)
    same(ours, theirs)
    if options.get("refit", True):
        np.testing.assert_array_equal(ours.predict(X), theirs.predict(X))
        assert ours.score(X, y) == theirs.score(X, y)


def test_digits_too_with_the_other_methods():
    rows, labels = load_digits(return_X_y=True)
    rows, labels = rows[:400], labels[:400]
    grid = {"n_components": [4, 8]}
    ours, theirs = (kind.fit(rows) for kind in (
        TradewindSearchCV(PCA(), grid, search="grid", cv=KFold(3)), GridSearchCV(PCA(), grid, cv=KFold(3))
    ))  # fmt: skip
    same(ours, theirs)
    np.testing.assert_array_equal(ours.transform(rows), theirs.transform(rows))
    np.testing.assert_array_equal(
        ours.inverse_transform(ours.transform(rows)), theirs.inverse_transform(theirs.transform(rows))
    )
    assert not hasattr(ours, "predict")
    more = {"C": [0.1, 1.0]}, {"cv": 2}
    ours = TradewindSearchCV(LogisticRegression(max_iter=900), more[0], search="grid", **more[1]).fit(X, y)
    theirs = GridSearchCV(LogisticRegression(max_iter=900), more[0], **more[1]).fit(X, y)
    for method in ("predict_proba", "predict_log_proba", "decision_function"):
        np.testing.assert_array_equal(getattr(ours, method)(X), getattr(theirs, method)(X))
    assert list(ours.classes_) == [0, 1, 2] and ours.n_features_in_ == 4


def test_weights_and_groups_go_where_they_go():
    weights, groups = np.linspace(0.1, 2.0, len(y)), np.arange(len(y)) % 7
    found = []
    for kind, options in ((TradewindSearchCV, {"search": "grid"}), (GridSearchCV, {})):
        search = kind(LogisticRegression(), {"C": [0.1, 1.0]}, cv=GroupKFold(3), **options)
        found.append(search.fit(X, y, sample_weight=weights, groups=groups))
    same(*found)
    np.testing.assert_array_equal(found[0].best_estimator_.coef_, found[1].best_estimator_.coef_)


def test_routed_metadata_goes_where_it_goes():
    import sklearn

    weights, groups = np.linspace(0.1, 2.0, len(y)), np.arange(len(y)) % 7
    with sklearn.config_context(enable_metadata_routing=True):
        estimator = LogisticRegression().set_fit_request(sample_weight="heed")
        scorer = make_scorer(accuracy_score).set_score_request(sample_weight=True)
        found = []
        for kind, options in ((TradewindSearchCV, {"search": "grid"}), (GridSearchCV, {})):
            search = kind(estimator, {"C": [0.1, 1.0]}, cv=GroupKFold(3), scoring=scorer, **options)
            found.append(search.fit(X, y, heed=weights, sample_weight=weights, groups=groups))
        same(*found)
        with pytest.raises(TypeError, match="nobody"):
            found[0].fit(X, y, nobody=weights)


def test_it_passes_scikit_learns_checks():
    search = TradewindSearchCV(Ridge(), {"alpha": RANGES["C"]}, n_iter=2, cv=2, error_score="raise")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        results = check_estimator(search, on_fail=None)
    failed = {each["check_name"] for each in results if each["status"] == "failed"}
    assert failed <= {"check_supervised_y_2d", "check_requires_y_none"}, "which GridSearchCV fails as well"
    assert sum(each["status"] == "passed" for each in results) > 45


def test_it_is_cloned_pickled_set_and_part_of_a_pipeline(tmp_path):
    search = TradewindSearchCV(SVC(), RANGES, n_iter=3, store=tmp_path / "s.sqlite", random_state=1)
    assert clone(search).get_params()["n_iter"] == 3
    search.set_params(n_iter=4, estimator__kernel="sigmoid", name="other")
    assert search.estimator.kernel == "sigmoid"
    pipe = Pipeline([("scale", StandardScaler()), ("search", search)]).fit(X, y)
    again = pickle.loads(pickle.dumps(pipe))
    np.testing.assert_array_equal(again.predict(X), pipe.predict(X))
    assert len(again["search"].trials_) == 4 == len(Study.open(tmp_path / "s.sqlite", "other").trials)


@pytest.mark.parametrize(
    "search", ["gp", "random", "sobol", "tpe", {"name": "gp", "initial": 3}, RandomSearch(4)]
)
def test_ranges_are_searched(search):
    found = [
        TradewindSearchCV(SVC(), RANGES, search=search, n_iter=6, cv=3, random_state=5).fit(X, y)
        for _ in range(2)
    ]
    assert found[0].cv_results_["params"] == found[1].cv_results_["params"], "the same seed, the same search"
    assert len(found[0].cv_results_["params"]) == 6 and found[0].best_score_ > 0.9
    assert all(0.01 <= each["C"] <= 100.0 for each in found[0].cv_results_["params"])
    assert [each.state for each in found[0].trials_] == [COMPLETED] * 6


def test_another_seed_tries_others():
    one, other = (
        TradewindSearchCV(SVC(), RANGES, search="random", n_iter=3, cv=2, random_state=seed).fit(X, y)
        for seed in (1, np.random.RandomState(2))
    )
    assert one.cv_results_["params"] != other.cv_results_["params"]


def test_what_is_listed_is_drawn_once_and_all_of_it_where_that_is_little():
    grid = {"n_neighbors": list(range(1, 8)), "weights": ["uniform", "distance"]}
    ours = TradewindSearchCV(
        KNeighborsClassifier(), grid, search="random", n_iter=99, cv=2, random_state=0
    ).fit(X, y)
    theirs = GridSearchCV(KNeighborsClassifier(), grid, cv=2).fit(X, y)
    assert len(ours.cv_results_["params"]) == 14 and ours.best_score_ == theirs.best_score_
    assert sorted(map(str, ours.cv_results_["params"])) == sorted(map(str, theirs.cv_results_["params"]))
    assert ours.cv_results_["params"] != theirs.cv_results_["params"]
    few = TradewindSearchCV(KNeighborsClassifier(), grid, n_iter=50, cv=2).fit(X, y)
    assert len(few.cv_results_["params"]) == 14, "nor does the Gaussian process try one again"


def test_the_median_rule_gives_up_folds():
    options = {"n_iter": 16, "cv": 5, "random_state": 0, "search": "sobol"}
    whole = TradewindSearchCV(SVC(), RANGES, **options).fit(X, y)
    early = TradewindSearchCV(SVC(), RANGES, stop="median", **options).fit(X, y)
    folds = early.cv_results_["folds"]
    assert 16 < folds.sum() < 70 and set(folds) >= {5}
    assert early.best_score_ == whole.best_score_ and early.best_params_ == whole.best_params_
    stopped = folds < 5
    assert np.isnan(early.cv_results_["mean_test_score"][stopped]).all()
    assert not np.isnan(early.cv_results_["split0_test_score"]).any(), "what was run is told"
    assert (early.cv_results_["rank_test_score"][stopped] > (~stopped).sum()).all()
    assert [each.state == STOPPED for each in early.trials_] == stopped.tolist()
    assert "folds" not in whole.cv_results_


def test_the_objective_is_the_metric_that_refit_names():
    def judge(estimator, X, y):
        return {"size": -float(estimator.C), "right": estimator.score(X, y)}

    for refit, first in (("right", "size"), ("size", "size"), (False, "size")):
        found = TradewindSearchCV(SVC(), {"C": [0.01, 1.0]}, search="grid", cv=2, scoring=judge, refit=refit)
        found.fit(X, y)
        judged = found.cv_results_[f"mean_test_{refit or first}"]
        assert [each.final for each in found.trials_] == judged.tolist()


def test_jobs_and_rules_that_pause_go_together():
    options = {"n_iter": 8, "cv": 4, "random_state": 0, "search": "sobol"}
    rules = ("asha", {"name": "asha", "variant": "promotion", "eta": 2}, MedianRule(4, least=2), "last_value")
    whole = TradewindSearchCV(SVC(), RANGES, **options).fit(X, y)
    for jobs, rule in zip((2, 1, 1, 1), rules, strict=True):
        with joblib.parallel_config(backend="threading"):
            found = TradewindSearchCV(SVC(), RANGES, stop=rule, n_jobs=jobs, **options).fit(X, y)
        assert found.best_score_ == whole.best_score_
        assert found.cv_results_["folds"].sum() < 32 and len(found.cv_results_["folds"]) == 8


def test_no_candidate_begins_after_its_seconds():
    found = TradewindSearchCV(SVC(), RANGES, search="random", n_iter=10_000, seconds=0.2, cv=2).fit(X, y)
    assert 1 <= len(found.trials_) < 10_000
    assert len(TradewindSearchCV(SVC(), RANGES, n_iter=9, seconds=1e-9, cv=2).fit(X, y).trials_) == 1


class Picky(DummyClassifier):
    """Fails for one of its parameters."""

    def fit(self, X, y, sample_weight=None):
        if self.constant == 1:
            raise ValueError("not this one")
        return super().fit(X, y, sample_weight)


def test_a_fit_that_fails_is_recorded():
    grid = {"constant": [0, 1, 2], "strategy": ["constant"]}
    with (
        pytest.warns(FitFailedWarning, match="5 fits failed out of a total of 15"),
        pytest.warns(UserWarning),
    ):
        ours = TradewindSearchCV(Picky(), grid, search="grid").fit(X, y)
    with pytest.warns(FitFailedWarning), pytest.warns(UserWarning):
        same(ours, GridSearchCV(Picky(), grid).fit(X, y))
    assert [each.state for each in ours.trials_] == [COMPLETED, FAILED, COMPLETED]
    assert ours.trials_[1].reason == "ValueError: not this one"
    with pytest.warns(FitFailedWarning):
        ours = TradewindSearchCV(Picky(), grid, search="grid", error_score=-1).fit(X, y)
    assert ours.cv_results_["mean_test_score"][1] == -1
    with pytest.raises(ValueError, match="not this one"):
        TradewindSearchCV(Picky(), grid, search="grid", error_score="raise").fit(X, y)
    with pytest.raises(ValueError, match="All the 5 fits failed"):
        TradewindSearchCV(Picky(), {"constant": [1]}, search="grid").fit(X, y)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"param_grid": {"gama": [1]}}, "'gama' is no parameter of SVC. Did you mean 'gamma'"),
        ({"param_grid": {"C": {"low": 2.0, "high": 1.0}}}, "nothing lies from 2.0 to 1.0"),
        ({}, "nothing is"),
        ({"param_grid": {"C": [1]}, "param_distributions": {"C": [1]}}, "both are given"),
        ({"param_grid": {"C": [1]}, "search": "gpp"}, "'gpp' is no rule. Did you mean 'gp'"),
        ({"param_grid": {"C": [1]}, "stop": "mediam"}, "Did you mean 'median'"),
        ({"param_grid": {"C": [1]}, "stop": MedianRule(7)}, "5 are not the 7"),
        ({"param_grid": {"C": [1]}, "n_iter": 0}, "'n_iter' parameter"),
        ({"param_grid": {"C": [1]}, "seconds": 0}, "'seconds' parameter"),
        ({"param_grid": {"C": [1]}, "scoring": ["accuracy", "f1_macro"]}, "refit"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_told_before_anything_is_fitted(options, told, monkeypatch):
    monkeypatch.setattr(SVC, "fit", lambda *_: pytest.fail("something was fitted"))
    with pytest.raises(ValueError, match=told):
        TradewindSearchCV(SVC(), **options).fit(X, y)


SCRIPT = textwrap.dedent(
    """
    import contextlib, io, json, os, signal, sys
    from sklearn.datasets import load_iris
    from sklearn.svm import SVC
    from tradewind.session.search_cv import TradewindSearchCV
    from tradewind.tuning.study import Study

    fits, deadly, folder = 0, None, sys.argv[1]

    class Counted(SVC):
        def fit(self, X, y, sample_weight=None):
            global fits
            fits += 1
            if fits == deadly:
                os.kill(os.getpid(), signal.SIGKILL)
            return super().fit(X, y, sample_weight)

    def search(store, kill_at=None, **changes):
        global fits, deadly
        fits, deadly = 0, kill_at
        space = {"C": {"low": 0.01, "high": 100.0, "log": True}, "kernel": ["rbf", "linear"]}
        options = {"search": {"name": "gp", "initial": 6}, "n_iter": 8, "cv": 4, "stop": "asha", **changes}
        found = TradewindSearchCV(Counted(), space, store=f"{folder}/{store}", **options)
        results = found.fit(*load_iris(return_X_y=True)).cv_results_
        told = {key: str(value) for key, value in sorted(results.items()) if "_time" not in key}
        return {"fits": fits, "told": told}

    def forked(*arguments, **changes):
        read, write = os.pipe()
        child = os.fork()
        if not child:
            os.write(write, json.dumps(search(*arguments, **changes)).encode())
            os._exit(0)
        os.close(write)
        return child, read

    def ended(child, read):
        _, status = os.waitpid(child, 0)
        return status, b"".join(iter(lambda: os.read(read, 65536), b"")).decode()

    found = {"statuses": [ended(*forked("killed", kill_at))[0] for kill_at in (3, 8)]}
    found["rest"], found["again"] = search("killed"), search("killed")
    drawn = Study.open(f"{folder}/killed", "search").store.description("search")["about"]["random_state"]
    found["whole"] = search("whole", random_state=drawn)
    both = [forked("shared", n_iter=10, stop=None, search="sobol") for _ in range(2)]
    found["shared"] = [json.loads(ended(*each)[1]) for each in both]
    drawn = Study.open(f"{folder}/shared", "search").store.description("search")["about"]["random_state"]
    found["alone"] = search("alone", n_iter=10, stop=None, search="sobol", random_state=drawn)
    print(json.dumps(found))
    """
)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """What came of searches that were killed, and shared, in processes of their own."""
    folder = tmp_path_factory.mktemp("searches")
    threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(folder)], capture_output=True, text=True, timeout=100, check=False,
        env={**os.environ, **threads},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder, json.loads(done.stdout)


def test_killed_again_and_again_it_gives_the_same(runs):
    """kill -9, without a seed: what had been fitted is not fitted again, and nothing is decided otherwise."""
    folder, found = runs
    assert found["statuses"] == [signal.SIGKILL, signal.SIGKILL]
    assert found["rest"]["told"] == found["again"]["told"] == found["whole"]["told"]
    trials = Study.open(folder / "killed", "search").trials
    folds = sum(len(each.steps) for each in trials)
    # two and seven fits were whole at the kills, and one is of the best on all rows
    assert 2 + 7 + found["rest"]["fits"] - 1 == folds == found["whole"]["fits"] - 1
    assert found["again"]["fits"] == 1, "fitted once more it tries nothing"
    assert [each.releases for each in trials].count(1) == 2 and len(trials) == 8


def test_two_processes_share_a_search(runs):
    folder, found = runs
    assert found["shared"][0]["told"] == found["shared"][1]["told"] == found["alone"]["told"]
    assert sum(each["fits"] - 1 for each in found["shared"]) == 10 * 4, "a candidate is fitted by one of them"
    assert not any(each.releases for each in Study.open(folder / "shared", "search").trials)


def test_a_store_goes_on_with_more_and_refuses_other_things(tmp_path):
    def search(**changes):
        options = {
            "n_iter": 3,
            "cv": StratifiedKFold(3),
            "search": "sobol",
            "store": tmp_path / "s.sqlite",
            **changes,
        }
        return TradewindSearchCV(options.pop("estimator", SVC()), options.pop("space", RANGES), **options)

    first = search().fit(X, y)
    more = search(n_iter=5).fit(X, y)
    assert more.cv_results_["params"][:3] == first.cv_results_["params"] and len(more.trials_) == 5
    for rows, changes, told in (
        (X + 1, {}, "about.data"),
        (X, {"estimator": SVC(coef0=1.0)}, "about.estimator"),
        (X, {"cv": 4}, "about.cv.*shuffles needs a random_state"),
        (X, {"scoring": "f1_macro"}, "about.scoring"),
        (X, {"search": "random"}, "about.search"),
        (X, {"random_state": 77}, "about.random_state"),
        (X, {"space": {"C": [1.0, 2.0]}}, "space"),
    ):
        with pytest.raises(ValueError, match=told) as caught:
            search(**changes).fit(rows, y)
        assert isinstance(caught.value, Misuse)
    assert len(search(name="another", scoring="f1_macro").fit(X + 1, y).trials_) == 3


def test_randomized_searchs_distributions_do():
    import scipy.stats

    space = {"C": scipy.stats.loguniform(1e-2, 1e2), "gamma": scipy.stats.expon(scale=0.1), "kernel": ["rbf"]}
    RandomizedSearchCV(SVC(), space, n_iter=2, cv=2).fit(X, y)
    found = TradewindSearchCV(SVC(), space, n_iter=6, cv=2, random_state=0).fit(X, y)
    values = [each["gamma"] for each in found.cv_results_["params"]]
    assert min(values) > 0 and len(set(values)) == 6 and found.best_score_ > 0.9


def test_weights_are_part_of_the_data_and_what_has_no_name_is_no_obstacle(tmp_path):
    def scored(estimator, X, y, sample_weight=None):
        return estimator.score(X, y, sample_weight)

    options = {"n_iter": 2, "cv": 2, "store": tmp_path / "s.sqlite", "scoring": scored}
    weights = np.ones(len(y))
    TradewindSearchCV(SVC(), RANGES, **options).fit(X, y, sample_weight=weights)
    again = TradewindSearchCV(SVC(), RANGES, **options).fit(X, y, sample_weight=weights.copy())
    assert len(again.trials_) == 2 and not any(each.attempt > 1 for each in again.trials_)
    with pytest.raises(ValueError, match=r"about\.data"):
        TradewindSearchCV(SVC(), RANGES, **options).fit(X, y, sample_weight=weights * 2)
