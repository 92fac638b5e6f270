"""The loop that scales variants: more for more load, another where that is cheaper, none if nobody asks."""

from __future__ import annotations

import asyncio

import pytest

from tradewind.errors import Misuse
from tradewind.serving.variants.scaling.infaas import InfaasScaling
from tradewind.serving.variants.scaling.integer_program import IntegerProgram
from tradewind.serving.variants.scaling.interface import Plan
from tradewind.serving.variants.selection.interface import Query
from tradewind.serving.variants.watching import Watched
from variant_stage import asked, engine_of, multiplier, rated, running, until


def counts(engine):
    return {name: each.wanted for name, each in engine.fleet.members.items() if each.wanted}


def steady(engine):
    """Have every turn last a second, whatever it takes, and nothing seen of the variants."""

    async def look():
        return 1.0

    engine.fleet.look = look


async def settled(engine, wanted, load=()):
    """Turn, with so many rows a second of each query, until so many replicas are wanted and up."""
    for _ in range(90):
        engine.traffic._now = {query: int(rate) for query, rate in dict(load).items()}
        await engine.scaler.turn()
        up = {name: engine.fleet.up(each) for name, each in engine.fleet.members.items()}
        if counts(engine) == wanted == {name: n for name, n in up.items() if n}:
            return
        await asyncio.sleep(0.001)
    raise AssertionError(f"{counts(engine)}: {engine.scaler.plan}")


@pytest.fixture
def two(tmp_path):
    """A cheap one that is as accurate as 0.8, and one for 0.95 that costs more."""
    return [
        rated(multiplier(tmp_path / "cheap.onnx", 2), accuracy=0.8, per_row=0.001, price=1.0),
        rated(multiplier(tmp_path / "dear.onnx", 3), accuracy=0.95, per_row=0.001, price=3.0),
    ]


def test_replicas_follow_the_load_and_go_with_it(two):
    async def main(engine):
        steady(engine)
        loose, strict = Query(1.0, task="double"), Query(1.0, task="double", accuracy=0.9)
        # In batches of 8 rows a replica does 8 rows in 9 ms: 889 a second, less the headroom.
        await settled(engine, {"cheap": 3}, {loose: 2000})
        await settled(engine, {"cheap": 3, "dear": 2}, {loose: 2000, strict: 1000})
        assert (await asked(engine, "double", min_accuracy=0.9))[0] == "dear"
        # What is left of the loose load fits beside the strict: the cheap one is not needed.
        await settled(engine, {"dear": 2}, {loose: 100, strict: 1000})
        assert (await asked(engine, "double"))[0] == "dear"
        assert engine.gauges().cost_rate == 6.0
        await settled(engine, {"cheap": 1})  # somebody may ask at any moment
        assert engine.gauges().cost_rate == 1.0

    running(engine_of(two, idle=20), main)


def test_a_cold_server_gives_up_what_nobody_asks_for(two):
    async def main(engine):
        steady(engine)
        assert counts(engine) == {}
        assert (await asked(engine, "double"))[0] == "cheap"
        await engine.scaler.turn()
        assert counts(engine) == {"cheap": 1}
        await settled(engine, {})
        assert (await asked(engine, "double"))[0] == "cheap"

    running(engine_of(two, warm=False, idle=10), main)


def test_one_that_is_slow_is_replaced_by_another(two):
    async def main(engine):
        steady(engine)
        query = Query(0.05, task="double")
        await settled(engine, {"cheap": 1}, {query: 500})
        member = engine.fleet.members["cheap"]
        # A fifth of what it did: four in all, which is more than one of the dear ones costs.
        member.watched = Watched(slowdown=5.0)
        await settled(engine, {"dear": 1}, {query: 500})
        assert (await asked(engine, "double", max_latency_ms=50))[0] == "dear"
        member.watched = Watched()
        await settled(engine, {"cheap": 1}, {query: 500})

    running(engine_of(two), main)


def test_a_plan_is_made_anew_only_where_something_has_changed(two):
    made = []

    class Counted(IntegerProgram):
        def scale(self, fleet, memory):
            made.append(fleet)
            return super().scale(fleet, memory)

    async def main(engine):
        steady(engine)
        for _ in range(5):
            await engine.scaler.turn()
        assert len(made) == 1
        engine.traffic._now = {Query(1.0, task="double"): 2000}
        await engine.scaler.turn()
        assert len(made) == 2

    running(engine_of(two, scaling=Counted()), main)


def test_infaas_replicates_and_shrinks_but_leaves_one(two):
    async def main(engine):
        steady(engine)
        member = engine.fleet.members["cheap"]
        member.watched = Watched(rate=3000.0, batch=8.0)
        await engine.scaler.turn()
        await until(lambda: engine.fleet.up(member) == 3)  # two at once, at most
        member.watched = Watched(rate=0.0)
        for _ in range(60):
            await engine.scaler.turn()
            await asyncio.sleep(0)
        await settled(engine, {"cheap": 1})

    running(engine_of(two, scaling=InfaasScaling(patience=2)), main)


def test_what_fails_is_said_and_tried_again(two):
    said = []

    class Failing(IntegerProgram):
        def scale(self, fleet, memory):
            if len(said) < 2:
                raise Misuse("no plan")
            return Plan({each.name: 1 for each in fleet.standings}, "all"), None

    async def main(engine):
        await until(lambda: counts(engine) == {"cheap": 1, "dear": 1})
        assert said[:2] == ["scaling failed: Misuse: no plan"] * 2

    running(engine_of(two, scaling=Failing(), period=0.02, said=said.append), main)
