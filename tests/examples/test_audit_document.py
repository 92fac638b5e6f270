"""What docs/audit.md shows is what there is: its spec is read, its tables are whole, its options are real."""

from __future__ import annotations

import importlib
import re
import tomllib
from pathlib import Path
from typing import get_args

import pytest

from tradewind.audit.slimming.policy import Policy
from tradewind.audit.tracing.backends.recording import BACKENDS
from tradewind.audit.vulnerabilities.evidence import State
from tradewind.cli.audit import VERBS
from tradewind.cli.main import main
from tradewind.data.model_files.scanner import every_rule
from tradewind.session.audit.spec import make_audit_spec

PAGE = (Path(__file__).parents[2] / "docs" / "audit.md").read_text(encoding="utf-8")


def first_cells(head: str) -> set[str]:
    """The names in the first column of the table that begins so."""
    rows = PAGE[PAGE.index(head) :].split("\n\n")[0].splitlines()[2:]
    return {name for row in rows for name in re.findall(r"`([\w-]+)`", row.split("|")[1])}


def test_the_spec_is_read() -> None:
    (block,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    spec = make_audit_spec(tomllib.loads(block), source="docs/audit.md", folder=Path("/data"))
    assert [each.name for each in spec.run] == ["predict", "serve"] and spec.policy.locales
    assert spec.run[0].inputs[0].source == "/data/rows.json"


def test_every_verb_is_shown_and_every_option_is_there() -> None:
    assert set(re.findall(r"tradewind audit (\w+)", PAGE)) == set(VERBS)
    verbs = [importlib.import_module(f"tradewind.cli.audits.{name}").command for name in VERBS]
    options = {option for verb in verbs for each in verb.params for option in each.opts}
    options |= {"--app-dir", "--port"}  # of uvicorn
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", PAGE)) <= options


def test_the_tables_are_whole() -> None:
    assert first_cells("| `--backend`") == set(BACKENDS)
    assert first_cells("| `[policy]`") == set(Policy.__struct_fields__)
    assert first_cells("| state") == set(get_args(State))
    families = {rule.partition("-")[0] for rule in every_rule()}
    assert {name.rstrip("-") for name in first_cells("| rules")} == families


@pytest.mark.parametrize("form", ["cyclonedx", "spdx"])
def test_the_forms_of_bills_are_there(form, capsys) -> None:
    assert f"--sbom {form}" in PAGE
    assert main(["audit", "scan", "--help"]) == 0
    assert form in capsys.readouterr().out


def test_the_pickle_is_blocked_as_shown(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    Path("bad.pkl").write_bytes(b'cposix\nsystem\n(S"id"\ntR.')
    assert main(["audit", "model", "bad.pkl"]) == 1
    told = capsys.readouterr().out.splitlines()[:4]
    assert "\n".join(told) in PAGE
