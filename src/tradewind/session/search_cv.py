"""A search for an estimator's parameters by cross-validation, with the face of scikit-learn's searches."""

from __future__ import annotations

import contextlib
import numbers
import os
import platform
import uuid
import warnings
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import joblib
import numpy as np
from sklearn.base import clone, is_classifier
from sklearn.exceptions import FitFailedWarning
from sklearn.model_selection import check_cv
from sklearn.model_selection._search import BaseSearchCV
from sklearn.utils import check_random_state, indexable
from sklearn.utils._param_validation import HasMethods, Interval

from tradewind import clock
from tradewind.data.runs import process_identity
from tradewind.data.trial_records import RUNNING
from tradewind.data.trial_store import TrialStore
from tradewind.errors import Misuse
from tradewind.session.search_cv_run import LEASE, Run, Work, heard, rows_of
from tradewind.session.search_cv_space import Listed, Searched, WrongSearch, check_names
from tradewind.tuning.rules import SearchLike, StopLike
from tradewind.tuning.space import Space
from tradewind.tuning.study import Study

CANDIDATES = 32
"""Candidates that are tried where nobody says how many and not all of them are to be."""
BLIND = ("grid", "random", "sobol")
"""Searches that do not look at what came before, of which any number may go on at once."""
MOST_LISTED = 1_000_000
"""Candidates in lists up to which they are drawn without repetition."""


