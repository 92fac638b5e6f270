"""The cap on the vCPUs of all workers together: how many of what go under it, in every policy."""

import pytest
from bidding_views import leases, outlook, pool, server, spot, steady, view
from hypothesis import given, settings
from hypothesis import strategies as st

from tradewind.market.decisions import CapacityAbove, Release, Take
from tradewind.market.offers import Terms
from tradewind.training.elastic.bidding.bidbrain import BidBrain
from tradewind.training.elastic.bidding.candidates import Gap, candidates, fill, gap, missing, spread, whole
from tradewind.training.elastic.bidding.cheapest_spot import CheapestSpot
from tradewind.training.elastic.bidding.checkpoint_restart import CheckpointRestart
from tradewind.training.elastic.bidding.on_demand import OnDemand
from tradewind.training.elastic.bidding.uniform_progress import UniformProgress

SMALL, BIG = spot("c3.xlarge", "a", 0.04), spot("d2.8xlarge", "a", 0.30)
STEADY = (steady("c3.xlarge", "a", 0.21), steady("d2.8xlarge", "a", 5.52))
CALM = outlook({pool("c3.xlarge", "a"): [[0.0, 0.0]] * 2, pool("d2.8xlarge", "a"): [[0.0, 0.0]] * 2})


def taken(policy, offers, held=(), **options):
    decision, _ = policy.decide(view(offers, held, vcpus=512.0, **options), policy.recall())
    return {
        (each.bid.pool.instance_type, each.bid.terms): each.bid.count
        for each in decision.actions
        if isinstance(each, Take)
    }


def released(policy, offers, held=(), **options):
    decision, _ = policy.decide(view(offers, held, vcpus=512.0, **options), policy.recall())
    return [each.lease for each in decision.actions if isinstance(each, Release)]


class TestGap:
    def test_it_holds_what_fits_and_nothing_that_overshoots(self):
        assert Gap(600, 512.0).fit(4.0) == 128
        assert Gap(600, 512.0).fit(36.0) == 14
        assert Gap(3, 512.0).fit(36.0) == 3
        assert Gap(5).fit(36.0) == 5 and Gap(-1).fit(1.0) == 0 and Gap(5, -3.0).fit(1.0) == 0
        # Ten times a tenth is a sum of rounded numbers, and one all the same.
        assert Gap(99, sum([0.1] * 10)).fit(0.1) == 10

    def test_the_rest_goes_to_something_smaller(self):
        found = candidates([BIG, SMALL], view([]).goal, Terms.SPOT)
        plan = [(each.offer.type.name, count) for each, count in spread(found, 600, 512.0)]
        assert plan == [("d2.8xlarge", 14), ("c3.xlarge", 2)]
        assert fill(found, Gap(600, 512.0))[1] == Gap(584, 0.0)

    def test_one_that_alone_overshoots_is_no_candidate(self):
        goal = view([], vcpus=35.0).goal
        assert [each.offer.type.name for each in candidates([BIG, SMALL], goal, Terms.SPOT)] == ["c3.xlarge"]

    def test_what_is_held_counts_by_its_useful_vcpus(self):
        goal = view([], vcpus=40.0).goal
        held = leases("d2.8xlarge", "a", 1)
        assert gap(goal, held) == Gap(511, 4.0)
        found = candidates([SMALL], goal, Terms.SPOT)
        assert missing(gap(goal, held), found) == 1
        assert missing(gap(goal, [*held, *leases("c3.xlarge", "b", 1)]), found) == 0
        assert missing(gap(goal, held), []) == 1  # none can be said to be enough

    @settings(max_examples=60, deadline=None)
    @given(
        st.integers(0, 40), st.none() | st.floats(0, 300), st.lists(st.integers(0, 5) | st.none(), max_size=4)
    )
    def test_a_spread_never_overshoots_and_leaves_no_room(self, wanted, vcpus, rooms):
        kinds = ("d2.8xlarge", "c3.xlarge", "m3.medium")
        offers = [spot(kinds[at % 3], f"z{at}", 0.1, room) for at, room in enumerate(rooms)]
        found = candidates(offers, view([]).goal, Terms.SPOT)
        plan = spread(found, wanted, vcpus)
        together = sum(each.vcpus * count for each, count in plan)
        number = sum(count for _, count in plan)
        assert number <= wanted and (vcpus is None or together <= vcpus * (1 + 1e-9))
        counts = {each.offer.pool: count for each, count in plan}
        for each in found:
            if each.offer.available != 0 and (
                each.offer.available is None or counts.get(each.offer.pool, 0) < each.offer.available
            ):
                full = number >= wanted
                assert full or (vcpus is not None and together + each.vcpus > vcpus * (1 - 1e-9))


