"""The first task on a lease: the data is read once, into the cache that the instance's tasks share."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from tradewind.data.streams import open_data
from tradewind.errors import Misuse
from tradewind.training import data_host
from tradewind.training.job import Job, Learner


def arguments(folder: Path) -> dict[str, Any]:
    job = Job(learner=Learner("LinearLearner"), data={"source": str(folder / "rows.libsvm")})
    return {"job": msgspec.to_builtins(job), "cache": str(folder / "cache")}


def test_the_rows_are_in_the_cache_for_the_next_task(tmp_path) -> None:
    (tmp_path / "rows.libsvm").write_text("+1 1:1 3:2\n-1 2:1\n")
    data_host.main(arguments(tmp_path), lambda: True)  # a notice changes nothing: it is quick
    (cached,) = (tmp_path / "cache").iterdir()
    rows = open_data(str(cached), format="saved")
    assert rows.rows == 2 and rows.schema.features == 3
    written = cached.stat().st_mtime_ns
    data_host.main(arguments(tmp_path), lambda: False)
    assert cached.stat().st_mtime_ns == written


def test_a_cache_that_was_removed_is_made_again(tmp_path) -> None:
    (tmp_path / "rows.libsvm").write_text("+1 1:1\n-1 4:1\n")
    data_host.main(arguments(tmp_path), lambda: False)
    (cached,) = (tmp_path / "cache").iterdir()
    cached.unlink()
    data_host.main(arguments(tmp_path), lambda: False)
    assert open_data(str(cached), format="saved").rows == 2


def test_wrong_rows_are_told_with_their_line(tmp_path) -> None:
    (tmp_path / "rows.libsvm").write_text("+1 1:1\n-1 2:nan\n")
    with pytest.raises(Misuse, match=r"rows\.libsvm.*line 2"):
        data_host.main(arguments(tmp_path), lambda: False)
    assert not list(tmp_path.glob("cache/*"))
