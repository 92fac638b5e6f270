"""Drivers side by side and one after another: killed, slow, or taken for dead."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from itertools import count

import pytest

from tradewind.errors import Temporary
from tradewind.tuning.earlier_studies import Earlier
from tradewind.tuning.interface import BECOME, PAUSE, Verdict
from tradewind.tuning.search.grid import FullGrid
from tradewind.tuning.search.population import PopulationTraining
from tradewind.tuning.space import Space
from tradewind.tuning.stopping.last_value import LastValue
from tradewind.tuning.study import Study
from tradewind.tuning.trial import COMPLETED, RUNNING, STOPPED

SPACE = {"x": {"low": -1.0, "high": 1.0}, "kind": ["a", "b"]}


def loss(setting, step: int) -> float:
    return setting["x"] ** 2 + (0.5 if setting["kind"] == "b" else 0.0) + 1.0 / step


@contextmanager
def driver(code: str, *arguments: object):
    """A process that drives; it is killed if it is there at the end."""
    with subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)], stdout=subprocess.PIPE, text=True, env=os.environ
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def kill_after(process: subprocess.Popen, lines: int | None) -> bool:
    """Whether it came to its end; it is killed once it has said so many lines."""
    for said in count(1):
        line = process.stdout.readline().strip()
        if line == "done":
            return True
        assert line, "the driver failed"
        if said == lines:
            process.send_signal(signal.SIGKILL)
            process.wait()
            return False
    raise AssertionError


def once_at_a_time(study: Study) -> bool:
    """Whether no trial was claimed while somebody had it."""
    held: set[int] = set()
    for event in study.store.history(study.name):
        if event.kind == "claimed":
            if event.number in held:
                return False
            held.add(event.number)
        elif event.kind in ("finished", "paused", "requeued", "released"):
            held.discard(event.number)
    return True


def test_threads_share_a_study_and_try_each_setting_once(tmp_path):
    place, seen = tmp_path / "s.sqlite", []

    def work() -> None:
        study = Study(SPACE, trials=24, stop=LastValue(6, share=0.5), store=place)
        while not study.finished:
            trial = study.ask()
            if trial is None:
                continue
            seen.append((trial.number, trial.step))
            for step in range(trial.step + 1, 7):
                study.checkpoint(trial, step, str(step))
                if study.report(trial, step, loss(trial, step)).action == PAUSE:
                    break
            else:
                study.tell(trial, loss(trial, 6))

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    study = Study(SPACE, store=place)
    assert len(seen) == len(set(seen)) == 24 + 3
    assert sorted(each.state for each in study.trials).count(COMPLETED) == 3
    assert len({tuple(each.setting.values()) for each in study.trials}) == 24


DRIVER = """
import sys
from tradewind.tuning.stopping.asha import Asha
from tradewind.tuning.study import Study

study = Study({"x": {"low": 0.0, "high": 1.0}}, trials=9, stop=Asha(8, eta=2), store=sys.argv[1], lease=0.05)
while not study.finished:
    trial = study.ask()
    if trial is None:
        continue
    for step in range(trial.step + 1, 9):
        if study.report(trial, step, trial["x"] + 1 / step).action != "go_on":
            break
        study.checkpoint(trial, step, str(step))  # after the report: a step with no value would be lost
        print(trial.number, step, flush=True)
    else:
        study.tell(trial, trial["x"] + 1 / 8)
print("done", flush=True)
"""


def test_a_killed_driver_costs_neither_a_trial_nor_a_step(tmp_path):
    """Killed again and again, it ends with the curves and verdicts of a driver that nobody killed."""

    def drive(place, lines: int | None) -> bool:
        with driver(DRIVER, place) as process:
            return kill_after(process, lines)

    assert drive(tmp_path / "whole.sqlite", None)
    for lines in (1, 7, 4):
        assert not drive(tmp_path / "killed.sqlite", lines)
    assert drive(tmp_path / "killed.sqlite", None)
    space = {"x": {"low": 0.0, "high": 1.0}}
    whole = Study(space, store=tmp_path / "whole.sqlite").trials
    killed = Study(space, store=tmp_path / "killed.sqlite").trials
    assert [(each.setting, each.steps, each.values, each.state, each.final) for each in killed] == [
        (each.setting, each.steps, each.values, each.state, each.final) for each in whole
    ]
    assert sum(each.releases for each in killed) <= 3 and not any(each.failures for each in killed)
    assert not any(each.state == RUNNING for each in killed)


WARM = """
import sys
from tradewind.tuning.earlier_studies import Earlier
from tradewind.tuning.study import Study

class Near:
    def propose(self, space, trials, number):
        known = [(each.loss, each.number, bool(each.foreign), each.setting["x"]) for each in trials]
        around = min(known, key=lambda each: each[0])[3]
        spread = sum(each[0] for each in known) % 1.0
        return {"x": min(max(around + (spread - 0.5) / (number + 2), 0.0), 1.0)}

