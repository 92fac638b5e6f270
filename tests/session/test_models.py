"""Models are opened from wherever they were left, and given to others."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import onnx
import onnxruntime
import pytest
from small_specs import inline, write_files

from tradewind.algorithms.batch import batch_of
from tradewind.algorithms.linear.model import LinearModel
from tradewind.algorithms.scaler import ColumnScaler
from tradewind.data import durable_files
from tradewind.data.model_files.layout import arrays_digest, write_model_file
from tradewind.data.streams import open_data
from tradewind.errors import Misuse
from tradewind.session.model_cards import CARD, PAGE, read_card, write_card
from tradewind.session.models import export, load
from tradewind.session.stretch import Trained
from tradewind.session.train import train


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Trained:
    folder = tmp_path_factory.mktemp("run")
    write_files(folder)
    return train(inline(folder))


def rows(run: Trained) -> np.ndarray:
    folder = Path(run.directory).parents[1]
    return open_data(str(folder / "rows.libsvm")).head(50).matrix().toarray()


def test_a_run_a_model_folder_and_a_file_open_alike(run) -> None:
    directory = Path(run.directory)
    for path in (directory, str(directory), directory / "model", directory / "model" / "model.safetensors"):
        model = load(path)
        assert isinstance(model, LinearModel)
        assert np.array_equal(model.evaluate(rows(run)), run.model.evaluate(rows(run)))
        assert model.header() == run.model.header()


def test_a_model_of_another_kind_opens(tmp_path) -> None:
    x = np.random.default_rng(0).normal(size=(20, 3))
    scaler = ColumnScaler().fit(x).model_
    write_model_file(tmp_path, scaler.arrays(), scaler.header())
    assert np.array_equal(load(tmp_path).evaluate(batch_of(x)), scaler.evaluate(x))


def test_a_linear_model_opens_without_scikit_learn(run) -> None:
    script = (
        "import sys; sys.modules['sklearn'] = None\n"
        "from tradewind.session.models import load; print(load(sys.argv[1]).header()['kind'])"
    )
    opened = subprocess.run(
        [sys.executable, "-c", script, run.directory], capture_output=True, text=True, check=False, timeout=60
    )
    assert opened.stdout == "LinearModel\n", opened.stderr


def test_what_is_no_model_is_refused(tmp_path, run) -> None:
    with pytest.raises(Misuse, match="no model here"):
        load(tmp_path / "absent")
    (tmp_path / "model.pkl").write_bytes(b"\x80\x04")
    with pytest.raises(Misuse, match="pickle"):
        load(tmp_path / "model.pkl")
    write_model_file(tmp_path / "odd", {"w": np.zeros(2)}, {"kind": "LinearModle"})
    with pytest.raises(Misuse, match="Did you mean 'LinearModel'"):
        load(tmp_path / "odd")
    unfinished = tmp_path / "unfinished"
    shutil.copytree(run.directory, unfinished)
    shutil.rmtree(unfinished / "model")
    with pytest.raises(Misuse, match="not done"):
        load(unfinished)


def answer(path: Path, x: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(None, {"X": x.astype(np.float32)})[0]


def test_onnx_of_a_run_of_what_train_gave_and_of_a_model(run, tmp_path) -> None:
    wanted = run.model.evaluate(rows(run))
    for number, what in enumerate((run.directory, run, run.model)):
        path = export(what, tmp_path / f"{number}.onnx")
        assert np.allclose(answer(path, rows(run)), wanted, rtol=1e-5, atol=1e-6)
        told = {each.key: each.value for each in onnx.load(path).metadata_props}
        assert told["digest"] == arrays_digest(run.model.arrays())
        assert json.loads(told["header"]) == run.model.header() and told["kind"] == "LinearModel"


def test_the_open_layout_takes_the_card_along(run, tmp_path) -> None:
    source = tmp_path / "run"
    shutil.copytree(run.directory, source)
    write_card(source / "model", card(source / "model"))
    folder = export(source, tmp_path / "given", "safetensors")
    assert sorted(each.name for each in folder.iterdir()) == [
        CARD, PAGE, "model.json", "model.safetensors",
    ]  # fmt: skip
    assert load(folder).header() == run.model.header()
    export(source, tmp_path / "m.onnx")
    assert "card" in {each.key for each in onnx.load(tmp_path / "m.onnx").metadata_props}
    bare = export(run.model, tmp_path / "bare", "safetensors")
    assert sorted(each.name for each in bare.iterdir()) == ["model.json", "model.safetensors"]


def test_a_given_model_has_the_very_files_that_its_card_tells_of(run, tmp_path) -> None:
    """Written anew, the same model's file may differ in bytes; the preparation goes along too."""
    source = tmp_path / "run"
    shutil.copytree(run.directory, source)
    (source / "model" / "preparation").mkdir(exist_ok=True)
    (source / "model" / "preparation" / "steps.json").write_text("[]")
    (source / "model" / "notes.txt").write_text("mine")
    told = read_card(source / "model")
    for target in (tmp_path / "new", tmp_path / "mödel ✓"):
        for what in (source, source / "model", source / "model" / "model.safetensors"):
            assert read_card(export(what, target, "safetensors")) == told
            assert (target / "preparation" / "steps.json").read_text() == "[]"
            assert not (target / "notes.txt").exists()
    assert export(source, source / "model", "safetensors") == source / "model"
    assert read_card(source / "model") == told


