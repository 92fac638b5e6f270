import json

import pytest

from tradewind.cli.compare import command
from tradewind.errors import Misuse

SPEC = """
deadline = "3h"
learner = "LinearLearner"
data = "nowhere"
[workers]
count = 2
instance_types = ["p2.xlarge"]
[provider]
kind = "simulated"
history = "demo"
"""


def ask(capsys, *arguments: str) -> tuple[int, str, str]:
    code = command.main(list(arguments), standalone_mode=False)
    told = capsys.readouterr()
    return code, told.out, told.err


@pytest.fixture
def spec(tmp_path):
    path = tmp_path / "job.toml"
    path.write_text(SPEC)
    return str(path)


def test_a_table_and_a_page(capsys, spec, tmp_path):
    page = tmp_path / "c.html"
    code, out, _ = ask(
        capsys, spec, "--policies", "cheapest_spot", "--starts", "2", "--work", "5", "--to", str(page)
    )
    assert code == 0 and page.exists()
    lines = out.splitlines()
    assert lines[0].startswith("5 vCPU-hours of modelled work within 3h, from 2 random starts (seed 0)")
    assert "recorded prices of demo, for a price-taker; nothing was rented" in lines[0]
    assert lines[1].split()[:2] == ["policy", "cost"]
    assert [line.split("  ")[0] for line in lines[2:6]] == [
        "cheapest_spot",
        "on_demand",
        "clairvoyant (bound)",
        "the same, nothing free",
    ]
    assert all("2 of 2" in line and "$" in line for line in lines[2:6])
    assert "95 % intervals by bootstrap" in lines[6] and lines[-1] == f"page: {page}"


def test_json_has_every_start_and_trial(capsys, spec):
    code, out, err = ask(
        capsys,
        *(spec, "--policies", "on_demand", "--starts", "2", "--work", "5", "--json", "--no-refunds"),
        *("--startup", "2m", "--seed", "4", "--jobs", "1", "--budget", "50"),
    )
    told = json.loads(out)
    assert code == 0 and not err
    assert len(told["starts"]) == 2 and told["seed"] == 4 and told["startup"] == 120.0
    assert told["policies"] == ["on_demand", "clairvoyant"] and told["budget"] == 50.0
    assert len(told["trials"]) == 4 and {each["outcome"] for each in told["trials"]} == {"done"}


def test_who_refuses_is_told_with_the_reason(capsys, spec):
    code, out, _ = ask(
        capsys, spec, "--policies", "cheapest_spot", "--starts", "1", "--work", "5", "--budget", "0.01"
    )
    assert code == 0 and "0 of 1" in out
    assert "cheapest_spot, 1 of 1 starts: the work cannot be done within" in out


def test_an_interrupt_tells_what_is_there(capsys, spec, monkeypatch):
    def interrupt(self, done: int, total: int) -> None:
        if done == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr("tradewind.cli.compare._Starts.told", interrupt)
    code, out, _ = ask(capsys, spec, "--policies", "on_demand", "--starts", "3", "--work", "5")
    assert code == 1 and "interrupted: 1 of 3 starts are done" in out and "1 of 1" in out


def test_misuse(capsys, spec, tmp_path):
    for arguments, words in (
        (["--policies", "cheapest_spott", "--work", "5"], "Did you mean 'cheapest_spot'"),
        (["--to", str(tmp_path)], "is a folder"),
        (["--startup", "soon"], "no duration"),
        (["--history", "nirgends"], "no recorded market"),
        (["--set", "epoch=2"], "Did you mean 'epochs'"),
    ):
        with pytest.raises(Misuse, match=words):
            ask(capsys, spec, *arguments)
