"""Cirrus's grid search: its names, its queue, and real jobs through the kill of whoever drives them."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_specs import write_files

from tradewind.algorithms.linear_learner import LinearLearner
from tradewind.algorithms.logistic_regression import MultinomialLogisticRegression
from tradewind.clock import stopwatch
from tradewind.data.runs import RunIndex
from tradewind.data.trial_store import TrialStore
from tradewind.errors import Misuse
from tradewind.providers import local_leftovers
from tradewind.session.grid import trial
from tradewind.session.grid.names import Names, variables
from tradewind.session.grid.search import GridSearch
from tradewind.session.spec import spec_bytes
from tradewind.tuning.search.population import PopulationTraining
from tradewind.tuning.space import Space
from tradewind.tuning.stopping.median_rule import MedianRule

RATES = [[0.1, 1.0], [20]]
VARS = ["learning_rate", "minibatch_size"]


def grid(folder: Path, hyper_vars: Any = VARS, hyper_params: Any = RATES, **options: Any) -> GridSearch:
    base = {
        "dataset": str(folder / "rows.libsvm"), "n_workers": 1, "n_ps": 1, "parts": 2,
        "policy": "on_demand", "snapshot_every": "20s",
        "provider": {"kind": "local", "history": str(folder / "prices.csv"), "boot": 5},
        **options.pop("base", {}),
    }  # fmt: skip
    options = {"out": folder / "runs", "instances": ["p2.xlarge"], **options}
    return GridSearch("LinearLearner", base, hyper_vars, hyper_params, **options)


# names


@pytest.mark.parametrize(
    ("names", "values"),
    [
        (["a", "b"], [[1, 2], [3]]),
        ([["a", "b"]], [[1, 2], [3]]),
        ([["a", "b"]], [[[1, 2], [3]]]),
        ({"a": [1, 2], "b": [3]}, None),
        (("a", "b"), (np.array([1, 2]), range(3, 4))),
    ],
)
def test_names_come_flat_or_nested_or_with_their_values(names, values):
    assert variables(names, values) == {"a": [1, 2], "b": [3]}


def test_one_name_may_be_a_text_with_its_values_alone():
    assert variables("a", [0.5, 1.0]) == variables(["a"], [[0.5, 1.0]]) == {"a": [0.5, 1.0]}


def test_cirruss_names_are_said_in_ours(tmp_path):
    given = {
        "dataset": "adult", "n_workers": 5, "n_ps": 2, "worker_size": 1024, "minibatch_size": 200,
        "model_bits": 19, "learning_rate": 0.3, "epsilon": 0.01, "opt_method": "adagrad", "epochs": 3,
        "split": {"test": 0.2}, "provider.speed": 30, "provider": "local", "instances": ["p2.xlarge"],
        "loss": "hinge",
    }  # fmt: skip
    spec = Names.of(LinearLearner).spec(given, name="trial-0", out=tmp_path)
    assert spec.learner.kind == "LinearLearner"
    assert spec.learner.arguments == {"rate": 0.3, "l2": 0.02, "optimizer": "adagrad", "loss": "hinge"}
    assert (spec.workers.count, spec.workers.memory_gib, spec.workers.instance_types) == (
        5,
        1,
        ("p2.xlarge",),
    )
    assert (spec.state.shards, spec.batch, spec.epochs, spec.data.features) == (2, 200, 3, 2**19)
    assert spec.data.path == "adult" and spec.data.split is not None and spec.data.split.test == 0.2
    assert spec.provider.speed == 30 and spec.provider.kind == "local"


def test_a_name_that_job_and_learner_have_is_the_jobs(tmp_path):
    names = Names.of(MultinomialLogisticRegression)
    spec = names.spec({"dataset": "adult", "epochs": 3, "rate": 0.5}, name="t", out=tmp_path)
    assert spec.epochs == 3 and spec.learner.arguments == {"rate": 0.5}


def test_the_published_example_is_answered_with_the_name_that_was_meant():
    with pytest.raises(Misuse, match=r"'minbach_size' is no .* Did you mean 'minibatch_size'\?") as told:
        GridSearch(
            task=MultinomialLogisticRegression, param_base={"dataset": "adult", "model_size": 2**19},
            hyper_vars=[["learning_rate", "minbach_size"]],
            hyper_params=[np.arange(0.1, 10, 0.1), [100, 1000]],
        )  # fmt: skip
    assert told.value.field == "hyper_vars"
    meant = GridSearch(
        task=MultinomialLogisticRegression, param_base={"dataset": "adult"},
        hyper_vars=[["learning_rate", "minibatch_size"]],
        hyper_params=[np.arange(0.1, 10, 0.1), [100, 1000]],
    )  # fmt: skip
    assert meant.size == 198


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"task": "LinearLerner"}, "Did you mean 'LinearLearner'"),
        ({"task": GridSearch}, "no class of a learner"),
        ({"task": LinearLearner()}, "a LinearLearner is no class"),
        ({"task": "no_such_module:Thing"}, "cannot be imported"),
        ({"param_base": {}}, "dataset: is missing"),
        ({"param_base": {"dataset": "adult", "n_worker": 2}}, "param_base: 'n_worker'.*'n_workers'"),
        ({"param_base": {"dataset": "adult", "progress_callback": print}}, "run\\(UI=True\\)"),
        ({"param_base": {"dataset": "adult", "key_path": "x"}}, "servers are rented"),
        ({"param_base": {"dataset": "adult", "n_workers": 99}}, "99 workers would share 8 parts"),
        ({"param_base": {"dataset": "adult", "runtime": "inline"}}, "no loss on the way"),
        ({"param_base": {"dataset": "adult", "provider": "simulated"}}, "no loss on the way"),
        ({"param_base": {"dataset": "adult", "provider.sped": 2}}, "Did you mean 'speed'"),
        ({"param_base": {"dataset": "adult", "worker_size": "1 GB"}}, "worker_size: '1 GB' will not do"),
        ({"hyper_params": [[0.1], [20, -1]]}, "batch.*-1 is too small"),
        ({"hyper_params": [[0.1]]}, "1 lists of values for 2 names"),
        ({"hyper_params": [0.1, [20]]}, "learning_rate: 0.1 is no list"),
        ({"hyper_params": [[], [20]]}, "nothing to choose"),
        ({"hyper_params": [[0.1, 0.1], [20]]}, "a choice is there twice"),
        ({"hyper_vars": ["learning_rate", "learning_rate"]}, "is there twice"),
        ({"hyper_vars": []}, "nothing to try"),
        ({"hyper_vars": {"learning_rate": [1]}}, "Leave it out"),
        ({"param_base": {"dataset": "adult", "batch": 9}}, "'batch' says the same"),
        ({"num_jobs": 0}, "0 run nothing"),
        ({"name": "a/b"}, "no name for a folder"),
        ({"timeout": "soon"}, "timeout: 'soon' is no duration"),
        ({"stop": PopulationTraining(Space.of({"a": [1]}), 9, interval=1)}, "a study of its own"),
    ],
    ids=lambda each: "" if isinstance(each, str) else "-".join(each),
)
def test_what_cannot_be_meant_is_refused_before_anything_begins(changes, words, tmp_path):
    given: dict[str, Any] = {
        "task": "LinearLearner", "param_base": {"dataset": "adult"}, "hyper_vars": VARS,
        "hyper_params": RATES, "out": tmp_path / "runs",
    }  # fmt: skip
    with pytest.raises(Misuse, match=words):
        GridSearch(**given | changes)
    assert not (tmp_path / "runs").exists()


# real jobs


def until(condition: Callable[[], bool], seconds: float) -> bool:
    """Whether it holds by then; asked every 50 ms."""
    passed, nobody = stopwatch(), threading.Event()
    while not condition():
        if passed() > seconds:
            return False
        nobody.wait(0.05)
    return True


def ended(folder: Path, store: TrialStore, driver: str, seconds: float) -> bool:
    """Whether every process of a driver's trials is gone by then."""
    trials, own = store.trials("grid").all(), folder / "runs/grid" / driver.replace("/", "+")
    places = [own / str(each.number) for each in trials]
    places += [Path(each.checkpoint) / "logs" for each in trials if each.checkpoint]
    return until(lambda: not any(map(local_leftovers.leftovers, places)), seconds)