earlier = [Earlier("old", identical=True)]
study = Study({"x": {"low": 0.0, "high": 1.0}}, trials=8, search=Near(), store=sys.argv[1], lease=0.05,
              earlier=earlier)
while not study.finished:
    trial = study.ask()
    if trial is None:
        continue
    print(trial.number, flush=True)
    study.report(trial, 1, trial["x"] + 0.25)
    study.tell(trial, abs(trial["x"] - 0.7))
print("done", flush=True)
"""


def test_a_killed_driver_decides_as_before_though_the_earlier_study_goes_on(tmp_path):
    settings = []
    for name, kills in (("whole", ()), ("killed", (2, 3))):
        place = tmp_path / f"{name}.sqlite"
        old = Study({"x": {"low": 0.0, "high": 1.0}}, name="old", store=place)
        for _ in range(5):
            old.tell(trial := old.ask(), abs(trial["x"] - 0.7))
        for lines in (*kills, None):
            with driver(WARM, place) as process:
                assert kill_after(process, lines) == (lines is None)
            old.tell(old.ask(), -5.0)  # which would change all that is tried
        study = Study.open(place, "study")
        settings.append([each.setting for each in study.trials])
        assert [len(each.trials) for each in study.earlier] == [5]
    assert settings[0] == settings[1] and len(settings[0]) == 8


GRID = """
import sys, time
from tradewind.tuning.search.grid import FullGrid
from tradewind.tuning.study import Study

space = {"a": list(range(6)), "b": [0.5, 1.5]}
study = Study(space, search=FullGrid(), store=sys.argv[1], driver=sys.argv[2], lease=0.4)

def objective(trial):
    for step in range(trial.step + 1, 4):
        trial.report(step, trial["a"] * trial["b"] / step)
        trial.checkpoint(step, f"{trial.number} at {step}")
        print(trial.number, step, flush=True)
        time.sleep(0.01)
        if sys.argv[2] == "doomed" and step == 2:
            time.sleep(60)
    return trial["a"] * trial["b"]

