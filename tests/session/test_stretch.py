"""One stretch of a run in this process: to its end or a pause, and on from there."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import interrupting_learner
import pytest
from small_specs import inline, tables, write_files, write_rows

from tradewind import clock
from tradewind.data.runs import DONE, PAUSED, RunIndex
from tradewind.data.streams import open_data
from tradewind.errors import Misuse
from tradewind.session.assembly import modelled_work
from tradewind.session.spec import make_spec
from tradewind.session.stretch import Stretch
from tradewind.session.train import resume, train


@pytest.fixture
def folder(tmp_path) -> Path:
    """A folder with rows and prices."""
    write_files(tmp_path)
    return tmp_path


def test_inline_from_a_spec_to_a_model(folder) -> None:
    write_rows(folder / "test.libsvm", rows=100)
    data = {"path": str(folder / "rows.libsvm"), "test": str(folder / "test.libsvm")}
    done = train(inline(folder, data=data))
    assert done.outcome == "done" and done.cost == 0 and done.metric == "accuracy"
    assert done.quality == pytest.approx(done.model.score(_rows(folder / "test.libsvm"), "accuracy"))
    (record,) = RunIndex(folder / "runs").list()
    assert record.state == DONE and record.quality == done.quality
    assert (Path(done.directory) / "model" / "model.safetensors").exists()


def _rows(path: Path) -> Any:
    return open_data(str(path), features=12).whole()


@pytest.mark.parametrize("batch", [1, 7, 30])
def test_ctrl_c_pauses_and_resume_goes_on_bit_for_bit(folder, batch) -> None:
    assert threading.current_thread() is threading.main_thread()
    learner = {"kind": "interrupting_learner:InterruptingLearner"}
    whole = train(inline(folder, learner=learner, name="whole"))
    interrupting_learner.interrupt(batch)
    paused = train(inline(folder, learner=learner))
    assert paused.outcome == "paused" and paused.model is None
    assert RunIndex(folder / "runs").find(paused.directory).state == PAUSED
    assert tables(paused.directory) != tables(whole.directory)
    done = resume(paused.directory)
    assert done.outcome == "done" and done.model is not None
    assert tables(done.directory) == tables(whole.directory)
    with pytest.raises(Misuse, match="learn_on"):
        resume(done.directory)


def paused_run(folder: Path) -> Path:
    interrupting_learner.interrupt(5)
    done = train(inline(folder, learner={"kind": "interrupting_learner:InterruptingLearner"}))
    assert done.outcome == "paused"
    return Path(done.directory)


def test_resume_with_another_number_of_features(folder) -> None:
    run = paused_run(folder)
    before = tables(run)
    write_rows(folder / "rows.libsvm", features=13)
    with pytest.raises(Misuse, match="13 features, but the state was learned from 12"):
        resume(run)
    assert tables(run) == before
    write_rows(folder / "rows.libsvm")
    assert resume(run).outcome == "done", "what is mended goes on"


def test_resume_with_a_corrupt_file(folder) -> None:
    run = paused_run(folder)
    content = (folder / "rows.libsvm").read_text()
    (folder / "rows.libsvm").write_text(content[:1000] + " 3:oops\n" + content[1000:])
    with pytest.raises(Misuse, match=r"rows\.libsvm"):
        resume(run)
    (folder / "rows.libsvm").write_text(content)
    assert resume(run).outcome == "done"


def test_a_simulated_run_goes_on_from_the_rows_that_it_had_read(tmp_path) -> None:
    spec = make_spec({"learner": {"kind": "LinearLearner"}, "data": "adult", "provider": "simulated"})
    whole = Stretch(spec, tmp_path, RunIndex(tmp_path), None)
    half = Stretch(spec, tmp_path, RunIndex(tmp_path), None, done=16_000.0)
    whole.check()
    half.check()
    assert (whole.progress.done, half.progress.done) == (0.0, 16_000.0)

    async def done() -> float:
        work = modelled_work(spec, half.policy, half.progress)
        await work.open()
        return work.progress().done

    assert clock.simulate(done()) == 16_000.0
