"""The laws of bidding policies: what must hold of every decision about any view.

A test class of `PolicyLaws` with a `policy` of its own runs them all; hypothesis makes the views up.
"""

from __future__ import annotations

import math
import random
from typing import Any

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tradewind.control.policy import AnyPolicy
from tradewind.control.records import arguments_of
from tradewind.estimates.outlook import NEVER, Outlook, Scenario
from tradewind.market.decisions import Decision, Release, Take
from tradewind.market.demands import Demand
from tradewind.market.instances import Instance, InstanceType, Pool
from tradewind.market.leases import Lease, LeaseId, Revocation
from tradewind.market.offers import Offer, Price, Terms
from tradewind.market.resources import Resources
from tradewind.market.tariffs import Refund, Tariff
from tradewind.market.views import View
from tradewind.training.elastic.work import STATE, WORK
from tradewind.training.view import Goal, Progress, TrainingView

NOW = 1.5e9
"""The moment of the views made up."""
TYPES = (
    InstanceType("small", Resources(vcpus=1.0, memory_gib=2.0)),
    InstanceType("medium", Resources(vcpus=2.0, memory_gib=8.0)),
    InstanceType("large", Resources(vcpus=8.0, memory_gib=32.0)),
)
ZONES = ("east-1a", "east-1b")
TARIFFS: tuple[dict[Terms, Tariff], ...] = (
    {},
    {Terms.SPOT: Tariff(3600.0, Refund.LAST_UNIT), Terms.ON_DEMAND: Tariff(3600.0)},
    {Terms.SPOT: Tariff(3600.0), Terms.ON_DEMAND: Tariff(3600.0)},
    {Terms.SPOT: Tariff(1.0, Refund.FIRST_HOUR), Terms.ON_DEMAND: Tariff(1.0)},
)
"""Unsaid, the hourly era with and without refunds, and the era by the second."""
LAW = settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.differing_executors],
)
_encode = msgspec.json.Encoder(order="deterministic").encode


def outlook_of(number: int, now: float = NOW) -> Outlook:
    """The outlook of this number: chances that rise with the horizon and fall with the delta.

    Some know no pool, some have chances of 0 and of 1. One number, not fifty draws: laws ask for thousands.
    """
    drawn = random.Random(number)
    pools = [Pool(kind.name, zone) for kind in TYPES for zone in ZONES if drawn.random() < 0.7]
    deltas, horizons, steps = (0.001, 0.1), (600.0, 3600.0, 14_400.0), (0.0, 1800.0)
    revoked, ends, prices = [], [], []
    for _ in pools:
        high = sorted(drawn.choice((0.0, 1.0, 5e-324, drawn.random())) for _ in horizons)
        share = drawn.choice((0.0, 1.0, drawn.random()))
        revoked.append((tuple(high), tuple(share * each for each in high)))
        first = drawn.choice((60.0, 5000.0, NEVER))
        ends.append((first, max(first, drawn.choice((600.0, NEVER)))))
        prices.append(tuple(drawn.choice((drawn.uniform(0.005, 0.5), NEVER)) for _ in steps))
    scenarios = (
        Scenario(0.25, tuple(ends), tuple(prices)),
        Scenario(0.75, tuple((NEVER, NEVER) for _ in pools), tuple((min(each),) * 2 for each in prices)),
    )
    at = now - drawn.choice((0.0, 300.0))
    return Outlook(at, tuple(pools), deltas, horizons, tuple(revoked), steps, scenarios)


