import json
import multiprocessing
import os
import pickle
import signal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file

from tradewind.data import durable_files
from tradewind.data.model_files.layout import (
    arrays_digest,
    newest_snapshot,
    read_model_file,
    read_snapshot,
    write_model_file,
    write_snapshot,
)
from tradewind.errors import Corrupt, Misuse


def model(number):
    return {"weights": np.full(1000, number, np.float32), "bias": np.array([number], np.float64)}, {
        "kind": "LinearModel", "number": number, "classes": ["no", "yes"],
    }  # fmt: skip


def same(found, number):
    arrays, header = model(number)
    return header == found[1] and all((found[0][name] == array).all() for name, array in arrays.items())


def test_a_model_reads_back_from_its_directory_and_its_file(tmp_path):
    write_model_file(tmp_path / "m", *model(4))
    assert same(read_model_file(tmp_path / "m"), 4)
    assert same(read_model_file(str(tmp_path / "m" / "model.safetensors")), 4)
    shown = json.loads((tmp_path / "m" / "model.json").read_text())
    assert shown["header"] == model(4)[1] and shown["arrays"]["weights"]["shape"] == [1000]
    public = load_file(tmp_path / "m" / "model.safetensors")
    np.testing.assert_array_equal(public["weights"], model(4)[0]["weights"])


@pytest.mark.parametrize(
    ("arrays", "header", "field"),
    [
        ({"a": np.array([object()])}, {}, "a"),
        ({"a": np.zeros(2, np.complex128)}, {}, "a"),
        ({}, {"a": float("nan")}, "header"),
        ({}, {"a": object()}, "header"),
    ],
)
def test_what_cannot_be_saved_is_refused_before_anything_is_written(tmp_path, arrays, header, field):
    with pytest.raises(Misuse) as told:
        write_model_file(tmp_path / "m", arrays, header)
    assert told.value.field == field
    assert not (tmp_path / "m").exists()


class Bomb:
    def __reduce__(self):
        return (os.mkdir, ("exploded",))


def test_a_pickle_is_refused_and_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("model.safetensors", "model.pkl", "model.bin"):
        (tmp_path / name).write_bytes(pickle.dumps(Bomb()))
        with pytest.raises(Misuse, match="pickle"):
            read_model_file(tmp_path / name)
    np.save(tmp_path / "objects.npy", np.array([Bomb()], object), allow_pickle=True)
    with pytest.raises(Misuse, match="pickle"):
        read_model_file(tmp_path / "objects.npy")
    assert not (tmp_path / "exploded").exists()


