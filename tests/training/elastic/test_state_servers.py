"""Who serves the state, seen from inside: stages, drains, losses, and changes that fail half-way."""

from __future__ import annotations

import asyncio
import random

import pytest
from made_up import ADDRESS, LENGTH, PARTS, SPEED, A, B, Bench, S, lease, notice, play

from tradewind import clock
from tradewind.errors import Misuse
from tradewind.market.leases import LeaseId
from tradewind.runtimes.interface import TaskState
from tradewind.training.elastic import orders, process_work, state_servers
from tradewind.training.elastic.process_work import ProcessWork
from tradewind.training.elastic.stages import StageRules
from tradewind.training.elastic.work import Broken, Finished, Joined, Restaged, Stranded
from tradewind.training.job import Job, Learner

C, D, E = (LeaseId(name) for name in "cde")
FOUR = {"shards": 4}


@pytest.fixture(autouse=True)
def quick(monkeypatch) -> None:
    monkeypatch.setattr(process_work, "POLL", 0.005)
    monkeypatch.setattr(process_work, "PROBE", 0.02)
    monkeypatch.setattr(process_work, "SILENCE", 0.2)
    monkeypatch.setattr(orders, "GRACE", 0.5)
    monkeypatch.setattr(state_servers, "TOGETHER", 0.01)
    monkeypatch.setattr(state_servers, "AGAIN", 0.01)


async def at_rest(bench: Bench) -> None:
    """Everybody serves what they should, and nobody else runs."""

    def true() -> bool:
        servers = bench.work._servers
        there = set(bench.served_by())
        active = {where for where, _ in bench.runtime.serving()} - {servers.lease and servers.lease.id}
        return (
            servers.answering
            and bench.work._orders.changes.empty()
            and servers._sure
            and there == set(servers.serving.shards)
            and active == there - {None}
            and servers._wanted() == servers.serving
        )

    await bench.until(true)


async def staged(bench: Bench, *names: LeaseId) -> None:
    await bench.start(*names)
    await at_rest(bench)


# stages


def test_the_state_moves_out_as_machines_join_and_back_as_they_go() -> None:
    async def story(bench: Bench) -> None:
        await staged(bench, A)
        assert bench.served_by() == [None] * 4 and not bench.told(Restaged)
        for name in (B, C, D):
            bench.work.join(lease(name))
        await bench.until(lambda: len(bench.told(Joined)) == 5)
        await at_rest(bench)
        assert bench.served_by() == [A, B, A, B] or len(set(bench.served_by())) == 2
        for name in (E, "f", "g"):
            bench.work.join(lease(name))
        await bench.until(lambda: bench.told(Restaged)[-1].stage == 3)
        await at_rest(bench)
        for name in (A, B, C, D, E, "f"):
            await bench.work.drain(LeaseId(name))
            bench.runtime.lose(LeaseId(name))
        await at_rest(bench)
        assert set(bench.served_by()) == {"g"}
        await bench.work.drain(LeaseId("g"))
        await at_rest(bench)
        assert bench.served_by() == [None] * 4
        stages = [each.stage for each in bench.told(Restaged)]
        assert stages[0] == 2 and 3 in stages and stages[-1] == 1
        assert {how for how, _ in bench.link.changes} == {"change"}, "nothing was lost, nothing is recovered"

    play(story, shards=4, stage3_above=6.0)


def test_a_state_of_one_shard_never_moves() -> None:
    async def story(bench: Bench) -> None:
        await bench.start(A, B)
        bench.work.join(lease(C))
        await bench.until(lambda: len(bench.told(Joined)) == 4)
        await bench.looks(10)
        assert not bench.link.changes and not bench.runtime.all("active")

    play(story)


