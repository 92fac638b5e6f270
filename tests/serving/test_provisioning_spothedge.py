"""SkyServe's rule, decision by decision."""

import msgspec
import pytest
from serving_worlds import lease, offer, view_of

from tradewind.errors import Misuse
from tradewind.market.decisions import Release, Take
from tradewind.market.instances import Pool
from tradewind.market.leases import Revocation
from tradewind.market.offers import Terms
from tradewind.serving.provisioning.spothedge import SpotHedge
from tradewind.testing.policies import NOW
from tradewind.testing.provisioning import ProvisioningLaws

OFFERS = [
    offer("small", 0.1),
    offer("small", 0.03, Terms.SPOT, "east-1a"),
    offer("small", 0.04, Terms.SPOT, "east-1b"),
    offer("medium", 0.2),
    offer("medium", 0.09, Terms.SPOT, "east-1a"),
]


POOLS = (Pool("small", "east-1a"), Pool("small", "east-1b"))


class TestLaws(ProvisioningLaws):
    def policy(self):
        return SpotHedge(base=1, spare=1)


def taken(decision):
    return {
        (str(each.bid.pool), each.bid.terms.value): each.bid.count
        for each in decision.actions
        if isinstance(each, Take)
    }


def test_it_spreads_spot_over_zones_and_backs_all_of_it_on_demand():
    """12 requests a second at 5 a replica times 0.7: ceil(12 / 3.5) = 4, none of them ready."""
    policy = SpotHedge()
    decision, memory = policy.decide(view_of(OFFERS, (), [3.0, 12.0]), policy.recall())
    assert taken(decision) == {
        ("small@east-1a", "spot"): 2,
        ("small@east-1b", "spot"): 2,
        ("small@east-1a", "on_demand"): 4,
    }
    assert (memory.kind, memory.target) == ("small", 4)


def test_what_stands_in_goes_once_spot_is_ready():
    spot = [lease(number, terms=Terms.SPOT) for number in range(4)]
    backup = [lease(10 + number) for number in range(4)]
    policy = SpotHedge()
    _, memory = policy.decide(view_of(OFFERS, (), [12.0]), policy.recall())
    decision, _ = policy.decide(view_of(OFFERS, spot + backup, [12.0], at=200.0), memory)
    assert {each.lease for each in decision.actions} == {each.id for each in backup}
    assert all(isinstance(each, Release) for each in decision.actions)


def test_the_target_moves_after_five_minutes_up_and_twenty_down():
    policy = SpotHedge()
    held = [lease(number, terms=Terms.SPOT) for number in range(4)]
    memory, targets = policy.recall(), []
    for at, rate in enumerate([12.0] + [20.0] * 17 + [3.0] * 62):
        _, memory = policy.decide(view_of(OFFERS, held, [rate], at=20.0 * at), memory)
        targets.append(memory.target)
    assert targets[15] == 4 and targets[16] == 6  # asked for since the second decision, 20 s in
    assert targets[77] == 6 and targets[78] == 1


def test_a_wish_that_does_not_last_moves_nothing():
    policy = SpotHedge()
    memory = policy.recall()
    for at, rate in enumerate(([12.0] + [20.0] * 10) * 4):
        _, memory = policy.decide(view_of(OFFERS, (), [rate], at=20.0 * at), memory)
    assert memory.target == 4


def test_a_zone_that_takes_back_is_avoided_until_fewer_than_two_are_left():
    offers = [*OFFERS, offer("small", 0.05, Terms.SPOT, "east-1c")]
    spot = [lease(number, terms=Terms.SPOT) for number in range(4)]
    policy = SpotHedge()
    _, memory = policy.decide(view_of(offers, (), [12.0]), policy.recall())
    view = view_of(offers, spot, [12.0], at=200.0)
    notices = tuple(Revocation(each.id, NOW + 190, NOW + 310) for each in spot[:1])
    warned = msgspec.structs.replace(view, market=msgspec.structs.replace(view.market, revocations=notices))
    decision, memory = policy.decide(warned, memory)
    assert [str(each) for each in memory.taken_back] == ["small@east-1a"]
    assert taken(decision)["small@east-1b", "spot"] == 1
    two = msgspec.structs.replace(view, market=msgspec.structs.replace(view.market, offers=tuple(OFFERS)))
    assert policy.decide(two, msgspec.structs.replace(memory, taken_back=POOLS))[1].taken_back == ()


def test_what_gives_notice_now_is_avoided_though_nothing_else_is_left():
    """Both zones took back, so that both are good again; but what is warned of now would warn again."""
    spot = [lease(number, terms=Terms.SPOT) for number in range(4)]
    policy = SpotHedge()
    _, memory = policy.decide(view_of(OFFERS, (), [12.0]), policy.recall())
    view = view_of(OFFERS, spot, [12.0], at=200.0)
    notices = tuple(Revocation(each.id, NOW + 190, NOW + 310) for each in spot)
    warned = msgspec.structs.replace(view, market=msgspec.structs.replace(view.market, revocations=notices))
    decision, memory = policy.decide(warned, msgspec.structs.replace(memory, taken_back=POOLS))
    assert memory.taken_back == POOLS[:1]
    assert taken(decision) == {("small@east-1b", "spot"): 4, ("small@east-1a", "on_demand"): 4}


def test_a_type_without_a_profile_is_refused():
    policy = SpotHedge(instance_type="huge")
    with pytest.raises(Misuse, match="profile"):
        policy.decide(view_of(OFFERS, (), [1.0]), policy.recall())
    with pytest.raises(Misuse, match="utilisation"):
        SpotHedge(utilisation=0.0)
