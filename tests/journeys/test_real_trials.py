"""Studies on real processes that are really killed: what becomes of their trials is the same, bit for bit."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable

import pytest
from real_studies import HERE, PATIENCE, STEPS, Driver, did, set_gates, small_study, told, undisturbed, until

from tradewind import clock
from tradewind.data.trial_records import CLAIMED, STOP_WANTED
from tradewind.errors import Misuse
from tradewind.providers.local_leftovers import leftovers
from tradewind.tuning.machines import process_trials
from tradewind.tuning.machines.claims import MOST_FAILURES
from tradewind.tuning.stopping.asha import Asha
from tradewind.tuning.trial import COMPLETED, FAILED, RUNNING, STOPPED


def test_a_trial_whose_instance_is_killed_goes_on_from_its_checkpoint(tmp_path) -> None:
    expected = undisturbed(tmp_path)

    async def mishap(driver: Driver) -> None:
        await driver.reaches(1, 8)
        driver.kill_instance(1)
        set_gates(tmp_path, {})

    set_gates(tmp_path, {1: 8})
    driver = Driver(tmp_path, small_study(tmp_path))
    result = driver.run(mishap)
    assert result.done and result.failures == 1  # a lease that failed
    assert told(driver.study.trials) == told(expected)
    trial = driver.study.trials[1]
    assert (trial.revocations, trial.failures, trial.attempt) == (1, 0, 2)
    assert did(tmp_path, 1) == [*range(1, 9), *range(6, STEPS + 1)]
    assert not driver.processes()


def test_at_a_notice_a_trial_is_checkpointed_and_nothing_is_done_twice(tmp_path) -> None:
    """30 s of the market's, which are 6 s of the wall's; the instance is killed at their end."""
    expected = undisturbed(tmp_path)

    async def mishap(driver: Driver) -> None:
        await driver.reaches(0, 7)
        await driver.give_notice(0, 30.0)
        set_gates(tmp_path, {})

    set_gates(tmp_path, {0: 7})
    driver = Driver(tmp_path, small_study(tmp_path))
    result = driver.run(mishap, speed=5.0)
    assert result.done and result.failures == 0
    assert told(driver.study.trials) == told(expected)
    trial = driver.study.trials[0]
    assert (trial.revocations, trial.failures, trial.attempt) == (1, 0, 2)
    assert did(tmp_path, 0) == [*range(1, STEPS + 1)]


def test_a_killed_driver_leaves_nothing_running_and_a_study_that_another_ends(tmp_path) -> None:
    """With a rule of stopping, whose rungs must be as they were."""
    rules = {"stop": Asha(STEPS, eta=2), "trials": 6}
    expected = undisturbed(tmp_path, **rules)
    assert STOPPED in [each.state for each in expected]
    set_gates(tmp_path, {4: 7})
    first = process("drive", tmp_path, "first", '{"asha": 2, "trials": 6, "lease": 2.0}')
    study = small_study(tmp_path, "second", **rules)
    try:
        clock.run(until(lambda: first.poll() is not None or len(did(tmp_path, 4)) == 7))
        assert first.poll() is None and leftovers(tmp_path / "machines-first")
    finally:
        first.kill()
        first.wait()
    clock.run(until(lambda: not leftovers(tmp_path / "machines-first")))
    assert study.trials[4].state == RUNNING and study.trials[4].driver == "first"
    set_gates(tmp_path, {})
    driver = Driver(tmp_path, study)
    assert driver.run().done
    assert told(study.trials) == told(expected)
    assert study.trials[4].releases == 1 and study.trials[4].failures == 0
    assert not driver.processes()


def test_a_trial_whose_process_breaks_again_and_again_fails_and_the_study_goes_on(tmp_path) -> None:
    set_gates(tmp_path, {})
    study = small_study(tmp_path, search={"name": "grid", "points": 2}, trials=None)
    driver = Driver(tmp_path, study, crash=True)
    result = driver.run()
    assert result.done and result.failures == MOST_FAILURES
    good, bad = study.trials
    assert (good.state, bad.state) == (COMPLETED, FAILED)
    assert (bad.failures, bad.attempt, bad.steps) == (MOST_FAILURES - 1, MOST_FAILURES, (1, 2))
    assert "exit status 3" in bad.reason


def test_a_killed_trial_is_gone_within_seconds(tmp_path) -> None:
    """One that hangs in a step, and never comes to ask whether it is to go on."""

    async def mishap(driver: Driver) -> None:
        await driver.reaches(0, 4)
        (task,) = [pid for pid, name in driver.processes().items() if name == "trial-0-1"]
        killing = process("kill", tmp_path, "0")
        await until(lambda: task not in driver.processes())
        gone.append(clock.wall())
        assert killing.wait() == 0
        set_gates(tmp_path, {})

    gone: list[float] = []
    set_gates(tmp_path, {0: 4})
    driver = Driver(tmp_path, small_study(tmp_path, trials=2))
    assert driver.run(mishap).done
    killed, other = driver.study.trials
    assert (killed.state, killed.reason, other.state) == (STOPPED, "a line was clicked", COMPLETED)
    assert killed.revocations == killed.failures == 0
    (asked,) = [each.moment for each in driver.study.store.history("study") if each.kind == STOP_WANTED]
    assert gone[0] - asked < 5.0


def test_an_instance_that_cannot_be_reached_any_more_is_let_go(tmp_path, monkeypatch) -> None:
    """It lives, and nobody says that it is lost."""
    monkeypatch.setattr(process_trials, "UNHEARD", 0.2)
    expected = undisturbed(tmp_path, trials=2)

    async def mishap(driver: Driver) -> None:
        await driver.reaches(0, 6)
        await driver.cut_off(0)
        set_gates(tmp_path, {})

    set_gates(tmp_path, {0: 6})
    driver = Driver(tmp_path, small_study(tmp_path, trials=2))
    result = driver.run(mishap)
    assert result.done and (result.failures, result.leases) == (1, 2)
    assert told(driver.study.trials) == told(expected)
    trial = driver.study.trials[0]
    assert (trial.revocations, trial.failures, trial.attempt) == (1, 0, 2)


def test_an_objective_that_cannot_be_found_is_told_before_anything_is_rented(tmp_path) -> None:
    driver = Driver(tmp_path, small_study(tmp_path), objective="objectiv")
    with pytest.raises(Misuse, match=r"objectiv.*cannot be loaded"):
        driver.run()
    assert not driver.study.trials and not list(driver.machines.iterdir())


def test_two_drivers_of_one_study_share_its_trials(tmp_path) -> None:
    expected = undisturbed(tmp_path, trials=6)

    async def mishap(driver: Driver) -> None:
        await until(lambda: did(tmp_path, 0) and did(tmp_path, 1))
        set_gates(tmp_path, {})

    set_gates(tmp_path, {0: 2, 1: 2})
    other = process("drive", tmp_path, "first", '{"trials": 6}')
    try:
        driver = Driver(tmp_path, small_study(tmp_path, "second", trials=6))
        assert driver.run(mishap).done
        assert other.wait(PATIENCE) == 0
    finally:
        other.kill()
        other.wait()
    assert told(driver.study.trials) == told(expected)
    claims = [each for each in driver.study.store.history("study") if each.kind == CLAIMED]
    assert sorted(each.number for each in claims) == [*range(6)]
    assert set(Counter(each.driver for each in claims)) == {"first", "second"}
    assert all(did(tmp_path, number) == [*range(1, STEPS + 1)] for number in range(6))


def test_a_store_that_does_not_answer_for_a_while_costs_nothing(tmp_path) -> None:
    expected = undisturbed(tmp_path)
    set_gates(tmp_path, {1: 6})
    study = small_study(tmp_path)
    blocked: list[bool] = []

    def come_to(true: Callable[[], bool]) -> bool:
        elapsed, nobody = clock.stopwatch(), threading.Event()
        while not true() and elapsed() < PATIENCE:
            nobody.wait(0.02)
        return true()

    def lock() -> None:
        """Keep the file for oneself: from when a trial has reported until it wants to report again."""
        if not come_to(lambda: len(found := study.store.trials("study")) > 1 and 6 in found[1].steps):
            return
        other = sqlite3.connect(tmp_path / "study.sqlite", timeout=PATIENCE, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        set_gates(tmp_path, {})
        blocked.append(come_to(lambda: len(did(tmp_path, 1)) == 7))
        threading.Event().wait(1.5)
        blocked.append(len(did(tmp_path, 1)) == 7)
        other.execute("COMMIT")
        other.close()

    locking = threading.Thread(target=lock, daemon=True)
    locking.start()
    assert Driver(tmp_path, study).run().done
    locking.join()
    assert blocked == [True, True]
    assert told(study.trials) == told(expected)
    assert [each.attempt for each in study.trials] == [1, 1, 1, 1]


def process(*words: object) -> subprocess.Popen[bytes]:
    """Another process of `real_studies`."""
    return subprocess.Popen([sys.executable, HERE / "real_studies.py", *map(str, words)])
