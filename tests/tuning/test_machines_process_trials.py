"""Trials as tasks of a runtime: what is told of them, and when; real kills are in the journeys."""

from __future__ import annotations

import asyncio
import json
import math
import threading

import pytest

from tradewind import clock
from tradewind.errors import Misuse, Unreachable
from tradewind.market.instances import Instance, InstanceType
from tradewind.market.leases import Lease, LeaseId, Revocation
from tradewind.market.offers import Terms
from tradewind.market.resources import Resources
from tradewind.runtimes.inline import InlineRuntime
from tradewind.runtimes.interface import TaskEnd, TaskState
from tradewind.tuning.machines import process_trials as module
from tradewind.tuning.machines.process_trials import CHECKPOINT, RESTORE, WORKER, ProcessTrials
from tradewind.tuning.machines.work import Off, Stranded, Timed
from tradewind.tuning.stopping.asha import Asha
from tradewind.tuning.study import Study
from tradewind.tuning.trial import COMPLETED, FAILED, RUNNING, STOPPED

HERE = "test_machines_process_trials"
SPACE = {"x": {"low": 0.0, "high": 1.0}}
LEASE = LeaseId("lease-1")
SPEED = 20.0


def stepping(trial, steps: int = 4, pace: float = 0.0) -> float:
    nobody = threading.Event()
    trial.keep(lambda path: path.write_text(""))
    for step in range(trial.step + 1, steps + 1):
        nobody.wait(pace)
        trial.report(step, 1.0 / step)
    return 1.0


def raising(trial) -> float:
    raise ValueError("nothing fits")


class Scripted:
    """A runtime of which a test says what becomes of each task."""

    def __init__(self, problem: Exception | None = None) -> None:
        self.problem, self.started, self.stopped, self.closed = problem, [], [], 0
        self.ends: asyncio.Queue[TaskEnd] = asyncio.Queue()
        self.hold = asyncio.Event()
        self.hold.set()

    async def start(self, lease, task) -> None:
        await self.hold.wait()
        if self.problem is not None:
            raise self.problem
        self.started.append(task)

    async def stop(self, task: str, grace: float) -> None:
        self.stopped.append((task, grace))

    async def next_end(self) -> TaskEnd:
        return await self.ends.get()

    async def close(self) -> None:
        self.closed += 1


@pytest.fixture
def study(tmp_path):
    return Study(SPACE, store=tmp_path / "study.sqlite", driver="driver", trials=5)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(module, "POLL", 0.01)
    monkeypatch.setattr(module, "UNHEARD", 0.1)


def lease(name: LeaseId = LEASE) -> Lease:
    kind = InstanceType("c9.large", Resources(vcpus=2, memory_gib=4))
    return Lease(name, Instance(name, kind, "xx-north-1a", "unix:/nowhere"), Terms.SPOT, 0.0, None, "trial 0")


def during(story, study, tmp_path, runtime=None, objective="stepping", **options):
    """Let `story(work, runtime)` happen to trials that are open."""
    arguments = options.pop("arguments", {})

    async def main():
        found = InlineRuntime() if runtime is None else runtime()
        work = ProcessTrials(
            found, study, f"{HERE}:{objective}", folder=tmp_path / "kept", arguments=arguments, **options
        )
        await work.open()
        try:
            async with asyncio.timeout(30 * clock.speed()):
                return await story(work, found)
        finally:
            await work.close()
            await work.close()

    return clock.run(main(), speed=SPEED)


async def until(true) -> None:
    while not true():
        await clock.sleep_until(clock.now() + 0.005 * clock.speed())


async def silence(work) -> None:
    """Nothing is told for a while."""
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.25 * clock.speed()):
            await work.next_change()


# trials that are trained


def test_a_trial_is_trained_and_its_end_is_told_after_what_a_step_takes(study, tmp_path):
    asked = study.ask()

    async def story(work, _):
        work.start(asked, lease(), per_hour=3600.0)
        changes = [await work.next_change()]
        while not isinstance(changes[-1], Off):
            changes.append(await work.next_change())
        return changes

    *timed, off = during(story, study, tmp_path, arguments={"pace": 0.01})
    assert off == Off(0, 1, LEASE) and timed and all(isinstance(each, Timed) for each in timed)
    assert all(each.seconds >= 0.01 * SPEED for each in timed)  # in seconds of the clock
    trial = study.trials[0]
    assert trial.state == COMPLETED and trial.steps == (1, 2, 3, 4)
    assert trial.dollars == pytest.approx(trial.seconds)  # a dollar a second, of the clock