def test_an_active_server_has_an_address_of_its_own_each_time() -> None:
    async def story(bench: Bench) -> None:
        await staged(bench, A, B)
        seen = set()
        for _ in range(3):
            (task,) = bench.runtime.all("active")
            _, order = bench.runtime.running[task]
            assert order.module == "tradewind.training.active_host"
            assert order.arguments["address"] != ADDRESS and order.arguments["address"] not in seen
            seen.add(order.arguments["address"])
            bench.link.clocks = [each + 1 for each in bench.link.clocks]
            await bench.looks()
            bench.runtime.end(task, TaskState.FAILED, "killed by SIGKILL")
            await bench.until(lambda task=task: task not in bench.runtime.running)
            await bench.until(lambda: bench.runtime.all("active"))
            await at_rest(bench)
        assert not bench.told(Broken)

    play(story, **FOUR)


def test_tcp_needs_to_be_told_where_active_servers_listen() -> None:
    async def main() -> None:
        with pytest.raises(Misuse, match="active_address"):
            ProcessWork(
                Job(learner=Learner("LinearLearner"), data={}, parts=1), None, None, address="tcp://x:1",
                arguments={}, total=1.0, rows_done=sum, speeds=lambda _: 1.0, rate=1.0, startup=1.0,
                snapshot_every=1.0, stages=StageRules(shards=2),
            )  # fmt: skip

    clock.run(main())


def test_workers_beside_the_state_leave_it_in_stage_3_and_come_back() -> None:
    async def story(bench: Bench) -> None:
        bench.work.join(lease(S, "state"))
        await bench.everyone_hosted([S])
        for name in (A, B):
            bench.work.join(lease(name))
        await bench.until(lambda: bench.told(Restaged) and bench.told(Restaged)[-1].stage == 2)
        await bench.everyone_hosted([S, A, B])
        await bench.until(lambda: bench.runtime.workers(S) and bench.runtime.workers(B))
        bench.work.join(lease(C))
        bench.work.join(lease(D))
        await bench.until(lambda: bench.told(Restaged)[-1].stage == 3)
        await bench.everyone_hosted([A, B, C, D])
        assert not bench.runtime.workers(S)
        for name in (A, B):
            bench.work.warn(notice(name))
            bench.runtime.lose(name)
            bench.work.lost(name)
        await bench.until(lambda: bench.told(Restaged)[-1].stage == 2)
        await bench.until(lambda: bench.runtime.workers(S))
        await bench.everyone_hosted([S, C, D])

    play(story, shards=4, stage3_above=3.0, workers_beside=True)


# leases that go


def test_a_notice_drains_the_server_before_it_leaves() -> None:
    async def story(bench: Bench) -> None:
        await staged(bench, A, B, C, D)
        going = bench.told(Restaged)[-1].active[0]
        (task,) = bench.runtime.on(going, "active")
        bench.work.warn(notice(going))
        await bench.until(lambda: going not in bench.served_by())
        await bench.until(lambda: task in bench.runtime.stopped)
        assert [how for how, _ in bench.link.changes] == ["change"] * len(bench.link.changes)
        bench.runtime.lose(going)
        bench.work.lost(going)
        await at_rest(bench)
        assert {how for how, _ in bench.link.changes} == {"change"} and not bench.told(Broken)

    play(story, **FOUR)


def test_a_drain_waits_until_the_shards_are_elsewhere_and_the_server_has_left() -> None:
    async def story(bench: Bench) -> None:
        await staged(bench, A, B, C, D)
        going = bench.told(Restaged)[-1].active[0]
        draining = asyncio.create_task(bench.work.drain(going))
        await asyncio.sleep(0)
        assert not draining.done() and going in bench.served_by()
        await draining
        assert going not in bench.served_by() and not bench.runtime.on(going)

    play(story, **FOUR)


