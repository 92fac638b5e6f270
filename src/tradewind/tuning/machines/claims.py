"""The trials that a driver has claimed, each on a lease or waiting for one, and what becomes of them."""

from __future__ import annotations

import contextlib

from msgspec import Struct

from tradewind import clock
from tradewind.data.trial_records import FAILURE, StoredTrial, Trials
from tradewind.data.trial_store import Superseded
from tradewind.errors import Misuse
from tradewind.market.instances import Pool
from tradewind.market.leases import Lease, LeaseId
from tradewind.tuning.attempt import Asked
from tradewind.tuning.machines.interface import trial_of
from tradewind.tuning.study import Study
from tradewind.tuning.trial import FAILED, RUNNING, STOPPED

MOST_FAILURES = 3
"""How often what runs a trial may break until the trial has failed. Revocations and moves do not count."""


class Held(Struct):
    """A claimed trial."""

    asked: Asked
    lease: Lease | None = None
    """Where it runs; None while it waits for a machine."""
    since: float = 0.0
    """The moment at which it was put there."""


class Claims:
    """The trials of `study` that its driver runs, `most` of them at once."""

    def __init__(self, study: Study, most: int) -> None:
        self.study, self.most = study, most
        self.held: dict[int, Held] = {}
        """By number."""
        self.others_run = False
        """Whether nothing is left to claim, but other drivers still run trials."""
        self.idle_since: dict[str, float] = {}
        """The moment at which the last trial of a lease left it."""
        self._on: dict[LeaseId, int] = {}
        self._known = Trials()

    def ask(self) -> None:
        """Claim as many as may run."""
        self.others_run = False
        while len(self.held) < self.most:
            asked = self.study.ask()
            if asked is None:
                self.others_run = not self.held and not self.study.finished
                return
            before = self.held.get(asked.number)
            if before is not None and before.lease is not None:
                self._off(before.lease.id)  # paused there, and goes on before that was heard
            self.held[asked.number] = Held(asked)

    def known(self) -> Trials:
        """What the store has of all trials."""
        return self.study.store.trials(self.study.name, self._known)

    def stored(self, number: int) -> StoredTrial:
        """What the store has of a trial."""
        return self.known()[number]

    def on(self, lease: LeaseId) -> int | None:
        """The trial on a lease."""
        return self._on.get(lease)

    def fresh_on(self, lease: LeaseId) -> Pool | None:
        """The pool of a lease that began at this moment for a trial."""
        number = self.on(lease)
        found = None if number is None else self.held[number].lease
        return found.pool if found is not None and clock.now() - found.started < 1.0 else None

    @property
    def placed(self) -> int:
        """How many have a lease."""
        return len(self._on)

    def current(self, number: int, attempt: int) -> Held | None:
        """The trial, if it is on a lease under that attempt; else it was lost or given back meanwhile."""
        found = self.held.get(number)
        if found is None or found.lease is None or found.asked.claim.attempt != attempt:
            return None
        return found

    def waiting(self, purpose: str) -> int:
        """The trial that a lease is taken for; Misuse unless it is one that waits for a machine."""
        number = trial_of(purpose)
        if number is None or number not in self.held or self.held[number].lease is not None:
            raise Misuse(
                f"{purpose!r} is no trial that waits for a machine", source="the rule for machines",
                field="purpose", fix="Name one of the view's queued trials.",
            )  # fmt: skip
        return number

    def place(self, number: int, lease: Lease) -> Asked:
        """Put a trial on a lease."""
        found = self.held[number]
        found.lease, found.since = lease, clock.now()
        self._on[lease.id] = number
        self.idle_since.pop(lease.id, None)
        self.note(found)
        return found.asked

    def note(self, held: Held, seconds: float | None = None) -> None:
        """Record where a trial is, and what a step takes there."""
        if held.lease is not None:
            offer = f"{held.lease.pool} {held.lease.terms}"
            with contextlib.suppress(Superseded):
                self.study.store.assign(held.asked.claim, offer, seconds, moment=self.study.now())

    def give_back(self, number: int, reason: str, cause: str) -> None:
        """The trial is on no machine any more: its record says what became of it; if nothing, it waits."""
        found = self.held.pop(number)
        if found.lease is not None:
            self._off(found.lease.id)
        stored = self.stored(number)
        if stored.state != RUNNING:
            return
        with contextlib.suppress(Superseded):  # else another driver has it by now
            if stored.stop_wanted:
                self.study.tell(found.asked, state=STOPPED, reason=stored.stop_wanted)
            elif cause == FAILURE and stored.failures + 1 >= MOST_FAILURES:
                self.study.tell(found.asked, state=FAILED, reason=reason)
            else:
                self.study.requeue(found.asked, reason, cause)

    def stop(self, number: int, reason: str) -> None:
        """End a trial at somebody's wish; it is off its machine."""
        found = self.held.pop(number)
        if found.lease is not None:
            self._off(found.lease.id)
        with contextlib.suppress(Superseded):
            if self.stored(number).state == RUNNING:
                self.study.tell(found.asked, state=STOPPED, reason=reason)

    def _off(self, lease: LeaseId) -> None:
        if self._on.pop(lease, None) is not None:
            self.idle_since[lease] = clock.now()