def test_a_trial_that_fails_ends_like_any_other(study, tmp_path):
    asked = study.ask()

    async def story(work, _):
        work.start(asked, lease(), 1.0)
        return await work.next_change()

    assert during(story, study, tmp_path, objective="raising") == Off(0, 1, LEASE)
    assert study.trials[0].state == FAILED and study.trials[0].reason == "ValueError: nothing fits"


def test_a_trial_leaves_with_a_checkpoint_and_is_not_told_of(study, tmp_path):
    asked = study.ask()

    async def story(work, _):
        assert (work.checkpoint, work.restore) == (CHECKPOINT, RESTORE)
        work.start(asked, lease(), 1.0)
        await until(lambda: study.trials[0].steps)
        assert 0 < work.unkept(LEASE) < 30 * SPEED
        await work.leave(LEASE)
        assert work.unkept(LEASE) == 0 and 0 < work.checkpoint != CHECKPOINT
        while not work._changes.empty():
            assert isinstance(await work.next_change(), Timed)
        await silence(work)
        await work.leave(LEASE)

    during(story, study, tmp_path, arguments={"steps": 10_000, "pace": 0.01})
    trial = study.trials[0]
    assert trial.state == RUNNING and trial.checkpoint_step == trial.steps[-1]


def test_of_trials_that_go_on_what_came_before_their_first_step_is_measured(study, tmp_path):
    """By what they report: at 30 s of training before, the first step 12 s later, and 2 s a step."""
    study.report(first := study.ask(), 5, 1.0, seconds=30.0)
    study.checkpoint(first, 5, "there")
    study.requeue(first, "it moves")
    asked = study.ask()
    assert (asked.step, asked.seconds) == (5, 30.0)

    async def story(work, runtime):
        work.start(asked, lease(), 1.0)
        await until(lambda: runtime.started)
        for step, seconds in ((6, 42.0), (8, 46.0)):
            study.report(asked, step, 1.0, seconds=seconds)
        assert await work.next_change() == Timed(0, 2, LEASE, 2.0)
        assert work.restore == 10.0
        study.report(asked, 9, 1.0, seconds=48.1)  # 2.03 s a step: nothing new
        study.report(asked, 10, 1.0, seconds=60.0)  # 4.5 s
        assert await work.next_change() == Timed(0, 2, LEASE, 4.5)

    during(story, study, tmp_path, Scripted)


def test_a_single_step_is_told_at_the_end(study, tmp_path):
    asked = study.ask()

    async def story(work, runtime):
        work.start(asked, lease(), 1.0)
        await until(lambda: runtime.started)
        study.report(asked, 4, 1.0, seconds=8.0)
        runtime.ends.put_nowait(TaskEnd(runtime.started[0].id, TaskState.DONE))
        assert await work.next_change() == Timed(0, 1, LEASE, 2.0)
        assert await work.next_change() == Off(0, 1, LEASE)

    during(story, study, tmp_path, Scripted)


# what is told of those that end badly


def test_what_a_process_is_told_is_plain_and_whole(tmp_path):
    study = Study(SPACE, store=tmp_path / "s.sqlite", trials=5, stop=Asha(9))
    asked = study.ask()

    async def story(work, runtime):
        work.start(asked, lease(), per_hour=7200.0)
        await until(lambda: runtime.started)
        return runtime.started[0]

    task = during(story, study, tmp_path, Scripted, every=40.0)
    assert task.module == WORKER and json.loads(json.dumps(task.arguments)) == task.arguments
    told = task.arguments
    assert (told["every"], told["per_second"], told["speed"]) == (40.0 / SPEED, 2.0 * SPEED, SPEED)
    assert told["stop"]["arguments"]["max_steps"] == 9 and told["store"] == study.store.url
    assert told["trial"]["claim"]["driver"] == study.driver


