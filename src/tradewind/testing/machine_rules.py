"""The laws of rules for machines: what must hold of every decision about any view of a study.

A test class of `MachineRuleLaws` with a `rule` of its own runs them all; hypothesis makes the views up.
"""

from __future__ import annotations

import itertools
import math
import random
import tempfile
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from tradewind.control.journal import Journal
from tradewind.control.policy import AnyPolicy
from tradewind.control.records import arguments_of, header_for
from tradewind.control.replay import replay
from tradewind.market.decisions import Decision, Release, Take, Use
from tradewind.market.demands import Demand
from tradewind.market.instances import Instance, Pool
from tradewind.market.leases import Lease, LeaseId, Revocation
from tradewind.market.offers import Offer, Price, Terms
from tradewind.market.resources import Resources
from tradewind.market.views import View
from tradewind.testing.policies import LAW, NOW, TARIFFS, TYPES, ZONES, outlook_of
from tradewind.tuning.machines.interface import Placed, Queued, TuningView, purpose_of, trial_of

MANY = settings(LAW, max_examples=80)
_encode = msgspec.json.Encoder(order="deterministic").encode


def tuning_view(number: int, now: float = NOW) -> TuningView:
    """The view of this number: offers of three types in two zones, trials that wait, trials that run, leases
    on which nothing runs, and notices.

    One number, not a hundred draws: laws ask for thousands.
    """
    drawn = random.Random(number)
    demand = Demand(
        resources=Resources(vcpus=drawn.choice((0.5, 2.0))),
        count=drawn.randint(1, 6),
        zones=drawn.choice(((), (), ZONES[:1])),
        instance_types=drawn.choice(((), (), ("medium", "large"), ("small",))),
    )
    offers = []
    for kind, zone in itertools.product(TYPES, ZONES):
        price = drawn.choice((0.1, drawn.uniform(0.01, 1.0)))
        if drawn.random() < 0.5:
            offers.append(Offer(kind, zone, Price(price, Terms.ON_DEMAND), wait=30.0))
        if drawn.random() < 0.5:
            available = drawn.choice((None, 1, 2, 3))
            offers.append(Offer(kind, zone, Price(price / 2, Terms.SPOT), available, 30.0))
    kinds = [kind for kind in TYPES if demand.accepts(kind, ZONES[0])]
    numbers = drawn.sample(range(100), drawn.randint(0, demand.count))
    running = drawn.randint(0, len(numbers)) if kinds else 0
    leases, notices, placed, idle_since = [], [], [], {}
    for at in range(running + (drawn.randint(0, 3) if kinds else 0)):
        trial = numbers[at] if at < running else drawn.randint(0, 99)
        terms = drawn.choice((Terms.SPOT, Terms.ON_DEMAND))
        limit = drawn.choice((None, drawn.uniform(0.01, 1.0))) if terms is Terms.SPOT else None
        instance = Instance(f"instance-{at}", drawn.choice(kinds), ZONES[0])
        age = drawn.choice((0.0, 30.0, 3597.0, 3600.0, drawn.uniform(0, 1e5)))
        lease = Lease(LeaseId(f"lease-{at}"), instance, terms, now - age, limit, purpose_of(trial))
        leases.append(lease)
        since = now - age * drawn.choice((1.0, 0.1))
        if at < running:
            left = drawn.choice((0, 1, 50, 5000))
            placed.append(Placed(trial, lease.id, left, since, drawn.uniform(0, 900)))
        elif drawn.random() < 0.5:
            idle_since[str(lease.id)] = since
        if terms is Terms.SPOT and drawn.random() < 0.25:
            notices.append(Revocation(lease.id, now - 1, now + drawn.uniform(1, 120)))
    queued = [Queued(each, drawn.choice((1, 50, 5000)), drawn.random() < 0.5) for each in numbers[running:]]
    types = {
        each.type.name: each.type.resources.vcpus for each in offers if demand.accepts(each.type, each.zone)
    }
    types |= {lease.instance.type.name: lease.instance.type.resources.vcpus for lease in leases}
    names = tuple(sorted(types))
    return TuningView(
        View(now, tuple(offers), tuple(leases), tuple(notices), tariffs=drawn.choice(TARIFFS)),
        tuple(queued),
        tuple(placed),
        demand,
        names,
        {str(each): tuple(_steps(drawn) / types[name] for name in names) for each in sorted(numbers)},
        drawn.choice((0.0, 60.0)),
        drawn.choice((0.0, 5.0)),
        drawn.choice((0.0, 2.0)),
        drawn.uniform(0, 900),
        drawn.choice((None, now + drawn.uniform(1, 1e6))),
        drawn.choice((None, outlook_of(number, now))),
        idle_since,
        {str(each.id): drawn.uniform(0.01, 1.0) for each in leases if drawn.random() < 0.8},
        tuple(Pool(kind.name, "east-1c") for kind in TYPES if drawn.random() < 0.3),
    )


def _steps(drawn: random.Random) -> float:
    """Seconds that a step takes on one vCPU."""
    return float(10.0 ** drawn.uniform(-2, 4))


def _paid_until(lease: Lease, view: TuningView) -> float:
    """The end of the unit that is owed."""
    unit = view.market.tariff(lease.terms).unit
    return lease.started + math.ceil((view.market.now - lease.started) / unit) * unit


def _history(number: int) -> list[TuningView]:
    return [tuning_view(10 * number + at, NOW + 100.0 * at) for at in range(1 + number % 3)]


tuning_histories = st.integers(0, 10**6).map(_history)
"""One view after another, in time."""


