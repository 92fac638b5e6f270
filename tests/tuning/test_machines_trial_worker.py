"""The main of a trial's process: what it says, what it leaves unsaid, and how it finds what it needs."""

from __future__ import annotations

import math
import pickle
import sqlite3
import sys
import textwrap
from pathlib import Path

import msgspec
import pytest
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite

from tradewind.data import trial_database
from tradewind.errors import Corrupt, Misuse
from tradewind.tuning.attempt import Asked
from tradewind.tuning.machines import trial_worker
from tradewind.tuning.machines.trial_worker import Objective, Order, found, made, main, named, said
from tradewind.tuning.rules import STOPPERS, stopper
from tradewind.tuning.search.population import PopulationTraining
from tradewind.tuning.space import Space
from tradewind.tuning.stopping.last_value import LastValue
from tradewind.tuning.study import Study
from tradewind.tuning.trial import COMPLETED, FAILED, PAUSED, RUNNING, STOPPED

HERE = "test_machines_trial_worker"
SPACE = {"x": {"low": 0.0, "high": 1.0}}


def counting(trial, steps: int = 6, keep: bool = True) -> float:
    """Counts, and keeps what it counted; its loss falls."""
    total = float(Path(trial.place).read_text()) if trial.place else 0.0
    if keep:
        trial.keep(lambda path: path.write_text(repr(total)))
    for step in range(trial.step + 1, steps + 1):
        total += trial["x"]
        trial.report(step, 1.0 / (step + total))
    return total


def raising(trial) -> float:
    trial.report(1, 1.0)
    raise KeyError("no such column")


def backwards(trial) -> float:
    trial.report(2, 1.0)
    trial.report(2, 1.0)
    return 1.0


def leaving_the_process(trial) -> float:
    sys.exit(0)


def odd(trial, value: float | None = None) -> float | None:
    return math.nan if value == -1 else value


def corrupt(trial) -> float:
    raise Corrupt("a file of ours does not read back")


class Stage:
    """A study in a file, and the trials that it gives out."""

    def __init__(self, folder, **options):
        self.folder, self.path = folder, str(folder / "study.sqlite")
        self.study = Study(SPACE, store=self.path, driver="driver", trials=3, **options)

    def order(self, asked: Asked, objective: str = "counting", every: float = 1e6, **arguments):
        stop = None if self.study.stop is None else said(self.study.stop)
        return msgspec.to_builtins(
            Order(
                trial=asked, store=self.path, study="study", stop=stop,
                objective=Objective(f"{HERE}:{objective}", arguments=arguments),
                folder=str(self.folder / "kept"), every=every, per_second=2.0, speed=1000.0,
            )
        )  # fmt: skip

    def run(self, objective: str = "counting", leaving=lambda: False, **arguments):
        self.asked = self.study.ask()
        main(self.order(self.asked, objective, **arguments), leaving)
        return self.study.trials[self.asked.number]


@pytest.fixture
def stage(tmp_path):
    return Stage(tmp_path)


def test_a_trial_is_trained_to_its_end_and_all_is_on_record(stage):
    trial = stage.run()
    assert trial.state == COMPLETED and trial.steps == (1, 2, 3, 4, 5, 6)
    assert trial.final == pytest.approx(6 * trial.setting["x"])
    assert 0 < trial.dollars < 2.0 * 60 and trial.seconds == pytest.approx(trial.dollars * 500)


def test_what_was_spent_before_counts(stage):
    first = stage.run(leaving=lambda: True)
    stage.study.requeue(stage.asked, "it moves")
    trial = stage.run()
    assert trial.attempt == 2 and trial.dollars > first.dollars and trial.seconds > first.seconds


def test_asked_to_leave_it_keeps_what_it_has_and_leaves_the_trial_to_others(stage):
    trial = stage.run(leaving=lambda: True)
    assert (trial.state, trial.steps, trial.checkpoint_step) == (RUNNING, (1,), 1)
    stage.study.requeue(stage.asked, "its machine is going")
    trial = stage.run()
    assert trial.state == COMPLETED and trial.final == pytest.approx(6 * trial.setting["x"])
    assert trial.redone == 0 and trial.steps == (1, 2, 3, 4, 5, 6)


