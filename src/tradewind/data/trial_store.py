"""The store of studies and their trials: in a SQLite file, or in whatever database SQLAlchemy speaks to.

What a call has returned from is committed. In a SQLite file it outlasts a kill -9 of the process; a power
cut may take the last commits, whole ones, and leaves the file good, unless the store is `synced`: then each
commit waits for the disk, and a power cut takes nothing. Another database is as durable as it was set up.

Drivers share a study without knowing each other. Its events have one order of arrival, which is what
decisions depend on, and a reader who sees an event sees all before it. A driver claims a trial for as long
as it sends heartbeats. When it is gone another one claims the trial, and whatever the first still says of it
is refused: a claim has the number of its attempt, and only the latest one counts. The store reads no time.
Moments are the drivers' and come as arguments; leases should be much longer than their clocks differ.

A write whose connection is lost is tried again, and found done if it was, so that nothing is written twice.
Where that does not help Temporary is raised, and the same call may be made again later.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from typing import Any, Self

import msgspec

from tradewind.data.trial_database import Database
from tradewind.data.trial_records import (
    ADDED,
    ASSIGNED,
    CAUSES,
    CHECKPOINTED,
    CLAIMED,
    COMPLETED,
    CREATED,
    FINAL,
    FINISHED,
    LOST,
    NOTED,
    PAUSED,
    REFUSED,
    RELEASED,
    REPORTED,
    REQUEUED,
    RESUMED,
    REVOCATION,
    RUNNING,
    SET_ASIDE,
    STOP_WANTED,
    STOPPED,
    WAITING,
    Claim,
    Event,
    Report,
    StoredTrial,
    StudyRow,
    Trials,
    as_json,
    difference,
    digest,
)
from tradewind.data.trial_reports import Reporting, checked, number_of, whole_step
from tradewind.data.trial_tables import Transaction, line
from tradewind.errors import Misuse, Permanent, suggestion


class Superseded(Permanent):
    """Another driver has the trial, or it is over; what this one says of it does not count any more."""


class TrialStore:
    """Studies, trials and their histories in one database; any number of processes and threads may use it."""

    def __init__(
        self, url: str | os.PathLike[str], *, synced: bool = False, wait: float = 30.0, patience: float = 0.0
    ) -> None:
        """The store at a path, or at a URL of SQLAlchemy; its tables are made where they are not there.

        `synced` has each commit to a SQLite file wait for the disk. `wait` is for how many seconds a call
        waits while others write to the file, `patience` for how many more it tries again where the database
        does not answer. Misuse for what is no database, cannot be written, or was written by another version
        of this store; `sqlite://` is a store in memory, for this process only.
        """
        self._database = Database(url, synced=synced, wait=wait, patience=patience)
        self._reporting = Reporting()

    @property
    def url(self) -> str:
        """Where it is, without a password."""
        return self._database.url

    def close(self) -> None:
        """Close the connections of all threads."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Studies

    def create(self, study: str, description: Mapping[str, Any], *, moment: float | None = None) -> bool:
        """Make a study, or open the one of that name: True if it is new.

        The description says what must stay as it is for the study to go on, such as its space and direction.
        Misuse, naming the field, where that of the study that is there differs.
        """
        _named("study", study)
        text = as_json(description, "description")

        def work(at: Transaction) -> bool:
            found = at.find_study(study)
            if found is None:
                at.record(at.new_study(study, text), CREATED, moment=moment, token=at.token)
                return True
            if field := difference(found[1], msgspec.json.decode(text)):
                raise Misuse(
                    "it is another than that of the study that is there", field=field,
                    source=f"study {study!r} in {self.url}",
                    fix="Choose another name, or go on with what the study began with.",
                )  # fmt: skip
            return bool(at.recalled(found[0]))

        return self._database.write(work)

    def description(self, study: str) -> dict[str, Any]:
        """What the study was created with."""

        def work(at: Transaction) -> dict[str, Any]:
            at.key(study)
            found = at.find_study(study)
            return found[1] if found else {}

        return self._database.read(work)

    def studies(self) -> tuple[StudyRow, ...]:
        """Every study, the oldest first."""
        return tuple(StudyRow(*row) for row in self._database.read(Transaction.studies))

    def delete(self, study: str) -> None:
        """Forget a study with all its trials; who drives one of them is told so at the next call."""

        def work(at: Transaction) -> None:
            if not at.again or at.find_study(study) is not None:
                at.delete_study(at.key(study))

        self._database.write(work)

    def history(self, study: str, after: int = 0, limit: int | None = None) -> list[Event]:
        """What arrived after the event of that sequence, in order."""
        return self._database.read(lambda at: at.events(at.key(study), after, limit))

    def trials(self, study: str, following: Trials | None = None) -> Trials:
        """The trials of a study; `following` brought up to date, if it is given: only what is new is read."""
        found = Trials() if following is None else following
        found.follow(self.history(study, found.sequence))
        return found

    def digest(self, study: str) -> str:
        """Of all that arrived, in hexadecimal: equal for two runs of a study that went alike."""
        return digest(self.description(study), self.history(study))

    # Trials, by whoever decides

    def add(
        self, study: str, setting: Mapping[str, Any], *, number: int | None = None,
        parent: int | None = None, start: tuple[int, str] | None = None, seen: int | None = None,
        reason: str = "", moment: float | None = None,
    ) -> int | None:  # fmt: skip
        """Add a trial that waits, and give its number: the next one, from 0.

        Where `number` is given and the next one is another, for some driver was faster, nothing is done and
        None is given: read what arrived and choose again. `start` is the checkpoint of `parent`, step and
        place, with which it begins. `seen` is the sequence of the last event that the choice was made with.
        """
        as_json(setting, "setting")
        document = {"setting": dict(setting), "parent": parent, "seen": seen}

        def work(at: Transaction) -> int | None:
            key = at.key(study)
            if done := at.recalled(key):
                return done[0].number
            if number is not None and number != at.next_number(key):
                return None
            found = at.new_trial(key, WAITING)
            at.record(key, ADDED, found, text=reason, document=document, moment=moment, token=at.token)
            if start is not None:
                at.record(key, CHECKPOINTED, found, step=whole_step(start[0]), text=start[1], moment=moment)
            return found

        return self._database.write(work)

    def insert(self, study: str, trial: StoredTrial) -> int:
        """Add a trial from elsewhere with its curve and its end; its number here, the next one, is given.

        One that is not finished waits here.
        """
        as_json(trial.setting, "setting")
        state = trial.state if trial.state in FINAL else WAITING

        def work(at: Transaction) -> int:
            key = at.key(study)
            if done := at.recalled(key):
                return done[0].number or 0
            number = at.new_trial(key, state, max(trial.steps, default=-1))
            added = {"setting": trial.setting, "parent": None, "seen": None}
            at.record(
                key,
                ADDED,
                number,
                document=added,
                token=at.token,
                dollars=trial.dollars,
                seconds=trial.seconds,
            )
            curve = zip(trial.steps, trial.values, strict=True)
            at.record_many([line(key, REPORTED, number, step=step, value=value) for step, value in curve])
            if state in FINAL:
                end = {"state": state}
                at.record(key, FINISHED, number, value=trial.final, text=trial.reason, document=end)
            return number

        return self._database.write(work)

    def resume(self, study: str, number: int, reason: str = "", *, moment: float | None = None) -> bool:
        """Have a paused trial wait to be claimed; False if it is not paused, or not any more."""

        def work(at: Transaction) -> bool:
            key = at.key(study)
            row = self._row(at, study, key, number)
            if row.state != PAUSED:
                return bool(at.recalled(key))
            at.change(key, number, state=WAITING)
            at.record(key, RESUMED, number, row.attempt, text=reason, moment=moment, token=at.token)
            return True

        return self._database.write(work)

    def stop(self, study: str, number: int, reason: str, *, moment: float | None = None) -> bool:
        """Ask for a trial's end. Its driver learns of it by `heartbeat`; one that nobody runs is stopped.

        False if it is over, or its end was wanted before.
        """
        if not reason:
            raise Misuse("it is empty", field="reason", fix="Say why.")

        def work(at: Transaction) -> bool:
            key = at.key(study)
            row = self._row(at, study, key, number)
            if row.state in FINAL or row.stop_wanted:
                return bool(at.recalled(key))
            at.change(key, number, stop_wanted=reason)
            at.record(key, STOP_WANTED, number, row.attempt, text=reason, moment=moment, token=at.token)
            if row.state != RUNNING:
                _stop(at, key, number, row.attempt, reason, moment)
            return True

        return self._database.write(work)

    def note(
        self, study: str, text: str, *, number: int | None = None, document: Mapping[str, Any] | None = None,
        moment: float | None = None,
    ) -> int:  # fmt: skip
        """Put something on record in the order of arrival, such as a verdict; its sequence is given."""
        as_json(document or {}, "document")

        def work(at: Transaction) -> int:
            key = at.key(study)
            if done := at.recalled(key):
                return done[0].sequence
            attempt = 0 if number is None else self._row(at, study, key, number).attempt
            at.record(
                key, NOTED, number, attempt, text=text, document=document, moment=moment, token=at.token
            )
            return at.last_sequence(key)

        return self._database.write(work)

    # Trials, by their drivers

    def claim(
        self, study: str, driver: str, *, moment: float, lease: float = math.inf, number: int | None = None
    ) -> Claim | None:
        """Take up the first trial that waits, or that of `number`, or one whose driver's lease was over.

        None if there is none. The claim is good for `lease` seconds from `moment`, and for as long from
        each heartbeat. A trial whose end is wanted is not taken up but stopped.
        """
        _named("driver", driver)
        until = _until(moment, lease)

        def work(at: Transaction) -> Claim | None:
            key = at.key(study)
            if done := at.recalled(key):
                return Claim(key, done[0].number or 0, done[0].attempt, driver)
            while (row := at.first_free(key, moment, number)) is not None:
                if row.state == RUNNING:
                    _release(at, row, "its driver was not heard of", moment)
                    continue
                if row.stop_wanted:
                    _stop(at, key, row.number, row.attempt, row.stop_wanted, moment)
                    continue
                claim = Claim(key, row.number, row.attempt + 1, driver)
                at.change(
                    key,
                    row.number,
                    state=RUNNING,
                    driver=driver,
                    until=until,
                    attempt=claim.attempt,
                    reached=-1,
                )
                about = {"driver": driver, "moment": moment, "token": at.token}
                at.record(key, CLAIMED, row.number, claim.attempt, **about)
                return claim
            return None

        return self._database.write(work)

    def heartbeat(self, study: str, driver: str, *, moment: float, lease: float = math.inf) -> dict[int, str]:
        """Prolong all that a driver has claimed: each number, with why its end is wanted, or ""."""
        until = _until(moment, lease)

        def work(at: Transaction) -> dict[int, str]:
            key = at.key(study)
            at.prolong(key, driver, until)
            return {row.number: row.stop_wanted for row in at.held(key, driver)}

        return self._database.write(work)

    def release(
        self, study: str, driver: str, reason: str = "its driver is gone", *, moment: float | None = None
    ) -> tuple[int, ...]:
        """Have all that a driver runs wait for others at once, where it is known to be gone."""

        def work(at: Transaction) -> tuple[int, ...]:
            key = at.key(study)
            if done := at.recalled(key):
                return tuple(event.number or 0 for event in done)
            rows = at.held(key, driver)
            for row in rows:
                _release(at, row, reason, moment, at.token)
            return tuple(row.number for row in rows)

        return self._database.write(work)

    def report(
        self, claim: Claim, step: int, value: float, *, dollars: float | None = None,
        seconds: float | None = None, moment: float | None = None,
    ) -> str:  # fmt: skip
        """Record the objective at a step; what became of it is given: recorded, again or differs.

        Steps rise within an attempt: Misuse for one that does not, or for another value at the same step;
        the same once more is nothing new. Of a step that an earlier attempt got to, the value of that one
        stays, for decisions were made with it; another value is put on record beside it. Superseded where
        the trial is not the driver's any more. Dollars and seconds are those of the trial so far, in all.
        """
        found = self.report_many([Report(claim, step, value, dollars, seconds, moment)])[0]
        if found == LOST:
            raise Superseded(_lost(claim))
        if found == REFUSED:
            raise Misuse(
                f"{step} is not after the step before it, or had another value then",
                source=f"trial {claim.number}", field="step", fix="Report each step once, rising.",
            )  # fmt: skip
        return found

    def report_many(self, reports: Sequence[Report]) -> tuple[str, ...]:
        """Record reports in their order, a study's in one commit; what became of each is given.

        As `report`, but a lost or refused one is said to be so and no error: it does not spoil the others.
        """
        whole = [checked(report) for report in reports]
        found = [""] * len(whole)
        for key in dict.fromkeys(report.claim.study for report in whole):
            places = [at for at, report in enumerate(whole) if report.claim.study == key]
            answers = self._reporting.record(self._database, key, [whole[at] for at in places])
            for at, answer in zip(places, answers, strict=True):
                found[at] = answer
        return tuple(found)

    def checkpoint(
        self, claim: Claim, step: int, place: str, *, dollars: float | None = None,
        seconds: float | None = None, moment: float | None = None,
    ) -> None:  # fmt: skip
        """Record from where the trial can go on: the step, and a path, a digest or whatever finds it."""
        spent = {"dollars": dollars, "seconds": seconds, "moment": moment}
        self._say(claim, CHECKPOINTED, step=whole_step(step), text=place, **spent)

    def assign(
        self, claim: Claim, offer: str, seconds_per_step: float | None = None, *, moment: float | None = None
    ) -> None:
        """Record on which machine the trial is, and how many seconds a step turned out to take there."""
        self._say(claim, ASSIGNED, text=offer, value=seconds_per_step, moment=moment)

    def requeue(
        self, claim: Claim, reason: str, cause: str = REVOCATION, *, dollars: float | None = None,
        seconds: float | None = None, moment: float | None = None,
    ) -> None:  # fmt: skip
        """End the attempt; the trial waits for the next one. Each cause is counted apart."""
        _one_of("cause", cause, CAUSES)
        about = {"document": {"cause": cause}, "dollars": dollars, "seconds": seconds, "moment": moment}
        self._end(claim, REQUEUED, WAITING, text=reason, **about)

    def pause(
        self, claim: Claim, reason: str, *, dollars: float | None = None, seconds: float | None = None,
        moment: float | None = None,
    ) -> None:  # fmt: skip
        """End the attempt; the trial keeps its checkpoint, and nobody claims it until it is resumed."""
        about = {"dollars": dollars, "seconds": seconds, "moment": moment}
        self._end(claim, SET_ASIDE, PAUSED, text=reason, **about)

    def finish(
        self, claim: Claim, state: str = COMPLETED, final: float | None = None, reason: str = "", *,
        dollars: float | None = None, seconds: float | None = None, moment: float | None = None,
    ) -> None:  # fmt: skip
        """End the trial, completed, stopped or failed, with the objective that it ended with."""
        _one_of("state", state, FINAL)
        value = None if final is None else number_of("final", final)
        about = {"document": {"state": state}, "dollars": dollars, "seconds": seconds, "moment": moment}
        self._end(claim, FINISHED, state, text=reason, value=value, **about)

    # How

    def _row(self, at: Transaction, study: str, key: int, number: int) -> Any:
        row = at.trial(key, number)
        if row is None:
            raise Misuse(
                f"there is no trial {number}", source=f"study {study!r} in {self.url}", field="number",
                fix=f"The next one that is added will be {at.next_number(key)}.",
            )  # fmt: skip
        return row

    def _say(self, claim: Claim, kind: str, **about: Any) -> None:
        def work(at: Transaction) -> None:
            at.hold(claim.study)
            if at.recalled(claim.study):
                return
            row = at.trial(claim.study, claim.number)
            if row is None or row.attempt != claim.attempt or row.state != RUNNING:
                raise Superseded(_lost(claim))
            at.record(claim.study, kind, claim.number, claim.attempt, token=at.token, **about)

        self._database.write(work)

    def _end(self, claim: Claim, kind: str, state: str, **about: Any) -> None:
        def work(at: Transaction) -> None:
            key, number, attempt = claim.study, claim.number, claim.attempt
            at.hold(key)
            row = at.trial(key, number)
            if row is None or row.attempt != attempt or row.state != RUNNING:
                told = (kind, about["text"], about.get("document", {}))
                ends = at.endings(key, number, attempt)
                if told not in [(end.kind, end.text, end.document) for end in ends]:
                    raise Superseded(_lost(claim))
                return  # an end that is said again is nothing new
            at.change(key, number, state=state, driver="", until=None)
            at.record(key, kind, number, attempt, **about)
            if row.stop_wanted and state not in FINAL:
                _stop(at, key, number, attempt, row.stop_wanted, about.get("moment"))

        self._database.write(work)


