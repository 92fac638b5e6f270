"""The store keeps what it acknowledged, and a trial has one driver at a time."""

import json
import math
import multiprocessing
import os
import random
import signal
import subprocess
import sys

import pytest
from hypothesis import settings
from trial_store_laws import StoreMachine

from tradewind.data import trial_records
from tradewind.data.trial_records import Report, StoredTrial, same
from tradewind.data.trial_store import Superseded, TrialStore
from tradewind.errors import Misuse
from tradewind.tuning import trial as tuning_trial

URLS = ["file", "sqlite://", *filter(None, [os.environ.get("TRADEWIND_STORE_URL")])]
"""A file, memory, and another database where one is named, such as postgresql+psycopg://..."""


@pytest.fixture(params=URLS, ids=lambda url: url.partition(":")[0])
def store(request, tmp_path):
    url = tmp_path / "trials.sqlite" if request.param == "file" else request.param
    with TrialStore(url) as found:
        for row in found.studies():
            found.delete(row.name)
        yield found


def test_the_words_are_those_of_tuning():
    for name in ("WAITING", "RUNNING", "PAUSED", "COMPLETED", "STOPPED", "FAILED"):
        assert getattr(trial_records, name) == getattr(tuning_trial, name)
    assert not set(trial_records.FINAL) & set(tuning_trial.OPEN)


# Studies


def test_studies_are_made_opened_listed_and_forgotten(store):
    assert store.create("one", {"space": {"rate": [0.1, 0.2]}, "direction": "minimize"}, moment=5.0)
    assert not store.create("one", {"direction": "minimize", "space": {"rate": [0.1, 0.2]}})
    assert store.create("two", {})
    store.add("one", {"rate": 0.1})
    rows = store.studies()
    assert [(row.name, row.trials, row.sequence) for row in rows] == [("one", 1, 2), ("two", 0, 1)]
    assert rows[0].description == store.description("one") == {
        "space": {"rate": [0.1, 0.2]}, "direction": "minimize",
    }  # fmt: skip
    claim = store.claim("one", "driver", moment=0.0)
    store.delete("two")
    store.delete("one")
    assert store.studies() == ()
    with pytest.raises(Superseded):
        store.report(claim, 1, 0.5)
    assert store.create("one", {"other": 1})
    store.add("one", {})
    store.claim("one", "driver", moment=0.0)
    with pytest.raises(Superseded):  # the old claim says nothing of the new study
        store.report(claim, 1, 0.5)


def test_another_description_is_refused_by_its_field(store):
    store.create("study", {"space": {"rate": {"low": 0.1, "high": 1.0}}})
    with pytest.raises(Misuse, match=r"study 'study' in .*: space\.rate\.low: it is another"):
        store.create("study", {"space": {"rate": {"low": 0.2, "high": 1.0}}})
    with pytest.raises(Misuse, match=r"direction: it is another"):
        store.create("study", {"space": {"rate": {"low": 0.1, "high": 1.0}}, "direction": "maximize"})


def test_a_misspelt_study_is_suggested(store):
    with pytest.raises(Misuse, match=r"there is no study 'lenear'\. Create it first"):
        store.history("lenear")
    store.create("linear", {})
    for ask in (store.history, store.description, store.delete, store.digest, store.trials):
        with pytest.raises(Misuse, match=r"there is no study 'lenear'.*Did you mean 'linear'"):
            ask("lenear")
    with pytest.raises(Misuse, match="Did you mean"):
        store.claim("lenear", "driver", moment=0.0)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda store: store.create("", {}), "study: '' is no name"),
        (lambda store: store.create("x" * 201, {}), "study"),
        (lambda store: store.create("new", {"rate": math.nan}), r"description\.rate"),
        (lambda store: store.add("study", {"rate": math.inf}), r"setting\.rate"),
        (lambda store: store.claim("study", "", moment=0.0), "driver"),
        (lambda store: store.claim("study", "one", moment=0.0, lease=0.0), "lease"),
        (lambda store: store.claim("study", "one", moment=math.nan), "lease"),
        (lambda store: store.stop("study", 7, "bad"), "there is no trial 7.*will be 1"),
        (lambda store: store.stop("study", 0, ""), "reason"),
        (lambda store: store.resume("study", -1), "there is no trial -1"),
        (lambda store: store.note("study", "text", number=3), "there is no trial 3"),
        (lambda store: store.finish(claimed(store), "done"), "state: 'done' is none"),
        (lambda store: store.finish(claimed(store), final="good"), "final"),
        (
            lambda store: store.requeue(claimed(store), "gone", "revoked"),
            "cause: 'revoked' is none",
        ),
        (lambda store: store.checkpoint(claimed(store), -1, "place"), "step"),
    ],
)
def test_what_makes_no_sense_is_refused_and_leaves_nothing(store, wrong, said):
    store.create("study", {})
    store.add("study", {"rate": 0.1})
    with pytest.raises(Misuse, match=said):
        wrong(store)
    kinds = [event.kind for event in store.history("study") if event.kind != "claimed"]
    assert kinds == ["created", "added"] and len(store.studies()) == 1


