"""What the three policies answer in situations that can be reckoned by hand."""

import math

import pytest
from msgspec.structs import replace

from tradewind.errors import Misuse
from tradewind.estimates.outlook import NEVER, Outlook, Scenario
from tradewind.market.decisions import CapacityAbove, PriceAbove, PriceBelow, Release, Take
from tradewind.market.demands import Demand
from tradewind.market.instances import Instance, InstanceType, Pool
from tradewind.market.leases import Lease, LeaseId, Revocation
from tradewind.market.offers import Bid, Offer, Price, Terms
from tradewind.market.resources import Resources
from tradewind.market.views import View
from tradewind.training.elastic.bidding.candidates import Limits, candidates, spread
from tradewind.training.elastic.bidding.cheapest_spot import CheapestSpot, KnownPool, SpotMemory
from tradewind.training.elastic.bidding.checkpoint_restart import CheckpointRestart, checkpoint_interval
from tradewind.training.elastic.bidding.on_demand import OnDemand
from tradewind.training.elastic.work import STATE, WORK
from tradewind.training.view import Goal, Progress, TrainingView

NOW = 1.5e9
SMALL = InstanceType("small", Resources(vcpus=1.0, memory_gib=2.0))
LARGE = InstanceType("large", Resources(vcpus=4.0, memory_gib=16.0))
KINDS = {"small": SMALL, "large": LARGE}
STEADY = (
    Offer(LARGE, "a", Price(0.40, Terms.ON_DEMAND), wait=20.0),
    Offer(SMALL, "a", Price(0.12, Terms.ON_DEMAND), wait=20.0),
)


def spot(kind, zone, price, available=None):
    return Offer(KINDS[kind], zone, Price(price, Terms.SPOT), available, 20.0)


def lease(name, kind="large", zone="a", terms=Terms.SPOT, purpose=WORK):
    return Lease(LeaseId(name), Instance(f"i-{name}", KINDS[kind], zone), terms, NOW - 500, purpose=purpose)


SERVER = lease("s", "small", terms=Terms.ON_DEMAND, purpose=STATE)


def view(offers, leases=(), notices=(), count=2, deadline=None, left=28_800.0, servers=1):
    return TrainingView(
        View(
            NOW, tuple(offers), tuple(leases), tuple(Revocation(LeaseId(n), NOW, NOW + 120) for n in notices)
        ),
        Progress(0.0, left, 0.0, 1.0, 60.0),
        Goal(
            workers=Demand(resources=Resources(vcpus=1.0), count=count),
            state=Demand(resources=Resources(vcpus=1.0), count=servers),
            deadline=deadline,
        ),
    )


def takes(decision):
    return [each.bid for each in decision.actions if isinstance(each, Take)]


def releases(decision):
    return [each.lease for each in decision.actions if isinstance(each, Release)]


class TestCandidates:
    def test_work_is_priced_by_the_useful_vcpu(self):
        found = candidates([spot("large", "a", 0.2), spot("small", "a", 0.06)], view(()).goal, Terms.SPOT)
        assert [(each.offer.type.name, each.unit) for each in found] == [("large", 0.05), ("small", 0.06)]

    def test_vcpus_that_a_worker_cannot_use_are_not_paid_for(self):
        goal = Goal(Demand(resources=Resources()), Demand(resources=Resources()), useful_vcpus=1.0)
        found = candidates([spot("large", "a", 0.2), spot("small", "a", 0.06)], goal, Terms.SPOT)
        assert [each.offer.type.name for each in found] == ["small", "large"]

    def test_a_spread_fills_the_cheapest_first(self):
        found = candidates(
            [spot("large", "a", 0.2, 2), spot("large", "b", 0.1, 3)], view(()).goal, Terms.SPOT
        )
        assert [(each.offer.zone, count) for each, count in spread(found, 4)] == [("b", 3), ("a", 1)]

    def test_the_limit_is_the_price_on_demand(self):
        limits = Limits(STEADY)
        assert limits.limit(spot("large", "a", 0.1)) == 0.40
        assert limits.limit(spot("large", "elsewhere", 0.1)) == 0.40
        assert Limits(()).limit(spot("large", "a", 0.1)) is None
        assert limits.allow(spot("large", "a", 0.40)) and not limits.allow(spot("large", "a", 0.41))


