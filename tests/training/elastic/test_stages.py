"""Which stage, who serves what, and where workers go: thresholds, hysteresis, and few moves."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tradewind.errors import Misuse
from tradewind.market.leases import LeaseId
from tradewind.training.elastic.stages import Serving, StageRules, fall_back, serve_from, stage_of, work_on

RULES = StageRules(shards=4)
A, B, C, D = (LeaseId(name) for name in "abcd")


def equal(*names: LeaseId) -> dict[LeaseId, float]:
    return dict.fromkeys(names, 1.0)


def machines(count: int) -> dict[LeaseId, float]:
    return {LeaseId(f"l{number:03d}"): 1.0 for number in range(count)}


@pytest.mark.parametrize(
    ("transient", "reliable", "stage"),
    [(0, 1, 1), (1, 1, 1), (2, 1, 2), (15, 1, 2), (16, 1, 3), (63, 1, 3), (60, 4, 2), (61, 4, 3), (2, 0, 2)],
)
def test_a_stage_begins_above_its_ratio(transient, reliable, stage) -> None:
    assert stage_of(1, transient, reliable, RULES) == stage


def test_a_stage_is_left_only_well_below_its_ratio() -> None:
    coming = [stage_of(3, count, 1, RULES) for count in (15, 12, 11, 1, 0)]
    assert coming == [3, 3, 2, 2, 1]
    assert stage_of(2, 3, 4, RULES) == 1 and stage_of(2, 4, 5, RULES) == 2
    without = StageRules(shards=4, hysteresis=1.0)
    assert stage_of(3, 14, 1, without) == 2


def test_a_ratio_that_swings_about_a_threshold_moves_nothing() -> None:
    stage, seen = 1, []
    for count in (14, 16, 15, 14, 16, 13, 17, 12):
        stage = stage_of(stage, count, 1, RULES)
        seen.append(stage)
    assert seen == [2, 3, 3, 3, 3, 3, 3, 3]


def test_a_state_of_one_piece_stays_where_it_is() -> None:
    assert serve_from(Serving(), machines(60), 1, StageRules()) == Serving(1, (None,))


def test_about_half_of_the_machines_serve() -> None:
    rules = StageRules(shards=32)
    for count in (2, 4, 10, 40, 60):
        served = serve_from(Serving(1, (None,) * 32), machines(count), 1, rules)
        assert len(served.active) == min(32, count // 2)
    assert len(serve_from(Serving(), machines(40), 1, StageRules(shards=32, most_active=3)).active) == 3


def test_never_more_than_there_are_shards_and_never_none() -> None:
    assert len(serve_from(Serving(), machines(40), 1, RULES).active) == 4
    few = StageRules(shards=4, active_share=0.0)
    assert len(serve_from(Serving(), machines(4), 1, few).active) == 1


def test_the_fastest_are_chosen() -> None:
    speeds = {A: 1.0, B: 4.0, C: 2.0, D: 4.0}
    assert serve_from(Serving(), speeds, 1, RULES).active == {B, D}


def test_who_serves_goes_on_though_others_are_faster() -> None:
    before = serve_from(Serving(), equal(A, B), 1, RULES)
    assert before == Serving(2, (A,) * 4)
    assert serve_from(before, {A: 1.0, B: 9.0}, 1, RULES) == before
    assert serve_from(before, {A: 1.0, B: 7.0, C: 8.0, D: 9.0}, 1, RULES).active == {A, D}


def test_a_loss_gives_the_lost_shards_away_and_no_others() -> None:
    before = Serving(2, (A, A, B, B))
    after = fall_back(before, {A, C})
    assert after == Serving(2, (A, A, A, A))
    assert fall_back(before, {C}) == Serving(1, (None,) * 4)
    assert fall_back(Serving(3, (A, B, C, D)), {A, C, D}).shards[0::2] == (A, C)


def test_shards_that_are_back_on_the_reliable_machine_are_dealt_out_again() -> None:
    assert serve_from(Serving(1, (None,) * 4), equal(A, B, C, D), 1, RULES).shards == (A, B, A, B)


def test_workers_beside_a_backup_only_before_stage_3() -> None:
    rules = StageRules(shards=4, workers_beside=True)
    state = {LeaseId("s"): 1.0}
    for stage, expected in ((1, {A, "s"}), (2, {A, "s"}), (3, {A})):
        assert set(work_on(Serving(stage, (A,) * 4), equal(A), state, rules)) == expected
        assert set(work_on(Serving(stage, (A,) * 4), equal(A), state, RULES)) == {A}
    assert set(work_on(Serving(3, (A,) * 4), {}, state, rules)) == {"s"}
    assert not work_on(Serving(1, (None,) * 4), {}, state, RULES)


@pytest.mark.parametrize(
    "wrong",
    [
        {"shards": 0},
        {"shards": 33},
        {"stage2_above": -1.0},
        {"stage2_above": 20.0},
        {"hysteresis": 1.1},
        {"active_share": 2.0},
        {"most_active": 0},
    ],
)
def test_rules_that_mean_nothing_are_refused(wrong) -> None:
    with pytest.raises(Misuse, match=r"state\."):
        StageRules(**wrong)


names = st.sampled_from([LeaseId(f"l{number}") for number in range(24)])
fleets = st.dictionaries(names, st.sampled_from([0.5, 1.0, 2.0]), max_size=20)


@settings(max_examples=150)
@given(st.lists(fleets, min_size=1, max_size=6), st.integers(2, 12), st.integers(0, 2))
def test_every_shard_is_served_by_a_machine_that_is_there_and_asking_again_moves_nothing(
    fleets, shards, reliable
) -> None:
    rules = StageRules(shards=shards, stage3_above=6.0)
    serving = Serving(1, (None,) * shards)
    for fleet in fleets:
        if serving.active - fleet.keys():
            before, serving = serving, fall_back(serving, fleet)
            kept = [shard for shard, each in enumerate(before.shards) if each in fleet]
            assert serving.active <= before.active
            assert sum(serving.shards[shard] == before.shards[shard] for shard in kept) >= len(kept) // 2
        serving = serve_from(serving, fleet, reliable, rules)
        assert len(serving.shards) == shards
        assert serving.active <= fleet.keys()
        assert (serving.stage == 1) == (not serving.active)
        if serving.stage > 1:
            assert None not in serving.shards and 1 <= len(serving.active) <= max(1, len(fleet))
        assert serve_from(serving, fleet, reliable, rules) == serving
