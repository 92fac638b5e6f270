"""The laws of provisioning policies: what must hold of every decision about any view of an endpoint.

A test class of `ProvisioningLaws` with a `policy` of its own runs them all; hypothesis makes the views up.
"""

from __future__ import annotations

import math
import random
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from tradewind.control.records import arguments_of
from tradewind.estimates.load.interface import LoadForecast
from tradewind.market.decisions import Decision, Release, Take
from tradewind.market.instances import Instance
from tradewind.market.leases import Lease, LeaseId, Revocation
from tradewind.market.offers import Offer, Price, Terms
from tradewind.market.views import View
from tradewind.serving.objective import Objective
from tradewind.serving.provisioning.interface import (
    FunctionProfile,
    Profile,
    ProvisioningPolicy,
    Replica,
    ServingView,
    Traffic,
)
from tradewind.testing.policies import LAW, NOW, TARIFFS, TYPES, ZONES, outlook_of

PROFILES = (
    Profile("small", 5.0, 0.2, 1.0),
    Profile("medium", 9.0, 0.12, 1.2),
    Profile("large", 30.0, 0.05, 2.0),
)
_HISTORY_LAW = settings(LAW, max_examples=15)
"""A history is up to four views, each decided upon up to four times."""
_encode = msgspec.json.Encoder(order="deterministic").encode


def load_forecast_of(number: int, at: float, interval: float) -> LoadForecast:
    """The forecast of this number: quantiles that rise with the level, some loads of nothing at all."""
    drawn = random.Random(number)
    level = drawn.choice((0.0, 3.0, 100.0, 2000.0))
    mean = tuple(level * drawn.uniform(0.5, 1.5) for _ in range(60))
    spread = drawn.choice((0.0, 0.1, 1.0))
    quantiles = tuple(tuple(each * (1 + spread * step) for each in mean) for step in (0.0, 0.5, 1.0))
    return LoadForecast(at, interval, mean, (0.5, 0.9, 0.99), quantiles)


@st.composite
def serving_views(draw: st.DrawFn, now: float = NOW, foresees: bool = True) -> ServingView:
    """Any view of an endpoint: three types in two zones, some replicas, some of them starting or warned."""
    drawn = random.Random(draw(st.integers(0, 1 << 30)))
    offers = []
    for kind in TYPES:
        for zone in ZONES:
            price = drawn.uniform(0.01, 1.0)
            if drawn.random() < 0.6:
                offers.append(Offer(kind, zone, Price(price, Terms.ON_DEMAND), wait=0.0))
            if drawn.random() < 0.6:
                room = drawn.choice((None, None, 1, 5))
                offers.append(Offer(kind, zone, Price(price * drawn.uniform(0.1, 1.2), Terms.SPOT), room))
    leases, replicas, notices = [], [], []
    for number in range(drawn.randrange(0, 9)):
        kind, zone = drawn.choice(TYPES), drawn.choice(ZONES)
        terms = drawn.choice((Terms.SPOT, Terms.ON_DEMAND))
        name = LeaseId(f"lease-{number:04d}")
        started = now - drawn.choice((0.0, 30.0, 3590.0, drawn.uniform(0, 1e5)))
        limit = drawn.choice((None, 0.5)) if terms is Terms.SPOT else None
        leases.append(Lease(name, Instance(name, kind, zone), terms, started, limit))
        due = None
        if terms is Terms.SPOT and drawn.random() < 0.3:
            due = now + drawn.uniform(1, 120)
            notices.append(Revocation(name, now - 1, due))
        replicas.append(Replica(name, kind.name, started + 120.0, due))
    interval = draw(st.sampled_from((10.0, 60.0)))
    known = draw(st.sampled_from((0, 1, 5, 60)))
    level = draw(st.sampled_from((0.0, 2.0, 40.0, 3000.0)))
    rates = tuple(level * drawn.uniform(0, 2) for _ in range(known))
    peaks = tuple(each * drawn.uniform(1, 3) for each in rates)
    ongoing = tuple(each * drawn.uniform(0, 1) for each in rates)
    traffic = Traffic(
        interval, now - drawn.choice((0.0, 0.0, 3.0)), rates, peaks, ongoing, drawn.uniform(0, level)
    )
    number = draw(st.integers(0, 999))
    requests = drawn.uniform(0, 1e6)
    return ServingView(
        View(now, tuple(offers), tuple(leases), tuple(notices), tariffs=drawn.choice(TARIFFS)),
        Objective(1.0, 0.99),
        drawn.choice((PROFILES, PROFILES[:2])),
        tuple(replicas),
        traffic,
        120.0,
        load_forecast_of(number, traffic.until, interval) if foresees else None,
        drawn.choice((None, outlook_of(number, now))),
        drawn.choice((None, FunctionProfile(3e-5, 0.5, 5.0, 100))),
        drawn.uniform(0, 100),
        requests,
        requests * drawn.choice((0.0, 0.001, 0.2)),
    )


