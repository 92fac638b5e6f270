"""What every test may ask for."""

import importlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]


def pytest_configure(config: pytest.Config) -> None:
    """Keep the numeric libraries' threads from fighting over the cores."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_make_parametrize_id(val: object) -> str | None:
    """Name an archive by its kind: it holds the time of packing, and both workers must agree on names."""
    archives = {b"\x1f\x8b": "gzip", b"PK": "zip"}
    return archives.get(val[:2]) if isinstance(val, bytes) else None


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder of recorded data that the repository does not carry; it may not exist."""
    return Path(os.environ.get("TRADEWIND_DATA", ROOT.parent / "shared" / "data"))


@pytest.fixture(scope="session")
def bench_data(data_root):
    """A function from a relative name to a path; it skips the test, naming the file, where that is absent."""

    def find(name: str) -> Path:
        path = data_root / name
        if not path.exists():
            pytest.skip(f"{path} is not here; set TRADEWIND_DATA")
        return path

    return find


@pytest.fixture
def write_run():
    """A function that writes the journal of a small run to a path; see `small_run.write_run`."""
    # Imported here, so that a test of one module does not load the rest.
    return importlib.import_module("small_run").write_run


@pytest.fixture
def resume_run():
    """A function that goes on with the run of `write_run`; see `small_run.resume_run`."""
    return importlib.import_module("small_run").resume_run


@pytest.fixture(scope="session")
def ray_cluster(tmp_path_factory) -> Iterator[Any]:
    """A `ray_clusters.SmallCluster` for all tests of a process: connect to it, and leave it again.

    What a test has its tasks import, or read, lies in its `folder`; the learners of the journeys are there.
    """
    ray_clusters = importlib.import_module("ray_clusters")
    folder = tmp_path_factory.mktemp("ray")
    cluster = ray_clusters.SmallCluster(
        (ROOT / "tests" / "journeys", folder), TRADEWIND_TEST_PACE=str(folder)
    )
    cluster.folder = folder
    yield cluster
    cluster.close()
