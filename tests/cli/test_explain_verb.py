import json

import pytest

from tradewind.cli.explain import command
from tradewind.data.runs import RunIndex
from tradewind.errors import Misuse


def ask(capsys, *arguments: str) -> str:
    command.main(list(arguments), standalone_mode=False)
    return capsys.readouterr().out


@pytest.fixture
def run(tmp_path, write_run):
    folder = tmp_path / "adult-1"
    folder.mkdir()
    write_run(folder / "journal.sqlite")
    return folder


def test_a_run_in_words(capsys, run):
    out = ask(capsys, str(run))
    assert out.startswith("a small run: cheapest_spot, done\n")
    for part in (
        "$0.57 for 2h of market time; the same work on demand would have cost $1.50",
        "lease a: spot p2.xlarge@us-east-1a, for workers",
        "why     p2 is cheapest at $0.27",
        "revoked by the provider, warned 2m before",
        "released: done",
    ):
        assert part in out, part
    head = next(line for line in out.splitlines() if line.startswith("pool"))
    row = next(line for line in out.splitlines() if line.startswith("p2.xlarge@us-east-1a  spot"))
    assert "of the work" in head and "$0.57" in row and "2.99" in row and "100%" in row


def test_one_lease_of_the_latest(capsys, run):
    RunIndex(run.parent).begin("adult", "{}", run)
    out = ask(capsys, "--out", str(run.parent), "--lease", "b")
    assert "lease b:" in out and "lease a:" not in out and "of the work" not in out
    with pytest.raises(Misuse, match="no lease 'z'"):
        ask(capsys, str(run), "--lease", "z")


def test_json(capsys, run):
    told = json.loads(ask(capsys, str(run), "--json"))
    assert told["revocations"] == 1 and [each["leases"] for each in told["stories"]] == [["a"], ["b"]]
    assert told["stories"][0]["alternatives"][0]["pool"] == "p2.xlarge@us-east-1b"


def test_what_is_no_run(capsys, tmp_path):
    with pytest.raises(Misuse, match="no journal"):
        ask(capsys, str(tmp_path))
