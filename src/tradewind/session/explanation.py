"""`explain`: from a run's journal, why each lease was taken and dropped, what it cost and what it did."""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from tradewind.control.journal import Journal
from tradewind.control.journal_reading import Reading
from tradewind.control.records import Entry
from tradewind.errors import Misuse, suggestion
from tradewind.market.billing.eras import rule_for, spot_without_refunds
from tradewind.market.billing.interface import BillingRule
from tradewind.market.charges import Charge, add_up
from tradewind.market.decisions import Release, Take
from tradewind.market.instances import Instance, InstanceType, Pool
from tradewind.market.leases import Ending, Lease, LeaseId
from tradewind.market.news import Ended, Warned
from tradewind.market.offers import Bid, Offer, Terms
from tradewind.market.resources import Resources
from tradewind.market.tariffs import Refund, Tariff
from tradewind.market.views import View
from tradewind.session import durations
from tradewind.session.explanation_words import Alternative, Explanation, PoolLine, Story
from tradewind.session.report.reading import Stretches, journal_in, report_data
from tradewind.training.elastic.bidding.candidates import fits, useful_vcpus
from tradewind.training.elastic.work import STATE, WORK
from tradewind.training.view import Goal

ALTERNATIVES = 3
"""Offers told besides the one that was taken."""

_Key = tuple[int, LeaseId]
"""A lease by its stretch of the run and its id."""


class _Life:
    """What is known of one lease while the journal is walked."""

    def __init__(self, key: _Key, pool: Pool, terms: Terms, purpose: str, started: float) -> None:
        self.key, self.pool, self.terms, self.purpose = key, pool, terms, purpose
        self.started = self.taken = started
        self.row: tuple[int, int] = (-1, 0)
        """The decision that took it, and which of its actions."""
        self.why = "the decision that took it is not on record"
        self.price: float | None = None
        self.vcpus = 0.0
        """Useful ones."""
        self.limit: float | None = None
        self.alternatives: tuple[Alternative, ...] = ()
        self.tariff: Tariff | None = None
        self.startup = 0.0
        self.warned: float | None = None
        self.ended: float | None = None
        self.ending: Ending | None = None
        self.released: str | None = None
        """The reason of the decision that let it go."""


def explain(
    run: str | Path, *, lease: str | None = None, known: Mapping[str, type] | None = None
) -> Explanation:
    """Why the run in the folder or the journal `run` took each of its leases and dropped it.

    It reads a run that goes on, or whose driver was killed, as far as its record goes. `lease` tells of that
    one alone. `known` are view classes of others by their `module:Class`. Raises Misuse where there is no
    journal or no such lease, Corrupt where the journal does not read back.
    """
    path = journal_in(run)
    data = report_data(path, known)
    with Journal.read(path, known) as reading:
        walk = _Walk(reading)
        units, redone = _units(walk, reading)
        charges = _charges(walk, reading.invoice().charges)
    lives = list(walk.lives.values())
    if lease is not None:
        lives = [life for life in lives if life.key[1] == lease]
        if not lives:
            ids = {life.key[1] for life in walk.lives.values()}
            raise Misuse(
                f"there was no lease {lease!r}",
                source=str(run),
                field="--lease",
                fix=suggestion(lease, ids) if ids else "It took none.",
            )
    done = sum(units.values())
    last = max(data.ended, walk.last)
    over = data.reason or ("all the work was done" if data.outcome == "done" else "")
    stories = [
        _story(life, charges.get(life.key), walk, last, units.get(life.key, 0.0), done, over, data.notes)
        for life in lives
    ]
    told = stories if lease is not None else _grouped(stories, lives)
    return Explanation(
        run=data.title,
        policy=data.policy,
        outcome=data.outcome,
        reason=data.reason,
        started=data.started,
        ended=last,
        decisions=len(data.decisions),
        cost=data.cost,
        reckoned=any(story.reckoned for story in stories),
        cost_on_demand=data.cost_on_demand,
        revocations=sum(life.ending is Ending.REVOKED for life in walk.lives.values()),
        failures=sum(life.ending is Ending.FAILED for life in walk.lives.values()),
        free_hours=sum(story.free_hours for story in stories),
        units=done,
        redone=redone,
        pools=_pools(stories),
        stories=tuple(told),
        simulated=data.simulated,
    )


