import json
import subprocess

import pytest

from tradewind.cli import clean
from tradewind.cli.main import VERBS, main
from tradewind.data.runs import RunIndex
from tradewind.providers.aws.requests import terminate
from tradewind.providers.local_leftovers import leftovers, marked
from tradewind.session.cleaning import Cleaned, Leftover


@pytest.fixture(autouse=True)
def _verb(monkeypatch):
    monkeypatch.setitem(VERBS, "clean", "End what a driver that is gone left running.")


def ask(capsys, *arguments: str) -> tuple[int, str, str]:
    code = main(["clean", *arguments])
    told = capsys.readouterr()
    return code, told.out, told.err


def test_a_run_is_cleaned_and_cleaning_again_finds_nothing(capsys, tmp_path, monkeypatch):
    folder = tmp_path / "adult-1"
    folder.mkdir()
    index = RunIndex(tmp_path)
    index.update(index.begin("adult", "{}", folder).id, state="paused")
    left = subprocess.Popen(["sleep", "60"], env=marked({}, folder / "logs", "lease-0001"))
    try:
        code, out, _ = ask(capsys, "adult", "--out", str(tmp_path), "--dry-run")
        assert code == 0 and "would be ended" in out and str(left.pid) in out and left.poll() is None
        code, out, _ = ask(capsys, "adult", "--out", str(tmp_path), "--json")
        told = json.loads(out)
        assert code == 0 and [each["id"] for each in told["ended"]] == [str(left.pid)]
        assert told["dry_run"] is False and left.wait(5) == -9 and not leftovers(folder / "logs")
    finally:
        left.kill()
        left.wait()
    code, out, _ = ask(capsys, "--out", str(tmp_path))
    assert code == 0 and out == "nothing was left\n"


def test_a_run_that_is_driven_is_refused(capsys, tmp_path):
    RunIndex(tmp_path).begin("adult", "{}", tmp_path / "adult-1")
    (tmp_path / "adult-1").mkdir()
    code, _, err = ask(capsys, "adult", "--out", str(tmp_path))
    assert code == 2 and "is driving it" in err and "--force" in err
    code, out, _ = ask(capsys, "--out", str(tmp_path))
    assert code == 0 and "left alone" in out and "adult-1" in out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--provider", "aws"), "--region"),
        (("--region", "us-east-1"), "--provider aws"),
        (("latest", "--provider", "aws", "--region", "us-east-1"), "a run has its own provider"),
        (("--force",), "which run"),
        (("nowhere",), "no such run"),
    ],
)
def test_misuse(capsys, tmp_path, arguments, says):
    code, _, err = ask(capsys, *arguments, "--out", str(tmp_path / "none"))
    assert code == 2 and says in err


@pytest.mark.parametrize("uncertain", [False, True])
def test_a_region_is_told_with_its_requests(capsys, monkeypatch, uncertain):
    asked = {}

    def region(name, **options):
        asked.update(options, name=name)
        gone, spared = (Leftover("aws", each, "c5.large@us-east-1b running", "d") for each in ("i-1", "i-2"))
        plan = (terminate(["i-1"]),)
        return Cleaned(ended=(gone,), left=(spared,), plan=plan, uncertain=uncertain, dry_run=True)

    monkeypatch.setattr(clean, "clean_region", region)
    arguments = ("--provider", "aws", "--region", "us-east-1", "--profile", "p", "--dry-run", "--wait", "3")
    code, out, _ = ask(capsys, *arguments)
    assert code == (1 if uncertain else 0)
    assert "i-1" in out and "i-2" in out and "would be ended" in out
    assert asked == {
        "name": "us-east-1",
        "profile": "p",
        "endpoint_url": "",
        "force": False,
        "dry_run": True,
        "wait": 3.0,
    }
    _, out, _ = ask(capsys, *arguments, "--json")
    (request,) = json.loads(out)["plan"]
    assert request == {"operation": "TerminateInstances", "arguments": {"InstanceIds": ["i-1"]}}
