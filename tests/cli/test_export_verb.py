import json

import numpy as np
import onnxruntime
import pytest

from tradewind.algorithms.linear.model import LinearModel
from tradewind.algorithms.scaler import ColumnScaler
from tradewind.cli import main as command_line
from tradewind.data.model_files.layout import write_model_file
from tradewind.data.preparation import Preparation
from tradewind.session.models import load


def ask(capsys, *arguments: str) -> tuple[int, str, str]:
    code = command_line.main(["export", *arguments])
    told = capsys.readouterr()
    return code, told.out, told.err


@pytest.fixture
def model(tmp_path):
    made = LinearModel(np.arange(3.0), np.float64(1.0), loss="squared")
    write_model_file(tmp_path / "run" / "model", made.arrays(), made.header())
    (tmp_path / "run" / "spec.json").write_text("{}")
    return tmp_path / "run"


def test_an_onnx_file_and_a_folder(capsys, model, tmp_path):
    target, folder = tmp_path / "m.onnx", tmp_path / "given"
    code, out, _ = ask(capsys, str(model), "--onnx", str(target), "--safetensors", str(folder), "--json")
    assert code == 0
    assert json.loads(out) == {
        "run": str(model),
        "written": {"onnx": str(target), "safetensors": str(folder)},
    }
    session = onnxruntime.InferenceSession(str(target), providers=["CPUExecutionProvider"])
    assert session.run(None, {"X": np.ones((2, 3), np.float32)})[0].tolist() == [4.0, 4.0]
    assert load(folder).header() == load(model).header()


def test_where_it_is_written_is_said(capsys, model, tmp_path):
    code, out, _ = ask(capsys, str(model), "--onnx", str(tmp_path / "m.onnx"))
    assert code == 0 and out == f"written: {tmp_path / 'm.onnx'}\n"


def test_misuse(capsys, model, tmp_path):
    code, _, err = ask(capsys, str(model))
    assert code == 2 and "--onnx FILE" in err
    code, _, err = ask(capsys, str(tmp_path / "absent"), "--onnx", str(tmp_path / "m.onnx"))
    assert code == 2 and "no model here" in err and not (tmp_path / "m.onnx").exists()


def test_what_an_onnx_file_leaves_out_is_said(capsys, model, tmp_path):
    steps = model / "model" / "preparation"
    fitted = Preparation([ColumnScaler().fit([[0.0, 1.0, 2.0], [1.0, 3.0, 4.0]]).model_])
    fitted.save(steps)
    target = tmp_path / "m.onnx"
    code, out, _ = ask(capsys, str(model), "--onnx", str(target))
    assert code == 0 and str(steps) in out
    about = onnxruntime.InferenceSession(str(target), providers=["CPUExecutionProvider"]).get_modelmeta()
    assert about.custom_metadata_map["preparation"] == fitted.digest()