class _Walk:
    """All lives of leases in a journal, the prices seen, and how far the work was when."""

    def __init__(self, reading: Reading) -> None:
        self.stretches = Stretches(reading)
        self.lives: dict[_Key, _Life] = {}
        self.seen: dict[tuple[Pool, Terms], tuple[list[float], list[float]]] = {}
        """Prices by pool and terms: moments and US dollars an hour, kept where they change."""
        self.last = reading.summary().last
        self._offers: tuple[Offer, ...] = ()
        for entry in reading.entries():
            self._take_in(entry)
        for moment, news in reading.news():
            key_of = self.stretches.at(moment)
            if isinstance(news, Ended) and (life := self.lives.get((key_of, news.lease))) is not None:
                life.ended, life.ending = news.at, news.ending
                self.last = max(self.last, news.at)
            elif isinstance(news, Warned) and (
                (life := self.lives.get((key_of, news.revocation.lease))) is not None
            ):
                life.warned = news.revocation.warned

    def _take_in(self, entry: Entry) -> None:
        market: View = getattr(entry.view, "market", entry.view)
        stretch = self.stretches.of_row(entry.row)
        if market.offers is not self._offers and market.offers != self._offers:
            self._offers = market.offers
            for offer in market.offers:
                times, prices = self.seen.setdefault((offer.pool, offer.terms), ([], []))
                if not prices or prices[-1] != offer.price.per_hour:
                    times.append(market.now)
                    prices.append(offer.price.per_hour)
        goal: Goal | None = getattr(entry.view, "goal", None)
        for lease in market.leases:
            life = self.lives.get((stretch, lease.id))
            if life is None:
                life = _Life((stretch, lease.id), lease.pool, lease.terms, lease.purpose, lease.started)
                life.limit = lease.limit
                life.vcpus = _useful(lease.instance.type.resources.vcpus, goal)
                self.lives[life.key] = life
            life.started = lease.started
        for notice in market.revocations:
            if (life := self.lives.get((stretch, notice.lease))) is not None and life.warned is None:
                life.warned = notice.warned
        outcomes = entry.outcomes or ((),) * len(entry.decision.actions)
        for index, (action, outcome) in enumerate(zip(entry.decision.actions, outcomes, strict=False)):
            if isinstance(action, Release):
                if (life := self.lives.get((stretch, action.lease))) is not None and life.released is None:
                    life.released = entry.decision.reason
            elif isinstance(action, Take):
                for granted in getattr(outcome, "granted", ()):
                    self._begin(entry, market, goal, action.bid, (stretch, granted), index)

    def _begin(self, entry: Entry, market: View, goal: Goal | None, bid: Bid, key: _Key, index: int) -> None:
        life = _Life(key, bid.pool, bid.terms, bid.purpose, entry.moment)
        life.row, life.why, life.limit = (entry.row, index), entry.decision.reason, bid.limit
        life.tariff = market.tariffs.get(bid.terms)
        progress = getattr(entry.view, "progress", None)
        life.startup = 0.0 if progress is None else progress.startup
        for offer in market.offers:
            if offer.pool == bid.pool:
                life.vcpus = _useful(offer.type.resources.vcpus, goal)
                if offer.terms is bid.terms:
                    life.price = offer.price.per_hour
        life.alternatives = _alternatives(market.offers, goal, bid)
        self.lives[key] = life

    def price_at(self, life: _Life, moment: float) -> float:
        """The price of a lease's pool as the views last showed it before `moment`."""
        times, prices = self.seen.get((life.pool, life.terms), ([], []))
        if not prices:
            return life.price or 0.0
        return prices[max(bisect.bisect_right(times, moment) - 1, 0)]


def _useful(vcpus: float, goal: Goal | None) -> float:
    return vcpus if goal is None else useful_vcpus(vcpus, goal)


