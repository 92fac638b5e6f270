"""What several verbs of an audit have in common."""

from pathlib import Path

import pytest

from tradewind.cli.audits import options
from tradewind.errors import Misuse
from tradewind.session.audit.spec import AuditSpec


def test_a_command_or_a_file_or_neither(tmp_path):
    assert options.spec_of(None, None) == AuditSpec()
    (work,) = options.spec_of(None, "python3 'a b.py'").run
    assert (work.name, work.command) == ("run-1", ("python3", "a b.py"))
    (tmp_path / "a.toml").write_text("seed = 4\n")
    assert options.spec_of(tmp_path / "a.toml", None).seed == 4
    with pytest.raises(Misuse, match="Leave one out"):
        options.spec_of(tmp_path / "a.toml", "true")


def test_the_usual_profile_may_be_missing_and_a_named_one_may_not(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert options.existing(options.PROFILE) is None
    assert options.existing(Path("named")) == Path("named")
    options.PROFILE.mkdir()
    assert options.existing(options.PROFILE) == options.PROFILE


def test_amounts_are_told_together():
    told = []
    add = options.adding(lambda done, of: told.append((done, of)))
    for amount in (3, 0, 4):
        add(amount)
    assert told == [(3, None), (3, None), (7, None)]