class MachineRuleLaws:
    """Subclass it and return a rule from `rule`; each law is a test."""

    def rule(self) -> AnyPolicy:
        """The rule under test, made anew."""
        raise NotImplementedError

    def decided(self, views: list[TuningView]) -> list[tuple[TuningView, Any, Decision, Any]]:
        """Every view with the memory and the decision that it met, and the memory after."""
        rule = self.rule()
        memory: Any = rule.recall()
        found = []
        for view in views:
            decision, recalled = rule.decide(view, memory)
            found.append((view, memory, decision, recalled))
            memory = recalled
        return found

    @MANY
    @given(tuning_histories)
    def test_law_1_equal_arguments_give_equal_answers(self, views: list[TuningView]) -> None:
        """Asked twice, made anew, and with all that it is given read back from JSON; nothing is altered."""
        for view, memory, decision, recalled in self.decided(views):
            rule = self.rule()
            again = type(rule)(**arguments_of(rule))
            before = _encode((view, memory))
            known = msgspec.json.decode(_encode(view), type=TuningView)
            kept = msgspec.json.decode(_encode(memory), type=type(memory))
            expected = _encode((decision, recalled))
            assert _encode(rule.decide(view, memory)) == expected
            assert _encode(again.decide(known, kept)) == expected
            assert _encode((view, memory)) == before

    @MANY
    @given(tuning_histories)
    def test_law_2_it_asks_again_later_and_says_why(self, views: list[TuningView]) -> None:
        """A moment after the view's, finite; a reason in words."""
        for view, _, decision, _ in self.decided(views):
            assert view.market.now < decision.wake_at < math.inf
            assert decision.reason.endswith(".") and not decision.reason[0].islower()

    @MANY
    @given(tuning_histories)
    def test_law_3_what_is_taken_is_offered_and_fits(self, views: list[TuningView]) -> None:
        """No more than there are, one at a time, at no limit below the price that stands."""
        for view, _, decision, _ in self.decided(views):
            offers = {(each.pool, each.terms): each for each in view.market.offers}
            taken: dict[Any, int] = {}
            for bid in (each.bid for each in decision.actions if isinstance(each, Take)):
                offer = offers[bid.pool, bid.terms]
                taken[bid.pool, bid.terms] = taken.get((bid.pool, bid.terms), 0) + 1
                assert view.demand.accepts(offer.type, offer.zone) and bid.count == 1
                assert bid.limit is None or offer.price.per_hour <= bid.limit < math.inf
            for key, count in taken.items():
                available = offers[key].available
                assert available is None or count <= available

    @MANY
    @given(tuning_histories)
    def test_law_4_a_trial_that_waits_gets_one_machine_at_most(self, views: list[TuningView]) -> None:
        """And others none; so there are never more than the demand counts."""
        for view, _, decision, _ in self.decided(views):
            given = [
                trial_of(each.bid.purpose if isinstance(each, Take) else each.purpose)
                for each in decision.actions
                if not isinstance(each, Release)
            ]
            assert len(given) == len(set(given))
            assert set(given) <= {each.trial for each in view.queued}
            assert len(given) + len(view.placed) <= view.demand.count

    @MANY
    @given(tuning_histories)
    def test_law_5_leases_are_used_or_let_go(self, views: list[TuningView]) -> None:
        """Each idle one, once, unless it is kept for less time than another takes to start, or to the end of
        what is owed anyway; none under notice is used, and none that a trial is getting off is released: the
        trial would be asked to leave twice."""
        for view, _, decision, _ in self.decided(views):
            used = [each.lease for each in decision.actions if isinstance(each, Use)]
            released = [each.lease for each in decision.actions if isinstance(each, Release)]
            assert len(used + released) == len(set(used + released))
            assert set(released) <= {lease.id for lease in view.market.leases}
            idle = {lease.id for lease in view.idle}
            kept = idle - set(used + released)
            assert set(used) <= idle
            start = max([view.boot, *(each.wait for each in view.market.offers)])
            for lease in view.idle:
                if lease.id in kept:
                    until = max(view.idle_since[lease.id] + start, _paid_until(lease, view))
                    assert decision.wake_at <= until
            assert not set(released) & view.leaving & {each.lease for each in view.placed}

    @MANY
    @given(tuning_histories)
    def test_law_6_a_trial_waits_only_where_nothing_is_left(self, views: list[TuningView]) -> None:
        """Of what the rule would take at all."""
        for view, _, decision, _ in self.decided(views):
            given = sum(not isinstance(each, Release) for each in decision.actions)
            if given == len(view.queued):
                continue
            taken = [each.bid for each in decision.actions if isinstance(each, Take)]
            for offer in view.market.offers:
                count = sum((bid.pool, bid.terms) == (offer.pool, offer.terms) for bid in taken)
                full = offer.available is not None and count >= offer.available
                assert (
                    full
                    or not view.demand.accepts(offer.type, offer.zone)
                    or not self.would_take(offer, view)
                )

    def would_take(self, offer: Offer, view: TuningView) -> bool:
        """Whether the rule takes an offer that fits where there is nothing better."""
        return True

    @settings(LAW, max_examples=10)
    @given(tuning_histories)
    def test_law_7_a_journal_replays_to_the_same_bytes(self, views: list[TuningView]) -> None:
        """Written, read back and decided again."""
        rule = self.rule()
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "journal"
            with Journal(path, header_for(rule, TuningView), commit_every=100) as journal:
                for view, memory, decision, recalled in self.decided(views):
                    journal.record(view, memory, decision, recalled)
                    journal.record_outcomes(())
            assert replay(path).decisions == len(views)
            with Journal.read(path) as reading:
                kept = [(each.view, each.decision) for each in reading.entries()]
            assert kept == [(view, decision) for view, _, decision, _ in self.decided(views)]