class TestOnDemand:
    def test_it_rents_a_server_and_the_workers_and_rests(self):
        decision, _ = OnDemand().decide(view([*STEADY, spot("large", "a", 0.01)]), None)
        assert takes(decision) == [
            Bid(Pool("small", "a"), Terms.ON_DEMAND, 1, purpose=STATE),
            Bid(Pool("large", "a"), Terms.ON_DEMAND, 2),
        ]
        held = [SERVER, lease("1", terms=Terms.ON_DEMAND), lease("2", terms=Terms.ON_DEMAND)]
        decision, _ = OnDemand().decide(view(STEADY, held), None)
        assert decision.actions == () and decision.wake_at > NOW + 86_400

    def test_a_lost_lease_is_replaced(self):
        decision, _ = OnDemand().decide(view(STEADY, [lease("1", terms=Terms.ON_DEMAND)]), None)
        assert [bid.count for bid in takes(decision)] == [1, 1]

    def test_with_nothing_on_offer_it_asks_again_soon(self):
        decision, _ = OnDemand().decide(view([]), None)
        assert decision.actions == () and decision.wake_at == NOW + 60
        assert "no on-demand offer fits" in decision.reason


class TestCheapestSpot:
    offers = (*STEADY, spot("large", "a", 0.10), spot("large", "b", 0.08), spot("small", "b", 0.03))

    def test_it_bids_the_on_demand_price_where_work_is_cheapest(self):
        decision, memory = CheapestSpot().decide(view(self.offers), SpotMemory())
        assert takes(decision) == [
            Bid(Pool("small", "a"), Terms.ON_DEMAND, 1, purpose=STATE),
            Bid(Pool("large", "b"), Terms.SPOT, 2, limit=0.40),
        ]
        assert "0.0800 USD an hour" in decision.reason
        assert [each.pool for each in memory.pools] == [
            Pool("large", "a"),
            Pool("large", "b"),
            Pool("small", "b"),
        ]

    def test_a_lease_is_left_where_it_is(self):
        held = [SERVER, lease("1"), lease("2")]
        decision, _ = CheapestSpot().decide(view(self.offers, held), SpotMemory())
        assert decision.actions == () and decision.watch == ()
        assert decision.wake_at > NOW + 86_400

    def test_a_notice_is_answered_at_once_and_elsewhere(self):
        held = [SERVER, lease("1", zone="b"), lease("2", zone="a")]
        decision, _ = CheapestSpot().decide(view(self.offers, held, ["1"]), SpotMemory())
        assert takes(decision) == [Bid(Pool("large", "a"), Terms.SPOT, 1, limit=0.40)]
        assert releases(decision) == []

    def test_what_one_pool_lacks_the_next_one_gives(self):
        offers = (*STEADY, spot("large", "a", 0.10), spot("large", "b", 0.08, 1))
        decision, _ = CheapestSpot().decide(view(offers, [SERVER], count=3), SpotMemory())
        assert [(bid.pool.zone, bid.count) for bid in takes(decision)] == [("b", 1), ("a", 2)]

    def test_dearer_spot_gives_way_to_on_demand_and_is_watched(self):
        offers = (*STEADY, spot("large", "a", 0.45))
        decision, memory = CheapestSpot().decide(view(offers, [SERVER]), SpotMemory())
        assert takes(decision) == [Bid(Pool("large", "a"), Terms.ON_DEMAND, 2)]
        assert decision.watch == (PriceBelow(Pool("large", "a"), 0.9 * 0.10 * 4),)
        # and back, once it is cheap enough
        held = [SERVER, lease("1", terms=Terms.ON_DEMAND), lease("2", terms=Terms.ON_DEMAND)]
        decision, _ = CheapestSpot().decide(view((*STEADY, spot("large", "a", 0.37)), held), memory)
        assert decision.actions == ()
        decision, _ = CheapestSpot().decide(view((*STEADY, spot("large", "a", 0.35)), held), memory)
        assert releases(decision) == ["1", "2"] and [bid.count for bid in takes(decision)] == [2]

    def test_a_pool_that_has_gone_is_watched_for(self):
        memory = SpotMemory((KnownPool(Pool("large", "a"), 4.0),))
        decision, again = CheapestSpot().decide(view(STEADY, [SERVER]), memory)
        assert takes(decision) == [Bid(Pool("large", "a"), Terms.ON_DEMAND, 2)]
        assert decision.watch == (CapacityAbove(Pool("large", "a"), 0),)
        assert again == memory

    def test_going_back_moves_no_more_than_there_is_room_for(self):
        held = [SERVER, lease("1", terms=Terms.ON_DEMAND), lease("2", terms=Terms.ON_DEMAND)]
        decision, _ = CheapestSpot().decide(view((*STEADY, spot("large", "a", 0.1, 1)), held), SpotMemory())
        assert len(releases(decision)) == 1 and [bid.count for bid in takes(decision)] == [1]

    @pytest.mark.parametrize(("price", "moves"), [(0.081, False), (0.079, True)])
    def test_it_moves_when_told_to(self, price, moves):
        held = [SERVER, lease("1"), lease("2")]
        offers = (*STEADY, spot("large", "a", 0.10), spot("large", "b", price))
        decision, _ = CheapestSpot(move_when=0.2).decide(view(offers, held), SpotMemory())
        assert releases(decision) == (["1", "2"] if moves else [])
        assert [(bid.pool.zone, bid.count) for bid in takes(decision)] == ([("b", 2)] if moves else [])

    def test_a_move_cannot_come_due_unwatched(self):
        # Whatever two prices do: as long as no watch is true, no move is due.
        held = [SERVER, lease("1"), lease("2")]
        policy = CheapestSpot(move_when=0.2)
        offers = (*STEADY, spot("large", "a", 0.10), spot("large", "b", 0.16))
        decision, memory = policy.decide(view(offers, held), SpotMemory())
        above = {each.pool.zone: each.level for each in decision.watch if isinstance(each, PriceAbove)}
        below = {each.pool.zone: each.level for each in decision.watch if isinstance(each, PriceBelow)}
        assert set(above) == {"a"} and set(below) == {"b"}
        assert above["a"] > 0.10 and below["b"] < 0.16
        for mine in (0.05, 0.10, above["a"]):
            for other in (below["b"], 0.2, 0.3):
                offers = (*STEADY, spot("large", "a", mine), spot("large", "b", other))
                later, _ = policy.decide(view(offers, held), memory)
                assert later.actions == ()
        offers = (*STEADY, spot("large", "a", above["a"] * 1.01), spot("large", "b", below["b"] * 0.99))
        assert policy.decide(view(offers, held), memory)[0].actions != ()

    def test_the_deadline_takes_it_on_demand_for_good(self):
        # Two large ones on demand need 3,600 s, 5 % more to be sure, 60 s of start-up and 20 s of wait.
        latest = 3_600 * 1.05 + 80
        held = [SERVER, lease("1"), lease("2")]
        calm, memory = CheapestSpot().decide(
            view(self.offers, held, deadline=NOW + latest + 100), SpotMemory()
        )
        assert calm.actions == () and calm.wake_at == pytest.approx(NOW + 100)
        hurry, memory = CheapestSpot().decide(view(self.offers, held, deadline=NOW + latest), memory)
        assert releases(hurry) == ["1", "2"] and memory.hurried
        assert takes(hurry) == [Bid(Pool("large", "a"), Terms.ON_DEMAND, 2)]
        held = [SERVER, lease("3", terms=Terms.ON_DEMAND), lease("4", terms=Terms.ON_DEMAND)]
        late, _ = CheapestSpot().decide(view(self.offers, held, deadline=NOW + 1e6), memory)
        assert late.actions == ()

    def test_wrong_arguments_are_refused(self):
        for wrong in ({"move_when": 0.0}, {"move_when": 1.0}, {"back_below": 0}, {"slack": math.inf}):
            with pytest.raises(Misuse, match="cheapest_spot: "):
                CheapestSpot(**wrong)