def test_a_model_whose_header_is_as_long_as_a_pickle_begins_is_none(tmp_path):
    """The first bytes of safetensors are a length, and some lengths are a pickle's first bytes."""
    tensors = tmp_path / "model.safetensors"

    def written(filler: int) -> bytes:
        write_model_file(tmp_path, {"w": np.ones(2)}, {"kind": "Any", "filler": "x" * filler})
        assert read_model_file(tmp_path)[1]["filler"] == "x" * filler
        return tensors.read_bytes()[:8]

    shortest = int.from_bytes(written(0), "little")
    for begins in (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"):
        wanted = int.from_bytes(begins, "little")
        assert written(wanted - shortest)[:2] == begins


def test_a_damaged_or_foreign_model_is_misuse(tmp_path):
    write_model_file(tmp_path, *model(1))
    path = tmp_path / "model.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(Misuse, match="altered or damaged"):
        read_model_file(tmp_path)
    path.write_bytes(whole[:-7])
    with pytest.raises(Misuse, match="not a whole"):
        read_model_file(tmp_path)
    with pytest.raises(Misuse, match="no model here"):
        read_model_file(tmp_path / "absent")


def test_snapshots_the_newest_is_found_and_the_old_are_dropped(tmp_path):
    assert newest_snapshot(tmp_path / "none") is None
    for clock in (3, 20, 100):
        write_snapshot(tmp_path, clock, *model(clock))
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["snapshot-000000000020", "snapshot-000000000100"]
    write_snapshot(tmp_path, 100, *model(101))  # the same clock again, after a return to it
    path, arrays, header = newest_snapshot(tmp_path)
    assert path.name == "snapshot-000000000100.1" and same((arrays, header), 101)


@pytest.mark.parametrize("name", ["state.safetensors", "state.json"])
@pytest.mark.parametrize("damage", ["cut", "altered", "empty", "absent"])
def test_a_damaged_snapshot_is_passed_over(tmp_path, name, damage):
    write_snapshot(tmp_path, 1, *model(1))
    newest = write_snapshot(tmp_path, 2, {"a": np.arange(10)}, {"a": 1.5})
    path = newest / name
    whole = path.read_bytes()
    if damage == "cut":
        path.write_bytes(whole[:-9])
    elif damage == "altered":
        spot = whole.rindex(b"1.5") if name == "state.json" else len(whole) - 1
        path.write_bytes(whole[:spot] + b"7" + whole[spot + 1 :])
    elif damage == "empty":
        path.write_bytes(b"")
    else:
        path.unlink()
    with pytest.raises(Corrupt):
        read_snapshot(newest)
    found = newest_snapshot(tmp_path)
    assert found is not None and same(found[1:], 1)
    (found[0] / "state.json").unlink()
    with pytest.raises(Corrupt):
        newest_snapshot(tmp_path)


def _killed_at(directory, step, write):
    """Run `write` in a child that dies by SIGKILL just before its `step`-th call of the system."""
    taken = 0

    def counting(call):
        def counted(*arguments, **options):
            nonlocal taken
            if taken == step:
                os.kill(os.getpid(), signal.SIGKILL)
            taken += 1
            return call(*arguments, **options)

        return counted

    for name in ("replace", "rename", "fsync", "chmod"):
        setattr(durable_files.os, name, counting(getattr(os, name)))
    durable_files.shutil.rmtree = counting(durable_files.shutil.rmtree)
    durable_files.tempfile.mkstemp = counting(durable_files.tempfile.mkstemp)
    durable_files.tempfile.mkdtemp = counting(durable_files.tempfile.mkdtemp)
    write(directory)
    os._exit(taken)


def _write_new_model(directory):
    write_model_file(directory, *model(2))


def _write_new_snapshot(directory):
    write_snapshot(directory, 2, *model(2), keep=1)


@pytest.mark.parametrize("kind", ["model", "snapshot"])
def test_a_kill_between_any_two_steps_leaves_old_or_new(tmp_path, kind):
    context = multiprocessing.get_context("fork")
    write = _write_new_model if kind == "model" else _write_new_snapshot
    outcomes = []
    for step in range(100):
        directory = tmp_path / f"{kind}{step}"
        if kind == "model":
            write_model_file(directory, *model(1))
        else:
            write_snapshot(directory, 1, *model(1))
        child = context.Process(target=_killed_at, args=(directory, step, write))
        child.start()
        child.join(30)
        found = read_model_file(directory) if kind == "model" else newest_snapshot(directory)[1:]
        outcomes.append(2 if same(found, 2) else 1)
        assert same(found, outcomes[-1])
        write(directory)  # the next writer is not disturbed by what was left
        found = read_model_file(directory) if kind == "model" else newest_snapshot(directory)[1:]
        assert same(found, 2)
        if child.exitcode != -signal.SIGKILL:
            assert child.exitcode == step
            break
    assert outcomes == sorted(outcomes) and outcomes[0] == 1 and outcomes[-1] == 2 and len(outcomes) > 8


@settings(max_examples=20, deadline=None)
@given(
    st.dictionaries(
        st.text(min_size=1, max_size=8).filter(lambda name: name != "__metadata__" and "\0" not in name),
        st.tuples(st.sampled_from(["f4", "f8", "i8", "u1", "?"]), st.lists(st.integers(0, 3), max_size=3)),
        max_size=4,
    ),
    st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=5), st.lists),
)
def test_anything_plain_round_trips(tmp_path_factory, shapes, value):
    directory = tmp_path_factory.mktemp("m")
    arrays = {name: np.ones(shape, kind) for name, (kind, shape) in shapes.items()}
    write_model_file(directory, arrays, {"value": value})
    found, header = read_model_file(directory)
    assert header == {"value": value} and found.keys() == arrays.keys()
    assert arrays_digest(found) == arrays_digest(arrays)
