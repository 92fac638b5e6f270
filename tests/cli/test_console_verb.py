"""`tradewind console`: a server that says where it is, and ends with Ctrl-C."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.request

import pytest
from click.testing import CliRunner

from tradewind.cli.console import command
from tradewind.data.trial_store import TrialStore
from tradewind.errors import Misuse

RUN = "import sys; from tradewind.cli.console import command; command.main(sys.argv[1:])"


def test_it_says_where_the_page_is_and_ends_with_an_interrupt(tmp_path):
    with TrialStore(tmp_path / "s.sqlite") as store:
        store.create("lr", {"direction": "minimize"})
    given = [sys.executable, "-c", RUN, str(tmp_path / "s.sqlite"), "--study", "lr", "--json"]
    with subprocess.Popen(given, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        url = json.loads(process.stdout.readline())["url"]
        with urllib.request.urlopen(f"{url}api/studies", timeout=10) as answer:
            assert json.load(answer)["first"] == "lr"
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0 and process.stderr.read() == b""


def test_what_is_not_there_is_misuse(tmp_path):
    found = CliRunner().invoke(command, [str(tmp_path / "s.sqlite")])
    assert isinstance(found.exception, Misuse) and "no such store" in str(found.exception)
    assert CliRunner().invoke(command, ["x", "--port", "70000"]).exit_code == 2


@pytest.mark.parametrize("words", ["Example: tradewind console", "--study", "kill trials"])
def test_its_help_has_an_example(words):
    told = CliRunner().invoke(command, ["--help"])
    assert told.exit_code == 0 and words in told.output and "lifeline" not in told.output