class TestCheckpointRestart:
    offers = (*STEADY, spot("large", "a", 0.10), spot("large", "b", 0.08, 2), spot("small", "b", 0.01, 1))

    def decide(self, offers, held=(), notices=()):
        return CheckpointRestart().decide(view(offers, held, notices, servers=0), None)[0]

    def test_all_workers_go_to_one_pool_with_room_for_all(self):
        assert takes(self.decide(self.offers)) == [Bid(Pool("large", "b"), Terms.SPOT, 2, limit=0.40)]

    def test_a_notice_alone_changes_nothing(self):
        held = [lease("1", zone="b"), lease("2", zone="b")]
        assert self.decide(self.offers, held, ["1"]).actions == ()

    def test_a_gap_is_filled_where_the_others_are_if_that_is_cheapest(self):
        decision = self.decide(self.offers, [lease("1", zone="b")])
        assert takes(decision) == [Bid(Pool("large", "b"), Terms.SPOT, 1, limit=0.40)]
        assert releases(decision) == []

    def test_else_all_move(self):
        decision = self.decide((*STEADY, spot("large", "a", 0.10)), [lease("1", zone="b")])
        assert releases(decision) == ["1"]
        assert takes(decision) == [Bid(Pool("large", "a"), Terms.SPOT, 2, limit=0.40)]

    def test_without_spot_it_runs_on_demand_and_goes_back(self):
        decision = self.decide((*STEADY, spot("large", "a", 0.5)))
        assert takes(decision) == [Bid(Pool("large", "a"), Terms.ON_DEMAND, 2)]
        assert decision.watch == (PriceBelow(Pool("large", "a"), 0.9 * 0.10 * 4),)
        held = [lease("1", terms=Terms.ON_DEMAND), lease("2", terms=Terms.ON_DEMAND)]
        back = self.decide((*STEADY, spot("large", "a", 0.2)), held)
        assert releases(back) == ["1", "2"]
        assert takes(back) == [Bid(Pool("large", "a"), Terms.SPOT, 2, limit=0.40)]

    def test_nothing_anywhere_is_said(self):
        decision = self.decide([spot("small", "b", 0.01, 1)])
        assert decision.actions == () and "no single pool has room" in decision.reason

    def test_the_interval_is_dalys(self):
        # Young's sqrt(2 C M) is 1469.69 s; Daly's terms and the checkpoint itself take 40 s off.
        assert checkpoint_interval(60.0, 18_000.0) == pytest.approx(1429.97, abs=0.01)
        # Where a checkpoint takes a second, hardly any is left of the difference.
        assert checkpoint_interval(1.0, 1e6) == pytest.approx(math.sqrt(2e6), rel=1e-3)
        assert CheckpointRestart(50.0, 100.0).interval == pytest.approx(100 * (1 + 1 / 6 + 1 / 36) - 50)
        assert CheckpointRestart(50.0, 20.0).interval == 20.0
        with pytest.raises(Misuse, match="mttf"):
            CheckpointRestart(mttf=0.0)

    def test_an_outlook_gives_the_mean_between_revocations(self):
        policy = CheckpointRestart(checkpoint=60.0, mttf=18_000.0)
        shown = view(self.offers, servers=0)
        assert policy.interval_for(shown) == policy.interval
        # It bids 0.40 in large@b, 0.32 above the price: the row of the largest delta holds.
        chances = ((0.9, 1.0), (0.5, 0.75))
        here, other = Pool("large", "b"), Pool("large", "a")
        never = tuple((NEVER, NEVER) for _ in range(2))
        scenario = Scenario(1.0, never, ((NEVER,), (NEVER,)))
        seen = Outlook(
            NOW,
            (other, here),
            (0.01, 0.1),
            (3600.0, 7200.0),
            (((0.0,) * 2,) * 2, chances),
            (0.0,),
            (scenario,),
        )
        # Half are left after an hour, a quarter after two, and so on: the area under two straight lines, and
        # a quarter of the mean that halves every hour.
        mean = 3600 * 0.75 + 3600 * 0.375 + 0.25 * 3600 / math.log(2)
        foreseen = replace(shown, outlook=seen)
        assert policy.interval_for(foreseen) == pytest.approx(checkpoint_interval(60.0, mean))
        assert "one every" in policy.decide(foreseen, None)[0].reason
        assert f"{checkpoint_interval(60.0, mean):.0f} s" in policy.decide(foreseen, None)[0].reason
        unknown = replace(seen, pools=(other, Pool("large", "z")))
        assert policy.interval_for(replace(shown, outlook=unknown)) == policy.interval