def test_checkpoints_are_made_as_often_as_asked(stage):
    stage.run(every=1e-9)
    places = [each.step for each in stage.study.store.history("study") if each.kind == "checkpointed"]
    assert places == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize(
    ("objective", "arguments", "reason"),
    [
        ("raising", {}, "KeyError: 'no such column'"),
        ("backwards", {}, "rising"),
        ("leaving_the_process", {}, "SystemExit: 0"),
        ("odd", {}, "None"),
        ("odd", {"value": -1}, "nan"),
        ("odd", {"value": "high"}, "no number"),
        ("nowhere", {}, "cannot be imported"),
    ],
)
def test_what_the_objective_does_wrong_is_the_trials_failure(stage, objective, arguments, reason):
    trial = stage.run(objective, **arguments)
    assert trial.state == FAILED and reason in trial.reason


def test_what_breaks_while_the_machine_is_left_is_no_failure(stage):
    assert stage.run("raising", leaving=lambda: True).state == RUNNING
    stage.study.requeue(stage.asked, "it goes")
    gone = []

    def leaving():
        gone.append(None)
        return len(gone) > 1  # asked between the report and what is raised after it

    assert stage.run("raising", leaving=leaving).state == RUNNING


def test_what_is_broken_here_is_raised_and_not_the_trials(stage):
    with pytest.raises(Corrupt):
        stage.run("corrupt")
    assert stage.study.trials[0].state == RUNNING


def test_a_trial_that_another_driver_has_is_left_without_a_word(stage):
    asked = stage.study.ask()
    stage.study.requeue(asked, "it was believed lost")
    other = Study.open(stage.path, driver="other")
    again = other.ask()
    before = len(stage.study.store.history("study"))
    main(stage.order(asked), lambda: False)
    main(stage.order(asked, "raising"), lambda: False)
    assert len(stage.study.store.history("study")) == before
    main(stage.order(again), lambda: False)
    assert stage.study.trials[0].state == COMPLETED


def test_it_does_not_keep_the_claim_for_itself(stage, monkeypatch):
    """A process that is forgotten must not: the driver says that it is there."""
    beats, real = [], Study.report

    def late(self, *about, **more):
        self._heard -= 1e9  # nothing was said for years
        return real(self, *about, **more)

    monkeypatch.setattr(Study, "report", late)
    monkeypatch.setattr(Study, "heartbeat", lambda self: beats.append(self) or {})
    assert stage.run().state == COMPLETED and not beats


def test_a_rule_of_stopping_is_made_again_and_says_what_is_to_be_done(tmp_path):
    stage = Stage(tmp_path, stop=LastValue(10, share=0.3, top=1))
    trial = stage.run(steps=10)
    assert (trial.state, trial.steps, trial.checkpoint_step) == (PAUSED, (1, 2, 3), 3)


def test_a_wanted_end_is_heeded_at_the_next_report(stage):
    asked = stage.study.ask()
    stage.study.kill(asked.number, "enough")
    main(stage.order(asked), lambda: False)
    trial = stage.study.trials[0]
    assert (trial.state, trial.reason, trial.steps) == (STOPPED, "enough", (1,))


def test_a_store_whose_connection_is_lost_is_waited_for(stage, monkeypatch):
    """Commits fail, some after they were done: more often than a call tries by itself."""
    monkeypatch.setattr(trial_database, "_PAUSE", 0.001)
    real, fates = SQLiteDialect_pysqlite.do_commit, iter("ll ll ddl lll ldldl dd".replace(" ", "") + "." * 99)

    def commit(self, connection):
        fate = next(fates)
        if fate != "l":
            real(self, connection)
        if fate != ".":
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorname = "SQLITE_IOERR"
            raise error

    asked = stage.study.ask()
    monkeypatch.setattr(SQLiteDialect_pysqlite, "do_commit", commit)
    main(stage.order(asked), lambda: False)
    monkeypatch.undo()
    trial = stage.study.trials[0]
    assert next(fates) == "." and trial.state == COMPLETED and trial.steps == (1, 2, 3, 4, 5, 6)
    kinds = [each.kind for each in stage.study.store.history("study")]
    assert kinds.count("reported") == 6 and kinds.count("finished") == 1