class TestPoliciesUnderTheCap:
    def test_on_demand(self):
        assert taken(OnDemand(), STEADY) == {("c3.xlarge", "on_demand"): 128}
        held = leases("d2.8xlarge", "a", 14, Terms.ON_DEMAND)
        assert taken(OnDemand(), STEADY, held) == {("c3.xlarge", "on_demand"): 2}
        held += leases("c3.xlarge", "b", 2, Terms.ON_DEMAND)
        assert taken(OnDemand(), STEADY, held) == {}

    def test_cheapest_spot(self):
        assert taken(CheapestSpot(), [SMALL, *STEADY]) == {("c3.xlarge", "spot"): 128}
        mixed = {("d2.8xlarge", "spot"): 14, ("c3.xlarge", "spot"): 2}
        assert taken(CheapestSpot(), [SMALL, BIG, *STEADY]) == mixed
        # With nothing small on spot the rest runs on demand; with nothing small at all it stays empty.
        rest = {("d2.8xlarge", "spot"): 14, ("c3.xlarge", "on_demand"): 2}
        assert taken(CheapestSpot(), [BIG, *STEADY]) == rest
        assert taken(CheapestSpot(), [BIG, STEADY[1]]) == {("d2.8xlarge", "spot"): 14}

    def test_cheapest_spot_moves_no_more_than_fit(self):
        held = leases("c3.xlarge", "b", 128)
        dear = spot("c3.xlarge", "b", 0.2)
        few = spot("d2.8xlarge", "a", 0.30, available=2)
        policy = CheapestSpot(move_when=0.2)
        # Two big ones hold as much as eighteen small ones.
        assert len(released(policy, [dear, few, *STEADY], held)) == 18
        assert taken(policy, [dear, few, *STEADY], held) == {("d2.8xlarge", "spot"): 2}

    def test_cheapest_spot_hurries_onto_the_fastest_that_fit(self):
        # 512 hours of one vCPU and an hour left: 14 big ones and 2 small ones, all 512 of them.
        held = leases("c3.xlarge", "a", 128)
        options = {"hours": 512.0, "deadline": held[0].started + 3600.0}
        plan = taken(CheapestSpot(), [SMALL, *STEADY], held, **options)
        assert plan == {("d2.8xlarge", "on_demand"): 14, ("c3.xlarge", "on_demand"): 2}
        assert len(released(CheapestSpot(), [SMALL, *STEADY], held, **options)) == 128
        # Where only big ones are to be had, two small ones stay beside them.
        assert len(released(CheapestSpot(), [SMALL, STEADY[1]], held, **options)) == 126

    def test_checkpoint_restart_is_whole_when_nothing_like_it_fits(self):
        policy = CheckpointRestart()
        assert taken(policy, [BIG, *STEADY]) == {("d2.8xlarge", "spot"): 14}
        assert taken(policy, [BIG, *STEADY], leases("d2.8xlarge", "a", 14)) == {}
        assert taken(policy, [BIG, *STEADY], leases("d2.8xlarge", "a", 9)) == {("d2.8xlarge", "spot"): 5}
        few = spot("d2.8xlarge", "a", 0.30, available=13)
        assert taken(policy, [few, *STEADY]) == {("c3.xlarge", "on_demand"): 128}
        decision, _ = policy.decide(view([few, *STEADY], vcpus=512.0), None)
        assert decision.watch == (CapacityAbove(pool("d2.8xlarge", "a"), 13),)
        back = released(policy, [SMALL, *STEADY], leases("d2.8xlarge", "a", 14, Terms.ON_DEMAND))
        assert len(back) == 14

    @pytest.mark.parametrize("policy", [UniformProgress(), BidBrain()])
    def test_the_published_ones(self, policy):
        assert taken(policy, [SMALL, *STEADY], outlook=CALM) == {("c3.xlarge", "spot"): 128}
        held = leases("c3.xlarge", "a", 128, limit=0.21)
        assert taken(policy, [SMALL, *STEADY], held, outlook=CALM) == {}

    def test_bidbrain_fills_what_is_left(self):
        # Work costs 0.0083 USD an hour on a big one, 0.0100 on a small one: that would raise the mean.
        offers = [SMALL, BIG, *STEADY, steady("m3.medium", "s", 1.0)]
        assert taken(BidBrain(), offers, outlook=CALM) == {("d2.8xlarge", "spot"): 14}
        # With a server to be paid for, an hour of work on 14 big ones costs (4.20 + 1.00) / 504 = 0.0103.
        mixed = {("d2.8xlarge", "spot"): 14, ("c3.xlarge", "spot"): 2}
        assert taken(BidBrain(), offers, server(), outlook=CALM, servers=1) == mixed


def test_without_a_cap_the_count_is_all():
    assert whole(view([], count=7).goal) == Gap(7)
    decision, _ = OnDemand().decide(view(STEADY, count=7), None)
    assert [each.bid.count for each in decision.actions] == [7]