@st.composite
def training_views(draw: st.DrawFn, now: float = NOW) -> TrainingView:
    """Any view of a job: offers of three types in two zones, some leases, some of them under notice."""
    offers = []
    prices = st.floats(0.01, 1.0)
    for kind in TYPES:
        for zone in ZONES:
            if draw(st.booleans()):
                offers.append(Offer(kind, zone, Price(draw(prices), Terms.ON_DEMAND), wait=30.0))
            if draw(st.booleans()):
                available = draw(st.none() | st.integers(1, 6))
                offers.append(Offer(kind, zone, Price(draw(prices) / 2, Terms.SPOT), available, 30.0))
    leases, notices = [], []
    for number in range(draw(st.integers(0, 6))):
        kind, zone = draw(st.sampled_from(TYPES)), draw(st.sampled_from(ZONES))
        terms = draw(st.sampled_from((Terms.SPOT, Terms.ON_DEMAND)))
        purpose = STATE if terms is Terms.ON_DEMAND and draw(st.booleans()) else WORK
        name = LeaseId(f"lease-{number}")
        instance = Instance(f"instance-{number}", kind, zone)
        limit = draw(st.none() | st.floats(0.01, 1.0)) if terms is Terms.SPOT else None
        leases.append(Lease(name, instance, terms, now - draw(st.floats(0, 1e5)), limit, purpose))
        if terms is Terms.SPOT and draw(st.booleans()):
            notices.append(Revocation(name, now - 1, now + draw(st.floats(1, 120))))
    total = draw(st.floats(1, 1e9))
    done = total * draw(st.floats(0, 1))
    goal = Goal(
        workers=Demand(
            resources=Resources(vcpus=draw(st.sampled_from((0.5, 2.0)))), count=draw(st.integers(1, 6))
        ),
        state=Demand(resources=Resources(vcpus=1.0), count=draw(st.integers(0, 1))),
        deadline=draw(st.none() | st.floats(now - 100, now + 1e6)),
        useful_vcpus=draw(st.none() | st.sampled_from((1.0, 4.0))),
        vcpus=draw(st.none() | st.sampled_from((0.5, 3.0, 10.0, 24.0))),
    )
    tariffs = draw(st.sampled_from(TARIFFS))
    return TrainingView(
        View(now, tuple(offers), tuple(leases), tuple(notices), tariffs=tariffs),
        Progress(done, total, done / 2, draw(st.floats(0.1, 1e4)), draw(st.floats(0, 600))),
        goal,
        outlook=draw(st.none() | st.integers(0, 999).map(lambda number: outlook_of(number, now))),
    )


@st.composite
def histories(draw: st.DrawFn) -> list[TrainingView]:
    """One view after another of one job, in time."""
    moments = [NOW + 100.0 * at for at in range(draw(st.integers(1, 4)))]
    return [draw(training_views(now=moment)) for moment in moments]


