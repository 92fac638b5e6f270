"""Real work seen from inside: what it orders of a runtime and of the state's server, and when.

The runtime and the line to the server are small made-up ones, so that every order can be seen and every
failure be placed; the real ones are in the journeys.
"""

from __future__ import annotations

import asyncio

import pytest
from made_up import LENGTH, PARTS, ROWS, SPEED, A, B, Bench, S, lease, notice, play

from tradewind.errors import Misuse, Unreachable
from tradewind.market.leases import LeaseId
from tradewind.runtimes.interface import TaskState
from tradewind.training.elastic import orders, process_work
from tradewind.training.elastic.orders import MOST_FAILURES
from tradewind.training.elastic.stalls import Stalls
from tradewind.training.elastic.work import Broken, Finished, Joined, Saved, Stranded


@pytest.fixture(autouse=True)
def quick(monkeypatch) -> None:
    monkeypatch.setattr(process_work, "POLL", 0.005)
    monkeypatch.setattr(orders, "GRACE", 0.3)


# beginning and sharing out


def test_every_worker_is_hosted_once_its_host_has_read_the_data() -> None:
    async def story(bench: Bench) -> None:
        bench.runtime.prepares = False
        bench.work.join(lease(S, "state"))
        bench.work.join(lease(A))
        bench.work.join(lease(B))
        await bench.looks()
        assert not bench.runtime.all("worker")
        (reading,) = bench.runtime.on(A, "prepare")
        bench.runtime.end(reading)
        await bench.everyone_hosted([A])
        (reading,) = bench.runtime.on(B, "prepare")
        bench.runtime.end(reading)
        await bench.until(lambda: len(bench.runtime.workers(A)) == len(bench.runtime.workers(B)) == 2)
        await bench.everyone_hosted([A, B])
        assert {each.lease for each in bench.told(Joined)} == {S, A, B}
        assert bench.work.progress().startup < 60

    play(story)


def test_a_worker_is_told_all_that_it_needs() -> None:
    async def story(bench: Bench) -> None:
        await bench.start(A)
        (_, task) = bench.runtime.running[bench.runtime.on(A, "worker")[0]]
        assert task.module == "tradewind.training.worker"
        assert {"job", "address", "worker", "cache"} <= task.arguments.keys()
        assert not any(
            isinstance(value, float) for value in task.arguments.values()
        )  # nothing that could be a moment: an instance's own clock means nothing

    play(story)


def test_who_is_faster_hosts_more() -> None:
    async def story(bench: Bench) -> None:
        await bench.start()
        bench.work.join(lease(A, vcpus=6))
        bench.work.join(lease(B, vcpus=2))
        await bench.everyone_hosted([A, B])
        await bench.until(
            lambda: len(bench.runtime.workers(A)) == 3 and len(bench.runtime.all("worker")) == 4
        )

    play(story)


def test_a_lease_that_joins_takes_its_share_and_the_former_hosts_leave() -> None:
    async def story(bench: Bench) -> None:
        await bench.start(A)
        before = set(bench.runtime.all("worker"))
        bench.work.join(lease(B))
        await bench.until(lambda: len(bench.runtime.workers(B)) == 2 and len(bench.runtime.workers(A)) == 2)
        moved = before - set(bench.runtime.all("worker"))
        assert moved == set(bench.runtime.stopped) and len(moved) == 2
        orders = list(bench.runtime.orders)
        await bench.looks(10)
        assert bench.runtime.orders == orders, "who is placed well is left alone"

    play(story)


def test_nothing_is_started_twice_however_often_it_is_arranged() -> None:
    """Two leases that are given up in one breath: each worker gets one new host."""

    async def story(bench: Bench) -> None:
        c = LeaseId("c")
        await bench.start(A, B, c)
        started = len([order for order in bench.runtime.orders if order.startswith("worker")])
        moving = len(bench.runtime.workers(A)) + len(bench.runtime.workers(B))
        await asyncio.gather(bench.work.drain(A), bench.work.drain(B))
        await bench.everyone_hosted([c])
        now = [order for order in bench.runtime.orders if order.startswith("worker")]
        assert len(now) - started == moving
        assert len(bench.runtime.all("worker")) == PARTS

    play(story)