def carried_out(search: GridSearch, run: str) -> list[dict[str, Any]]:
    """What the process of trial 0 tells that is to go on with a run."""
    read, write = os.pipe()
    spec = search._spec(0, dict(search.trials[0].setting))
    trial._carried_out(trial.Order(spec, run), trial.Teller(Path(spec.out), write))
    os.close(write)
    with os.fdopen(read, "rb") as told:
        return [json.loads(each) for each in told]


def test_a_run_that_its_driver_never_heard_of_is_gone_on_with(tmp_path):
    write_files(tmp_path)
    search = grid(tmp_path)
    spec = search._spec(1, {"learning_rate": 0.1, "minibatch_size": 20})
    assert trial.unfinished(spec) == "" and not (tmp_path / "runs").exists()
    index = RunIndex(spec.out)
    run = index.begin(spec.name, spec_bytes(spec).decode(), tmp_path / "runs/grid/trial-1-x")
    assert trial.unfinished(spec) == "", "somebody is at it"
    index.update(run.id, state="paused")
    assert trial.unfinished(spec) == run.directory
    other = search._spec(1, {"learning_rate": 0.2, "minibatch_size": 20})
    assert trial.unfinished(other) == "", "it has another setting"
    index.update(run.id, state="done")
    assert trial.unfinished(spec) == "", "it may be another study's"


