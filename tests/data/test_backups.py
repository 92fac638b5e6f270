"""Copies of snapshots in an object store: whole or not seen, the newest first, and damage is told."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tradewind.data.backups import back_up, bring_back
from tradewind.data.model_files.layout import newest_snapshot, write_snapshot
from tradewind.data.object_store import DirectoryStore, open_store
from tradewind.errors import Corrupt


@pytest.fixture(params=["directory", "memory"])
def store(request, tmp_path) -> Any:
    where = f"file://{tmp_path}" if request.param == "directory" else f"memory://{tmp_path.name}"
    store = open_store(f"{where}/bucket/run")
    yield store
    for key in store.list():
        store.delete(key)


def snapshot(root: Path, clock: int, value: float) -> Path:
    return write_snapshot(root, clock, {"w/values": np.full((3, 1), value)}, {"value": value})


def test_what_was_backed_up_comes_back_bit_for_bit(store, tmp_path) -> None:
    local = tmp_path / "local"
    back_up(snapshot(local, 7, 1 / 3), store)
    kept = newest_snapshot(local)
    shutil.rmtree(local)
    found = bring_back(store, local)
    again = newest_snapshot(local)
    assert kept is not None and again is not None and found == again[0] == kept[0]
    assert again[1]["w/values"].tobytes() == kept[1]["w/values"].tobytes() and again[2] == kept[2]


def test_nothing_there_is_none(store, tmp_path) -> None:
    assert bring_back(store, tmp_path / "local") is None
    assert not (tmp_path / "local").exists()


def test_the_newest_comes_back_and_old_ones_are_removed(store, tmp_path) -> None:
    local = tmp_path / "local"
    for clock in (1, 2, 2, 3, 10, 10):
        back_up(snapshot(local, clock, float(clock)), store)
    assert {key.partition("/")[0] for key in store.list()} == {
        "snapshot-000000000010",
        "snapshot-000000000010.1",
    }
    found = bring_back(store, tmp_path / "other")
    assert found is not None and found.name == "snapshot-000000000010.1"


def test_a_copy_that_was_cut_short_is_not_seen(store, tmp_path) -> None:
    """Whatever is missing: a kill may come between any two objects, as it is put or while it is removed."""
    local = tmp_path / "local"
    back_up(snapshot(local, 1, 1.0), store)
    newer = snapshot(local, 2, 2.0)
    store.put(f"{newer.name}/state.safetensors", (newer / "state.safetensors").read_bytes())
    found = bring_back(store, tmp_path / "other")
    assert found is not None and found.name == "snapshot-000000000001"


def test_a_damaged_copy_is_passed_over_and_told_if_it_is_the_last(tmp_path) -> None:
    store, local = DirectoryStore(tmp_path / "bucket"), tmp_path / "local"
    for clock in (1, 2):
        back_up(snapshot(local, clock, float(clock)), store)
    store.put("snapshot-000000000002/state.safetensors", b"damaged")
    found = bring_back(store, tmp_path / "other")
    assert found is not None and found.name == "snapshot-000000000001"
    store.put("snapshot-000000000001/state.safetensors", b"damaged")
    with pytest.raises(Corrupt, match=r"snapshot-000000000002.*snapshot-000000000001"):
        bring_back(store, tmp_path / "third")
    assert not list((tmp_path / "third").iterdir())
