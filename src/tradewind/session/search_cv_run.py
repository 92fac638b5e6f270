"""The candidates of a search by cross-validation: fitted fold by fold, and kept in a study as they go."""

from __future__ import annotations

import contextlib
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import joblib
import numpy as np
from msgspec import Struct
from sklearn.base import clone
from sklearn.model_selection._validation import _fit_and_score

from tradewind import clock
from tradewind.data.trial_records import FINAL, MOVE, NOTED, PAUSED, StoredTrial
from tradewind.data.trial_store import Superseded
from tradewind.errors import TradewindError
from tradewind.session.search_cv_space import Searched
from tradewind.tuning.attempt import Asked
from tradewind.tuning.interface import GO_ON
from tradewind.tuning.study import Study

LEASE, BEAT = 300.0, 30.0
"""Seconds for which candidates are a fit's own after its last word to the store, and between two words."""
AGAIN = 0.2
"""Seconds until the store is looked at again, where others have the last candidates."""
_FOLD = "search_cv fold"


class Work(Struct, frozen=True, kw_only=True, eq=False):
    """What one fit and its scores are made of."""

    estimator: Any
    X: Any
    y: Any
    splits: list[Any]
    how: dict[str, Any]

    def measured(self, parameters: dict[str, Any], fold: int) -> dict[str, Any]:
        """The scores of a candidate on a fold, as scikit-learn measures them.

        Its own function for that is not public; `cross_validate`, which is, gives no weights to scorers and
        raises where the one fit that it is asked for fails.
        """
        train, test = self.splits[fold]
        found: dict[str, Any] = _fit_and_score(
            clone(self.estimator), self.X, self.y, train=train, test=test, parameters=parameters,
            split_progress=(fold, len(self.splits)), **self.how,
        )  # fmt: skip
        return found


class Candidate(Struct, eq=False):
    """A trial that this fit has claimed."""

    asked: Asked
    params: dict[str, Any]
    scores: dict[int, float]
    """The objective on the folds that are done."""
    seconds: float = 0.0
    """That those took."""