@pytest.mark.parametrize("warned", [False, True])
def test_a_process_that_breaks_is_told_unless_it_had_to_leave(study, tmp_path, warned):
    asked = study.ask()

    async def story(work, runtime):
        work.start(asked, lease(), 1.0)
        await until(lambda: runtime.started)
        if warned:
            work.warn(Revocation(LEASE, clock.now(), clock.now() + 100.0))
        reason = "Traceback (most recent call last):\n  File\nRuntimeError: out of memory\n"
        runtime.ends.put_nowait(TaskEnd(runtime.started[0].id, TaskState.FAILED, reason))
        return await work.next_change()

    off = during(story, study, tmp_path, Scripted)
    assert off == Off(0, 1, LEASE, "" if warned else "RuntimeError: out of memory")


@pytest.mark.parametrize("when", ["at its start", "later"])
@pytest.mark.parametrize("told", [False, True])
def test_an_instance_that_is_gone_is_told_stranded_unless_it_is_told_lost(study, tmp_path, when, told):
    asked = study.ask()

    async def story(work, runtime):
        work.start(asked, lease(), 1.0)
        if when == "later":
            await until(lambda: runtime.started)
            runtime.ends.put_nowait(TaskEnd(runtime.started[0].id, TaskState.LOST, "no way there"))
        if told:
            await clock.sleep_until(clock.now() + 0.02 * clock.speed())
            work.lost(LEASE)
            work.lost(LEASE)
            await silence(work)
        else:
            assert await work.next_change() == Stranded(0, 1, LEASE, "no way there")
        assert work.unkept(LEASE) == 0

    problem = Unreachable("no way there") if when == "at its start" else None
    during(story, study, tmp_path, lambda: Scripted(problem))


def test_a_lease_that_is_lost_while_its_process_starts_is_not_touched_again(study, tmp_path):
    asked = study.ask()

    async def story(work, runtime):
        runtime.hold.clear()
        work.start(asked, lease(), 1.0)
        await clock.sleep_until(clock.now() + 0.02 * clock.speed())
        work.lost(LEASE)
        runtime.hold.set()
        await silence(work)
        assert not runtime.started and not runtime.stopped

    during(story, study, tmp_path, Scripted)


def test_a_trial_may_be_put_on_a_lease_that_another_is_just_leaving(study, tmp_path):
    first, second = study.ask(), study.ask()

    async def story(work, runtime):
        work.start(first, lease(), 1.0)
        await until(lambda: runtime.started)
        work.start(second, lease(), 1.0)
        await until(lambda: len(runtime.started) == 2)
        for task in runtime.started:
            runtime.ends.put_nowait(TaskEnd(task.id, TaskState.DONE))
        assert await work.next_change() == Off(1, 1, LEASE)
        await silence(work)

    during(story, study, tmp_path, Scripted)


def test_a_wanted_end_gives_no_time(study, tmp_path):
    first, second = study.ask(), study.ask()

    async def story(work, runtime):
        work.start(first, lease(), 1.0)
        work.start(second, lease(LeaseId("lease-2")), 1.0)
        await until(lambda: len(runtime.started) == 2)
        study.kill(0)
        await until(lambda: runtime.stopped)
        assert runtime.stopped == [("trial-0-1", module.FAREWELL)]
        for number, name in enumerate((LEASE, "lease-2")):
            leaving = asyncio.create_task(work.leave(LeaseId(name)))
            await until(lambda before=number: len(runtime.stopped) == before + 2)
            runtime.ends.put_nowait(TaskEnd(f"trial-{number}-1", TaskState.FAILED, "killed"))
            await leaving
            if name == LEASE:
                assert work.checkpoint == CHECKPOINT  # nothing was kept
        assert runtime.stopped[1:] == [("trial-0-1", module.FAREWELL), ("trial-1-1", 9.0)]
        await silence(work)

    during(story, study, tmp_path, Scripted, grace=9.0)


