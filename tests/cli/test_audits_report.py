"""`tradewind audit report`: one page, and a gate."""

import json
import pickle
import sys
from pathlib import Path

import pytest

from tradewind.cli.main import main

sys.path.insert(0, str(Path(__file__).parents[1] / "session"))
from audited_roots import profiled


class Harm:
    def __reduce__(self):
        return (print, ("harm",))


@pytest.fixture
def audited(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    return profiled(tmp_path)


def test_the_page_is_written_whole(audited, tmp_path, capsys):
    _, profile = audited
    page = tmp_path / "audit.html"
    assert main(["audit", "report", "--profile", str(profile.folder), "--to", str(page)]) == 0
    assert str(page) in capsys.readouterr().out
    text = page.read_text()
    assert "container" in text and "apt:demo" in text and "http" not in text.replace("http-equiv", "")


def test_a_blocked_model_fails_the_gate(audited, tmp_path, capsys):
    root, _ = audited
    bad = tmp_path / "bad.pkl"
    bad.write_bytes(pickle.dumps(Harm()))
    to = str(tmp_path / "audit.html")
    arguments = ["audit", "report", str(root), "--profile", str(tmp_path / "profile"), "--to", to]
    assert main([*arguments, "--model", str(bad), "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["exit_code"] == 1 and told["report"]["gate"][0]["mark"] == "bad"
    assert told["report"]["models"]["files"][0]["verdict"] == "blocked"