class PolicyLaws:
    """Subclass it and return a policy from `policy`; each law is a test."""

    foresees = False
    """Whether the policy refuses a view without an outlook; then it is given one that knows of no pool."""

    overlaps = False
    """Whether a lease is kept until the one that takes its place works: then those that work are not counted
    beside those that start."""

    def policy(self) -> AnyPolicy:
        """The policy under test, made anew."""
        raise NotImplementedError

    def shown(self, view: TrainingView) -> TrainingView:
        """What the policy is given of a view that was made up."""
        if view.outlook is None and self.foresees:
            return msgspec.structs.replace(view, outlook=_blank(view.market.now))
        return view

    def decided(self, views: list[TrainingView]) -> list[tuple[TrainingView, Any, Decision]]:
        """Every view with the memory and the decision that it met."""
        policy = self.policy()
        memory: Any = policy.recall()
        found = []
        for made_up in views:
            view = self.shown(made_up)
            decision, recalled = policy.decide(view, memory)
            found.append((view, memory, decision))
            memory = recalled
        return found

    @LAW
    @given(histories())
    def test_law_1_equal_arguments_give_equal_answers(self, views: list[TrainingView]) -> None:
        """Asked twice, made anew, and with all that it is given read back from JSON, as a replay does."""
        for view, memory, decision in self.decided(views):
            policy = self.policy()
            again = type(policy)(**arguments_of(policy))
            known = msgspec.json.decode(_encode(view), type=TrainingView)
            kept = msgspec.json.decode(_encode(memory), type=type(memory))
            expected = _encode(policy.decide(view, memory))
            assert _encode(policy.decide(view, memory)) == expected
            assert _encode(again.decide(known, kept)) == expected
            assert _encode(decision) == _encode(again.decide(known, kept)[0])

    @LAW
    @given(training_views())
    def test_law_2_view_and_memory_are_left_as_they_were(self, view: TrainingView) -> None:
        """Frozen values can still hold a mapping that could be altered."""
        policy = self.policy()
        memory, view = policy.recall(), self.shown(view)
        before = _encode(view), _encode(memory)
        policy.decide(view, memory)
        assert (_encode(view), _encode(memory)) == before

    @LAW
    @given(histories())
    def test_law_3_it_asks_again_later_and_says_why(self, views: list[TrainingView]) -> None:
        """A moment after the view's, finite; a reason in words."""
        for view, _, decision in self.decided(views):
            assert view.market.now < decision.wake_at < math.inf
            assert decision.reason.endswith((".", ";"))

    @LAW
    @given(histories())
    def test_law_4_no_bid_is_above_what_is_asked_on_demand(self, views: list[TrainingView]) -> None:
        """Where the type is sold on demand in the zone; and a limit is not below the price that stands."""
        for view, _, decision in self.decided(views):
            asked = {(each.pool, each.terms): each.price.per_hour for each in view.market.offers}
            for action in decision.actions:
                if isinstance(action, Take) and action.bid.limit is not None:
                    ceiling = asked.get((action.bid.pool, Terms.ON_DEMAND), math.inf)
                    assert asked[action.bid.pool, action.bid.terms] <= action.bid.limit <= ceiling

    def _counts(self, lease: Lease, view: TrainingView) -> bool:
        """Whether a lease counts against the goal beside what is taken."""
        works = lease.started + view.progress.startup <= view.market.now
        return not (self.overlaps and lease.purpose == WORK and works)

    @LAW
    @given(histories())
    def test_law_5_never_more_leases_than_the_goal_wants(self, views: list[TrainingView]) -> None:
        """Those under notice are not counted: their replacements overlap with them."""
        for view, _, decision in self.decided(views):
            leaving = {notice.lease for notice in view.market.revocations}
            released = {each.lease for each in decision.actions if isinstance(each, Release)}
            for purpose, most in ((WORK, view.goal.workers.count), (STATE, view.goal.state.count)):
                held = [
                    lease
                    for lease in view.market.leases
                    if lease.purpose == purpose
                    and lease.id not in leaving | released
                    and self._counts(lease, view)
                ]
                taken = sum(
                    action.bid.count
                    for action in decision.actions
                    if isinstance(action, Take) and action.bid.purpose == purpose
                )
                assert taken == 0 or len(held) + taken <= most

    @LAW
    @given(histories())
    def test_law_7_never_more_vcpus_than_the_goal_wants(self, views: list[TrainingView]) -> None:
        """Useful ones of all workers together, those under notice apart; nothing is taken that overshoots."""
        kinds = {kind.name: kind.resources.vcpus for kind in TYPES}
        for view, _, decision in self.decided(views):
            if view.goal.vcpus is None:
                continue
            useful = math.inf if view.goal.useful_vcpus is None else view.goal.useful_vcpus
            leaving = {notice.lease for notice in view.market.revocations}
            leaving |= {each.lease for each in decision.actions if isinstance(each, Release)}
            held = [
                min(useful, lease.instance.type.resources.vcpus)
                for lease in view.market.leases
                if lease.purpose == WORK and lease.id not in leaving and self._counts(lease, view)
            ]
            taken = [
                action.bid.count * min(useful, kinds[action.bid.pool.instance_type])
                for action in decision.actions
                if isinstance(action, Take) and action.bid.purpose == WORK
            ]
            assert not taken or sum(held) + sum(taken) <= view.goal.vcpus * (1 + 1e-9)

    @LAW
    @given(histories())
    def test_law_6_actions_name_what_is_there(self, views: list[TrainingView]) -> None:
        """Held leases, once each; offers that stand and fit, for no more than they have."""
        for view, _, decision in self.decided(views):
            held = {lease.id for lease in view.market.leases}
            offers = {(each.pool, each.terms): each for each in view.market.offers}
            released = [each.lease for each in decision.actions if isinstance(each, Release)]
            assert len(released) == len(set(released)) and set(released) <= held
            for action in decision.actions:
                if isinstance(action, Take):
                    bid = action.bid
                    offer = offers[bid.pool, bid.terms]
                    demand = view.goal.state if bid.purpose == STATE else view.goal.workers
                    assert offer.type.resources.covers(demand.resources)
                    assert 1 <= bid.count <= (math.inf if offer.available is None else offer.available)
                    assert bid.purpose == WORK or not bid.terms.revocable


def _blank(now: float) -> Outlook:
    return Outlook(now, (), (0.01,), (3600.0,), (), (0.0,), (Scenario(1.0, (), ()),))