def test_a_server_that_is_killed_gives_its_shards_to_the_others_at_once() -> None:
    async def story(bench: Bench) -> None:
        await staged(bench, A, B, C, D)
        first, _ = bench.told(Restaged)[-1].active
        bench.runtime.end(bench.runtime.on(first, "active")[0], TaskState.FAILED, "killed by SIGKILL")
        await bench.until(lambda: "recover" in [how for how, _ in bench.link.changes])
        recovered = next(each for how, each in bench.link.changes if how == "recover")
        assert len(set(recovered)) == 1, "the survivor takes over"
        await at_rest(bench)
        assert len(set(bench.served_by())) == 2
        assert [each.clocks_lost for each in bench.told(Restaged)].count(1) == 1
        assert [lost for _, lost in bench.work.recoveries] == [1]

    play(story, **FOUR)


def test_half_of_the_leases_gone_at_once_is_one_recovery() -> None:
    async def story(bench: Bench) -> None:
        await staged(bench, A, B, C, D)
        for name in bench.told(Restaged)[-1].active:
            bench.runtime.lose(name)
            bench.work.lost(name)
        await bench.until(lambda: "recover" in [how for how, _ in bench.link.changes])
        await at_rest(bench)
        assert [how for how, _ in bench.link.changes].count("recover") == 1
        assert set(bench.served_by()) <= {A, B, C, D} - set(bench.told(Restaged)[0].active)
        await bench.everyone_hosted()

    play(story, **FOUR)


def test_all_gone_at_once_brings_the_state_home_until_others_come() -> None:
    async def story(bench: Bench) -> None:
        await staged(bench, A, B, C)
        for name in (A, B, C):
            bench.runtime.lose(name)
        await bench.until(lambda: bench.served_by() == [None] * 4)
        for name in (A, B, C):
            bench.work.lost(name)
        await at_rest(bench)
        assert bench.told(Restaged)[-1].stage == 1
        bench.work.join(lease(D))
        bench.work.join(lease(E))
        await bench.until(lambda: bench.told(Restaged)[-1].stage == 2)
        await at_rest(bench)
        await bench.everyone_hosted([D, E])

    play(story, **FOUR)


@pytest.mark.parametrize("how", ["task", "lease"])
def test_a_reliable_server_that_dies_takes_the_active_ones_with_it(how) -> None:
    """What they have is of a state that is no more: it goes on from the last snapshot, in a later epoch."""

    async def story(bench: Bench) -> None:
        await staged(bench, A, B, C, D)
        active, epoch = set(bench.runtime.all("active")), bench.link.epoch
        (server,) = bench.runtime.all("state")
        if how == "task":
            bench.runtime.end(server, TaskState.FAILED, "killed by SIGKILL")
        else:
            bench.runtime.lose(S)
            bench.work.lost(S)
            bench.work.join(lease("s2", "state"))
        await bench.until(lambda: not active.intersection(bench.runtime.running))
        await bench.until(lambda: bench.runtime.all("state"))
        await bench.until(lambda: len(set(bench.runtime.all("active"))) == 2)
        await at_rest(bench)
        (again,) = bench.runtime.all("state")
        assert bench.runtime.running[again][1].arguments["epoch"] > epoch
        assert bench.told(Restaged)[-1].stage == 2 and not bench.told(Broken)

    play(story, **FOUR)


def test_a_state_whose_lease_changes_comes_home_first() -> None:
    async def story(bench: Bench) -> None:
        await staged(bench, A, B, C, D)
        saves = len(bench.link.saves)
        bench.work.join(lease("s2", "state"))
        await bench.until(lambda: bench.runtime.on(LeaseId("s2"), "state"))
        assert bench.link.saved_from[saves] == {ADDRESS}
        await at_rest(bench)
        assert bench.told(Restaged)[-1].stage == 2
        assert {how for how, _ in bench.link.changes} == {"change"}

    play(story, **FOUR)


def test_a_pause_comes_home_before_the_snapshot() -> None:
    async def story(bench: Bench) -> None:
        await staged(bench, A, B, C, D)
        bench.link.clocks = [3, 3, 3, 2]
        await bench.work.pause()
        assert bench.link.saves[-1] == (3, 3, 3, 2) and bench.link.saved_from[-1] == {ADDRESS}
        assert not bench.runtime.running

    play(story, **FOUR)


