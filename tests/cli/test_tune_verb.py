"""`tradewind tune`: a spec's table becomes a study, and what it found is told."""

import json

import pytest

from tradewind.cli.main import main


@pytest.fixture
def spec(tmp_path):
    """A spec over 400 small rows, in this process."""
    rows = [f"{'+1' if (k * 7919) % 5 < 2 else '-1'} {1 + k % 7}:1 {10 + k % 5}:0.5" for k in range(400)]
    (tmp_path / "rows.libsvm").write_text("\n".join(rows) + "\n")
    path = tmp_path / "rows.toml"
    path.write_text(
        'epochs = 2\nbatch = 50\nruntime = "inline"\n[learner]\nkind = "LinearLearner"\nloss = "logistic"\n'
        '[data]\npath = "rows.libsvm"\nsplit = {test = 0.25}\n'
        "[tune]\ntrials = 3\nsearch = 'random'\n[tune.space]\n"
        "learning_rate = {low = 0.01, high = 1.0, log = true}\n"
    )
    return path


def test_a_study_and_how_it_goes_on(capsys, spec):
    out = spec.parent / "runs"
    words = ["tune", str(spec), "--set", f"out={out}"]
    assert main(words) == 0
    told = capsys.readouterr().out
    assert "done: nothing is left to try" in told and "3 trials: 3 completed" in told
    assert "learning_rate = " in told and "--set learner.rate=" in told
    assert main([*words, "--trials", "5", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["trials"] == 5 and found["metric"] == "accuracy" and found["fields"]["learner.rate"] > 0


def test_misuse_has_its_code_and_one_line(capsys, spec):
    for words, part in (
        (["--search", "grdi"], "grid"),
        (["--set", "tune.space.rat=[1]"], "rate"),
        (["--set", "tune.trails=3"], "trials"),
        (["--machines", "cheap"], "cheapest_step"),
    ):
        assert main(["tune", str(spec), *words, "--set", f"out={spec.parent / 'runs'}"]) == 2, words
        told = capsys.readouterr().err
        assert part in told and len(told.strip().splitlines()) == 1
    assert main(["tune", str(spec.parent / "absent.toml")]) == 2