# leases that go


def test_a_warned_lease_gets_no_more_and_its_workers_move() -> None:
    async def story(bench: Bench) -> None:
        await bench.start(A, B)
        bench.work.warn(notice(A))
        await bench.everyone_hosted([B])
        await bench.until(lambda: not bench.runtime.workers(A))
        orders = len(bench.runtime.orders)
        bench.runtime.lose(A)
        bench.work.lost(A)
        await bench.looks(5)
        assert len(bench.runtime.orders) == orders

    play(story)


def test_without_any_other_lease_the_workers_wait_for_the_next() -> None:
    async def story(bench: Bench) -> None:
        await bench.start(A)
        bench.runtime.lose(A)
        bench.work.lost(A)
        await bench.looks()
        assert not bench.runtime.all("worker")
        bench.work.join(lease(B))
        await bench.everyone_hosted([B])

    play(story)


def test_a_drain_waits_for_the_tasks() -> None:
    async def story(bench: Bench) -> None:
        await bench.start(A, B)
        bench.runtime.obedient = False
        draining = asyncio.create_task(bench.work.drain(A))
        going = bench.runtime.on(A, "worker")
        await bench.until(lambda: set(going) <= set(bench.runtime.stopped))
        bench.runtime.end(going[0])
        await bench.looks()
        assert not draining.done()
        bench.runtime.end(going[1])
        await draining
        assert not bench.runtime.on(A)

    play(story)


def test_a_drain_has_an_end_where_a_task_has_none() -> None:
    async def story(bench: Bench) -> None:
        await bench.start(A, B)
        bench.runtime.obedient = False
        await bench.work.drain(A)
        assert bench.runtime.on(A)
        bench.runtime.lose(A)
        await bench.everyone_hosted([B])

    play(story)


def test_a_worker_that_is_still_starting_on_a_lease_given_up_is_told_to_leave() -> None:
    async def story(bench: Bench) -> None:
        await bench.start(A)
        bench.runtime.prepares = True
        gate = asyncio.Event()
        bench.work.join(lease(B))
        await bench.until(lambda: any(each.lease == B for each in bench.told(Joined)))
        await bench.until(lambda: len(bench.runtime.workers(B)) == 2)
        bench.runtime.held[A] = gate  # whoever is sent to A from now on is accepted late
        bench.runtime.lose(B)
        bench.work.lost(B)
        c = LeaseId("c")
        bench.work.join(lease(c))
        await bench.until(lambda: any(each.lease == c for each in bench.told(Joined)))
        draining = asyncio.create_task(bench.work.drain(A))
        await bench.everyone_hosted([c])
        gate.set()
        await draining
        await bench.settled()
        assert not bench.runtime.on(A)
        assert len(bench.runtime.all("worker")) == PARTS

    play(story)


def test_a_lease_warned_while_it_prepares_is_never_used() -> None:
    """A revocation during start-up: the data may be read to its end, or not, and nobody is sent there."""

    async def story(bench: Bench) -> None:
        await bench.start(A)
        bench.runtime.prepares = False
        for end in (TaskState.DONE, TaskState.FAILED, TaskState.LOST):
            name = LeaseId(f"late-{end}")
            bench.work.join(lease(name))
            await bench.until(lambda name=name: bench.runtime.on(name, "prepare"))
            bench.work.warn(notice(name))
            bench.runtime.end(bench.runtime.on(name, "prepare")[0], end, "cut off")
            bench.work.lost(name)
            await bench.looks()
            assert not bench.runtime.on(name)
        assert not bench.told(Stranded) and not bench.told(Broken)
        assert len(bench.told(Joined)) == 2

    play(story)


# tasks that fail