def _alternatives(offers: Iterable[Offer], goal: Goal | None, bid: Bid) -> tuple[Alternative, ...]:
    """The cheapest offers by useful vCPU that the same need could be met from, but the one taken."""
    found = []
    for offer in offers:
        if offer.pool == bid.pool and offer.terms is bid.terms:
            continue
        if goal is not None and not fits(offer, goal.state if bid.purpose == STATE else goal.workers):
            continue
        if bid.purpose == STATE and offer.terms.revocable:
            continue
        vcpus = _useful(offer.type.resources.vcpus, goal)
        if vcpus > 0:
            price = offer.price.per_hour
            found.append(Alternative(str(offer.pool), offer.terms.value, price, price / vcpus))
    # Servers need a machine and no more: for them the machine's own price counts.
    found.sort(
        key=lambda each: (each.per_hour if bid.purpose == STATE else each.per_vcpu, each.pool, each.terms)
    )
    return tuple(found[:ALTERNATIVES])


def _units(walk: _Walk, reading: Reading) -> tuple[dict[_Key, float], float]:
    """Work by lease, and how much was lost and done again.

    What was done between two samples is shared out over the workers that had started up, by useful vCPUs
    and the time that they were there.
    """
    workers = [life for life in walk.lives.values() if life.purpose == WORK and life.vcpus > 0]
    units = dict.fromkeys((life.key for life in workers), 0.0)
    redone = 0.0
    samples = reading.samples()
    owners = walk.stretches.owners(samples)
    for stretch in sorted(set(owners)):
        mine = [each for each, owner in zip(samples, owners, strict=True) if owner == stretch]
        moments = np.array([each.moment for each in mine])
        gained = np.diff(np.array([each.done for each in mine]))
        redone += float(-gained[gained < 0].sum())
        there = [life for life in workers if life.key[0] == stretch]
        weights = np.zeros(len(gained))
        spans = []
        for life in there:
            first, seconds = _overlap(moments, life, walk.last)
            spans.append((life, first, seconds))
            weights[first : first + len(seconds)] += seconds * life.vcpus
        shares = np.divide(np.maximum(gained, 0.0), weights, out=np.zeros(len(gained)), where=weights > 0)
        for life, first, seconds in spans:
            units[life.key] += float((seconds * life.vcpus) @ shares[first : first + len(seconds)])
    return units, redone


def _overlap(moments: NDArray[np.float64], life: _Life, last: float) -> tuple[int, NDArray[np.float64]]:
    """The number of the first interval between samples that a lease worked in, and its seconds in each."""
    begin, end = life.started + life.startup, last if life.ended is None else life.ended
    first = max(int(np.searchsorted(moments, begin, "right")) - 1, 0)
    stop = int(np.searchsorted(moments, end, "left"))
    if end <= begin or stop <= first or len(moments) < 2:
        return 0, np.empty(0)
    edges = np.clip(moments[first : stop + 1], begin, end)
    return first, np.diff(edges)


def _charges(walk: _Walk, charges: Sequence[Charge]) -> dict[_Key, list[Charge]]:
    """The recorded bill by lease. It is that of the stretch that was billed last."""
    found: dict[_Key, list[Charge]] = {}
    for charge in charges:
        found.setdefault((walk.stretches.begun_by(charge.start), charge.lease), []).append(charge)
    return found


def _story(
    life: _Life,
    billed: list[Charge] | None,
    walk: _Walk,
    last: float,
    units: float,
    done: float,
    over: str,
    notes: Sequence[str],
) -> Story:
    end = last if life.ended is None else life.ended
    charges = _reckoned(life, walk, end) if billed is None else tuple(billed)
    free = sum(each.end - each.start for each in charges if each.amount == 0 and each.note)
    return Story(
        leases=(life.key[1],),
        stretch=life.key[0],
        pool=str(life.pool),
        terms=life.terms.value,
        purpose=life.purpose,
        taken=life.taken,
        price=life.price,
        per_vcpu=life.price / life.vcpus if life.price is not None and life.vcpus > 0 else None,
        limit=life.limit,
        why=life.why,
        alternatives=life.alternatives,
        warned=life.warned,
        ended=life.ended,
        ending="held" if life.ending is None else life.ending.value,
        dropped=_dropped(life, over, notes),
        held=max(0.0, end - life.started),
        cost=float(add_up(each.amount for each in charges)),
        reckoned=billed is None,
        free_hours=free / 3600,
        units=units,
        share=units / done if done > 0 else 0.0,
    )


