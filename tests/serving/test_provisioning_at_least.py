"""A floor under a policy: what it adds, what it keeps, and that it leaves the rest alone."""

from __future__ import annotations

import pytest
from serving_worlds import lease, offer, view_of

from tradewind.control.records import arguments_of
from tradewind.errors import Misuse
from tradewind.market.decisions import Release, Take
from tradewind.serving.provisioning.at_least import AtLeast
from tradewind.serving.provisioning.fixed import Fixed
from tradewind.testing.provisioning import ProvisioningLaws

OFFERS = (offer("small", 0.05), offer("large", 0.2))
NONE = {"rate": 0.0}


class TestAtLeast(ProvisioningLaws):
    def policy(self) -> AtLeast:
        return AtLeast("fixed", 2, {"rate": 3.0})


def counts(decision) -> tuple[int, int]:
    taken = sum(each.bid.count for each in decision.actions if isinstance(each, Take))
    return taken, sum(isinstance(each, Release) for each in decision.actions)


def test_it_fills_up_with_the_cheapest_an_hour() -> None:
    # By itself the policy takes one of the large, which are the cheapest for a request.
    view = view_of(offers=OFFERS)
    alone, _ = Fixed(0.0).decide(view, None)
    assert counts(alone) == (1, 0)
    decision, _ = AtLeast("fixed", 3, NONE).decide(view, None)
    assert counts(decision) == (3, 0)
    assert decision.actions[-1].bid.pool.instance_type == "small" and decision.actions[-1].bid.count == 2
    assert decision.reason.startswith(alone.reason) and "3 are the least" in decision.reason


def test_it_keeps_leases_that_the_policy_would_end() -> None:
    leases = tuple(lease(number) for number in range(4))
    view = view_of(offers=OFFERS, leases=leases)
    alone, _ = Fixed(0.0).decide(view, None)
    assert counts(alone) == (0, 3)
    decision, _ = AtLeast("fixed", 3, NONE).decide(view, None)
    assert counts(decision) == (0, 1) and decision.actions[0] == alone.actions[0]


def test_it_says_nothing_where_enough_are_held() -> None:
    view = view_of(offers=OFFERS, leases=(lease(1),))
    policy = AtLeast("fixed", 1, NONE)
    assert policy.decide(view, None) == Fixed(0.0).decide(view, None)
    assert policy.name == "fixed" and not policy.overflow and policy.forecaster == ""


def test_it_is_made_again_from_what_a_journal_keeps() -> None:
    policy = AtLeast("tributary", 2, {"correlated": True})
    assert policy.name == "tributary_correlated"
    assert arguments_of(AtLeast(**arguments_of(policy))) == arguments_of(policy)
    with pytest.raises(Misuse, match="least"):
        AtLeast("fixed", -1, NONE)
