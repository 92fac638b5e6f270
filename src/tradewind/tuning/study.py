"""A study: what is tried, what became of it, and what to do next; kept in a store, so that nothing is lost.

`ask` gives a trial to run, `report` says whether it goes on, `tell` ends it. Rules of search and stopping are
pure functions of the trials, and the trials are in the store: drivers that share it, or follow one another
after a kill, decide as one would have.
"""

from __future__ import annotations

import contextlib
import math
import os
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from tradewind import clock
from tradewind.data.trial_records import MOVE, REVOCATION, Claim, StoredTrial, Trials
from tradewind.data.trial_reports import number_of, whole_step
from tradewind.data.trial_store import Superseded, TrialStore
from tradewind.errors import Misuse, Permanent, Temporary, TradewindError, suggestion
from tradewind.tuning.attempt import Asked, Attempt, Over, Place
from tradewind.tuning.budgets import Budget
from tradewind.tuning.earlier_studies import MARK, Begun, Earlier, copied, on_scale
from tradewind.tuning.interface import BECOME, GO_ON, PAUSE, STOP, Verdict, copies
from tradewind.tuning.rules import SearchLike, StopLike, chosen
from tradewind.tuning.space import Space
from tradewind.tuning.space_documents import described, space_of
from tradewind.tuning.study_record import StudyRecord, in_place_of
from tradewind.tuning.trial import COMPLETED, FAILED, OPEN, PAUSED, RUNNING, STOPPED, WAITING, Setting, Trial

DIRECTIONS = ("minimize", "maximize")
"""Which way an objective is better."""
LEASE = 60.0
"""Seconds after its last word for which a driver keeps its trials."""
KEEP_EVERY = 60.0
"""Seconds between two checkpoints of a trial."""
FAILURES = 10
"""Trials that fail one after another until a study is given up."""
_LOOK_AGAIN = 1.0
"""Seconds between two looks at what other drivers run."""