def test_a_driver_that_is_killed_leaves_nothing_running_and_the_next_one_goes_on(tmp_path):
    write_files(tmp_path)
    search = grid(tmp_path, ["learning_rate"], [[0.1]], base={"epochs": 120, "minibatch_size": 20})
    driver = os.fork()
    if driver == 0:
        grid(tmp_path, ["learning_rate"], [[0.1]], base={"epochs": 120, "minibatch_size": 20}).run()
        os._exit(0)
    with TrialStore(tmp_path / "runs/grid/trials.sqlite") as store:
        try:
            assert until(lambda: any(each.steps for each in search.trials), 60)
        finally:
            os.kill(driver, signal.SIGKILL)
            assert os.waitpid(driver, 0)[1] == signal.SIGKILL, "it was at it still"
        (left,) = store.trials("grid").all()
        assert left.state == "running"
        assert ended(tmp_path, store, left.driver, 10), "its processes end by themselves"
        top = search.run()
        (done,) = search.trials
        assert (done.state, done.attempt, done.releases, done.failures) == ("completed", 2, 1, 0)
        assert done.steps[-1] == 120 * 400 // 20 and done.steps[: len(left.steps)] == left.steps
        assert done.final == done.values[-1] and done.checkpoint == left.checkpoint
        (run,) = RunIndex(tmp_path / "runs/grid").list()
        assert run.state == "done" and run.cost == pytest.approx(done.dollars)
        assert [(each.number, each.loss) for each in top] == [(0, done.final)]
        assert search.get_top(1) == top and search.get_cost() == done.dollars > 0
        assert search.get_num_lambdas() == 0 == search.get_cost_per_sec()
        assert search.run() == top, "what is over is not run again"
        told = carried_out(search, done.checkpoint)
        assert [each["tells"] for each in told] == ["began", "at", "ended"], (
            "as a driver hears that comes late"
        )
        assert told[0]["run"] == done.checkpoint and told[1]["loss"] == done.final
        assert told[2]["outcome"] == "done" and told[2]["dollars"] == pytest.approx(done.dollars)
    search.close()


def test_time_that_is_up_ends_a_trial_and_a_trial_that_fails_says_why(tmp_path):
    write_files(tmp_path)
    brief = grid(tmp_path, ["epochs"], [[1]], base={"timeout": "300ms"}, name="brief")
    brief.run()
    (short,) = brief.trials
    assert short.state == "stopped" and short.reason == "its time is up: it took longer than 0.3s"
    gone = grid(tmp_path, ["dataset"], [[str(tmp_path / "gone.libsvm")]], name="gone", stop=MedianRule(9))
    assert gone.run() == []
    (failed,) = gone.trials
    assert failed.state == "failed" and "gone.libsvm" in failed.reason
    assert not gone.kill(0) and gone.kill_all() == 0
    for search in (brief, gone):
        search.close()


def test_trials_wait_for_their_turn_are_given_back_and_may_be_killed_meanwhile(tmp_path):
    write_files(tmp_path)
    search = grid(tmp_path, ["learning_rate"], [[0.1, 0.2, 0.3]], num_jobs=1)
    assert search.trials == () and search.get_top(3) == [] and search.get_cost() == 0.0
    search.run(wait=False)
    with pytest.raises(Misuse, match="runs already"):
        search.run()
    assert until(lambda: search.trials[0].state == "running", 10)
    assert [each.state for each in search.trials] == ["running", "waiting", "waiting"]
    assert search.kill(2) and not search.kill(2)
    with pytest.raises(Misuse, match="there is no trial 7"):
        search.kill(7)
    driver = search.trials[0].driver
    search.close()
    assert [each.state for each in search.trials] == ["waiting", "waiting", "stopped"]
    assert search.trials[0].moves == 1 and ended(tmp_path, search.store, driver, 0)
    assert search.kill_all() == 2
    assert search.run() == [] and {each.state for each in search.trials} == {"stopped"}


def test_rows_in_memory_are_saved_once_for_all_trials(tmp_path):
    rows = np.eye(4)[[0, 1, 2, 3] * 5]
    search = grid(tmp_path, base={"dataset": (rows, np.arange(20) % 2), "provider": "local"})
    assert (tmp_path / "runs/grid/data.safetensors").exists() and search.size == 2
    with pytest.raises(Misuse, match="a stream that passes once"):
        grid(tmp_path, base={"dataset": iter([rows[0], rows[1]])})