def test_a_card_of_what_was_there_before_does_not_stay(run, tmp_path) -> None:
    export(run.directory, tmp_path / "given", "safetensors")
    export(run.model, tmp_path / "given", "safetensors")
    assert sorted(each.name for each in (tmp_path / "given").iterdir()) == ["model.json", "model.safetensors"]


@pytest.mark.parametrize("format", ["onnx", "safetensors"])
def test_a_write_that_fails_leaves_what_was_there(run, tmp_path, monkeypatch, format) -> None:
    target = export(run.model, tmp_path / "given", format)
    before = {each: each.read_bytes() for each in tmp_path.rglob("*") if each.is_file()}

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(durable_files, "sync", full)
    for to in (target, tmp_path / "other"):
        with pytest.raises(Misuse, match=r"cannot be written.*No space left") as refused:
            export(run.model, to, format)
        assert refused.value.source == str(to)
    assert {each: each.read_bytes() for each in tmp_path.rglob("*") if each.is_file()} == before


def test_places_where_nothing_can_be_written_are_told(run, tmp_path) -> None:
    (tmp_path / "file").write_text("x")
    for to in (tmp_path / "file" / "m", tmp_path / ("n" * 300), tmp_path / "a\0b"):
        for format in ("onnx", "safetensors"):
            with pytest.raises(Misuse, match=r"cannot be written|can be called so"):
                export(run.model, to, format)
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_a_file_that_was_cut_or_edited_is_one_clear_error(run, tmp_path) -> None:
    """The digest guards the arrays, their layout the header."""
    folder = Path(shutil.copytree(Path(run.directory) / "model", tmp_path / "model"))
    tensors = folder / "model.safetensors"
    whole = tensors.read_bytes()
    for size in (0, 7, 8, 60, len(whole) // 2, len(whole) - 1):
        tensors.write_bytes(whole[:size])
        with pytest.raises(Misuse, match="safetensors"):
            load(folder)
    start = 8 + int.from_bytes(whole[:8], "little")
    for edit in (
        {"header": "{"}, {"header": "[]"}, {"header": "[" * 50_000}, {"header": '{"kind": "os:system"}'},
        {"header": json.dumps({**run.model.header(), "features": 10**9})},
    ):  # fmt: skip
        entries = json.loads(whole[8:start])
        entries["__metadata__"].update(edit)
        text = json.dumps(entries).encode()
        tensors.write_bytes(len(text).to_bytes(8, "little") + text + whole[start:])
        with pytest.raises(Misuse):
            load(folder)
    tensors.write_bytes(b"{" * 8 + whole[8:])
    with pytest.raises(Misuse, match="safetensors"):
        load(folder)
    tensors.unlink()
    tensors.mkdir()
    with pytest.raises(Misuse, match="no model here"):
        load(folder)
    tensors.rmdir()
    tensors.write_bytes(whole)
    (folder / "model.json").write_text("for people only")
    assert load(folder).header() == run.model.header()


def card(folder: Path) -> dict[str, object]:
    sections = (
        "model_details", "intended_use", "factors", "metrics", "evaluation_data", "training_data",
        "quantitative_analyses", "ethical_considerations", "caveats_and_recommendations", "training_run",
    )  # fmt: skip
    return {"version": 1, **{each: {} for each in sections}, "model_details": {"name": folder.name}}


class Unspeakable(LinearModel):
    def graph(self):
        raise Misuse("no operator does this", field="graph", fix="Use model.safetensors.")


def test_what_cannot_be_written_leaves_nothing(run, tmp_path) -> None:
    before = sorted(tmp_path.iterdir())
    with pytest.raises(Misuse, match="Did you mean 'onnx'"):
        export(run, tmp_path / "m", "onx")
    with pytest.raises(Misuse, match="nothing was learned"):
        export(msgspec.structs.replace(run, model=None), tmp_path / "m.onnx")
    with pytest.raises(Misuse, match="is a folder"):
        export(run, tmp_path)
    model = run.model
    with pytest.raises(Misuse, match="no operator"):
        export(Unspeakable(model.weights, model.bias, loss="squared"), tmp_path / "m.onnx")
    assert sorted(tmp_path.iterdir()) == before
    (tmp_path / "file").write_text("x")
    with pytest.raises(Misuse, match="is a file"):
        export(run, tmp_path / "file", "safetensors")