class TradewindSearchCV(BaseSearchCV):  # type: ignore[misc]
    """A drop-in for GridSearchCV and RandomizedSearchCV that chooses what to try, and survives a kill.

    All that those set is set here and means the same: `cv_results_`, `best_estimator_`, `best_params_`,
    `best_score_`, `best_index_`, `n_splits_`, `scorer_`, `multimetric_`, `refit_time_`; so does what is
    given to `fit`, with metadata routing as theirs. With `search="grid"` and lists, results equal
    GridSearchCV's. `trials_` has the candidates as the study knows them, those stopped early too.

    The objective of the study is the mean test score: of the metric that `refit` names, or of the first.
    With n candidates and k folds, n k fits and one more.

    Args:
        estimator: what is fitted.
        param_distributions: from the name of each parameter to a list of values, to a mapping with `low`,
            `high` and optionally `log`, to a dimension of a space, or to a distribution of scipy.stats; or a
            list of such mappings, of which each candidate has one; or a `Space`.
        param_grid: the same by GridSearchCV's name for it; give one of the two.
        search: "gp" (Gaussian process), "grid", "random", "sobol", "tpe" or "cmaes" (both through Optuna); a
            mapping with one of these as `name` and its options; or a `Searcher`. With "random" nothing that
            is listed is tried twice.
        n_iter: how many candidates at most. By default all of a grid, and 32 otherwise.
        scoring, cv, refit, n_jobs, pre_dispatch, error_score, return_train_score, verbose: as GridSearchCV's.
            The Gaussian process, TPE and CMA-ES decide on `n_jobs / folds` candidates at a time.
        stop: what gives up candidates after some folds, such as "median" or "asha"; a mapping with a name
            and options; or a `Stopper` whose steps are the folds. What was given up has nan for the folds
            that were left out, is never the best, and its row in `cv_results_["folds"]` says how many it had.
        seconds: no candidate begins after so many seconds of `fit`; the first one always does.
        store: the path of a SQLite file, or a URL of SQLAlchemy, where all is kept. `fit` with the same data
            and settings goes on after a kill and gives what it would have given, and other data is refused;
            with a larger `n_iter` it tries more. Several processes that fit at once with one store share the
            work. By default nothing is kept.
        name: of the study in the store.
        random_state: what chance draws from, a number for the same search again.

    >>> from sklearn.datasets import load_iris
    >>> from sklearn.svm import SVC
    >>> search = TradewindSearchCV(SVC(), {"C": {"low": 0.01, "high": 100.0, "log": True}}, n_iter=11)
    >>> search.fit(*load_iris(return_X_y=True)).best_params_["C"] > 0.1
    True
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **BaseSearchCV._parameter_constraints,
        "param_distributions": [dict, list, tuple, Space, None],
        "param_grid": [dict, list, tuple, Space, None],
        "search": [str, dict, HasMethods(["propose"])],
        "n_iter": [Interval(numbers.Integral, 1, None, closed="left"), None],
        "stop": [str, dict, HasMethods(["judge", "resumed"]), None],
        "seconds": [Interval(numbers.Real, 0, None, closed="neither"), None],
        "store": [str, os.PathLike, None],
        "name": [str],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        estimator: Any,
        param_distributions: Any = None,
        *,
        param_grid: Any = None,
        search: SearchLike = "gp",
        n_iter: int | None = None,
        scoring: Any = None,
        cv: Any = None,
        refit: Any = True,
        n_jobs: int | None = None,
        stop: StopLike | None = None,
        seconds: float | None = None,
        store: str | os.PathLike[str] | None = None,
        name: str = "search",
        random_state: Any = None,
        pre_dispatch: int | str = "2*n_jobs",
        error_score: Any = np.nan,
        return_train_score: bool = False,
        verbose: int = 0,
    ) -> None:
        super().__init__(
            estimator, scoring=scoring, n_jobs=n_jobs, refit=refit, cv=cv, verbose=verbose,
            pre_dispatch=pre_dispatch, error_score=error_score, return_train_score=return_train_score,
        )  # fmt: skip
        self.param_distributions = param_distributions
        self.param_grid = param_grid
        self.search = search
        self.n_iter = n_iter
        self.stop = stop
        self.seconds = seconds
        self.store = store
        self.name = name
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None, **params: Any) -> Self:
        """Try candidates, then fit the best on all rows unless `refit` is False.

        `params` go to the estimator's `fit`, the scorer and the splitter, as GridSearchCV's do. Raises
        WrongSearch, a ValueError, before anything is fitted where the parameters cannot be searched, and
        where the store has a study of other data or settings.
        """
        self._validate_params()
        given, source = self._given()
        check_names(self.estimator, given, source)
        searched = Searched(given, source)
        scorers, target = self._get_scorers()
        X, y = indexable(X, y)
        routed = self._get_routed_params_for_fit(params)
        cv = check_cv(self.cv, y, classifier=is_classifier(self.estimator))
        self.n_splits_ = cv.get_n_splits(X, y, **routed.splitter.split)
        splits = list(cv.split(X, y, **routed.splitter.split))
        if len(splits) != self.n_splits_:
            raise ValueError(
                "cv.split and cv.get_n_splits return inconsistent results. "
                f"Expected {self.n_splits_} splits, got {len(splits)}"
            )
        work = Work(
            estimator=clone(self.estimator), X=X, y=y, splits=splits,
            how={
                "scorer": scorers, "fit_params": routed.estimator.fit, "score_params": routed.scorer.score,
                "return_train_score": self.return_train_score, "error_score": self.error_score,
                "verbose": self.verbose, "return_times": True,
            },
        )  # fmt: skip
        with TrialStore("sqlite://" if self.store is None else self.store) as store:
            study = self._study(store, searched, work, params)
            if self.verbose > 0:
                most = "as many candidates as there are" if study.most is None else f"{study.most} candidates"
                print(f"Fitting {self.n_splits_} folds for each of at most {most}")  # noqa: T201
            judge = self.refit if isinstance(self.refit, str) else target
            run = Run(self, study, searched, work, judge, _named(self.search) in BLIND)
            with heard(study) if self.store is not None else contextlib.nullcontext():
                run.to_the_end()
            self.trials_ = study.trials
            candidates, out, folds = rows_of(self.trials_, run.known(), searched, self.n_splits_)
        self._results(candidates, out, folds, scorers, target)
        if self.refit:
            self._refit(X, y, routed.estimator.fit)
        return self

    # what is asked for

    def _given(self) -> tuple[Any, str]:
        named = {
            name: value
            for name in ("param_distributions", "param_grid")
            if (value := getattr(self, name)) is not None
        }
        if len(named) != 1:
            raise WrongSearch(
                "both are given" if named else "nothing is", source=type(self).__name__,
                field="param_distributions, param_grid", fix="Give one of the two.",
            )  # fmt: skip
        source, given = next(iter(named.items()))
        return given, source

    def _searcher(self, searched: Searched, seed: int) -> tuple[SearchLike, int | None]:
        """The rule of search, and how many trials there are at most."""
        named = {"name": self.search} if isinstance(self.search, str) else self.search
        name = _named(self.search)
        if searched.random_only and name != "random":
            raise WrongSearch(
                "its distribution can be drawn from and nothing else", source="search",
                field=searched.random_only,
                fix='Say search="random", or give low and high, or a distribution with ppf.',
            )  # fmt: skip
        size = searched.size
        if name == "grid" and size is not None:
            return Listed(searched, range(size)), self.n_iter
        most = CANDIDATES if self.n_iter is None and name != "grid" else self.n_iter
        if name == "random" and size is not None and size <= MOST_LISTED:
            order = np.random.Generator(np.random.PCG64(seed)).permutation(size).tolist()
            return Listed(searched, order), most
        if isinstance(named, Mapping) and name != "grid":
            named = {"seed": seed, **named}
        return named, most

    # what is in the store

    def _study(self, store: TrialStore, searched: Searched, work: Work, params: Mapping[str, Any]) -> Study:
        """The study, begun or gone on with; WrongSearch where it was begun with other data or settings."""
        driver = f"{platform.node()[:60]} {os.getpid()} {process_identity(os.getpid())} {uuid.uuid4().hex}"
        fixed = isinstance(self.random_state, numbers.Integral)
        seed = int(self.random_state) if fixed else int(check_random_state(self.random_state).randint(2**31))
        about: dict[str, Any] = {}
        there = any(row.name == self.name for row in store.studies())
        if self.store is not None:
            about = self._about(searched, work, params)
            before = store.description(self.name).get("about", {}) if there else {}
            seed = seed if fixed else int(before.get("random_state", seed))
            about["random_state"] = seed
        search, most = self._searcher(searched, seed)
        try:
            study = Study(
                searched.space, name=self.name, direction="maximize", search=search, stop=self.stop,
                steps=None if self.stop is None else self.n_splits_, trials=most, failures=None, about=about,
                store=store, driver=driver, lease=LEASE,
            )  # fmt: skip
        except Misuse as problem:
            if problem.field == "about.random_state" and not fixed and not there:
                return self._study(store, searched, work, params)  # another process began it this moment
            shuffled = " A cv that shuffles needs a random_state." if problem.field == "about.cv" else ""
            raise WrongSearch(f"{problem}{shuffled}") from problem
        for trial in study.trials:
            if trial.state == RUNNING and _is_dead(trial.driver):
                store.release(self.name, trial.driver, "its process is gone", moment=clock.wall())
        return study

    def _about(self, searched: Searched, work: Work, params: Mapping[str, Any]) -> dict[str, Any]:
        """By what a study is known again, beside its space."""
        values = [params[name] for name in sorted(params)]
        return {
            "data": _fingerprint([_fingerprint(each) for each in (work.X, work.y, *sorted(params), *values)]),
            "estimator": _fingerprint(work.estimator),
            "values": _fingerprint(searched.objects),
            "cv": _fingerprint(work.splits),
            "scoring": _fingerprint(self.scoring),
            "error_score": repr(self.error_score),
            "return_train_score": bool(self.return_train_score),
            "search": _named(self.search),
            "stop": "" if self.stop is None else _named(self.stop),
        }

    # what it comes to

    def _results(
        self, candidates: list[dict[str, Any]], out: list[dict[str, Any]], folds: list[int], scorers: Any,
        target: Any,
    ) -> None:  # fmt: skip
        """Set what GridSearchCV sets, by its own rules."""
        if not out:
            raise ValueError("No fits were performed. Was the CV iterator empty? Were there no candidates?")
        self._warn_of_failures(out)
        self.multimetric_ = isinstance(out[0]["test_scores"], dict)
        if callable(self.scoring) and self.multimetric_:
            self._check_refit_for_multimetric(out[0]["test_scores"])
            target = self.refit
        more = {} if self.stop is None else {"folds": folds}
        with warnings.catch_warnings():
            if min(folds) < self.n_splits_ and not any(each["fit_error"] for each in out):
                warnings.filterwarnings("ignore", "One or more of the", UserWarning)  # they were given up
            self.cv_results_ = self._format_results(candidates, self.n_splits_, out, more)
        self.scorer_ = getattr(scorers, "_scorers", scorers)
        if self.refit or not self.multimetric_:
            self.best_index_ = self._select_best_index(self.refit, target, self.cv_results_)
            if not callable(self.refit):
                self.best_score_ = self.cv_results_[f"mean_test_{target}"][self.best_index_]
            self.best_params_ = self.cv_results_["params"][self.best_index_]

    def _warn_of_failures(self, out: Sequence[Mapping[str, Any]]) -> None:
        failed: dict[str, int] = defaultdict(int)
        for each in out:
            if each["fit_error"]:
                failed[each["fit_error"]] += 1
        if not failed:
            return
        many = sum(failed.values())
        told = "\n".join(f"{count} fits failed with:\n{error}" for error, count in failed.items())
        if many == len(out):
            raise ValueError(
                f"\nAll the {many} fits failed.\nIt is very likely that your model is misconfigured.\n"
                f"You can try to debug the error by setting error_score='raise'.\n\n{told}"
            )
        warnings.warn(
            f"\n{many} fits failed out of a total of {len(out)}.\nThe score on these train-test partitions "
            f"for these parameters will be set to {self.error_score}.\nIf these failures are not expected, "
            f"you can try to debug them by setting error_score='raise'.\n\n{told}",
            FitFailedWarning,
            stacklevel=3,
        )

    def _refit(self, X: Any, y: Any, fit_params: Mapping[str, Any]) -> None:
        self.best_estimator_ = clone(self.estimator).set_params(**clone(self.best_params_, safe=False))
        elapsed = clock.stopwatch()
        if y is None:
            self.best_estimator_.fit(X, **fit_params)
        else:
            self.best_estimator_.fit(X, y, **fit_params)
        self.refit_time_ = elapsed()
        if hasattr(self.best_estimator_, "feature_names_in_"):
            self.feature_names_in_ = self.best_estimator_.feature_names_in_


def _named(rule: Any) -> str:
    """What a rule of search or stopping is called."""
    if isinstance(rule, Mapping):
        rule = str(rule.get("name", ""))
    return rule if isinstance(rule, str) else type(rule).__name__


def _fingerprint(thing: Any) -> str:
    """Equal for equals, in every process; of what cannot be written down, such as a lambda, the kind."""
    try:
        return str(joblib.hash(thing))
    except Exception:  # whatever a thing that cannot be written down raises
        return type(thing).__name__


def _is_dead(driver: str) -> bool:
    """Whether a driver was a process of this machine that is gone."""
    parts = driver.split(" ")
    if len(parts) != 4 or parts[0] != platform.node()[:60] or not parts[1].isdecimal():
        return False
    return process_identity(int(parts[1])) != parts[2]