@st.composite
def serving_histories(draw: st.DrawFn) -> list[ServingView]:
    """One view after another of one endpoint, in time."""
    return [draw(serving_views(now=NOW + 60.0 * at)) for at in range(draw(st.integers(1, 4)))]


class ProvisioningLaws:
    """Subclass it and return a policy from `policy`; each law is a test."""

    def policy(self) -> ProvisioningPolicy:
        """The policy under test, made anew."""
        raise NotImplementedError

    def decided(self, views: list[ServingView]) -> list[tuple[ServingView, Any, Decision]]:
        """Every view with the memory and the decision that it met."""
        policy = self.policy()
        memory: Any = policy.recall()
        found = []
        for view in views:
            decision, recalled = policy.decide(view, memory)
            found.append((view, memory, decision))
            memory = recalled
        return found

    @_HISTORY_LAW
    @given(serving_histories())
    def test_law_1_equal_arguments_give_equal_answers(self, views: list[ServingView]) -> None:
        """Asked twice, made anew, and with all that it is given read back from JSON, as a replay does."""
        for view, memory, _ in self.decided(views):
            policy = self.policy()
            again = type(policy)(**arguments_of(policy))
            known = msgspec.json.decode(_encode(view), type=ServingView)
            kept = msgspec.json.decode(_encode(memory), type=type(memory))
            expected = _encode(policy.decide(view, memory))
            assert _encode(policy.decide(view, memory)) == expected
            assert _encode(again.decide(known, kept)) == expected

    @LAW
    @given(serving_views())
    def test_law_2_view_and_memory_are_left_as_they_were(self, view: ServingView) -> None:
        """Frozen values can still hold a mapping that could be altered."""
        policy = self.policy()
        memory = policy.recall()
        before = _encode(view), _encode(memory)
        policy.decide(view, memory)
        assert (_encode(view), _encode(memory)) == before

    @_HISTORY_LAW
    @given(serving_histories())
    def test_law_3_it_asks_again_later_and_says_why(self, views: list[ServingView]) -> None:
        """A moment after the view's, finite; a reason in words."""
        for view, _, decision in self.decided(views):
            assert view.now < decision.wake_at < math.inf
            assert decision.reason.endswith((".", ";"))

    @_HISTORY_LAW
    @given(serving_histories())
    def test_law_4_actions_name_what_is_there_and_is_of_use(self, views: list[ServingView]) -> None:
        """Held leases, once each; offers that stand, of types with a profile, for no more than they have."""
        for view, _, decision in self.decided(views):
            held = {lease.id for lease in view.market.leases}
            offers = {(each.pool, each.terms): each for each in view.market.offers}
            released = [each.lease for each in decision.actions if isinstance(each, Release)]
            assert len(released) == len(set(released)) and set(released) <= held
            for action in decision.actions:
                assert isinstance(action, Take | Release)
                if isinstance(action, Take):
                    offer = offers[action.bid.pool, action.bid.terms]
                    assert view.profile(offer.type.name) is not None
                    assert 1 <= action.bid.count <= (math.inf if offer.available is None else offer.available)

    @_HISTORY_LAW
    @given(serving_histories())
    def test_law_5_no_limit_is_below_the_price_that_stands(self, views: list[ServingView]) -> None:
        """Such a bid would be granted nothing."""
        for view, _, decision in self.decided(views):
            asked = {(each.pool, each.terms): each.price.per_hour for each in view.market.offers}
            for action in decision.actions:
                if isinstance(action, Take) and action.bid.limit is not None:
                    assert asked[action.bid.pool, action.bid.terms] <= action.bid.limit

    def test_law_6_its_attributes_are_those_of_a_policy(self) -> None:
        """A name, whether it overflows, and the forecaster that it wants."""
        policy = self.policy()
        assert policy.name and isinstance(policy.overflow, bool) and isinstance(policy.forecaster, str)
