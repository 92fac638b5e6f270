"""The group `tradewind audit`: its verbs, their help, and a misspelt one."""

import importlib

import pytest

from tradewind.cli.audit import VERBS
from tradewind.cli.main import main


def test_help_lists_every_verb(capsys):
    assert main(["audit", "--help"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    for name, line in VERBS.items():
        assert name in out and line.split(":")[0] in out


@pytest.mark.parametrize("name", sorted(VERBS))
def test_every_verb_has_help_with_an_example_and_json(name, capsys):
    assert main(["audit", name, "--help"]) == 0
    out = capsys.readouterr().out
    assert f"tradewind audit {name}" in out and "--json" in out and "Example:" in out
    module = importlib.import_module(f"tradewind.cli.audits.{name}")
    assert (module.__doc__ or "").startswith(f"`tradewind audit {name}`:")


def test_a_misspelt_verb_is_answered_with_the_likely_one(capsys):
    assert main(["audit", "slimm"]) == 2
    assert "Did you mean 'slim'?" in capsys.readouterr().err
