import io

import pytest
from rich.console import Console

from tradewind import clock
from tradewind.cli.progress import Progress
from tradewind.control.records import Sample

START = clock.moment("2020-01-05T00:00:00Z")


def sample(k: int) -> Sample:
    return Sample(START + 600.0 * k, 100.0 * k, 1000.0, 0.7 - 0.03 * k if k else None, 4, 0.1 * k, 0.4 * k)


def test_lines_where_there_is_no_terminal(capsys):
    with Progress("adult") as progress:
        for k in range(5):
            progress.update(sample(k), "l3 will be revoked in 2m" if k == 2 else "")
    told = capsys.readouterr()
    assert told.out == "", "stdout is for the result"
    lines = told.err.splitlines()
    assert len(lines) == 2, "one line for the time, one for the event: no flood"
    assert lines[1] == "2020-01-05T00:20:00Z  l3 will be revoked in 2m"


def test_a_line_says_it_all():
    told = Progress("adult").line(sample(3))
    for part in ("2020-01-05T00:30:00Z", "30%", "loss 0.6100", "4 leases", "spent $0.30", "on demand $1.20"):
        assert part in told
    assert "loss" not in Progress("adult").line(sample(0))


def test_silent(capsys):
    with Progress("adult", silent=True) as progress:
        progress.update(sample(1), "an event")
        progress.tell("another")
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("count", [0, 1, 9])
def test_the_drawn_picture(count):
    progress = Progress("adult", budget=5.0)
    for k in range(count):
        progress.update(sample(k), f"event {k}")
    drawn = io.StringIO()
    Console(file=drawn, width=100).print(progress._picture())
    text = drawn.getvalue()
    assert "adult" in text
    if count == 9:
        for part in ("800 of 1,000", "0.4600", "$0.80 of $5.00", "$3.20", "75% saved", "1h20m", "event 8"):
            assert part in text, part
        assert "event 2" not in text, "old events leave"


def test_on_a_terminal_it_is_drawn_in_place(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    drawn = Terminal()
    monkeypatch.setattr("sys.stderr", drawn)
    monkeypatch.setenv("TERM", "xterm")
    with Progress("adult") as progress:
        progress.update(sample(1), "began")
        progress.update(sample(2))
    assert "\x1b[" in drawn.getvalue() and "began" in drawn.getvalue()
