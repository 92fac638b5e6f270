"""`train` and `resume` in simulation: the whole way from a spec file to a told end."""

import json
from pathlib import Path

import pytest

from tradewind.cli.main import main


@pytest.fixture
def spec(tmp_path):
    """A spec over 2,000 small rows on the simulated provider."""
    rows = [f"{'+1' if (k * 7919) % 5 < 2 else '-1'} {1 + k % 7}:1 {10 + k % 5}:0.5" for k in range(2000)]
    (tmp_path / "rows.libsvm").write_text("\n".join(rows) + "\n")
    path = tmp_path / "rows.toml"
    path.write_text(
        'name = "rows"\nepochs = 2\nbatch = 50\n[learner]\nkind = "LinearLearner"\nloss = "logistic"\n'
        '[data]\npath = "rows.libsvm"\n[workers]\ncount = 2\n[provider]\nkind = "simulated"\n'
    )
    return path


def test_train_to_the_end(capsys, spec):
    out = spec.parent / "runs"
    code = main(["train", str(spec), "--json", "--set", f"out={out}"])
    told = json.loads(capsys.readouterr().out)
    assert code == 0 and told["outcome"] == "done", told
    assert told["cost"] > 0 and told["market_seconds"] > 0
    folder = Path(told["directory"])
    assert folder.parent.resolve() == out.resolve() and (folder / "journal.sqlite").exists()
    assert main(["runs", "--out", str(out), "--json"]) == 0
    (run,) = json.loads(capsys.readouterr().out)["runs"]
    assert run["state"] == "done" and Path(run["directory"]).resolve() == folder.resolve()
    assert main(["replay", str(folder)]) == 0
    assert "all the same again" in capsys.readouterr().out
    assert main(["report", "latest", "--out", str(out)]) == 0
    assert (folder / "report.html").exists()


def test_misuse_before_anything_is_made(capsys, spec):
    out = spec.parent / "runs"
    for words, part in (
        (["--set", "learner.los=hinge"], "'loss'"),
        (["--policy", "cheapest_spto"], "cheapest_spot"),
        (["--history", "aws-2002"], "aws-2020"),
        (["--set", "data.path=absent.libsvm"], "absent.libsvm"),
    ):
        assert main(["train", str(spec), "--set", f"out={out}", *words]) == 2, words
        assert part in capsys.readouterr().err
    assert not out.exists() or not [each for each in out.iterdir() if each.is_dir()]


def test_a_budget_below_the_cheapest_possible_cost(capsys, spec):
    out = spec.parent / "runs"
    assert main(["train", str(spec), "--set", f"out={out}", "--budget", "0.0000001"]) == 1
    told = capsys.readouterr().err
    assert "budget" in told and len(told.strip().splitlines()) == 1
