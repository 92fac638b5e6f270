"""A study: what is tried, what became of it, and what to do next; kept in a store, so that nothing is lost.

`ask` gives a trial to run, `report` says whether it goes on, `tell` ends it. Rules of search and stopping are
pure functions of the trials, and the trials are in the store: drivers that share it, or follow one another
after a kill, decide as one would have.
"""

from __future__ import annotations

import math
import os
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from tradewind import clock
from tradewind.data.trial_records import FAILURE, MOVE, REVOCATION, Claim, StoredTrial, Trials
from tradewind.data.trial_store import TrialStore
from tradewind.errors import Misuse, suggestion
from tradewind.tuning.interface import BECOME, GO_ON, PAUSE, STOP, Searcher, Stopper, Verdict
from tradewind.tuning.search.random import RandomSearch
from tradewind.tuning.space import Space
from tradewind.tuning.trial import COMPLETED, FAILED, OPEN, PAUSED, RUNNING, STOPPED, WAITING, Setting, Trial

DIRECTIONS = ("minimize", "maximize")
"""Which way an objective is better."""
LEASE = 60.0
"""Seconds after its last word for which a driver keeps its trials."""


class Asked(Struct, frozen=True):
    """A trial that is to be run, by whoever asked."""

    number: int
    setting: Setting
    claim: Claim
    step: int = 0
    """The step of the checkpoint that it goes on from; 0 to begin."""
    checkpoint: str = ""
    """Where that lies, as `Study.checkpoint` was told."""

    def __getitem__(self, name: str) -> Any:
        """The value of a hyper-parameter; Misuse where the setting has none of that name."""
        if name not in self.setting:
            raise Misuse("is no parameter of this trial", field=name, fix=suggestion(name, self.setting))
        return self.setting[name]


class Attempt:
    """A trial as an objective sees it that `Study.run` calls."""

    def __init__(self, study: Study, asked: Asked) -> None:
        self._study, self._asked = study, asked

    @property
    def number(self) -> int:
        """Of the trial."""
        return self._asked.number

    @property
    def setting(self) -> Setting:
        """Values of the hyper-parameters by name."""
        return self._asked.setting

    @property
    def step(self) -> int:
        """The step of the checkpoint that it goes on from; 0 to begin."""
        return self._asked.step

    @property
    def place(self) -> str:
        """Where that checkpoint lies; empty to begin."""
        return self._asked.checkpoint

    def __getitem__(self, name: str) -> Any:
        """The value of a hyper-parameter."""
        return self._asked[name]

    def checkpoint(self, step: int, place: str) -> None:
        """Record from where the trial can go on."""
        self._study.checkpoint(self._asked, step, place)

    def report(
        self, step: int, value: float, *, dollars: float | None = None, seconds: float | None = None
    ) -> None:
        """Record the objective at a step; does not return where the trial is to end, or to wait."""
        if self._study.report(self._asked, step, value, dollars=dollars, seconds=seconds).action != GO_ON:
            raise _Over