def claimed(store, driver="one", **given):
    return store.claim("study", driver, **{"moment": 0.0, **given})


# Trials


def test_a_number_is_given_once(store):
    store.create("study", {})
    assert store.add("study", {"rate": 0.1}, number=0, seen=1) == 0
    assert store.add("study", {"rate": 0.1}, number=0) is None
    assert store.add("study", {"rate": 0.2}, number=2) is None
    assert store.add("study", {"rate": 0.2, "kind": None, "deep": True}, number=1) == 1
    trials = store.trials("study")
    assert [trial.setting for trial in trials.all()] == [
        {"rate": 0.1}, {"rate": 0.2, "kind": None, "deep": True},
    ]  # fmt: skip
    assert store.history("study")[1].document["seen"] == 1


def test_a_trial_may_begin_with_anothers_checkpoint(store):
    store.create("study", {})
    store.add("study", {"rate": 0.1})
    assert store.add("study", {"rate": 0.2}, parent=0, start=(7, "place")) == 1
    trial = store.trials("study")[1]
    assert (trial.parent, trial.checkpoint_step, trial.checkpoint) == (0, 7, "place")


def test_a_revocation_costs_neither_the_setting_nor_the_curve(store):
    store.create("study", {})
    store.add("study", {"rate": 0.1})
    claim = claimed(store)
    store.assign(claim, "m4.large", 0.5)
    store.report_many([Report(claim, step, 1.0 / step) for step in (1, 2, 3)])
    store.checkpoint(claim, 3, "place/3", dollars=0.1)
    before = store.trials("study")[0]
    store.requeue(claim, "its machine is taken", dollars=0.2)
    again = claimed(store, "two")
    after = store.trials("study")[0]
    assert again.attempt == 2
    assert (after.setting, after.steps, after.values) == (before.setting, before.steps, before.values)
    assert (after.checkpoint_step, after.checkpoint, after.seconds_per_step) == (3, "place/3", 0.5)
    assert (after.revocations, after.failures, after.moves, after.dollars) == (1, 0, 0, 0.2)
    store.requeue(again, "it raised ValueError", "failure")
    store.requeue(claimed(store), "cheaper elsewhere", "move")
    counted = store.trials("study")[0]
    assert (counted.revocations, counted.failures, counted.moves, counted.state) == (1, 1, 1, "waiting")


def test_what_a_dead_driver_held_is_taken_over(store):
    store.create("study", {})
    for at in range(3):
        store.add("study", {"at": at})
    first = [claimed(store, "dead", moment=0.0, lease=10.0) for _ in range(3)]
    assert claimed(store, "other", moment=10.0) is None
    assert store.heartbeat("study", "dead", moment=5.0, lease=10.0) == {0: "", 1: "", 2: ""}
    assert claimed(store, "other", moment=14.0) is None
    second = claimed(store, "other", moment=15.1, lease=10.0)
    assert (second.number, second.attempt) == (0, 2)
    assert store.heartbeat("study", "dead", moment=15.2, lease=10.0) == {1: "", 2: ""}
    with pytest.raises(Superseded):
        store.report(first[0], 1, 0.5)
    assert store.report(first[1], 1, 0.5) == "recorded"
    assert store.release("study", "dead", "killed") == (1, 2)
    assert store.release("study", "dead") == ()
    trial = store.trials("study")[1]
    assert (trial.state, trial.reason, trial.releases, trial.revocations) == ("waiting", "killed", 1, 0)
    assert claimed(store, "other", moment=15.3, number=2).number == 2


