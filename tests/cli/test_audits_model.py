"""`tradewind audit model`: verdicts, exit codes, SARIF, conversion."""

import json
import pickle
import subprocess

import numpy as np
import pytest
from safetensors.numpy import load_file

from tradewind.cli.main import main


class Harm:
    def __reduce__(self):
        return (subprocess.call, (["true"],))


@pytest.fixture
def files(tmp_path):
    (tmp_path / "good.pkl").write_bytes(pickle.dumps({"weights": np.arange(6.0).reshape(2, 3)}))
    (tmp_path / "bad.pkl").write_bytes(pickle.dumps(Harm()))
    (tmp_path / "odd.pkl").write_bytes(b"\x80\x04nothing of the kind")
    return tmp_path


def told(capsys, *arguments):
    code = main(["audit", "model", *map(str, arguments), "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_exit_codes_say_the_worst_verdict(files, capsys):
    assert told(capsys, files / "good.pkl")[0] == 0
    code, found = told(capsys, files / "good.pkl", files / "bad.pkl")
    assert code == 1 and found["verdict"] == "blocked"
    assert [each["verdict"] for each in found["files"]] == ["clean", "blocked"]
    assert any("subprocess.call" in f.get("name", "") for f in found["files"][1]["scan"]["findings"])
    assert told(capsys, files / "odd.pkl")[0] != 0


def test_text_says_what_where_and_what_to_do(files, capsys):
    assert main(["audit", "model", str(files / "bad.pkl")]) == 1
    out = capsys.readouterr().out
    assert "bad.pkl: blocked (pickle" in out and "subprocess.call" in out and "byte" in out


def test_a_folder_is_judged_file_by_file_and_an_empty_one_not_decided(files, capsys, tmp_path):
    code, found = told(capsys, files)
    assert code == 1 and len(found["files"]) >= 3
    (tmp_path / "none").mkdir()
    code, found = told(capsys, tmp_path / "none")
    assert code == 2 and found["verdict"] == "undecided"


def test_findings_as_sarif(files, capsys):
    told(capsys, files / "bad.pkl", "--sarif", files / "log.sarif")
    log = json.loads((files / "log.sarif").read_text())
    assert log["version"] == "2.1.0" and log["runs"][0]["results"]


def test_a_clean_file_is_converted_and_another_refused(files, capsys):
    target = files / "good.safetensors"
    code, found = told(capsys, files / "good.pkl", "--convert", target)
    assert code == 0 and found["converted"]["tensors"] == 1
    (array,) = load_file(target).values()
    assert array.tolist() == [[0, 1, 2], [3, 4, 5]]
    code, found = told(capsys, files / "bad.pkl", "--convert", files / "x.safetensors")
    assert code == 2 and not (files / "x.safetensors").exists()
    assert main(["audit", "model", str(files), "--convert", str(target)]) == 2


def test_what_is_not_there_is_misuse(tmp_path, capsys):
    assert main(["audit", "model", str(tmp_path / "none.pkl")]) == 2
    assert "cannot be read" in capsys.readouterr().err


def test_a_list_is_made_and_allowed(tmp_path, capsys, monkeypatch):
    (tmp_path / "toymodels.py").write_text("class Model:\n    pass\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "m.pkl").write_bytes(b"\x80\x02ctoymodels\nModel\n)\x81.")
    assert told(capsys, tmp_path / "m.pkl")[0] == 1
    code, found = told(capsys, "--make-list", "toymodels", "--lists", tmp_path / "lists")
    (made,) = found["lists"]
    assert code == 0 and made["names"] == 1
    assert told(capsys, tmp_path / "m.pkl", "--allow", made["path"])[0] == 0
    assert told(capsys)[0] == 2