def test_the_end_is_told_from_home() -> None:
    async def story(bench: Bench) -> None:
        await staged(bench, A, B, C, D)
        bench.link.clocks, bench.link.left = [LENGTH] * PARTS, [True] * PARTS
        await bench.until(lambda: bench.told(Finished))
        assert bench.link.saves[-1] == (LENGTH,) * PARTS and bench.link.saved_from[-1] == {ADDRESS}
        await bench.until(lambda: not bench.runtime.running)

    play(story, **FOUR)


# changes that fail half-way


@pytest.mark.parametrize("cut", ["before", "half", "after"])
def test_a_change_that_fails_is_brought_to_an_end(cut) -> None:
    async def story(bench: Bench) -> None:
        bench.link.cut = [cut] * 3
        await staged(bench, A, B, C, D)
        assert len(set(bench.served_by())) == 2
        bench.link.cut = [cut, cut]
        bench.work.warn(notice(bench.served_by()[0]))
        await bench.until(lambda: not bench.link.cut)
        await at_rest(bench)
        assert "recover" not in [how for how, _ in bench.link.changes]

    play(story, **FOUR)


@pytest.mark.parametrize("cut", ["before", "half", "after"])
@pytest.mark.parametrize("dies", ["old", "new"])
def test_a_server_that_dies_in_the_middle_of_a_change_is_recovered_from(cut, dies) -> None:
    async def story(bench: Bench) -> None:
        await staged(bench, A, B)
        (old,) = set(bench.served_by())
        bench.link.cut = [cut] * 1000
        bench.work.join(lease(C))
        bench.work.join(lease(D))
        await bench.until(lambda: len(bench.runtime.all("active")) == 2 and len(bench.link.cut) < 999)
        (new,) = {where for where, task in bench.runtime.serving() if task.id[0] == "a"} - {old}
        going = old if dies == "old" else new
        bench.runtime.lose(going)
        bench.work.lost(going)
        bench.link.cut = [cut, cut]
        await bench.until(lambda: not bench.link.cut and going not in bench.served_by())
        await at_rest(bench)
        assert not bench.told(Broken)

    play(story, **FOUR)


@pytest.mark.parametrize("cut", ["before", "half", "after"])
def test_a_recovery_that_fails_is_brought_to_an_end(cut) -> None:
    async def story(bench: Bench) -> None:
        await staged(bench, A, B, C, D)
        bench.link.cut = [cut, cut, cut]
        bench.runtime.lose(bench.served_by()[0])
        await bench.until(lambda: not bench.link.cut)
        await at_rest(bench)
        assert {"recover"} <= {how for how, _ in bench.link.changes} and not bench.told(Broken)

    play(story, **FOUR)


def test_a_server_that_cannot_run_anywhere_breaks_the_work() -> None:
    async def story(bench: Bench) -> None:
        await bench.start(A, B)
        for _ in range(orders.MOST_FAILURES):
            await bench.until(lambda: bench.runtime.all("active"))
            bench.runtime.end(bench.runtime.all("active")[0], TaskState.FAILED, "OSError: no room")
        await bench.until(lambda: bench.told(Broken))
        assert "active" in bench.told(Broken)[0].reason and "no room" in bench.told(Broken)[0].reason

    play(story, **FOUR)