def test_a_trial_is_stopped_from_outside(store):
    store.create("study", {})
    for at in range(4):
        store.add("study", {"at": at})
    runs, paused, goes = (claimed(store) for _ in range(3))
    store.pause(paused, "low")
    assert all(store.stop("study", number, "by hand") for number in range(4))
    assert not any(store.stop("study", number, "by hand again") for number in range(4))
    states = [trial.state for trial in store.trials("study").all()]
    assert states == ["running", "stopped", "running", "stopped"]
    assert store.heartbeat("study", "one", moment=1.0) == {0: "by hand", 2: "by hand"}
    assert store.report(runs, 1, 0.5) == "recorded"
    store.finish(runs, "stopped", 0.5, "by hand")
    store.requeue(goes, "its machine is taken")  # it is not taken up again
    assert claimed(store) is None and not store.resume("study", 1)
    trials = store.trials("study")
    assert [trial.state for trial in trials.all()] == ["stopped"] * 4
    assert trials[2].revocations == 1 and trials[0].final == 0.5


def test_a_wanted_end_outlives_the_driver(store):
    store.create("study", {})
    store.add("study", {})
    store.add("study", {})
    claimed(store, "dead", lease=1.0)
    store.stop("study", 0, "by hand")
    assert claimed(store, "other", moment=5.0).number == 1
    assert store.trials("study")[0].state == "stopped"


def test_paused_trials_wait_for_their_resumption(store):
    store.create("study", {})
    store.add("study", {})
    claim = claimed(store)
    store.report(claim, 3, 0.5)
    store.pause(claim, "below the rung")
    store.pause(claim, "below the rung")
    assert claimed(store) is None
    assert store.resume("study", 0, "promoted") and not store.resume("study", 0, "promoted")
    assert store.trials("study")[0].reason == "promoted"
    assert claimed(store).attempt == 2


@pytest.mark.parametrize("final", [None, 0.25, math.nan, math.inf, -math.inf])
def test_an_end_said_twice_is_one_and_another_end_is_none(store, final):
    store.create("study", {})
    store.add("study", {})
    claim = claimed(store)
    store.finish(claim, "failed", final, "it raised")
    store.finish(claim, "failed", final, "it raised")
    with pytest.raises(Superseded):
        store.finish(claim, "completed", final, "it raised")
    with pytest.raises(Superseded):
        store.requeue(claim, "taken")
    trial = store.trials("study")[0]
    assert trial.state == "failed" and (trial.final is final if final is None else same(trial.final, final))
    assert [event.kind for event in store.history("study")].count("finished") == 1


def test_trials_from_elsewhere_come_whole(store):
    store.create("study", {})
    store.create("copy", {})
    store.add("study", {"rate": 0.1})
    claim = claimed(store)
    store.report(claim, 1, math.inf)
    store.report(claim, 4, math.nan, dollars=0.5, seconds=3.0)
    store.finish(claim, "completed", -1.5, "done")
    found = store.trials("study")[0]
    assert store.insert("copy", found) == 0
    copy = store.trials("copy")[0]
    for field in ("setting", "state", "steps", "final", "reason", "dollars", "seconds"):
        assert getattr(copy, field) == getattr(found, field)
    assert all(map(same, copy.values, found.values))
    assert store.insert("copy", StoredTrial(8, {}, "running", (3,), (0.5,))) == 1
    claim = store.claim("copy", "one", moment=0.0)
    assert claim.number == 1 and store.report(claim, 3, 0.5) == "again"


def test_notes_stand_in_the_order_of_arrival(store):
    store.create("study", {})
    store.add("study", {})
    claim = claimed(store)
    store.report(claim, 1, 0.5, moment=7.0)
    at = store.note("study", "worse than the median", number=0, document={"verdict": "stop", "seen": 4})
    store.finish(claim, "stopped", reason="worse than the median")
    event = store.history("study", after=at - 1, limit=1)[0]
    assert (event.sequence, event.kind, event.document) == (at, "noted", {"verdict": "stop", "seen": 4})
    assert [each.kind for each in store.history("study")] == [
        "created", "added", "claimed", "reported", "noted", "finished",
    ]  # fmt: skip
    assert [each.moment for each in store.history("study")][3] == 7.0


def test_two_runs_that_went_alike_have_one_digest(tmp_path):
    def run(store, driver, place, value=0.5):
        store.create("study", {"seed": 1}, moment=0.0)
        store.add("study", {"rate": 0.1}, moment=1.0)
        claim = claimed(store, driver)
        store.report(claim, 1, value, moment=2.0)
        store.checkpoint(claim, 1, place)
        store.release("study", driver, "its driver is gone")
        store.finish(claimed(store, driver + "!"), final=value)
        return store.digest("study")

    with TrialStore("sqlite://") as one, TrialStore(tmp_path / "a.sqlite") as two:
        two.create("another before it", {})
        first = run(one, "one", "here/1")
        assert first == run(two, "two", "there/1")
    with TrialStore("sqlite://") as three:
        assert run(three, "one", "here/1", 0.25) != first