def test_a_worker_that_fails_is_hosted_again() -> None:
    async def story(bench: Bench) -> None:
        await bench.start(A)
        for turn in range(2 * MOST_FAILURES):
            mine = bench.runtime.hosting(1)
            bench.runtime.end(mine, TaskState.FAILED, "killed by SIGKILL")
            await bench.everyone_hosted([A])
            bench.link.clocks[1] = turn + 1  # there is progress in between
            await bench.looks()
        assert not bench.told(Broken)

    play(story)


def test_three_failures_without_progress_are_the_end() -> None:
    async def story(bench: Bench) -> None:
        await bench.start(A)
        for turn in range(MOST_FAILURES):
            await bench.everyone_hosted([A])
            mine = bench.runtime.hosting(1)
            bench.runtime.end(mine, TaskState.FAILED, "ValueError: of this kind")
            bench.link.clocks[0] = turn + 1  # the others' progress is no excuse
        await bench.until(lambda: bench.told(Broken))
        (broken,) = bench.told(Broken)
        assert "worker-1" in broken.reason and "of this kind" in broken.reason
        orders = len(bench.runtime.orders)
        await bench.work.pause()
        assert len(bench.runtime.orders) == orders

    play(story)


def test_a_failure_of_a_worker_that_was_leaving_counts_for_nothing() -> None:
    async def story(bench: Bench) -> None:
        await bench.start(A, B)
        bench.runtime.obedient = False
        for _ in range(MOST_FAILURES):
            bench.work.warn(notice(A))
            await bench.everyone_hosted([B])
            for task in bench.runtime.on(A, "worker"):
                bench.runtime.end(task, TaskState.FAILED, "it outlasted its grace")
            bench.work.lost(A)
            bench.work.join(lease(A))
            await bench.until(lambda: len(bench.runtime.workers(A)) == 2)
            for task in bench.runtime.stopped:
                if task in bench.runtime.running:
                    bench.runtime.end(task, TaskState.FAILED, "it outlasted its grace")
            await bench.until(lambda: len(bench.runtime.all("worker")) == PARTS)
        assert not bench.told(Broken)

    play(story)


def test_a_lease_that_cannot_be_reached_is_stranded_and_its_workers_stay_where_they_were() -> None:
    async def story(bench: Bench) -> None:
        await bench.start(A)
        before = set(bench.runtime.all("worker"))
        bench.work.join(lease(B))
        bench.runtime.held[B] = gate = asyncio.Event()
        await bench.until(lambda: bench.runtime.orders[-1].startswith("prepare"))
        bench.runtime.problem[B] = Unreachable("it did not answer")
        gate.set()
        await bench.until(lambda: bench.told(Stranded))
        assert bench.told(Stranded) == [Stranded(B, "it did not answer")]
        bench.work.lost(B)
        await bench.looks()
        assert set(bench.runtime.all("worker")) == before

    play(story)


def test_a_start_that_fails_leaves_the_former_host_at_work() -> None:
    async def story(bench: Bench) -> None:
        await bench.start(A)
        before = set(bench.runtime.all("worker"))
        bench.runtime.prepares = False
        bench.work.join(lease(B))
        await bench.until(lambda: bench.runtime.on(B, "prepare"))
        bench.runtime.problem[B] = Unreachable("it went")
        bench.runtime.end(bench.runtime.on(B, "prepare")[0])
        await bench.until(lambda: bench.told(Stranded))
        bench.work.lost(B)
        await bench.settled()
        await bench.looks()
        assert set(bench.runtime.all("worker")) == before and not bench.runtime.stopped

    play(story)


def test_an_order_that_nobody_can_carry_out_breaks_the_work() -> None:
    async def story(bench: Bench) -> None:
        bench.runtime.problem[S] = Misuse("these are no JSON values", fix="Mend them.")
        bench.work.join(lease(S, "state"))
        await bench.until(lambda: bench.told(Broken))
        assert "no JSON values" in bench.told(Broken)[0].reason

    play(story)


