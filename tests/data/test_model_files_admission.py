"""What loads a file from outside asks first, and pays for the structure only."""

import json
import pickle

import numpy as np
import pytest
from safetensors.numpy import save_file

from tradewind.data.model_files.admission import admit, admit_beside
from tradewind.errors import Misuse


def test_a_clean_file_is_admitted_by_its_format(tmp_path):
    save_file({"a": np.ones(3)}, tmp_path / "x")
    assert admit(tmp_path / "x") == "safetensors"


def test_a_large_file_costs_its_header(tmp_path):
    size = 20 << 30
    header = json.dumps({"a": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}).encode()
    with (tmp_path / "x").open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.truncate(8 + len(header) + size)  # a file with a hole: reading it all would take minutes
    assert admit(tmp_path / "x") == "safetensors"


class Trap:
    def __reduce__(self):
        return (print, ("harm",))


def test_anything_else_is_one_clear_error(tmp_path, capsys):
    (tmp_path / "x").write_bytes(pickle.dumps(Trap()))
    with pytest.raises(Misuse, match=r"pickle file says blocked.*print.*tradewind audit model") as problem:
        admit(tmp_path / "x")
    assert problem.value.source == str(tmp_path / "x") and capsys.readouterr().out == ""
    (tmp_path / "x").write_bytes(b"")
    with pytest.raises(Misuse):
        admit(tmp_path / "x")


def test_rules_that_are_judged_later_are_passed_over(tmp_path):
    (tmp_path / "x").write_text('{"auto_map": {"AutoModel": "x.Y"}}')
    with pytest.raises(Misuse, match="repository-remote-code"):
        admit(tmp_path / "x")
    assert admit(tmp_path / "x", judged_later=("repository-remote-code",)) == "json"


def test_types_that_the_operator_trusts_are_allowed(tmp_path):
    (tmp_path / "x").write_bytes(pickle.dumps({"a": print}))
    with pytest.raises(Misuse):
        admit(tmp_path / "x")
    assert admit(tmp_path / "x", trusted=["builtins.print"]) == "pickle"


def test_beside_code_only_what_would_harm_is_refused(tmp_path):
    (tmp_path / "model.py").write_text("import os\n\n\nclass Model:\n    pass\n")
    (tmp_path / "rows.jsonl").write_text('{"a": 1}\n{"a": 2}\n')
    (tmp_path / "own.dat").write_bytes(b"\xff\xfe\x00\x01" * 9)
    (tmp_path / "good.pkl").write_bytes(pickle.dumps({"w": np.ones(3)}))
    admit_beside(tmp_path)
    inner = tmp_path / "deep"
    inner.mkdir()
    (inner / "weights.bin").write_bytes(pickle.dumps(Trap()))
    with pytest.raises(Misuse, match=r"builtins\.print") as problem:
        admit_beside(tmp_path)
    assert problem.value.source == str(inner / "weights.bin")
    admit_beside(tmp_path, trusted=["builtins.print"])
