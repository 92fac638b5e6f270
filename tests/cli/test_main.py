"""The command line as a user meets it: exit codes, one-line errors, help with examples, JSON."""

import json
import subprocess
import sys
from importlib import import_module

import click
import pytest
from click.testing import CliRunner

from tradewind.cli import main as main_module
from tradewind.cli.main import VERBS, main
from tradewind.cli.verbs import Verbs
from tradewind.errors import Misuse, Permanent


def run(capsys, *arguments: str) -> tuple[int, str, str]:
    code = main(arguments)
    told = capsys.readouterr()
    return code, told.out, told.err


@pytest.fixture
def failing(monkeypatch):
    """A verb that raises what the test says."""

    def plant(problem: BaseException) -> None:
        @click.command()
        @click.option("--json", "as_json", is_flag=True)
        @click.option("--debug", is_flag=True)
        def command(as_json: bool, debug: bool) -> None:
            raise problem

        monkeypatch.setattr(main_module.Verbs, "get_command", lambda self, ctx, name: command)

    return plant


def test_help_lists_every_verb_and_is_done(capsys):
    code, out, _ = run(capsys, "--help")
    assert code == 0
    for name, line in VERBS.items():
        assert name in out and line.split()[0] in out
    assert "Example:" in out


@pytest.mark.parametrize("name", list(VERBS))
def test_every_verb_has_help_with_an_example_and_the_options_of_all(name):
    command = import_module(f"tradewind.cli.{name}").command
    assert (command.help or "").strip().splitlines()[0].strip() == VERBS[name]
    verbs = [(name, command)]
    if isinstance(command, click.Group):
        context = click.Context(command)
        under = command.list_commands(context)
        verbs += [(f"{name} {verb}", command.get_command(context, verb)) for verb in under]
    if isinstance(command, Verbs):
        for words, each in verbs[1:]:
            assert (each.help or "").strip().splitlines()[0].strip() == command.verbs[words.split()[1]]
    for words, each in verbs:
        told = CliRunner().invoke(each, ["--help"], prog_name=f"tradewind {words}").output
        assert f"Example: tradewind {words}" in told
        if not isinstance(each, click.Group):
            assert "--json" in told and "--debug" in told
        for parameter in each.params:
            if isinstance(parameter, click.Option):
                assert parameter.help, f"{words} {parameter.opts[0]} says nothing"


def test_no_arguments_show_the_help(capsys):
    code, out, err = run(capsys)
    assert "Verbs" in out + err and code in (0, 2)


@pytest.mark.parametrize(
    "arguments",
    [("trian",), ("prices", "--vcpu", "x"), ("prices", "--nonsense"), ("--nonsense",), ("replay",)],
)
def test_a_wrong_command_line_is_misuse(capsys, arguments):
    code, out, err = run(capsys, *arguments)
    assert code == 2 and not out and err
    assert "Traceback" not in err


def test_a_misspelt_verb_is_answered_with_the_right_one(capsys):
    assert "'train'" in run(capsys, "trian")[2]


def test_our_errors_are_one_line_and_a_code(capsys, failing):
    failing(Permanent("no\nway"))
    assert run(capsys, "runs") == (1, "", "tradewind: no way\n")
    failing(Misuse("bad", source="a.toml", field="x", fix="Mend it."))
    assert run(capsys, "runs") == (2, "", "tradewind: a.toml: x: bad. Mend it.\n")


def test_errors_as_json(capsys, failing):
    failing(Misuse("bad", source="a.toml", field="x", fix="Mend it."))
    code, out, err = run(capsys, "runs", "--json")
    assert code == 2 and not err
    assert json.loads(out)["error"] == {
        "kind": "Misuse",
        "message": "a.toml: x: bad. Mend it.",
        "source": "a.toml",
        "field": "x",
        "fix": "Mend it.",
    }
    code, out, _ = run(capsys, "runs", "--nonsense", "--json")
    assert code == 2 and json.loads(out)["error"]["kind"] == "NoSuchOption"


def test_a_fault_of_ours_is_no_traceback_but_for_debug(capsys, failing):
    failing(ZeroDivisionError("oops"))
    code, _, err = run(capsys, "runs")
    assert code == 1 and "fault of ours" in err and "Traceback" not in err
    code, _, err = run(capsys, "runs", "--debug")
    assert code == 1 and "Traceback" in err and "ZeroDivisionError" in err


def test_interrupted(capsys, failing):
    failing(KeyboardInterrupt())
    code, out, err = run(capsys, "runs")
    assert (code, out, err.strip()) == (1, "", "tradewind: interrupted")


def test_a_reader_that_leaves_early_is_no_fault():
    done = subprocess.run(
        f"{sys.executable} -c 'import sys; from tradewind.cli.main import main; sys.exit(main())' "
        "prices --top 1000 | head -c 10",
        shell=True,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "Traceback" not in done.stderr and "Exception ignored" not in done.stderr, done.stderr


def test_version(capsys):
    code, out, _ = run(capsys, "--version")
    assert code == 0 and out.startswith("tradewind 0.")