def test_data_that_cannot_be_read_anywhere_breaks_the_work() -> None:
    async def story(bench: Bench) -> None:
        await bench.start()
        bench.runtime.prepares = False
        for turn in range(MOST_FAILURES):
            name = LeaseId(f"l{turn}")
            bench.work.join(lease(name))
            await bench.until(lambda name=name: bench.runtime.on(name, "prepare"))
            bench.runtime.end(bench.runtime.on(name, "prepare")[0], TaskState.FAILED, "Misuse: line 3")
        await bench.until(lambda: bench.told(Broken))
        assert "line 3" in bench.told(Broken)[0].reason
        assert len(bench.told(Stranded)) == MOST_FAILURES - 1

    play(story)


def test_a_task_that_hangs_is_ended_and_its_worker_hosted_anew() -> None:
    """All others have done ten batches while this one did none; nobody else is touched."""

    async def story(bench: Bench) -> None:
        bench.work._stalls = Stalls(least=0.2, times=3.0)
        await bench.start(A, B)
        hanging = bench.runtime.hosting(2)
        others = {bench.runtime.hosting(worker) for worker in range(PARTS) if worker != 2}
        for done in range(1, 11):
            bench.link.clocks = [0 if worker == 2 else done for worker in range(PARTS)]
            await bench.looks(2)
        await bench.until(lambda: hanging in bench.runtime.stopped)
        await bench.until(lambda: bench.runtime.hosting(2) != hanging)
        assert others <= set(bench.runtime.all("worker"))
        assert not bench.told(Broken) and not bench.told(Stranded)

    play(story)


def test_a_worker_that_hangs_wherever_it_is_hosted_breaks_the_job() -> None:
    async def story(bench: Bench) -> None:
        bench.work._stalls = Stalls(least=0.01, times=1.0)
        await bench.start(A)
        bench.link.clocks = [0, *[5] * (PARTS - 1)]
        await bench.until(lambda: bench.told(Broken))
        assert "was not done within" in bench.told(Broken)[0].reason

    play(story)


# the state


def test_one_silence_of_the_server_means_nothing() -> None:
    async def story(bench: Bench) -> None:
        await bench.start(A)
        orders = list(bench.runtime.orders)
        bench.link.silent = True
        await bench.looks(10)
        bench.link.silent = False
        await bench.looks()
        assert bench.runtime.orders == orders and not bench.told(Broken) and not bench.told(Stranded)

    play(story)


def test_a_server_that_was_killed_is_started_again_where_it_was() -> None:
    async def story(bench: Bench) -> None:
        await bench.start(A)
        (server,) = bench.runtime.all("state")
        bench.runtime.end(server, TaskState.FAILED, "killed by SIGKILL")
        await bench.until(lambda: bench.runtime.on(S, "state"))
        await bench.until(lambda: len([each for each in bench.told(Joined) if each.lease == S]) == 2)
        assert bench.runtime.all("state") != [server]

    play(story)


@pytest.mark.parametrize(
    ("end", "reason"), [(TaskState.FAILED, "Corrupt: all of them"), (TaskState.DONE, "")]
)
def test_a_server_that_cannot_stay_breaks_the_work(end, reason) -> None:
    async def story(bench: Bench) -> None:
        await bench.start()
        for _ in range(MOST_FAILURES):
            await bench.until(lambda: bench.runtime.all("state"))
            bench.runtime.end(bench.runtime.all("state")[0], end, reason)
        await bench.until(lambda: bench.told(Broken))
        assert "state" in bench.told(Broken)[0].reason and reason in bench.told(Broken)[0].reason

    play(story)


