"""`audit heal` as it is called: misses are told, then written, and the page names what was healed."""

import json
from pathlib import Path

import pytest

from audited_root import runnable_root
from tradewind.cli.main import main

pytestmark = pytest.mark.root


def test_a_slim_image_is_watched_healed_and_told_of(tmp_path, monkeypatch, capsys):
    runnable_root(tmp_path / "root")
    monkeypatch.chdir(tmp_path)

    def audit(*words):
        capsys.readouterr()
        code = main(["audit", *words])
        return code, capsys.readouterr()

    assert audit("slim", "root", "--run", "cat /srv/link", "--to", "s", "--form", "folders")[0] == 0
    more = ("--slim", "s", "--run", "cat /srv/link /srv/index.html")
    code, told = audit("heal", *more)
    assert code == 1 and "canary: 0." in told.out and "1 miss, 16 B" in told.out
    assert "/srv/index.html" in told.out and "unowned" in told.out and "opened" in told.out
    code, told = audit("heal", *more, "--to", "s2", "--name", "page")
    assert code == 0 and "page: 0." in told.out and "Healed: " in told.out
    assert "tradewind audit verify --slim s2" in told.out
    assert audit("heal", *more, "--to", "s2")[0] == 2
    code, told = audit("heal", *more[:1], "s2", *more[2:], "--json")
    assert (code, json.loads(told.out)["misses"], json.loads(told.out)["healed"]) == (0, [], False)
    assert audit("report", "--slim", "s2", "--to", "page.html")[0] == 0
    page = Path("page.html").read_text()
    assert "Healed (1)" in page and "srv/index.html" in page and "Time and cost of moving it" not in page
