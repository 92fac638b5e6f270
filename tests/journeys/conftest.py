"""Where a journey takes place."""

import importlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Iterator[Path]:
    """A folder with rows and steady prices, for runs of the paced learner; nothing of them stays behind."""
    # Imported here, so that a test of anything else does not load the whole of it.
    real_runs, paced_learner, stretch = map(
        importlib.import_module, ("real_runs", "paced_learner", "tradewind.session.stretch")
    )
    real_runs.write_rows(tmp_path / "rows.libsvm")
    real_runs.write_prices(tmp_path / "prices.csv", (0, 0.3))
    real_runs.set_pace(tmp_path, 0.0)
    monkeypatch.setenv(paced_learner.FOLDER, str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    monkeypatch.setattr(stretch, "SAMPLE_EVERY", 0.1)
    yield tmp_path
    for run in (tmp_path / "runs").glob("small-*"):
        for pid in real_runs.processes(run).values():  # of a test that failed
            os.kill(pid, signal.SIGKILL)