def _release(at: Transaction, row: Any, reason: str, moment: float | None, token: str | None = None) -> None:
    at.change(row.study, row.number, state=WAITING, driver="", until=None)
    about = {"text": reason, "moment": moment, "driver": row.driver, "token": token}
    at.record(row.study, RELEASED, row.number, row.attempt, **about)
    if row.stop_wanted:
        _stop(at, row.study, row.number, row.attempt, row.stop_wanted, moment)


def _stop(at: Transaction, key: int, number: int, attempt: int, reason: str, moment: float | None) -> None:
    at.change(key, number, state=STOPPED)
    at.record(key, FINISHED, number, attempt, text=reason, document={"state": STOPPED}, moment=moment)


def _lost(claim: Claim) -> str:
    return f"trial {claim.number}: attempt {claim.attempt}, by {claim.driver}, is not the one that runs"


def _named(field: str, name: str) -> None:
    if not name or len(name) > 200:
        raise Misuse(f"{name!r} is no name", field=field, fix="Use 1 to 200 characters.")


def _one_of(field: str, given: str, known: Sequence[str]) -> None:
    if given not in known:
        raise Misuse(f"{given!r} is none", field=field, fix=suggestion(str(given), known))


def _until(moment: float, lease: float) -> float | None:
    if not lease > 0 or not math.isfinite(moment):
        raise Misuse(
            f"nothing lasts {lease} s from {moment}", field="lease", fix="Give more than 0 s from a moment."
        )
    return None if math.isinf(lease) else moment + lease