def _dropped(life: _Life, over: str, notes: Sequence[str]) -> str:
    """Why a lease ended, in words."""
    if life.ending is None and life.released is not None:
        return f"was to be released where the record ends: {life.released}"
    if life.ending is None:
        return "still held where the record ends"
    if life.ending is Ending.REVOKED:
        assert life.ended is not None
        if life.warned is None or life.warned >= life.ended:
            return "revoked by the provider without notice"
        return f"revoked by the provider, warned {durations.text(life.ended - life.warned)} before"
    if life.ending is Ending.FAILED:
        return "failed: the instance died, or never answered"
    if life.released is not None:
        return f"released: {life.released}"
    given_up = f"lease {life.key[1]} was given up: "
    for note in notes:
        if note.startswith(given_up):
            return f"given up: {note.removeprefix(given_up)}"
    return f"released at the end of the run{f': {over}' if over else ''}"


def _reckoned(life: _Life, walk: _Walk, until: float) -> tuple[Charge, ...]:
    """What a lease without a recorded bill owes, by the rule of its terms and the prices on record."""
    kind = InstanceType(life.pool.instance_type, Resources(vcpus=life.vcpus))
    lease = Lease(
        life.key[1],
        Instance(life.key[1], kind, life.pool.zone),
        life.terms,
        life.started,
        life.limit,
        life.purpose,
        life.ended,
        life.ending,
    )
    if not math.isfinite(until) or until <= life.started:
        return ()
    return _rule(life).charges(lease, lambda moment: walk.price_at(life, moment), until)


def _rule(life: _Life) -> BillingRule:
    """The billing rule that the views named, or that of the lease's year."""
    if life.terms is Terms.SPOT and life.tariff is not None and life.tariff.refund is Refund.NOTHING:
        return spot_without_refunds(life.started)
    return rule_for(life.terms, life.started)


def _grouped(stories: Sequence[Story], lives: Sequence[_Life]) -> list[Story]:
    """Stories that differ in nothing but the lease's name as one, in the order in which they were taken."""
    groups: dict[Any, list[Story]] = {}
    for story, life in zip(stories, lives, strict=True):
        ended = None if story.ended is None else round(story.ended)
        key = (story.stretch, life.row, story.pool, story.taken, ended, story.ending, story.dropped)
        groups.setdefault(key, []).append(story)
    told = []
    for alike in groups.values():
        first = alike[0]
        told.append(
            msgspec.structs.replace(
                first,
                leases=tuple(each.leases[0] for each in alike),
                cost=sum(each.cost or 0.0 for each in alike),
                free_hours=sum(each.free_hours for each in alike),
                units=sum(each.units for each in alike),
                share=sum(each.share for each in alike),
            )
        )
    return sorted(told, key=lambda story: (story.stretch, story.taken))


def _pools(stories: Iterable[Story]) -> tuple[PoolLine, ...]:
    """The money by pool and terms, the dearest first."""
    groups: dict[tuple[str, str], list[Story]] = {}
    for story in stories:
        groups.setdefault((story.pool, story.terms), []).append(story)
    lines = [
        PoolLine(
            pool=pool,
            terms=terms,
            leases=sum(len(each.leases) for each in alike),
            revoked=sum(each.ending == "revoked" for each in alike),
            hours=sum(each.held for each in alike) / 3600,
            free_hours=sum(each.free_hours for each in alike),
            cost=sum(each.cost or 0.0 for each in alike),
            share=sum(each.share for each in alike),
        )
        for (pool, terms), alike in groups.items()
    ]
    return tuple(sorted(lines, key=lambda line: (-line.cost, line.pool, line.terms)))
