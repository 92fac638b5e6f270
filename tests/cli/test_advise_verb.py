"""`tradewind advise`: a command is measured, past runs are asked, runs go on and are made again."""

import json
import sys

import pytest

from tradewind.cli.main import main


@pytest.fixture
def spec(tmp_path):
    """A command of a moment on two candidates, and what other workloads did there."""
    (tmp_path / "past.csv").write_text(
        "workload,program,configuration,per_hour,seconds,status,machines,vcpus\n"
        "a,a,1x1cpu,3.6,9,done,1,1\na,a,1x0.5cpu,1.8,15,done,1,0.5\nb,b,1x1cpu,3.6,90,done,1,1\n"
    )
    (tmp_path / "job.toml").write_text(
        f'command = [{sys.executable!r}, "-c", "print({{vcpus}})"]\ncurrent = "1x1cpu"\n'
        'advisor = "exhaustive"\n'
        'out = "runs"\nruns = "past.csv"\n[sizes]\nvcpus = [0.5, 1]\nper_vcpu_hour = 3.6\n'
    )
    return tmp_path / "job.toml"


def test_a_search_and_what_can_be_asked_of_its_run(capsys, spec):
    out = ["--out", str(spec.parent / "runs")]
    assert main(["advise", str(spec), *out]) == 0
    told = capsys.readouterr()
    assert "done: Every configuration was tried." in told.out and "recommended: 1x" in told.out
    assert "--set workers.count=1" in told.out and "report: " in told.out and "2 probes, $" in told.out
    assert "0 past runs are of this workload, 3 of 2 others" in told.out
    assert "probe 1, 1x0.5cpu: 1 of 2, by price" in told.err
    assert main(["advise", "--replay", "latest", *out]) == 0
    assert "3 suggestions, all the same again" in capsys.readouterr().out
    (folder,) = {each.parent.resolve() for each in (spec.parent / "runs").glob("*/advice.jsonl")}
    assert main(["replay", str(folder)]) == 0 and "3 suggestions" in capsys.readouterr().out
    assert main(["report", str(folder), "--to", str(spec.parent / "again.html")]) == 0
    assert capsys.readouterr().out.startswith("2 probes")
    assert (spec.parent / "again.html").read_text() == (folder / "report.html").read_text()
    assert main(["advise", "--resume", "latest", *out, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["outcome"] == "done" and found["probes"] == 2 and len(found["rows"]) == 2
    assert found["recommendation"]["name"] == next(row["name"] for row in found["rows"] if row["recommended"])


def test_past_runs_are_asked_without_a_spec(capsys, spec):
    words = ["advise", "--runs", str(spec.parent / "past.csv"), "--advisor", "exhaustive"]
    assert main([*words, "--workload", "b"]) == 0
    told = capsys.readouterr().out
    assert "suggested: " in told and "run next: 1x0.5cpu" in told and "(nothing was run)" in told
    assert "recommended: 1x1cpu" in told and "name it as current" in told


def test_misuse_has_its_code_and_one_line(capsys, spec):
    for words, part in (
        ([], "past runs"),
        (["advise.toml"], "advise.toml"),
        ([str(spec), "--current", "1x2cpu"], "1x1cpu"),
        (["--resume", "latest", "--dry-run"], "nothing new is booked"),
        ([str(spec), "--dry-run"], "nothing is booked"),
        ([str(spec), "--set", "measure=aws"], "measure.image"),
        ([str(spec), "--advisor", "exaustive"], "exhaustive"),
        ([str(spec), "--resume", "latest"], "Leave one"),
        (["--resume", str(spec.parent)], "no advice"),
        (["--resume", "latest", "--budget", "3"], "as it was asked"),
        (["--runs", str(spec.parent / "past.csv")], "a, b"),
        (["--runs", str(spec)], "workload"),
    ):
        assert main(["advise", *words]) == 2, words
        told = capsys.readouterr().err
        assert part in told and len(told.strip().splitlines()) == 1, told
    assert not (spec.parent / "runs").exists()
