"""`audit bloat` with pages, what to fetch ahead, and the cost of moving; and the page that tells it."""

import json
from pathlib import Path

import pytest

from audited_root import runnable_root
from tradewind.cli.main import main

pytestmark = pytest.mark.root

FLEET = ("--replicas", "3", "--pulls-a-day", "2", "--transfer-price", "0.09", "--megabits", "50")


def test_pages_and_the_cost_of_moving_are_told_in_text_as_json_and_on_the_page(tmp_path, monkeypatch, capsys):
    runnable_root(tmp_path / "root")
    monkeypatch.chdir(tmp_path)

    def audit(*words):
        capsys.readouterr()
        code = main(["audit", *words])
        return code, capsys.readouterr()

    assert audit("slim", "root", "--run", "cat /srv/link", "--to", "s")[0] == 0
    assert "page degree" not in audit("bloat")[1].out
    assert audit("bloat", "--prefetch", "ahead.jsonl")[0] == 2
    code, told = audit("bloat", "--pages", "--prefetch", "ahead.jsonl", "--slim", "s", *FLEET)
    assert code == 0 and "Page degree 0." in told.out and "apt:tools" in told.out
    assert "one pull at 50 Mbit/s" in told.out and "a month's transfer" in told.out
    assert "182.6 pulls in a month" in told.out and "Not counted" in told.out
    stretches = len(Path("ahead.jsonl").read_text().splitlines())
    assert f"To fetch ahead: ahead.jsonl, {stretches} stretches" in told.out and stretches
    found = json.loads(audit("bloat", "--json")[1].out)
    assert found["pages"]["exact"] and found["moving"] is None
    assert sum(row["touched"] for row in found["pages"]["packages"]) == found["pages"]["kept"]["touched"]
    for wrong in (FLEET, ("--slim", "s", "--replicas", "3"), ("--slim", "s", "--disk-price", "1")):
        assert audit("bloat", *wrong)[0] == 2
    assert audit("report", "--slim", "s", *FLEET, "--to", "page.html")[0] == 0
    page = Path("page.html").read_text()
    for words in ("Pages by package", "a month&#x27;s transfer", "$0.09 for each GB pulled", "182.6 pulls"):
        assert words in page