def test_leaving_lasts_no_longer_than_is_stated(study, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_MARGIN", 0.05)
    asked = study.ask()

    async def story(work, runtime):
        work.start(asked, lease(), 1.0)
        await until(lambda: runtime.started)
        leaving = asyncio.create_task(work.leave(LEASE))
        await until(lambda: runtime.stopped)
        work.lost(LEASE)
        await leaving
        work.start(asked, lease(), 1.0)
        await until(lambda: len(runtime.started) == 2)
        await work.leave(LEASE)  # nobody tells that it ended
        assert work.checkpoint == CHECKPOINT
        runtime.ends.put_nowait(TaskEnd(runtime.started[0].id, TaskState.DONE))
        await silence(work)

    during(story, study, tmp_path, Scripted, grace=0.05)


def test_what_breaks_in_the_background_is_raised_and_cancelling_loses_nothing(study, tmp_path):
    asked = study.ask()

    async def story(work, _):
        waiting = asyncio.create_task(work.next_change())
        await asyncio.sleep(0)
        waiting.cancel()
        work.start(asked, lease(), 1.0)
        with pytest.raises(Misuse, match="no address"):
            await work.next_change()

    during(story, study, tmp_path, lambda: Scripted(Misuse("no address of an agent")))


def test_everything_is_closed_once(study, tmp_path):
    async def story(work, runtime):
        return runtime

    assert during(story, study, tmp_path, Scripted).closed == 1


# what is looked at before anything is rented


async def nothing(work, runtime) -> None:
    raise AssertionError("it was opened")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"objective": "steppin"}, "cannot be imported"),
        ({"arguments": {"pase": 0.1}}, "Did you mean 'pace'"),
        ({"arguments": {"pace": math.inf}}, "no plain values"),
        ({"every": 0.0}, "not above 0"),
        ({"speed": -1.0}, "not above 0"),
        ({"grace": 0.0}, "not above 0"),
        ({"store": "postgresql://me:***@there/studies"}, "whole URL"),
        ({"store": "sqlite://"}, "in this process's memory"),
    ],
)
def test_what_is_wrong_is_told_before_anything_is_rented(study, tmp_path, options, message):
    with pytest.raises(Misuse, match=message):
        during(nothing, study, tmp_path, Scripted, **options)


def test_a_study_in_memory_or_another_store_is_told(tmp_path):
    with pytest.raises(Misuse, match="Keep the study in a file"):
        during(nothing, Study(SPACE), tmp_path, Scripted)
    study = Study(SPACE, store=tmp_path / "one.sqlite")
    with pytest.raises(Misuse, match="there is no study 'study'"):
        during(nothing, study, tmp_path, Scripted, store=str(tmp_path / "other.sqlite"))


def test_a_file_is_named_so_that_it_is_found_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    study = Study(SPACE, store="sqlite:///here.sqlite", trials=1)
    asked = study.ask()

    async def story(work, runtime):
        work.start(asked, lease(), 1.0)
        await until(lambda: runtime.started)
        return runtime.started[0].arguments["store"]

    assert during(story, study, tmp_path, Scripted) == f"sqlite:///{tmp_path}/here.sqlite"
    whole = f"sqlite:///{tmp_path}/here.sqlite"
    assert during(story, study, tmp_path, Scripted, store=whole) == whole


class Secret(Asha):
    """A rule that no process can make again."""

    def __init__(self, steps_of_a_trial: int) -> None:
        super().__init__(steps_of_a_trial)


def test_a_rule_that_cannot_be_sent_is_told(tmp_path):
    study = Study(SPACE, store=tmp_path / "one.sqlite", stop=Secret(9))
    with pytest.raises(Misuse, match="not kept under its own name"):
        during(nothing, study, tmp_path, Scripted)


def test_a_simulation_has_no_processes(study, tmp_path):
    work = ProcessTrials(Scripted(), study, f"{HERE}:stepping", folder=tmp_path)
    with pytest.raises(Misuse, match="ModelledTrials"):
        clock.simulate(work.open())


def test_a_wanted_end_is_recorded_by_the_trial_itself_too(study, tmp_path):
    asked = study.ask()

    async def story(work, _):
        work.start(asked, lease(), 1.0)
        await until(lambda: study.trials[0].steps)
        study.kill(0, "enough")
        while not isinstance(change := await work.next_change(), Off):
            pass
        return change

    assert not during(story, study, tmp_path, arguments={"steps": 10_000, "pace": 0.01}).crashed
    assert (study.trials[0].state, study.trials[0].reason) == (STOPPED, "enough")