@pytest.mark.parametrize("name", sorted(STOPPERS))
def test_every_rule_of_stopping_is_made_again_as_it_was(tmp_path, name):
    stage, rule = Stage(tmp_path), stopper(name, 30)
    again = made(msgspec.json.decode(msgspec.json.encode(said(rule)), type=trial_worker.Rule), None, "")
    assert type(again) is type(rule)
    assert {key: str(value) for key, value in vars(again).items() if key != "brackets"} == {
        key: str(value) for key, value in vars(rule).items() if key != "brackets"
    }
    assert stage.study.stop is None and made(None, stage.study.store, "study") is None


def test_a_rule_that_needs_the_space_gets_the_studys(stage):
    rule = PopulationTraining(Space.of(SPACE), 30, interval=5, members=4, seed=9)
    again = made(said(rule), stage.study.store, "study")
    assert vars(again) == vars(rule)


class Forgetful:
    """A rule whose argument is not kept."""

    def __init__(self, max_steps: int, patience: int = 3) -> None:
        self.max_steps = max_steps


class Odd:
    """A rule with an argument that no text says."""

    def __init__(self, chance: object) -> None:
        self.chance = chance


def test_a_rule_that_cannot_be_sent_is_told():
    with pytest.raises(Misuse, match="'patience' is not kept under its own name"):
        said(Forgetful(3))
    with pytest.raises(Misuse, match="no plain values"):
        said(Odd(object()))


def test_a_script_is_found_by_its_path(tmp_path):
    (tmp_path / "beside_it.py").write_text("FACTOR = 3\n")
    script = tmp_path / "mine.py"
    script.write_text(
        textwrap.dedent("""
        from beside_it import FACTOR

        class Model:
            weight = 1

        def train(trial, times=1):
            return FACTOR * times * trial["x"]
        """)
    )
    objective = named(f"{script}:train", {"times": 2})
    assert objective.name == f"{script}:train"
    assert found(objective)({"x": 0.5}, **objective.arguments) == 3.0
    model = found(Objective(f"{script}:Model"))
    assert type(pickle.loads(pickle.dumps(model()))) is model
    sys.path.remove(str(tmp_path))


def test_a_module_is_found_where_the_driver_found_it(tmp_path, monkeypatch):
    (tmp_path / "package_of_mine").mkdir()
    (tmp_path / "package_of_mine" / "__init__.py").write_text("")
    (tmp_path / "package_of_mine" / "work.py").write_text("def train(trial): return 1.0\n")
    with monkeypatch.context() as here:
        here.syspath_prepend(str(tmp_path))
        objective = named("package_of_mine.work:train", {})
    assert objective.folder == str(tmp_path) and str(tmp_path) not in sys.path
    for name in ("package_of_mine.work", "package_of_mine"):
        del sys.modules[name]
    assert found(objective)(None) == 1.0
    sys.path.remove(str(tmp_path))
    assert named(counting, {"steps": 2}).name == f"{HERE}:counting"


@pytest.mark.parametrize(
    ("objective", "arguments", "message"),
    [
        ("nowhere.at_all:train", {}, "cannot be imported"),
        (f"{HERE}:countin", {}, "cannot be imported"),
        ("train", {}, "names nothing"),
        ("not_there.py:train", {}, "FileNotFoundError"),
        (f"{HERE}:SPACE", {}, "is no function"),
        (f"{HERE}:counting", {"step": 3}, "Did you mean 'steps'"),
        (f"{HERE}:raising", {"step": 3}, "step"),
        (lambda trial: 1.0, {}, "lambda"),
    ],
)
def test_an_objective_that_cannot_be_called_is_told_at_once(objective, arguments, message):
    with pytest.raises(Misuse, match=message):
        named(objective, arguments)


def test_a_script_that_breaks_says_how(tmp_path):
    script = tmp_path / "broken.py"
    script.write_text("import a_package_that_is_not_there\n")
    with pytest.raises(Misuse, match="a_package_that_is_not_there"):
        named(f"{script}:train", {})
    assert "objective_broken" not in sys.modules
    sys.path.remove(str(tmp_path))
