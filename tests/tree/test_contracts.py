"""The import contracts are kept, and each of them fails on a planted violation."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINT = "import sys; from importlinter.cli import lint_imports_command as lint; lint(sys.argv[1:])"
PLANTED = {
    "Import only downwards": ("market/planted.py", "import tradewind.control.policy\n"),
    "No cycles between siblings": ("errors.py", "import tradewind.market.offers\n"),
    "Deciding code does no I/O": ("estimates/planted.py", "import socket\n"),
    "Shells are started": ("training/planted.py", "import tradewind.training.elastic.controller\n"),
    "One module per vendor": ("state/planted.py", "import boto3\n"),
}


def lint(source: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", LINT, "--config", str(ROOT / ".importlinter"), "--no-cache"],
        capture_output=True,
        text=True,
        timeout=100,
        env={**os.environ, "PYTHONPATH": str(source), "COLUMNS": "200"},
        check=False,
    )
    return done.stdout + done.stderr


def verdicts(told: str) -> dict[str, bool]:
    """By the beginning of a contract's name, whether it was kept."""
    found = {}
    for line in told.splitlines():
        for name in PLANTED:
            if line.startswith(name) and (verdict := re.search(r" (KEPT|BROKEN)\b", line)):
                found[name] = verdict[1] == "KEPT"
    return found


def test_the_contracts_are_kept():
    told = lint(ROOT / "src")
    assert verdicts(told) == dict.fromkeys(PLANTED, True), told


@pytest.fixture
def spoilt(tmp_path) -> Path:
    source = shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    for name, text in PLANTED.values():
        with (source / "tradewind" / name).open("a") as file:
            file.write(text)
    return source


def test_every_contract_fails_on_its_planted_violation(spoilt):
    told = lint(spoilt)
    assert verdicts(told) == dict.fromkeys(PLANTED, False), told


def test_a_new_name_at_the_top_needs_a_place(tmp_path):
    source = shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    (source / "tradewind" / "misplaced").mkdir()
    (source / "tradewind" / "misplaced" / "__init__.py").write_text('"""Nowhere."""\n')
    assert "tradewind.misplaced" in lint(source)
