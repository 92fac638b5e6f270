"""What a run held, kept in memory while it is simulated: the leases, and what they cost."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

from tradewind.control.loop import Outcome, Unrecorded
from tradewind.errors import Permanent
from tradewind.market.charges import Invoice
from tradewind.market.decisions import Decision, Release, Take
from tradewind.market.leases import Ending, LeaseId
from tradewind.market.news import Ended, News
from tradewind.market.offers import Bid
from tradewind.session.report.comparison_data import Held
from tradewind.training.elastic.work import WORK
from tradewind.training.view import TrainingView


class Overdue(Permanent):
    """The recorded market ended before the work was done."""


class Bill(Unrecorded):
    """Remembers what a run cost however it ended, and stops it where the recorded market ends, at `until`."""

    def __init__(self, until: float) -> None:
        self.until = until
        self.taken = self.revoked = 0
        self.cost = 0.0
        self.last = 0.0
        self.most = 0.0
        """The most useful vCPUs that workers were held with at a time, those under notice too."""
        self._now = 0.0
        self._held: dict[LeaseId, float] = {}
        self._decision: Decision | None = None
        self._vcpus: dict[str, float] = {}
        self._useful = math.inf

    def record(self, view: TrainingView, memory: Any, decision: Decision, recalled: Any) -> None:
        """Remember the decision until its outcomes are known. Raise `Overdue` if it is after the end."""
        self.last = view.market.now
        if self.last > self.until:
            raise Overdue("the recorded market ended before the work was done")
        self._decision = decision
        if any(isinstance(action, Take) for action in decision.actions):
            self._vcpus = {offer.type.name: offer.type.resources.vcpus for offer in view.market.offers}
            if view.goal.useful_vcpus is not None:
                self._useful = view.goal.useful_vcpus

    def record_outcomes(self, outcomes: tuple[Outcome, ...]) -> None:
        """Count the leases that it brought and those that it let go."""
        assert self._decision is not None
        for action, outcome in zip(self._decision.actions, outcomes, strict=False):
            if isinstance(action, Release):
                self._let_go(action.lease)
            elif isinstance(action, Take):
                for lease in outcome.granted:
                    self.taken += 1
                    self._begin(lease, action.bid)
        self.most = max(self.most, self._now)

    def record_news(self, moment: float, news: News) -> None:
        """Count the revocations."""
        if isinstance(news, Ended):
            self.revoked += news.ending is Ending.REVOKED
            self._let_go(news.lease)

    def record_invoice(self, invoice: Invoice) -> None:
        """Remember the total."""
        self.cost = float(invoice.total)

    def _begin(self, lease: LeaseId, bid: Bid) -> None:
        if bid.purpose == WORK:
            self._held[lease] = min(self._vcpus.get(bid.pool.instance_type, 0.0), self._useful)
            self._now += self._held[lease]

    def _let_go(self, lease: LeaseId) -> None:
        self._now -= self._held.pop(lease, 0.0)


class Lanes(Bill):
    """Remembers every lease's life too."""

    def __init__(self, until: float) -> None:
        super().__init__(until)
        self._lives: dict[LeaseId, tuple[str, str, str, float, float]] = {}
        self._ends: dict[LeaseId, tuple[float, str]] = {}

    def record_news(self, moment: float, news: News) -> None:
        """Remember how a lease ended."""
        super().record_news(moment, news)
        if isinstance(news, Ended):
            self._ends[news.lease] = (news.at, news.ending.value)

    def _begin(self, lease: LeaseId, bid: Bid) -> None:
        super()._begin(lease, bid)
        vcpus = self._vcpus.get(bid.pool.instance_type, 0.0)
        self._lives[lease] = (str(bid.pool), bid.terms.value, bid.purpose, vcpus, self.last)

    def held(self, end: float) -> tuple[Held, ...]:
        """The leases, those alike together, by start and pool; one that never ended is held until `end`."""
        alike = Counter((*told, *self._ends.get(lease, (end, "held"))) for lease, told in self._lives.items())
        return tuple(
            Held(
                pool=pool,
                terms=terms,
                purpose=purpose,
                vcpus=vcpus,
                count=count,
                started=started,
                ended=ended,
                ending=ending,
            )
            for (pool, terms, purpose, vcpus, started, ended, ending), count in sorted(
                alike.items(), key=lambda pair: (pair[0][4], pair[0])
            )
        )