@pytest.mark.parametrize("seed", range(6))
def test_whatever_happens_it_comes_to_rest(seed) -> None:
    """Leases that come, are warned, drained and lost, tasks killed, changes that fail: in any order."""
    chance = random.Random(seed)

    async def story(bench: Bench) -> None:
        held = [LeaseId(f"l{number}") for number in range(3)]
        bench.work.join(lease(S, "state"))
        for name in held:
            bench.work.join(lease(name))
        for turn in range(25):
            bench.link.clocks = [each + 1 for each in bench.link.clocks]
            bench.link.cut = chance.choices(["before", "half", "after", ""], k=chance.randrange(3))
            match chance.randrange(7):
                case 0 | 1:
                    held.append(LeaseId(f"l{turn + 3}"))
                    bench.work.join(lease(held[-1]))
                case 2 if held:
                    bench.work.warn(notice(chance.choice(held)))
                case 3 if len(held) > 1:
                    for name in chance.sample(held, len(held) // 2):
                        held.remove(name)
                        bench.runtime.lose(name)
                        bench.work.lost(name)
                case 4 if tasks := bench.runtime.all("active"):
                    bench.runtime.end(chance.choice(tasks), TaskState.FAILED, "killed by SIGKILL")
                case 5 if held:
                    await bench.work.drain(name := held.pop(chance.randrange(len(held))))
                    bench.runtime.lose(name)
                case 6 if tasks := bench.runtime.all("state"):
                    bench.runtime.end(tasks[0], TaskState.FAILED, "killed by SIGKILL")
            await bench.looks(chance.randrange(5))
        bench.link.cut = []
        for name in (A, B, C):
            bench.work.join(lease(name))
        await bench.until(lambda: {A, B, C} <= {each.lease for each in bench.told(Joined)})
        await at_rest(bench)
        usable = set(bench.work._leases)
        await bench.until(
            lambda: sorted(n for name in usable for n in bench.runtime.workers(name)) == [*range(PARTS)]
        )
        assert not bench.told(Broken), bench.told(Broken)
        assert len(bench.work._servers._dismissed) == 0

    play(story, shards=5, stage3_above=4.0)


# silence


def test_a_few_probes_that_fail_mean_nothing() -> None:
    async def story(bench: Bench) -> None:
        await staged(bench, A, B, C, D)
        servers, ordered = set(bench.runtime.all("active")), list(bench.runtime.orders)
        for _ in range(3):
            bench.unanswered = {A, B, S}
            bench.link.mute = set(bench.link.serving)
            await asyncio.sleep(0.08 * SPEED)
            bench.unanswered, bench.link.mute = set(), set()
            await asyncio.sleep(0.08 * SPEED)
        assert set(bench.runtime.all("active")) == servers and bench.runtime.orders == ordered
        assert not bench.told(Stranded) and not bench.runtime.stopped

    play(story, **FOUR)


def test_an_instance_that_stays_silent_is_stranded_and_not_before() -> None:
    async def story(bench: Bench) -> None:
        await staged(bench, A, B, C, D)
        silent = bench.served_by()[0]
        bench.unanswered = {silent}
        since = clock.now()
        await bench.until(lambda: bench.told(Stranded))
        assert 0.15 * SPEED <= clock.now() - since <= 3 * SPEED
        assert bench.told(Stranded)[0].lease == silent and "silent" in bench.told(Stranded)[0].reason
        bench.work.lost(silent)
        bench.runtime.lose(silent)
        await at_rest(bench)
        assert silent not in bench.served_by() and len(bench.told(Stranded)) == 1

    play(story, **FOUR)


def test_a_server_that_hangs_on_a_live_instance_is_ended_and_replaced() -> None:
    async def story(bench: Bench) -> None:
        await staged(bench, A, B, C, D)
        hanging = bench.link.serving[0]
        task = next(each.id for _, each in bench.runtime.serving() if each.arguments["address"] == hanging)
        bench.link.mute = {hanging}
        await bench.until(lambda: task in bench.runtime.stopped)
        await bench.until(lambda: hanging not in bench.link.serving)
        await at_rest(bench)
        assert not bench.told(Stranded) and not bench.told(Broken)

    play(story, **FOUR)


def test_a_reliable_server_that_hangs_is_started_again() -> None:
    async def story(bench: Bench) -> None:
        await bench.start(A)
        (server,) = bench.runtime.all("state")
        bench.link.silent = True
        await bench.until(lambda: server in bench.runtime.stopped)
        bench.link.silent = False
        await bench.until(lambda: len([each for each in bench.told(Joined) if each.lease == S]) == 2)

    play(story)