class Study:
    """A search for the setting with the best objective. One thread uses a study at a time.

    Args:
        space: the parameters, as `Space.of` takes them.
        name: of the study in the store. One that is there goes on, if its space and direction are the same.
        direction: `minimize` or `maximize` the objective.
        search: what is tried next; random search if not given.
        stop: what is stopped early; nothing if not given.
        trials: how many at most.
        budget: US dollars for all trials together; nothing new begins once it is spent.
        store: a path, a URL of SQLAlchemy, or a store; in memory, for this process, if not given.
        driver: the name under which trials are claimed; made up if not given.
        lease: seconds without a word after which others may take this driver's trials. Every `report`,
            `checkpoint` and `heartbeat` is a word.

    >>> study = Study({"x": {"low": -1.0, "high": 1.0}}, trials=20)
    >>> while (trial := study.ask()) is not None:
    ...     study.tell(trial, trial["x"] ** 2)
    >>> study.best.final < 0.1
    True
    """

    def __init__(
        self,
        space: Space | Mapping[str, Any],
        *,
        name: str = "study",
        direction: str = "minimize",
        search: Searcher | None = None,
        stop: Stopper | None = None,
        trials: int | None = None,
        budget: float | None = None,
        store: TrialStore | str | os.PathLike[str] = "sqlite://",
        driver: str = "",
        lease: float = LEASE,
    ) -> None:
        if direction not in DIRECTIONS:
            raise Misuse(
                f"{direction!r} is none",
                source=name,
                field="direction",
                fix=suggestion(direction, DIRECTIONS),
            )
        if trials is not None and trials < 1:
            raise Misuse(f"{trials} trials try nothing", source=name, field="trials", fix="Give 1 or more.")
        if budget is not None and not (budget > 0 and math.isfinite(budget)):
            raise Misuse(
                f"{budget} buys no trial", source=name, field="budget", fix="Give US dollars above 0."
            )
        self.space = space if isinstance(space, Space) else Space.of(space, source=name)
        self.name, self.direction = name, direction
        self.search: Searcher = RandomSearch() if search is None else search
        self.stop, self.most, self.budget = stop, trials, budget
        self.store = store if isinstance(store, TrialStore) else TrialStore(store)
        self.driver = driver or uuid.uuid4().hex
        self.lease = lease
        self._sign = 1.0 if direction == "minimize" else -1.0
        self._known = Trials()
        self._seen: dict[int, tuple[StoredTrial, Trial]] = {}
        self._heard = clock.wall()
        self.store.create(
            name, {"space": _described(self.space), "direction": direction}, moment=clock.wall()
        )

    # what there is

    @property
    def trials(self) -> tuple[StoredTrial, ...]:
        """All trials as they are now, by number; values are the objective's own."""
        return self._read().all()

    @property
    def best(self) -> StoredTrial:
        """The completed trial with the best final value, the first of equals; Misuse if there is none."""
        done = [
            each
            for each in self.trials
            if each.state == COMPLETED and each.final is not None and not math.isnan(each.final)
        ]
        if not done:
            raise Misuse(
                "no trial is completed", source=self.name, fix="Run some, or look at the failed ones."
            )
        return min(done, key=lambda each: (self._sign * float(each.final or 0.0), each.number))

    @property
    def dollars(self) -> float:
        """US dollars that all trials have cost so far."""
        return sum(each.dollars for each in self.trials)

    def digest(self) -> str:
        """Of all that arrived, in order: equal for two runs of a study that went alike."""
        return self.store.digest(self.name)

    # what is next

    def ask(self) -> Asked | None:
        """A trial to run, claimed for this driver; None if there is nothing to do now.

        First one that was interrupted, then one that was paused and goes on after all, then a new one. None
        while others run says nothing of the end; `finished` does.
        """
        while True:
            for number in self._chosen(exhausted=False):
                self.store.resume(self.name, number, "it goes on", moment=clock.wall())
            claim = self.store.claim(self.name, self.driver, moment=clock.wall(), lease=self.lease)
            if claim is not None:
                return self._asked(claim)
            known = self._views()
            setting = self._proposed(known)
            if setting is not None:
                moment, seen = clock.wall(), self._known.sequence
                # where another driver was faster nothing is added, and all is chosen again with what it chose
                self.store.add(self.name, setting, number=len(known), seen=seen, moment=moment)
                continue
            if any(each.state in (RUNNING, WAITING) for each in known):
                return None
            going = self._chosen(exhausted=True)
            if not going:
                self._close(known)
                return None
            for number in going:
                self.store.resume(self.name, number, "it is among the best", moment=clock.wall())

    @property
    def finished(self) -> bool:
        """Whether every trial is over and nothing new would be tried."""
        known = self._views()
        return not any(each.state in OPEN for each in known) and self._proposed(known) is None

    # what became of a trial

    def report(
        self,
        trial: Asked,
        step: int,
        value: float,
        *,
        dollars: float | None = None,
        seconds: float | None = None,
    ) -> Verdict:
        """Record the objective at a step, and what is to be done with the trial.

        Unless the verdict is to go on the trial is not this driver's any more: what it is to become is
        claimed anew. Dollars and seconds are those of the trial so far.
        """
        moment = clock.wall()
        self.store.report(trial.claim, step, value, dollars=dollars, seconds=seconds, moment=moment)
        if moment - self._heard > self.lease / 4:
            self.heartbeat()
        wanted = self._read()[trial.number].stop_wanted
        if wanted:
            self.store.finish(trial.claim, STOPPED, reason=wanted, moment=moment)
            return Verdict(STOP, wanted)
        if self.stop is None or step >= self.stop.max_steps:
            return Verdict()
        stored = self._read()[trial.number]
        if step < stored.steps[-1] or step <= stored.resumed_after:
            return Verdict()  # a step that is done again: what was to be said then has been said
        known = self._views()
        verdict = self.stop.judge(known[trial.number], known)
        if verdict.action == STOP:
            self.store.finish(trial.claim, STOPPED, reason=verdict.reason, moment=moment)
        elif verdict.action == PAUSE:
            self.store.pause(trial.claim, verdict.reason, moment=moment)
        elif verdict.action == BECOME:
            self._become(trial, verdict, moment)
        elif verdict.action != GO_ON:
            raise Misuse(f"{verdict.action!r} is no action", source=type(self.stop).__name__, field="action")
        return verdict

    def tell(
        self, trial: Asked, value: float | None = None, *, state: str = COMPLETED, reason: str = "",
        dollars: float | None = None, seconds: float | None = None,
    ) -> None:  # fmt: skip
        """End a trial with its final value; without one, or with nan, it has failed."""
        if state == COMPLETED and (value is None or math.isnan(value)):
            state, reason = FAILED, reason or f"the objective gave {value}"
        self.store.finish(
            trial.claim, state, value, reason, dollars=dollars, seconds=seconds, moment=clock.wall()
        )

    def checkpoint(self, trial: Asked, step: int, place: str) -> None:
        """Record from where the trial can go on; the place must outlast this process."""
        self.store.checkpoint(trial.claim, step, place, moment=clock.wall())

    def requeue(self, trial: Asked, reason: str, cause: str = REVOCATION) -> None:
        """Give the trial back to wait; a revocation or a move burns nothing, and is counted apart."""
        if cause not in (REVOCATION, FAILURE, MOVE):
            raise Misuse(
                f"{cause!r} is none", field="cause", fix=suggestion(cause, (REVOCATION, FAILURE, MOVE))
            )
        self.store.requeue(trial.claim, reason, cause, moment=clock.wall())

    def heartbeat(self) -> dict[int, str]:
        """Keep all that this driver runs: each number, with why its end is wanted, or nothing."""
        self._heard = clock.wall()
        return self.store.heartbeat(self.name, self.driver, moment=self._heard, lease=self.lease)

    def kill(self, number: int, reason: str = "it was asked for") -> bool:
        """Have a trial stopped, whoever runs it; False if it is over already."""
        return self.store.stop(self.name, number, reason, moment=clock.wall())

    def run(self, objective: Callable[[Attempt], float | None]) -> StoredTrial:
        """Run trials in this thread, one after the other, until nothing is left; the best is given.

        `objective(trial)` gives the final value. What it raises is the trial's failure and not the study's;
        KeyboardInterrupt gives the trial back and goes on to the caller.
        """
        while (asked := self.ask()) is not None:
            try:
                value = objective(Attempt(self, asked))
            except _Over:
                continue
            except Exception as problem:
                self.tell(asked, state=FAILED, reason=f"{type(problem).__name__}: {problem}")
            except BaseException:
                self.requeue(asked, "the driver was interrupted", MOVE)
                raise
            else:
                self.tell(asked, None if value is None else float(value))
        return self.best

    # how

    def _read(self) -> Trials:
        return self.store.trials(self.name, self._known)

    def _views(self) -> list[Trial]:
        """All trials, as rules see them: less is better."""
        return [self._view(each) for each in self._read().all()]

    def _view(self, trial: StoredTrial) -> Trial:
        before, view = self._seen.get(trial.number, (None, None))
        if view is not None and before is trial:
            return view
        view = Trial(
            trial.number, trial.setting, trial.state, trial.steps,
            tuple(self._sign * value for value in trial.values),
            None if trial.final is None else self._sign * trial.final,
            trial.dollars, trial.seconds, trial.parent,
        )  # fmt: skip
        self._seen[trial.number] = trial, view
        return view

    def _asked(self, claim: Claim) -> Asked:
        found = self._read()[claim.number]
        return Asked(claim.number, dict(found.setting), claim, found.checkpoint_step or 0, found.checkpoint)

    def _proposed(self, known: Sequence[Trial]) -> Setting | None:
        if self.most is not None and len(known) >= self.most:
            return None
        if self.budget is not None and sum(each.dollars for each in known) >= self.budget:
            return None
        found = self.search.propose(self.space, known, len(known))
        return None if found is None else self.space.check(found, type(self.search).__name__)

    def _chosen(self, exhausted: bool) -> tuple[int, ...]:
        """Paused trials that go on."""
        return () if self.stop is None else self.stop.resumed(self._views(), exhausted)

    def _become(self, trial: Asked, verdict: Verdict, moment: float) -> None:
        if verdict.parent is None or verdict.setting is None:
            raise Misuse("nothing to become", source=type(self.stop).__name__, field="parent")
        parent = self._read()[verdict.parent]
        start = None if parent.checkpoint_step is None else (parent.checkpoint_step, parent.checkpoint)
        self.store.finish(trial.claim, STOPPED, reason=verdict.reason, moment=moment)
        self.store.add(
            self.name, self.space.check(verdict.setting, "become"), parent=verdict.parent, start=start,
            seen=self._known.sequence, reason=verdict.reason, moment=moment,
        )  # fmt: skip

    def _close(self, known: Sequence[Trial]) -> None:
        """Stop what was paused and is not chosen: nothing will go on with it."""
        for each in known:
            if each.state == PAUSED:
                self.store.stop(self.name, each.number, "it was left behind", moment=clock.wall())


class _Over(Exception):
    """A trial is to end, or to wait."""


def _described(space: Space) -> list[dict[str, Any]]:
    """A space as JSON, by which a study knows it again."""
    return [
        {
            "name": each.name,
            "of": {"kind": type(each.of).__name__, **_plain(each.of)},
            "when": {name: list(values) for name, values in each.when},
        }
        for each in space.parameters
    ]


def _plain(kind: Struct) -> dict[str, Any]:
    found = {name: getattr(kind, name) for name in kind.__struct_fields__}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in found.items()}
