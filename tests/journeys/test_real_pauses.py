"""Runs on real leases that stop before their end, and what they leave to go on from."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from real_runs import (
    Mishaps,
    latest,
    learned,
    processes,
    set_pace,
    small_spec,
    train_slowly,
    undisturbed,
)

from tradewind.data.runs import DONE, PAUSED, RunIndex
from tradewind.errors import Misuse
from tradewind.session.train import resume, train


def never(run: Path) -> bool:
    """A mishap that does not happen, so that the run stays slow."""
    return False


def test_a_budget_that_runs_out_pauses_and_the_run_goes_on_with_the_same_data_only(folder) -> None:
    """The budget is enough by the estimate, and then the work is slower than any estimate could know."""
    provider = {"kind": "local", "history": str(folder / "prices.csv"), "boot": 5, "speed": 30}
    spec = small_spec(folder, budget=0.08, snapshot_every="30s", provider=provider)
    expected = undisturbed(spec)
    paused = train_slowly(folder, spec, Mishaps(folder, [never]))
    run = Path(paused.directory)
    assert paused.outcome == "paused" and 0 < paused.cost <= 0.08
    record = RunIndex(folder / "runs").find(str(run))
    assert record.state == PAUSED and "budget" in record.reason
    assert not processes(run)
    set_pace(folder, 0.0)
    leases, kept = _leases(run), learned(run)
    text = (folder / "rows.libsvm").read_text()
    for wrong, words in (
        (text + "+1 31:1\n", "31 features, but the state was learned from 30"),
        (text.replace(":", ";", 1), r"rows\.libsvm: line 1"),
        (text.replace("+1 ", "-1 ", 1), "other rows than the run began with"),
    ):
        (folder / "rows.libsvm").write_text(wrong)
        with pytest.raises(Misuse, match=words):
            resume(run, budget=5.0)
        assert _leases(run) == leases and learned(run) == kept
        assert RunIndex(folder / "runs").find(str(run)).state == PAUSED
    (folder / "rows.libsvm").write_text(text)
    done = resume(run, budget=5.0)
    assert done.outcome == "done" and done.cost > paused.cost
    assert RunIndex(folder / "runs").find(str(run)).state == DONE
    assert learned(run) == expected


def _leases(run: Path) -> set[str]:
    return {name for name in os.listdir(run / "logs") if name.startswith("lease-")}


def test_a_failed_run_leaves_nothing_running_says_why_and_goes_on_when_mended(folder) -> None:
    """The data is gone once the leases are there: every worker fails, and so does the run."""
    spec = small_spec(folder)
    expected = undisturbed(spec)
    hidden = folder / "hidden.libsvm"

    class Vandal:
        def update(self, sample) -> None:
            if not hidden.exists():
                os.rename(folder / "rows.libsvm", hidden)

    with pytest.raises(Exception, match=r"rows\.libsvm"):
        train(spec, console=Vandal())
    run = latest(folder)
    record = RunIndex(folder / "runs").find(str(run))
    assert record.state == "failed" and "rows.libsvm" in record.reason
    assert not processes(run)
    with pytest.raises(Misuse, match=r"rows\.libsvm"):
        resume(run)
    assert not processes(run)
    os.rename(hidden, folder / "rows.libsvm")
    done = resume(run, workers=1)
    assert done.outcome == "done" and learned(run) == expected
