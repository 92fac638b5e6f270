"""A pipeline run: every step once, from wherever the last attempt was cut off, and never past its audit."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
from msgspec.structs import replace
from small_pipelines import SERVE, TUNE, write_pipeline

from tradewind.data.runs import RunIndex
from tradewind.errors import Misuse, Unaffordable
from tradewind.session.audit.exclusive import alone_in
from tradewind.session.pipeline import run as module
from tradewind.session.pipeline.record import read_record, write_record
from tradewind.session.pipeline.run import run
from tradewind.session.pipeline.spec import read_pipeline_spec
from tradewind.session.tune import tune
from tradewind.tuning.machines.controller import ASKED_TO_STOP


def test_searched_trained_and_audited_once(tmp_path) -> None:
    path, told = write_pipeline(tmp_path, TUNE), []
    first = run(path, said=lambda step, record: told.append(step))
    assert first.outcome == "done" and told == ["tune", "train", "audit"]
    record = first.record
    assert record.tuned is not None and record.trained is not None and record.audited is not None
    assert record.tuned.fields.keys() == {"learner.l2"}
    spec = json.loads((Path(record.trained.directory) / "spec.json").read_bytes())
    assert spec["learner"]["arguments"]["l2"] == record.tuned.fields["learner.l2"]
    again = run(path)
    assert again.record.trained == record.trained and again.record.tuned == record.tuned
    assert len(RunIndex(tmp_path / "runs").list()) == 1


@pytest.mark.parametrize("lost", ["trained", "both"])
def test_what_a_kill_kept_from_the_record_is_found_again(tmp_path, lost) -> None:
    path = write_pipeline(tmp_path, TUNE)
    whole = run(path)
    before = {"trained": None} if lost == "trained" else {"trained": None, "tuned": None}
    write_record(Path(whole.home), replace(whole.record, audited=None, **before))
    again = run(path)
    assert again.record.trained == whole.record.trained
    assert again.record.tuned is not None and whole.record.tuned is not None
    assert again.record.tuned.fields == whole.record.tuned.fields
    assert len(RunIndex(tmp_path / "runs").list()) == 1


def test_a_model_that_was_exchanged_is_not_served(tmp_path) -> None:
    path = write_pipeline(tmp_path)
    whole = run(path)
    assert whole.record.trained is not None
    folder = Path(whole.record.trained.directory) / "model"
    (folder / "more.pkl").write_bytes(pickle.dumps(print))
    served = []
    again = run(path, changes={"serve.port": 0}, ready=served.append)
    assert again.outcome == "refused" and not served
    kept = read_record(Path(again.home))
    assert kept is not None and kept.audited is not None and kept.served is None
    assert any("more.pkl" in reason for reason in kept.audited.reasons)


def test_nothing_is_begun_where_the_end_cannot_be_reached(tmp_path, monkeypatch) -> None:
    monkeypatch.delenv("TRADEWIND_TOKEN", raising=False)
    path = write_pipeline(tmp_path, SERVE)
    with pytest.raises(Misuse, match="token"):
        run(path, changes={"serve.host": "0.0.0.0"})
    assert not (tmp_path / "runs").exists()


def test_training_is_kept_its_share_of_the_money(tmp_path) -> None:
    path = write_pipeline(tmp_path, TUNE)
    changes = {"runtime": "processes", "budget": 1e-9}
    with pytest.raises(Unaffordable, match="search with"):
        run(path, changes=changes)
    assert not RunIndex(tmp_path / "runs").list()


@pytest.mark.parametrize("reason", ["the budget of 0.1000 USD is spent", "its time is over"])
def test_a_search_whose_money_or_time_is_over_trains_the_best_so_far(tmp_path, monkeypatch, reason) -> None:
    monkeypatch.setattr(module, "tune", lambda *given, **more: replace(
        tune(*given, **more), outcome="paused", reason=reason
    ))  # fmt: skip
    found = run(write_pipeline(tmp_path, TUNE))
    assert found.outcome == "done" and found.record.tuned is not None and found.record.trained is not None


def test_a_search_that_was_stopped_is_gone_on_with(tmp_path, monkeypatch) -> None:
    path = write_pipeline(tmp_path, TUNE)
    with monkeypatch.context() as stopped:
        stopped.setattr(module, "tune", lambda *given, **more: replace(
            tune(*given, **more), outcome="paused", reason=ASKED_TO_STOP
        ))  # fmt: skip
        found = run(path)
    assert found.outcome == "paused" and found.record.tuned is None and found.record.trained is None
    assert run(path).outcome == "done"


def test_two_at_once_are_refused(tmp_path) -> None:
    path = write_pipeline(tmp_path)
    home = read_pipeline_spec(path).home
    home.mkdir(parents=True)
    with alone_in(home), pytest.raises(Misuse, match="another process"):
        run(path)