@pytest.mark.parametrize("told_first", ["end", "lease"])
def test_a_state_whose_lease_is_lost_waits_for_the_next(told_first) -> None:
    async def story(bench: Bench) -> None:
        await bench.start(A)
        if told_first == "lease":
            bench.work.lost(S)
        bench.runtime.lose(S)
        await bench.looks(0)
        await asyncio.sleep(0.05 * SPEED)
        assert not bench.runtime.all("state")
        if told_first == "end":
            bench.work.lost(S)
        bench.work.join(lease("s2", "state"))
        await bench.until(lambda: bench.runtime.on(LeaseId("s2"), "state"))
        await bench.until(lambda: any(each.lease == "s2" for each in bench.told(Joined)))
        await bench.everyone_hosted([A])
        assert not bench.told(Broken) and not bench.told(Stranded)

    play(story)


def test_the_next_state_lease_may_join_before_the_loss_is_told() -> None:
    async def story(bench: Bench) -> None:
        await bench.start(A)
        bench.runtime.obedient = False
        bench.work.join(lease("s2", "state"))
        bench.runtime.lose(S)
        await bench.until(lambda: bench.runtime.on(LeaseId("s2"), "state"))
        bench.work.lost(S)
        await bench.looks()
        assert len(bench.runtime.all("state")) == 1

    play(story)


def test_there_is_one_server_at_a_time_and_it_hands_over_a_snapshot() -> None:
    """Two servers at one address would part the workers; so the next waits until the last has left."""

    async def story(bench: Bench) -> None:
        await bench.start(A)
        bench.link.clocks = [5] * PARTS
        bench.runtime.obedient = False
        (server,) = bench.runtime.all("state")
        bench.work.join(lease("s2", "state"))
        await bench.until(lambda: server in bench.runtime.stopped)
        await bench.looks()
        assert bench.runtime.all("state") == [server] and bench.link.saves[-1] == (5,) * PARTS
        draining = asyncio.create_task(bench.work.drain(S))
        await bench.looks()
        bench.runtime.end(server)
        await draining
        await bench.until(lambda: bench.runtime.on(LeaseId("s2"), "state"))
        assert not bench.told(Broken)

    play(story)


def test_a_connection_that_broke_is_made_again_if_the_lease_stays_ours() -> None:
    async def story(bench: Bench) -> None:
        await bench.start(A)
        bench.runtime.end(bench.runtime.all("state")[0], TaskState.LOST, "the connection broke")
        bench.runtime.prepares = False
        bench.work.join(lease(B))
        await bench.until(lambda: bench.runtime.on(B, "prepare"))
        bench.runtime.prepares = True
        bench.runtime.end(bench.runtime.on(B, "prepare")[0], TaskState.LOST, "the connection broke")
        await bench.until(lambda: bench.runtime.on(S, "state"))
        await bench.until(lambda: any(each.lease == B for each in bench.told(Joined)))

    play(story)


# snapshots and the end


def test_snapshots_are_taken_from_the_first_look_and_then_in_turn() -> None:
    async def story(bench: Bench) -> None:
        await bench.start(A)
        await bench.until(lambda: bench.link.saves)
        assert bench.link.saves[0] == (0,) * PARTS
        bench.link.clocks = [3] * PARTS
        await bench.until(lambda: (3,) * PARTS in bench.link.saves)
        await bench.until(lambda: Saved(3.0 * PARTS * ROWS) in bench.changes)
        assert bench.work.progress().saved == 3 * PARTS * ROWS == bench.work.progress().done

    play(story, snapshot_every=0.05 * SPEED)


def test_a_copy_that_failed_is_told_with_the_snapshot() -> None:
    async def story(bench: Bench) -> None:
        await bench.start(A)
        bench.link.problem = "OSError: no such bucket"
        await bench.until(lambda: bench.told(Saved)[-1].problem == "OSError: no such bucket")
        bench.link.problem = ""
        await bench.until(lambda: bench.told(Saved)[-1].problem == "")

    play(story, snapshot_every=0.05 * SPEED)