study.run(objective)
print("done", flush=True)
"""


def test_processes_share_a_grid_and_take_over_what_a_killed_one_had(tmp_path):
    place = tmp_path / "s.sqlite"
    with driver(GRID, place, "doomed") as doomed, driver(GRID, place, "one") as one:
        assert not kill_after(doomed, 2), "killed with a checkpoint at step 2"
        with driver(GRID, place, "two") as two:
            assert kill_after(one, None) and kill_after(two, None), "none ends before all is done"
    study = Study.open(place)
    settings = [tuple(each.setting.values()) for each in study.trials]
    assert sorted(settings) == sorted((a, b) for a in range(6) for b in (0.5, 1.5))
    assert all(each.state == COMPLETED and each.steps == (1, 2, 3) for each in study.trials)
    assert [each.final for each in study.trials] == [a * b for a, b in settings]
    lost = [each for each in study.trials if each.releases]
    assert len(lost) == 1 and lost[0].attempt == 2 and lost[0].redone == 0
    assert once_at_a_time(study) and not any(each.failures for each in study.trials)
    history = [each for each in study.store.history("study") if each.number == lost[0].number]
    second = history[next(at for at, each in enumerate(history) if each.attempt == 2) :]
    assert [each.step for each in second if each.kind == "reported"] == [3], "it went on after step 2"


def test_a_step_may_take_longer_than_the_lease(tmp_path):
    place, both = tmp_path / "s.sqlite", threading.Barrier(2)

    def work(name: str) -> None:
        study = Study({"x": [1, 2]}, search=FullGrid(), store=place, driver=name, lease=0.1)

        def slow(trial) -> float:
            both.wait(10)
            threading.Event().wait(0.5)
            return 1.0

        study.run(slow)

    threads = [threading.Thread(target=work, args=(name,)) for name in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    study = Study.open(place)
    assert [(each.attempt, each.state) for each in study.trials] == [(1, COMPLETED)] * 2
    assert not [each for each in threading.enumerate() if "heartbeats" in each.name]


def test_a_run_waits_for_others_and_takes_over_what_they_leave(tmp_path):
    gone = Study({"x": [1, 2]}, search=FullGrid(), store=tmp_path / "s.sqlite", driver="gone", lease=0.3)
    trial = gone.ask()
    gone.report(trial, 1, 0.5)
    gone.checkpoint(trial, 1, "there")
    began = []
    here = Study({"x": [1, 2]}, search=FullGrid(), store=tmp_path / "s.sqlite", lease=0.3)
    best = here.run(lambda trial: began.append((trial.number, trial.step, trial.place)) or 1.0 - trial.number)
    assert began == [(1, 0, ""), (0, 1, "there")] and best.number == 1
    assert here.trials[0].releases == 1 and here.trials[0].values == (0.5,)


def test_a_run_does_not_wait_for_itself():
    study = Study({"x": [1, 2]}, search=FullGrid())
    mine = study.ask()
    assert study.run(lambda trial: 1.0).number == 1
    study.tell(mine, 0.0)


def test_a_driver_that_was_taken_for_dead_goes_on_with_the_next(tmp_path):
    study = Study({"x": [1, 2, 3]}, search=FullGrid(), store=tmp_path / "s.sqlite", driver="slow")
    other = Study.open(tmp_path / "s.sqlite", driver="other")

    def objective(trial) -> float:
        if trial["x"] < 3:
            study.store.release("study", "slow")
            taken = other.ask()
            assert taken.number == trial.number
            other.tell(taken, 10.0 * trial["x"])
            if trial["x"] == 1:
                trial.report(1, 0.5)
                raise AssertionError("it is not this driver's any more")
        return 5.0

    study.run(objective)
    assert [each.final for each in study.trials] == [10.0, 20.0, 5.0]
    assert not any(each.failures for each in study.trials)


def test_what_may_be_tried_again_is_the_callers(tmp_path):
    study = Study({"x": [1, 2]}, search=FullGrid())
    fail = [True]

    def objective(trial) -> float:
        if fail and fail.pop():
            raise Temporary("the disk is away")
        return float(trial["x"])

    with pytest.raises(Temporary, match="the disk is away"):
        study.run(objective)
    assert (study.trials[0].state, study.trials[0].moves, study.trials[0].failures) == ("waiting", 1, 0)
    assert study.run(objective).final == 1.0 and study.trials[0].attempt == 2


class Ending(FullGrid):
    """A grid at whose end something happens."""

    happens = None

    def propose(self, space, trials, number):
        found = super().propose(space, trials, number)
        if found is None and self.happens is not None:
            self.happens()
        return found


def test_what_goes_on_meanwhile_is_not_left_behind(tmp_path):
    options = {"stop": LastValue(10, share=0.2, top=2), "store": tmp_path / "s.sqlite"}
    one = Study({"x": [1, 2, 3, 4]}, search=Ending(), driver="one", **options)
    two = Study({"x": [1, 2, 3, 4]}, search=FullGrid(), driver="two", **options)
    for _ in range(4):
        trial = one.ask()
        assert [one.report(trial, step, trial["x"]).action for step in (1, 2)][-1] == PAUSE
    taken = []
    one.search.happens = lambda: taken or taken.append(two.ask())
    also = one.ask()
    assert {taken[0].number, also.number} == {0, 1}
    assert not any(each.stop_wanted for each in one.trials)
    for study, trial in ((two, taken[0]), (one, also)):
        study.tell(trial, float(trial["x"]))
    assert one.ask() is None and one.finished
    assert [each.state for each in one.trials] == [COMPLETED] * 2 + [STOPPED] * 2


class Copying(PopulationTraining):
    def judge(self, trial, trials):
        if trial.number == 1 and trial.steps[-1] == 2:
            return Verdict(BECOME, "it was worst", 0, {"x": 0.25})
        return Verdict()


def test_a_member_that_becomes_another_is_neither_lost_nor_doubled(tmp_path, monkeypatch):
    space = Space.of({"x": {"low": 0.0, "high": 1.0}})
    rule = Copying(space, 9, interval=2, members=2)
    options = {"search": rule, "store": tmp_path / "s.sqlite"}
    study = Study(space, driver="dead", **options)
    first, second = study.ask(), study.ask()
    study.report(first, 2, 0.1)
    study.checkpoint(first, 2, "first at 2")
    study.report(second, 1, 0.9)
    study.checkpoint(second, 1, "second at 1")
    with monkeypatch.context() as patched:
        patched.setattr(study.store, "finish", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            study.report(second, 2, 0.8)
    study.store.release("study", "dead")
    again = Study(space, driver="next", **options)
    asked = {trial.number: trial for trial in (again.ask(), again.ask(), again.ask())}
    assert sorted(asked) == [0, 1, 2]
    assert asked[2].setting == {"x": 0.25} and asked[2].checkpoint == "first at 2"
    verdict = again.report(asked[1], 2, 0.8)
    assert verdict.action == "stop" and verdict.reason == "it was worst"
    assert [each.state for each in again.trials] == [RUNNING, STOPPED, RUNNING]
    assert again.ask() is None and len(again.trials) == 3


def test_drivers_that_begin_side_by_side_begin_with_the_same(tmp_path):
    """An earlier study that goes on between their copies: the first copy that is whole counts for both."""
    place = tmp_path / "s.sqlite"
    old = Study(SPACE, name="old", store=place)
    old.tell(old.ask(), 1.0)
    one = Study(SPACE, store=place, earlier=[Earlier("old")])
    old.tell(old.ask(), 2.0)
    two = Study(SPACE, store=place, earlier=[Earlier("old")])
    three = Study(SPACE, store=place)
    for study in (one, two, three):
        assert [len(each.trials) for each in study.earlier] == [1]
    assert len([each for each in one.store.history("study") if each.kind == "noted"]) == 1