# Everything, in any order

TestStoreMachine = StoreMachine.TestCase
TestStoreMachine.settings = settings(max_examples=20, stateful_step_count=30, deadline=None)


# Processes


def _claim_all(path, driver, ready, found):
    with TrialStore(path) as store:
        ready.wait()
        numbers = []
        while claim := store.claim("study", driver, moment=0.0):
            store.report(claim, 1, claim.number / 7)
            store.finish(claim, final=float(claim.number))
            numbers.append(claim.number)
        found.put((driver, numbers))


@pytest.mark.parametrize("drivers", [2, 4])
def test_several_processes_claim_each_trial_once(tmp_path, drivers):
    path = tmp_path / "trials.sqlite"
    with TrialStore(path) as store:
        store.create("study", {})
        for at in range(200):
            store.add("study", {"at": at})
    context = multiprocessing.get_context("fork")
    ready, found = context.Barrier(drivers), context.SimpleQueue()
    processes = [
        context.Process(target=_claim_all, args=(path, f"driver {at}", ready, found)) for at in range(drivers)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    told = dict(found.get() for _ in processes)
    assert sorted(number for numbers in told.values() for number in numbers) == list(range(200))
    with TrialStore(path) as store:
        trials = store.trials("study").all()
        assert {trial.state for trial in trials} == {"completed"} and {trial.attempt for trial in trials} == {
            1
        }
        assert all(trial.values == (trial.number / 7,) for trial in trials)
        who = {event.number: event.driver for event in store.history("study") if event.kind == "claimed"}
        assert who == {number: driver for driver, numbers in told.items() for number in numbers}


DRIVER = """
import os, sys
from tradewind.data.trial_store import TrialStore

store = TrialStore(sys.argv[1])
name, start = sys.argv[2], int(sys.argv[3])

def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())

store.release("study", name)
claims = [store.claim("study", name, moment=0.0) for _ in range(3)]
say("ready", *[claim.number for claim in claims])
for step in range(start, 10**9):
    for claim in claims:
        store.report(claim, step, step / 3, dollars=step * 0.5)
        say("report", claim.number, step)
        if step % 5 == 0:
            store.checkpoint(claim, step, f"place/{step}")
            say("checkpoint", claim.number, step)
"""


def test_nothing_acknowledged_is_lost_by_a_kill(tmp_path):
    path = tmp_path / "trials.sqlite"
    chance = random.Random(5)
    with TrialStore(path) as store:
        store.create("study", {})
        for at in range(3):
            store.add("study", {"at": at})
    told, start = {0: set(), 1: set(), 2: set()}, 0
    for life in range(1, 5):
        driver = subprocess.Popen(
            [sys.executable, "-c", DRIVER, str(path), "driver", str(start)], stdout=subprocess.PIPE
        )
        assert driver.stdout.readline() == b"ready 0 1 2\n"
        lines = [driver.stdout.readline().decode() for _ in range(chance.randrange(60))]
        driver.send_signal(signal.SIGKILL)
        lines += driver.stdout.read().decode().splitlines(keepends=True)
        driver.stdout.close()
        assert driver.wait() == -signal.SIGKILL
        checkpoints = {}
        for line in lines:
            if line.endswith("\n"):
                kind, number, step = line.split()
                if kind == "report":
                    told[int(number)].add(int(step))
                else:
                    checkpoints[int(number)] = int(step)
        with TrialStore(path) as store:
            trials = store.trials("study").all()
            assert [trial.state for trial in trials] == ["running"] * 3
            for trial in trials:
                assert trial.attempt == life
                curve = dict(zip(trial.steps, trial.values, strict=True))
                assert told[trial.number] <= set(curve)
                assert all(value == step / 3 for step, value in curve.items())
                assert len(curve) - len(told[trial.number]) <= life  # at most the one in hand, each time
                if trial.number in checkpoints:
                    assert trial.checkpoint_step >= checkpoints[trial.number]
                    assert trial.checkpoint == f"place/{trial.checkpoint_step}"
            start = max(trial.steps[-1] for trial in trials if trial.steps) + 1
    assert sum(map(len, told.values())) > 20
    with TrialStore(path) as store:
        assert store.claim("study", "another", moment=10.0) is None  # its lease has no end
        assert store.release("study", "driver") == (0, 1, 2)
        assert store.claim("study", "another", moment=10.0).attempt == 5
        assert json.dumps(store.description("study")) == "{}"
