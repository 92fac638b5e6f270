"""Where a journey takes place."""

import importlib
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def place(tmp_path) -> Path:
    """Where `folder` is."""
    return tmp_path


@pytest.fixture
def ray_place(ray_cluster) -> Path:
    """The folder that the nodes of the cluster of Ray know, empty."""
    for each in ray_cluster.folder.iterdir():
        shutil.rmtree(each) if each.is_dir() else each.unlink()
    return ray_cluster.folder


@pytest.fixture
def folder(place, monkeypatch) -> Iterator[Path]:
    """A folder with rows and steady prices, for runs of the paced learner; nothing of them stays behind."""
    # Imported here, so that a test of anything else does not load the whole of it.
    real_runs, paced_learner, stretch = map(
        importlib.import_module, ("real_runs", "paced_learner", "tradewind.session.stretch")
    )
    real_runs.write_rows(place / "rows.libsvm")
    real_runs.write_prices(place / "prices.csv", (0, 0.3))
    real_runs.set_pace(place, 0.0)
    monkeypatch.setenv(paced_learner.FOLDER, str(place))
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    monkeypatch.setattr(stretch, "SAMPLE_EVERY", 0.1)
    yield place
    for run in (place / "runs").glob("small-*"):
        for pid in real_runs.processes(run).values():  # of a test that failed
            os.kill(pid, signal.SIGKILL)