class Study:
    """A search for the setting with the best objective. One thread uses a study at a time.

    Args:
        space: the parameters, as `Space.of` takes them.
        name: of the study in the store. One that is there goes on, if its space and direction are the same.
        direction: `minimize` or `maximize` the objective.
        search: what is tried next; random search if not given. A rule, or the name of one of
            `rules.SEARCHERS`, or a mapping with its `name` and options.
        stop: what is stopped early; nothing if not given. A rule, or the name of one of `rules.STOPPERS`, or
            a mapping with its `name` and options.
        steps: of a whole trial, which rules of stopping that are given by name must know.
        trials: how many at most.
        budget: US dollars for all trials together; nothing new begins once it is spent.
        seconds: since the study began, by `now`, after which nothing new begins. They pass also while
            nobody drives it, and a study that is driven on has what is left of them.
        least, least_seconds: what a trial is known to cost. A budget that does not buy one is refused, and
            as much is kept back for each trial that runs; see `budgets.Budget`.
        failures: how many trials may fail one after another, since this driver began, until Permanent is
            raised in place of another trial; None for any number.
        earlier: studies whose trials this one begins with. What they had shown is copied when each is
            first named, and stays with the study, named again or not.
        about: what else must stay as it is for the study to go on, as JSON, such as a digest of its data.
        store: a path, a URL of SQLAlchemy, or a store; in memory, for this process, if not given.
        driver: the name under which trials are claimed; made up if not given.
        lease: seconds without a word after which others may take this driver's trials. Every `report`,
            `checkpoint` and `heartbeat` is a word.
        now: the clock of records, leases and `seconds`; the wall's if not given.

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
        search: SearchLike | None = None,
        stop: StopLike | None = None,
        steps: int | None = None,
        trials: int | None = None,
        budget: float | None = None,
        seconds: float | None = None,
        least: float | None = None,
        least_seconds: float | None = None,
        failures: int | None = FAILURES,
        earlier: Sequence[Earlier] = (),
        about: Mapping[str, Any] | None = None,
        store: TrialStore | str | os.PathLike[str] = "sqlite://",
        driver: str = "",
        lease: float = LEASE,
        now: Callable[[], float] = clock.wall,
    ) -> None:
        if direction not in DIRECTIONS:
            fix = suggestion(direction, DIRECTIONS)
            raise Misuse(f"{direction!r} is none", source=name, field="direction", fix=fix)
        self.limits = Budget(
            trials=trials, dollars=budget, seconds=seconds, least=least, least_seconds=least_seconds
        )
        self.limits.check(name)
        if failures is not None and failures < 1:
            raise Misuse(f"{failures} is too few", source=name, field="failures", fix="Give 1 or more.")
        self.space = space if isinstance(space, Space) else Space.of(space, source=name)
        self.name, self.direction, self.failures = name, direction, failures
        self.search, self.stop = chosen(search, stop, self.space, steps)
        if steps is not None and self.stop is not None and self.stop.max_steps != steps:
            raise Misuse(
                f"{steps} are not the {self.stop.max_steps} of the rule of stopping", source=name,
                field="steps", fix="Say them once.",
            )  # fmt: skip
        self.store = store if isinstance(store, TrialStore) else TrialStore(store)
        self.driver = driver or uuid.uuid4().hex
        self.lease, self.now = lease, now
        self._sign = 1.0 if direction == "minimize" else -1.0
        self.most = trials
        """How many trials at most."""
        self._record = StudyRecord(self._sign)
        self._reached: dict[Claim, int] = {}
        self._next: tuple[int, Setting | None] | None = None
        self._heard = now()
        description: dict[str, Any] = {"space": described(self.space), "direction": direction}
        if about:
            description["about"] = dict(about)
        self.store.create(name, description, moment=now())
        for each in earlier:
            self._begin_with(each)

    @classmethod
    def open(cls, store: TrialStore | str | os.PathLike[str], name: str = "study", **options: Any) -> Self:
        """The study of that name in a store, with the space and the direction that it has.

        `options` are the class's others. Misuse where there is none.
        """
        there = _there(store)
        begun = there.description(name)
        if "space" not in begun or "direction" not in begun:
            raise Misuse("is no study of this kind", source=there.url, field=name, fix="Name another.")
        space = space_of(begun["space"], f"study {name!r} in {there.url}")
        kept = {"direction": begun["direction"], "about": begun.get("about")}
        return cls(space, name=name, store=there, **kept, **options)

    # what there is

    @property
    def trials(self) -> tuple[StoredTrial, ...]:
        """All trials as they are now, by number; values are the objective's own."""
        return self._read().all()

    @property
    def best(self) -> StoredTrial:
        """The completed trial with the best final value, the first of equals; Misuse if there is none.

        It is the best within the budget: of what was begun before that was spent.
        """
        trials = self.trials
        done = [
            each
            for each in trials
            if each.state == COMPLETED and each.final is not None and math.isfinite(each.final)
        ]
        if not done:
            failed = [each.reason for each in trials if each.state == FAILED]
            why = f" of {len(trials)}" + (f"; of {len(failed)} that failed: {failed[-1]}" if failed else "")
            raise Misuse(f"no trial is completed{why}", source=self.name, fix="Run some, or mend what fails.")
        return min(done, key=lambda each: (self._sign * float(each.final or 0.0), each.number))

    @property
    def dollars(self) -> float:
        """US dollars that all trials have cost so far."""
        return sum(each.dollars for each in self.trials)

    @property
    def earlier(self) -> tuple[Begun, ...]:
        """The earlier studies that count, with their trials as they were; less is better in `losses`."""
        self._read()
        return tuple(self._record.earlier.known.values())

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user should know of how the study began, in sentences."""
        return (*(each.said for each in self.earlier), *self._record.said)

    def digest(self) -> str:
        """Of all that arrived, in order: equal for two runs of a study that went alike."""
        return self.store.digest(self.name)

    # what is next

    def ask(self) -> Asked | None:
        """A trial to run, claimed for this driver; None if there is nothing to do now.

        First one that was interrupted, then one that was paused and goes on after all, then a new one. None
        while others run says nothing of the end; `finished` does. Permanent, in place of a new trial, where
        as many as `failures` failed one after another.
        """
        while True:
            self._go_on(self._views(), exhausted=False)
            claim = self.store.claim(self.name, self.driver, moment=self.now(), lease=self.lease)
            if claim is not None:
                return self._asked(claim)
            known = self._views()
            setting = None if self._closed(known) else self._proposed(known)
            if setting is not None:
                if problem := self._record.hopeless(self.failures):
                    raise Permanent(f"{self.name}: {problem}")
                moment, seen = self.now(), self._record.trials.sequence
                # where another driver was faster nothing is added, and all is chosen again with what it chose
                self.store.add(self.name, setting, number=len(known), seen=seen, moment=moment)
            elif any(each.state in (RUNNING, WAITING) for each in known):
                return None
            elif not self._go_on(known, exhausted=True):
                self._close(known)
                return None

    @property
    def finished(self) -> bool:
        """Whether every trial is over and nothing new would be tried."""
        return bool(self.ended)

    @property
    def ended(self) -> str:
        """Why nothing more is tried, in words; empty while a trial is open or another would be tried."""
        known = self._views()
        if any(each.state in OPEN for each in known):
            return ""
        if closed := self._closed(known):
            return closed
        if self._proposed(known) is None:
            what = "more to try" if known else "to try: no setting is possible"
            return f"{type(self.search).__name__} has nothing {what}"
        return self._record.hopeless(self.failures)

    # what became of a trial

    def report(
        self,
        trial: Asked,
        step: int,
        value: float,
        *,
        dollars: float | None = None,
        seconds: float | None = None,
        keep: Callable[[], None] | None = None,
    ) -> Verdict:
        """Record the objective at a step, and what is to be done with the trial.

        Unless the verdict is to go on the trial is not this driver's any more: what it is to become is
        claimed anew. Dollars and seconds are those of the trial so far. `keep` is called where the trial is
        to wait, before it does: the last moment for a checkpoint.

        Misuse for what is no step or no number, and for a step that is not after the one before it in this
        attempt.
        """
        step, value, moment = whole_step(step), number_of("value", value), self.now()
        if step <= (before := self._reached.get(trial.claim, -1)):
            raise Misuse(
                f"{step} is not after {before}, which was reported before", source=f"trial {trial.number}",
                field="step", fix="Report each step once, rising.",
            )  # fmt: skip
        self.store.report(trial.claim, step, value, dollars=dollars, seconds=seconds, moment=moment)
        self._reached[trial.claim] = step
        if moment - self._heard > self.lease / 4:
            self.heartbeat()
        stored = self._read()[trial.number]
        verdict = self._verdict(trial, stored, step)
        if verdict.action == STOP:
            self.store.finish(trial.claim, STOPPED, reason=verdict.reason, moment=moment)
        elif verdict.action == PAUSE:
            if keep is not None:
                keep()
            self.store.pause(trial.claim, verdict.reason, moment=moment)
        elif verdict.action == BECOME:
            self._become(trial, verdict, moment)
        if verdict.action != GO_ON:
            self._reached.pop(trial.claim, None)
        return verdict

    def tell(
        self, trial: Asked, value: float | None = None, *, state: str = COMPLETED, reason: str = "",
        dollars: float | None = None, seconds: float | None = None,
    ) -> None:  # fmt: skip
        """End a trial with its final value; without one, or with one that is not finite, it has failed."""
        final = None if value is None else number_of("value", value)
        if state == COMPLETED and (final is None or not math.isfinite(final)):
            state, reason = FAILED, reason or f"the objective gave {final}"
        self.store.finish(
            trial.claim, state, final, reason, dollars=dollars, seconds=seconds, moment=self.now()
        )
        self._reached.pop(trial.claim, None)

    def checkpoint(self, trial: Asked, step: int, place: str) -> None:
        """Record from where the trial can go on; the place must outlast this process."""
        self.store.checkpoint(trial.claim, step, place, moment=self.now())

    def requeue(self, trial: Asked, reason: str, cause: str = REVOCATION) -> None:
        """Give the trial back to wait; a revocation or a move burns nothing, and is counted apart."""
        self.store.requeue(trial.claim, reason, cause, moment=self.now())
        self._reached.pop(trial.claim, None)

    def heartbeat(self) -> dict[int, str]:
        """Keep all that this driver runs: each number, with why its end is wanted, or nothing."""
        self._heard = self.now()
        return self.store.heartbeat(self.name, self.driver, moment=self._heard, lease=self.lease)

    def kill(self, number: int, reason: str = "it was asked for") -> bool:
        """Have a trial stopped, whoever runs it; False if it is over already."""
        return self.store.stop(self.name, number, reason, moment=self.now())

    def run(
        self, objective: Callable[[Attempt], float | None], *, folder: str | os.PathLike[str] | None = None
    ) -> StoredTrial:
        """Run trials in this thread, one after the other, until nothing is left; the best is given.

        `objective(trial)` gives the final value. What it raises is the trial's failure and not the study's;
        KeyboardInterrupt and Temporary give the trial back and go on to the caller. A thread keeps the trial
        for this driver however long a step takes. While other drivers run the last trials it waits, to take
        over what they cannot end. The checkpoints that `Attempt.keep` makes lie in `folder`.
        """
        where = None if folder is None else Path(folder)
        place = Place(folder=where, every=KEEP_EVERY, tidy=not copies(self.stop))
        with self._heard_of():
            while True:
                asked = self.ask()
                if asked is not None:
                    self._try(objective, asked, place)
                elif self._others_run():
                    threading.Event().wait(min(self.lease / 4, _LOOK_AGAIN))
                else:
                    return self.best

    # how

    def _try(self, objective: Callable[[Attempt], float | None], asked: Asked, place: Place) -> None:
        try:
            value = objective(Attempt(self, asked, place))
            final = None if value is None else number_of("value", value)
        except Over:
            return
        except Exception as problem:
            if isinstance(problem, Temporary):
                self._give_back(asked, str(problem))
                raise
            reason, final = f"{type(problem).__name__}: {problem}", None
        except BaseException:
            self._give_back(asked, "the driver was interrupted")
            raise
        else:
            reason = ""
        with contextlib.suppress(Superseded):  # by whoever believed this driver gone
            self.tell(asked, final, state=FAILED if reason else COMPLETED, reason=reason)

    def _give_back(self, asked: Asked, reason: str) -> None:
        with contextlib.suppress(TradewindError):  # its lease will be over
            self.requeue(asked, reason, MOVE)

    @contextlib.contextmanager
    def _heard_of(self) -> Iterator[None]:
        """Send heartbeats from a thread of its own."""
        over = threading.Event()

        def beat() -> None:
            while not over.wait(self.lease / 4):
                with contextlib.suppress(TradewindError):
                    self.store.heartbeat(self.name, self.driver, moment=self.now(), lease=self.lease)

        beats = threading.Thread(target=beat, name="heartbeats of a study", daemon=True)
        if math.isfinite(self.lease):
            beats.start()
        try:
            yield
        finally:
            over.set()
            if beats.is_alive():
                beats.join()

    def _others_run(self) -> bool:
        mine = self.driver
        return any(
            each.state == WAITING or (each.state == RUNNING and each.driver != mine) for each in self.trials
        )

    def _read(self) -> Trials:
        record = self._record
        record.follow(self.store.history(self.name, record.trials.sequence), self.now())
        return record.trials

    def _views(self) -> list[Trial]:
        """The study's own trials, as rules see them."""
        self._read()
        return self._record.views()

    def _asked(self, claim: Claim) -> Asked:
        found = self._read()[claim.number]
        return Asked(
            claim.number, dict(found.setting), claim, found.checkpoint_step or 0, found.checkpoint,
            found.dollars, found.seconds,
        )  # fmt: skip

    def _closed(self, known: Sequence[Trial]) -> str:
        """Why the budget lets nothing new begin."""
        return self.limits.closed(known, self._record.passed(self.now()))

    def _proposed(self, known: Sequence[Trial]) -> Setting | None:
        if self._next is None or self._next[0] != self._record.trials.sequence:
            foreign = self._record.earlier.trials
            trials = [*on_scale(foreign, known), *known] if foreign else known
            found = self.search.propose(self.space, trials, len(known))
            # a rule gives the same for the same, so what it gave is good until something arrives
            checked = None if found is None else self.space.check(found, type(self.search).__name__)
            self._next = self._record.trials.sequence, checked
        return self._next[1]

    def _go_on(self, known: Sequence[Trial], exhausted: bool) -> bool:
        """Have paused trials go on; whether there were any, by `known` and not by what came since."""
        going = () if self.stop is None else self.stop.resumed(known, exhausted)
        why = "it is among the best" if exhausted else "it goes on"
        for number in going:
            self.store.resume(self.name, number, why, moment=self.now())
        return bool(going)

    def _verdict(self, trial: Asked, stored: StoredTrial, step: int) -> Verdict:
        if stored.stop_wanted:
            return Verdict(STOP, stored.stop_wanted)
        if self.stop is None or step >= self.stop.max_steps:
            return Verdict()
        if step < stored.steps[-1] or step <= stored.resumed_after:
            return Verdict()  # a step that is done again: what was to be said then has been said
        if trial.number in self._record.heirs:  # its driver was killed between the halves of `_become`
            return Verdict(STOP, self._record.heirs[trial.number])
        known = self._views()
        verdict = self.stop.judge(known[trial.number], known)
        if verdict.action not in (GO_ON, STOP, PAUSE, BECOME):
            raise Misuse(f"{verdict.action!r} is no action", source=type(self.stop).__name__, field="action")
        return verdict

    def _become(self, trial: Asked, verdict: Verdict, moment: float) -> None:
        if verdict.parent is None or verdict.setting is None:
            raise Misuse("nothing to become", source=type(self.stop).__name__, field="parent")
        parent = self._read()[verdict.parent]
        start = None if parent.checkpoint_step is None else (parent.checkpoint_step, parent.checkpoint)
        self.store.add(
            self.name, self.space.check(verdict.setting, "become"), parent=verdict.parent, start=start,
            seen=self._record.trials.sequence, reason=in_place_of(trial.number, verdict.reason),
            moment=moment,
        )  # fmt: skip
        self.store.finish(trial.claim, STOPPED, reason=verdict.reason, moment=moment)

    def _close(self, known: Sequence[Trial]) -> None:
        """Stop what was paused and is not chosen: nothing will go on with it."""
        for each in known:
            if each.state == PAUSED:
                self.store.stop(self.name, each.number, "it was left behind", moment=self.now())

    def _begin_with(self, earlier: Earlier) -> None:
        """Copy what an earlier study has shown into this one's history, unless that was done before."""
        self._read()
        known = self._record.earlier.known.get(earlier.study)
        if known is None:
            for document in self._copy_of(earlier):
                self.store.note(self.name, MARK, document=document, moment=self.now())
            self._read()
            known = self._record.earlier.known[earlier.study]
        if known.identical != earlier.identical:
            raise Misuse(
                f"identical = {earlier.identical} is not what this study began with", source=self.name,
                field=f"earlier {earlier.study!r}", fix="Choose another name for the new study.",
            )  # fmt: skip

    def _copy_of(self, earlier: Earlier) -> list[dict[str, Any]]:
        if earlier.trials is not None:
            return copied(earlier, earlier.trials, self._sign, self.space)
        there = self.store if earlier.store is None else _there(earlier.store)
        try:
            if earlier.study == self.name and there.url == self.store.url:
                raise Misuse("a study does not begin with itself", source=self.name, field="earlier")
            sign = -1.0 if there.description(earlier.study).get("direction") == "maximize" else 1.0
            return copied(earlier, there.trials(earlier.study).all(), sign, self.space)
        finally:
            if there is not self.store and there is not earlier.store:
                there.close()


def _there(store: TrialStore | str | os.PathLike[str]) -> TrialStore:
    """A store that is there, which a misspelt path is not."""
    if isinstance(store, TrialStore):
        return store
    if "://" not in os.fspath(store) and not os.path.exists(store):
        raise Misuse("there is no such file", source=os.fspath(store), field="store", fix="Name another.")
    return TrialStore(store)
