import io
import json

import pytest

from tradewind.cli import terminal
from tradewind.errors import Misuse
from tradewind.estimates.run_time import Interval


def test_plain_columns_off_a_terminal(capsys):
    terminal.table(("type", "$/hour"), [("p2.xlarge", "0.27"), ("c5", "12.00")], numbers=(1,), title="prices")
    assert capsys.readouterr().out.splitlines() == [
        "prices",
        "type       $/hour",
        "p2.xlarge    0.27",
        "c5          12.00",
    ]


def test_ruled_on_a_terminal(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    out = Terminal()
    monkeypatch.setattr("sys.stdout", out)
    monkeypatch.setenv("TERM", "xterm-256color")
    terminal.table(("type",), [("p2.xlarge",)], title="prices")
    assert "\x1b[" in out.getvalue() and "p2.xlarge" in out.getvalue() and "prices" in out.getvalue()


def test_an_empty_table_has_its_heads(capsys):
    terminal.table(("run", "state"), [])
    assert capsys.readouterr().out == "run  state\n"


def test_values_as_one_line_of_json(capsys):
    terminal.show({"time": Interval(1.0, 2.0, 3.0), "text": "a\nb"})
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert json.loads(out) == {"time": {"low": 1.0, "expected": 2.0, "high": 3.0}, "text": "a\nb"}


def test_a_verb_passes_on_what_it_returns_and_raises():
    @terminal.verb("tradewind test")
    def command(*, as_json: bool) -> int:
        if as_json:
            raise Misuse("no")
        return 7

    assert command.main([], standalone_mode=False) == 7
    with pytest.raises(Misuse):
        command.main(["--json", "--debug"], standalone_mode=False)
