"""What is deployed is audited: model files by their bytes, the environment's packages by advisories."""

from __future__ import annotations

import pickle

import pytest

from tradewind.errors import Misuse
from tradewind.session.pipeline.deployable import PASSED, REFUSED, UNDECIDED, audit_deployable
from tradewind.session.pipeline.spec import AuditTable


@pytest.fixture
def environment(tmp_path):
    """A folder of packages: one with a known vulnerability."""
    folder = tmp_path / "site-packages"
    (folder / "pillow-9.5.0.dist-info").mkdir(parents=True)
    (folder / "pillow-9.5.0.dist-info/METADATA").write_text(
        "Metadata-Version: 2.1\nName: pillow\nVersion: 9.5.0\n"
    )
    (folder / "PIL").mkdir()
    (folder / "PIL/__init__.py").write_text("raise SystemExit('imported')\n")
    (folder / "pillow-9.5.0.dist-info/RECORD").write_text(
        "PIL/__init__.py,,\npillow-9.5.0.dist-info/METADATA,,\npillow-9.5.0.dist-info/RECORD,,\n"
    )
    return folder


@pytest.fixture
def model(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "model.json").write_text("{}")
    return folder


class Bad:
    def __reduce__(self):
        return (open, ("/tmp/never", "w"))


def test_what_is_known_is_told_and_stops_it_only_if_asked(model, environment) -> None:
    told = audit_deployable(model, AuditTable(environment=str(environment)))
    assert told.verdict == PASSED and told.packages == 1 and told.known > 0 and told.sources
    stopped = audit_deployable(model, AuditTable(fail_on="any", environment=str(environment)))
    assert stopped.verdict == REFUSED and any("pillow" in reason for reason in stopped.reasons)


def test_under_strict_what_nobody_speaks_of_stops_it(model, environment) -> None:
    told = audit_deployable(model, AuditTable(strict=True, environment=str(environment)))
    assert told.verdict == UNDECIDED and told.reasons


def test_a_model_file_that_would_bite_is_refused_whatever_the_spec_says(model, environment) -> None:
    (model / "steps.pkl").write_bytes(pickle.dumps(Bad()))
    told = audit_deployable(model, AuditTable(environment=str(environment)))
    assert told.verdict == REFUSED and any("steps.pkl" in reason for reason in told.reasons)


def test_no_model_is_no_pass(tmp_path, environment) -> None:
    (tmp_path / "empty").mkdir()
    assert audit_deployable(tmp_path / "empty", AuditTable(environment=str(environment))).verdict == UNDECIDED
    with pytest.raises(Misuse):
        audit_deployable(tmp_path / "absent", AuditTable(environment=str(environment)))