class Run:
    """Goes through a study until nothing is left to try.

    `search` says how many jobs there are, `target` which metric is the objective, and `blind` that the rule
    of search does not look at what came before: any number of candidates may go on at once.
    """

    def __init__(
        self, search: Any, study: Study, searched: Searched, work: Work, target: Any, blind: bool
    ) -> None:
        self.study, self.searched, self.work, self.target = study, searched, work, target
        self.folds, self.seconds, self.elapsed = search.n_splits_, search.seconds, clock.stopwatch()
        self.by_fold = study.stop is not None
        self.options = {
            "n_jobs": search.n_jobs,
            "pre_dispatch": search.pre_dispatch,
            "return_as": "generator",
        }
        jobs = joblib.effective_n_jobs(search.n_jobs)
        if self.by_fold:
            self.width = jobs
        elif blind:
            self.width = 1 if jobs == 1 else 4 * jobs
        else:
            self.width = -(-jobs // self.folds)
        self.open: list[Candidate] = []
        self.kept = search.store is not None
        self.measured: dict[int, dict[int, dict[str, Any]]] = defaultdict(dict)
        self.begun = False

    def to_the_end(self) -> None:
        """Try, note and tell; whatever interrupts it, what is open is given back first."""
        with joblib.Parallel(**self.options) as parallel:
            try:
                while self._filled():
                    self._round(parallel)
            except BaseException:
                for each in self.open:
                    with contextlib.suppress(TradewindError):
                        self.study.requeue(each.asked, "fit was interrupted", MOVE)
                raise

    def known(self) -> Mapping[int, Mapping[int, dict[str, Any]]]:
        """What was measured, by trial and fold, by whomever."""
        return folds_of(self.study) if self.kept else self.measured

    def _filled(self) -> bool:
        """Claim as many candidates as may go on at once; False where all is done."""
        while True:
            while len(self.open) < self.width and not self._late():
                asked = self.study.ask()
                if asked is None:
                    break
                self.begun = True
                self._take_up(asked)
            if self.open:
                return True
            if self._late() or self.study.finished:
                return False
            threading.Event().wait(AGAIN)  # others have what is left

    def _late(self) -> bool:
        return self.begun and self.seconds is not None and self.elapsed() >= self.seconds

    def _take_up(self, asked: Asked) -> None:
        mine = Candidate(asked, self.searched.params(asked.setting), {})
        self.open.append(mine)
        known = self.known().get(asked.number, {}) if asked.claim.attempt > 1 else {}
        for fold in sorted(known):
            if mine in self.open:
                self._told(mine, fold, known[fold])

    def _round(self, parallel: Any) -> None:
        tasks = []
        for each in self.open:
            left = [fold for fold in range(self.folds) if fold not in each.scores]
            tasks += [(each, fold) for fold in (left[:1] if self.by_fold else left)]
        found: Iterator[dict[str, Any]] = parallel(
            joblib.delayed(self.work.measured)(each.params, fold) for each, fold in tasks
        )
        for (each, fold), result in zip(tasks, found, strict=True):
            if each not in self.open:
                continue  # it was given up meanwhile
            document = _document(fold, result)
            self.measured[each.asked.number][fold] = document
            if self.kept:
                self.study.store.note(
                    self.study.name, _FOLD, number=each.asked.number, document=document, moment=clock.wall()
                )
            self._told(each, fold, document)

    def _told(self, mine: Candidate, fold: int, document: Mapping[str, Any]) -> None:
        """Report a fold's score to the study, and the end after the last."""
        test = document["test"]
        score = test if not isinstance(test, dict) else test.get(self.target, next(iter(test.values())))
        mine.scores[fold] = float(score)
        mine.seconds += float(document["fit_time"]) + float(document["score_time"])
        mean = float(np.mean([mine.scores[each] for each in sorted(mine.scores)]))
        try:
            verdict = self.study.report(mine.asked, fold + 1, mean, seconds=mine.seconds)
            if verdict.action != GO_ON:
                self.open.remove(mine)
            elif len(mine.scores) == self.folds:
                error = document["error"].strip().rpartition("\n")[2]
                self.study.tell(mine.asked, mean, reason=error)
                self.open.remove(mine)
        except Superseded:
            self.open.remove(mine)  # another process went on with it


@contextlib.contextmanager
def heard(study: Study) -> Iterator[None]:
    """Keep what this process has claimed while a fit goes on, however long it takes."""
    done = threading.Event()

    def beat() -> None:
        while not done.wait(BEAT):
            with contextlib.suppress(TradewindError):
                study.store.heartbeat(study.name, study.driver, moment=clock.wall(), lease=LEASE)

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _document(fold: int, result: Mapping[str, Any]) -> dict[str, Any]:
    """What was measured on a fold, as JSON."""
    document = {
        "fold": fold, "test": _kept(result["test_scores"]), "fit_time": float(result["fit_time"]),
        "score_time": float(result["score_time"]), "error": result["fit_error"] or "",
    }  # fmt: skip
    if "train_scores" in result:
        document["train"] = _kept(result["train_scores"])
    return document


def _kept(scores: Any) -> Any:
    """Scores as JSON: what is not finite as text."""
    if isinstance(scores, dict):
        return {str(name): _kept(score) for name, score in scores.items()}
    return float(scores) if np.isfinite(scores) else repr(float(scores))


def _restored(scores: Any) -> Any:
    return (
        {name: float(score) for name, score in scores.items()} if isinstance(scores, dict) else float(scores)
    )


def _noted(study: Study, text: str) -> list[tuple[int | None, dict[str, Any]]]:
    return [
        (event.number, event.document)
        for event in study.store.history(study.name)
        if event.kind == NOTED and event.text == text
    ]


def folds_of(study: Study) -> dict[int, dict[int, dict[str, Any]]]:
    """What was measured, by trial and fold."""
    found: dict[int, dict[int, dict[str, Any]]] = defaultdict(dict)
    for number, document in _noted(study, _FOLD):
        if number is not None:
            found[number].setdefault(document["fold"], document)
    return found


def rows_of(
    trials: Sequence[StoredTrial], known: Mapping[int, Mapping[int, Any]], searched: Searched, folds: int
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], list[int]]:
    """Candidates, what was measured of each on each fold, and on how many of them."""
    done = [each for each in trials if each.state in (*FINAL, PAUSED) and known.get(each.number)]
    names: list[str] = []
    for each in done:
        for document in known[each.number].values():
            if isinstance(document["test"], dict):
                names = names or list(document["test"])
    out: list[dict[str, Any]] = []
    for each in done:
        mine = known[each.number]
        times = {
            name: float(np.mean([document[name] for document in mine.values()]))
            for name in ("fit_time", "score_time")
        }
        for fold in range(folds):
            document = mine.get(fold, {"test": "nan", "train": "nan", "error": "", **times})
            row = {"fit_time": document["fit_time"], "score_time": document["score_time"]}
            for kind in ("test", "train"):
                if kind in document:
                    row[f"{kind}_scores"] = _spread(_restored(document[kind]), names)
            out.append({**row, "fit_error": document["error"]})
    return [searched.params(each.setting) for each in done], out, [len(known[e.number]) for e in done]


def _spread(scores: Any, names: Sequence[str]) -> Any:
    """One score for all metrics, where a fit failed or was left out and there are several."""
    return scores if isinstance(scores, dict) or not names else dict.fromkeys(names, scores)