def test_finished_is_told_once_the_last_snapshot_is_whole() -> None:
    async def story(bench: Bench) -> None:
        await bench.start(A)
        bench.link.snapshots_fail = True
        bench.link.clocks, bench.link.left = [LENGTH] * PARTS, [True] * PARTS
        await bench.looks(5)
        assert not bench.told(Finished)
        bench.link.snapshots_fail = False
        await bench.until(lambda: bench.told(Finished))
        assert bench.link.saves[-1] == (LENGTH,) * PARTS
        assert isinstance(bench.changes[-1], Finished)
        await bench.until(lambda: not bench.runtime.running)
        assert bench.work.progress().done == bench.work.progress().total

    play(story)


def test_a_server_that_went_back_between_the_look_and_the_snapshot_is_not_finished() -> None:
    async def story(bench: Bench) -> None:
        await bench.start(A)
        ending = bench.link.save

        def of_another() -> tuple[int, ...]:
            bench.link.clocks, bench.link.left = [7] * PARTS, [False] * PARTS
            bench.link.save = ending
            return ending()

        bench.link.save = of_another
        bench.link.clocks, bench.link.left = [LENGTH] * PARTS, [True] * PARTS
        await bench.looks(5)
        assert not bench.told(Finished) and bench.link.clocks == [7] * PARTS
        bench.link.clocks, bench.link.left = [LENGTH] * PARTS, [True] * PARTS
        await bench.until(lambda: bench.told(Finished))
        assert bench.link.saves[-1] == (LENGTH,) * PARTS

    play(story)


def test_a_pause_leaves_a_snapshot_and_stops_all() -> None:
    async def story(bench: Bench) -> None:
        await bench.start(A, B)
        bench.link.clocks = [2, 2, 2, 1]
        await bench.work.pause()
        assert bench.link.saves[-1] == (2, 2, 2, 1)
        assert not bench.runtime.running
        orders = len(bench.runtime.orders)
        await asyncio.sleep(0.05 * SPEED)
        assert len(bench.runtime.orders) == orders

    play(story)


def test_a_pause_before_anything_runs() -> None:
    async def story(bench: Bench) -> None:
        await bench.work.pause()
        assert not bench.link.saves

    play(story)


def test_who_has_finished_is_not_hosted_again() -> None:
    async def story(bench: Bench) -> None:
        await bench.start(A)
        bench.link.clocks[0], bench.link.left[0] = LENGTH, True
        await bench.looks()
        mine = bench.runtime.hosting(0)
        bench.runtime.end(mine)
        await bench.looks(5)
        assert bench.runtime.workers(A) == [1, 2, 3]
        bench.work.warn(notice(A))
        bench.work.join(lease(B))
        await bench.until(lambda: bench.runtime.workers(B) == [1, 2, 3])

    play(story)


def test_loss_and_rate_are_those_of_the_last_looks() -> None:
    async def story(bench: Bench) -> None:
        assert bench.work.loss() is None
        await bench.start(A)
        for turn in range(30):
            bench.link.clocks = [turn + 1] * PARTS
            await bench.looks(1)
        await bench.until(lambda: bench.work.progress().done == 30 * PARTS * ROWS)
        assert bench.work.loss() == pytest.approx(0.5)
        assert bench.work.progress().rate != 1.0

    play(story)


def test_nothing_grows_with_the_leases_that_came_and_went() -> None:
    async def story(bench: Bench) -> None:
        await bench.start(A)
        for turn in range(30):
            name = LeaseId(f"l{turn}")
            bench.work.join(lease(name))
            await bench.until(lambda name=name: any(each.lease == name for each in bench.told(Joined)))
            bench.runtime.lose(name)
            bench.work.lost(name)
        await bench.everyone_hosted([A])
        await bench.settled()
        work, hostings = bench.work, bench.work._hostings
        kept = (
            work._leases,
            work._joined,
            work._ready,
            work._silence._missed,
            work._orders._failures,
            work._servers._use,
            hostings._hostings,
            hostings._host,
        )
        assert all(len(each) <= PARTS for each in kept)
        assert all(len(each) <= 1 for each in hostings._former.values())

    play(story)
