"""TensorFlow's operators out of a wheel that is only read."""

import zipfile

import pytest

from tradewind.data.model_files.formats import operator_making
from tradewind.errors import Misuse


def wheel(path, texts):
    with zipfile.ZipFile(path, "w") as archive:
        for name, operators in texts.items():
            text = "".join(f'x = _apply_op_helper(\n    "{each}", a=b)\n' for each in operators)
            archive.writestr(f"tensorflow/python/ops/gen_{name}.py", text)
    return path


def test_all_operators_but_those_left_out_for_a_reason(tmp_path):
    left = [name for names in operator_making._NAMES.values() for name in names.split()]
    texts = {file: [f"Of{index}"] for index, file in enumerate(operator_making._FILES)}
    texts["math_ops"] = ["MatMul", "Add", *left]
    made = wheel(tmp_path / "tensorflow_cpu-9.8.7-cp311-cp311-linux_x86_64.whl", texts)
    assert operator_making.operators(made) == ("9.8.7", ["Add", "MatMul"])
    del texts["io_ops"]
    with pytest.raises(Misuse, match="io_ops"):  # renamed: what was in it must not slip in unseen
        operator_making.operators(wheel(made, texts))


def test_what_is_no_wheel(tmp_path):
    (tmp_path / "x.whl").write_bytes(b"no")
    with pytest.raises(Misuse, match="no wheel"):
        operator_making.operators(tmp_path / "x.whl")
