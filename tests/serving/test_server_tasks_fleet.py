"""Variants kept within a machine: memory, replicas, what goes first, and looks at what is suspected."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from tradewind import clock
from tradewind.serving.calls import Refusal, RefusalKind
from tradewind.serving.variants.scaling.interface import Plan
from variant_stage import MIB, asked, engine_of, multiplier, rated, running, until


@pytest.fixture
def four(tmp_path):
    """Each of its own accuracy and price; the profiles say 64 MiB a replica."""
    return [
        rated(multiplier(tmp_path / f"v{at}.onnx", at + 1), accuracy=round(0.6 + at / 10, 1), price=1.0 + at,
              memory=64 * MIB)
        for at in range(4)
    ]  # fmt: skip


def heavy(engine, size=64 * MIB):
    """Have replicas count as large, whatever these small models hold."""
    engine.fleet.memory_of = lambda member: size


def wanted(engine):
    return {name: each.wanted for name, each in engine.fleet.members.items() if each.wanted}


def test_memory_holds_and_what_was_used_least_lately_goes(four):
    async def main(engine):
        heavy(engine)
        assert wanted(engine) == {"v0": 1}
        for accuracy, who in ((0.65, "v1"), (0.6, "v0"), (0.75, "v2"), (0.6, "v0"), (0.85, "v3")):
            assert (await asked(engine, "double", min_accuracy=accuracy))[0] == who
            assert sum(wanted(engine).values()) <= 2
            assert len(engine.models.gauges().models) <= 2
        assert wanted(engine) == {"v0": 1, "v3": 1}
        assert engine.gauges().memory_limit == 128 * MIB

    running(engine_of(four, memory=128 * MIB), main)


def test_there_is_no_room_beside_what_is_in_use(four):
    async def main(engine):
        heavy(engine)
        engine.fleet._busy = lambda member: True
        with pytest.raises(Refusal, match=r"no room for variant 'v3'.*in use") as refused:
            await asked(engine, "v3")
        assert refused.value.kind is RefusalKind.NO_ROOM and refused.value.retry_after == 1.0
        # v3 alone is accurate enough; where another is as well, that answers.
        with pytest.raises(Refusal, match="no room"):
            await asked(engine, "double", min_accuracy=0.9)
        assert (await asked(engine, "double"))[0] == "v0"
        engine.fleet._busy = lambda member: False
        assert (await asked(engine, "v3"))[0] == "v3"

    running(engine_of(four, memory=64 * MIB), main)


def test_one_that_is_larger_than_its_profile_said_goes_again(four):
    async def main(engine):
        sizes = {"v0": 64 * MIB}
        engine.fleet.memory_of = lambda member: (
            sizes.get(member.name, 500 * MIB) if engine.fleet.up(member) else member.rated.profile.memory
        )
        with pytest.raises(Refusal, match="no room for variant 'v3'"):
            await asked(engine, "v3")
        assert wanted(engine) == {} or wanted(engine) == {"v0": 1}
        assert all(each.name != "v3" for each in engine.models.gauges().models)

    running(engine_of(four, memory=128 * MIB), main)


def test_a_plan_is_followed_within_the_limits_and_nothing_goes_before_its_heir_is_up(four):
    async def main(engine):
        fleet = engine.fleet
        fleet.follow(Plan({"v0": 0, "v1": 2, "v2": 0, "v3": 0}, ""))
        assert wanted(engine) == {"v0": 1, "v1": 2}  # v1 comes, and v0 stays until then
        await until(lambda: fleet.up(fleet.members["v1"]) == 2)
        fleet.follow(Plan({"v0": 0, "v1": 2, "v2": 0, "v3": 0}, ""))
        await until(lambda: wanted(engine) == {"v1": 2} and not fleet.members["v0"].leaving)
        assert [each.name for each in engine.models.gauges().models] == ["v1"]
        fleet.follow(Plan({"v0": 9, "v1": 2, "v2": 0, "v3": 0}, ""))
        assert wanted(engine) == {"v0": 1, "v1": 2}  # three is all that there is room for
        await until(lambda: fleet.up(fleet.members["v0"]) == 1)
        fleet.follow(Plan({"v0": 0, "v1": 0, "v2": 0, "v3": 3}, ""))
        # There is no room for both, so that the old ones go first.
        assert wanted(engine) == {"v3": 3}
        await until(lambda: fleet.up(fleet.members["v3"]) == 3)
        assert (await asked(engine, "double"))[0] == "v3"

    running(engine_of(four, replicas=3), main)


def test_a_queue_that_is_full_starts_one_more_but_not_with_every_call(four):
    async def main(engine):
        fleet, member = engine.fleet, engine.fleet.members["v0"]
        for _ in range(20):
            fleet.grow(member)
        assert member.wanted == 1  # it was opened a moment ago
        member.began = clock.now() - 60
        for _ in range(20):
            fleet.grow(member)
        await until(lambda: fleet.up(member) == 2)
        assert member.wanted == 2

    running(engine_of(four), main)


def test_one_that_is_suspected_is_looked_at_without_a_caller(four):
    async def main(engine):
        fleet, member = engine.fleet, engine.fleet.members["v0"]
        await asked(engine, "double")
        await fleet.look()
        counted = member.watched.counts.calls
        member.watched = replace(member.watched, slowdown=20.0)
        standing = fleet.standing(member, clock.now())
        assert standing.slowdown == 20.0
        for _ in range(12):
            await asyncio.sleep(0)
            await fleet.look()
        assert member.watched.slowdown < 1.5
        assert member.watched.counts.calls == counted  # nobody's request was risked, or counted
        assert (fleet.standing(member, clock.now()).idle, fleet.up(member)) == (1, 1)
        assert (await asked(engine, "double"))[0] == "v0"

    running(engine_of(four), main)


def test_a_variant_that_is_measured_anew_keeps_its_place(four):
    async def main(engine):
        await asked(engine, "double")
        quicker = replace(four[0].profile, per_hour=9.0)
        engine.fleet.add(replace(four[0], profile=quicker))
        member = engine.fleet.members["v0"]
        assert member.rated.profile.per_hour == 9.0 and engine.fleet.up(member) == 1

    running(engine_of(four), main)
