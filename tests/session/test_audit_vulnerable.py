"""What is known to be vulnerable, with what a profile proves of it: each of the states, before and after."""

import json

import pytest

from tradewind.audit.images.opening import open_files
from tradewind.audit.slimming.policy import Policy
from tradewind.audit.tracing.events import Event, Run, RunHeader
from tradewind.audit.tracing.outcome import Outcome, Recorded
from tradewind.audit.tracing.reading import read_events
from tradewind.audit.tracing.workload import Workload
from tradewind.session.audit import vulnerable as module
from tradewind.session.audit.profile import profile_of
from tradewind.session.audit.subject import open_subject
from tradewind.session.audit.vulnerable import vulnerable
from tradewind.testing.images import PACKAGES

NAMES = ("loaded", "whole", "gone", "told")
FRESH = 1e6
"""Days; the dump below must not grow too old for its test."""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A tree of four vulnerable packages with a recorded run, and a dump of advisories on them."""
    monkeypatch.setattr(module, "FOLDER", tmp_path / "nobody's")
    place = tmp_path / "root" / PACKAGES
    for name in NAMES:
        info = place / f"{name}-1.0.dist-info"
        info.mkdir(parents=True)
        (place / f"{name}.py").write_text("x = 1\n")
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "RECORD").write_text(f"{name}.py,,\n{info.name}/METADATA,,\n{info.name}/RECORD,,\n")
    with open_files(tmp_path / "root") as image:
        profile = profile_of(tmp_path / "p", image)
        events = (Event(0.1, 7, "open", f"/{PACKAGES}/loaded.py"),)
        header = RunHeader("tradewind-trace-1", "one", "fanotify", ("x",), image.digest)
        run = Run(header, read_events(events, image.files.tree))
        profile.keep(Recorded(run, Outcome(0, b"", b""), events), Workload("one", ("x",)))
        told = f"{PACKAGES}/told-1.0.dist-info/**"
        profile.change(policy=Policy(whole=("pip:whole",), keep=(told,)))
    records = [
        {
            "id": f"X-{name}",
            "modified": "2026-11-01T00:00:00Z",
            "affected": [
                {
                    "package": {"ecosystem": "PyPI", "name": name},
                    "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "2"}]}],
                }
            ],
        }
        for name in NAMES
    ]
    (tmp_path / "dump.jsonl").write_text("".join(f"{json.dumps(each)}\n" for each in records))
    return tmp_path


def states(report):
    return {each.name: (each.before, each.after) for each in report.findings}


def test_each_state_is_proved(folder):
    with open_subject("", folder / "p") as subject:
        report = vulnerable(
            subject, folder=folder / "own", files=[folder / "dump.jsonl"], complete=["PyPI"], most_days=FRESH
        )
    assert states(report) == {
        "loaded": ("present-loaded", "present-loaded"),
        "whole": ("present-untouched", "present-untouched"),
        "gone": ("present-untouched", "removed"),
        "told": ("present-untouched", "metadata-only"),
    }
    assert report.unanswered == ()


def test_without_a_run_nobody_can_say_what_is_loaded(folder):
    with open_subject(str(folder / "root")) as subject:
        report = vulnerable(subject, folder=folder / "own", files=[folder / "dump.jsonl"], most_days=FRESH)
    assert states(report) == {name: ("unknown", None) for name in NAMES}


def test_what_no_source_speaks_of_is_unknown(folder):
    with open_subject("", folder / "p") as subject:
        report = vulnerable(subject, most_days=1.0)
    assert states(report) == {}
    assert {each.package: each.before for each in report.unanswered} == {
        f"pip:{name}": "unknown" for name in NAMES
    }
    with open_subject("", folder / "p") as subject:
        assert states(vulnerable(subject, folder=folder / "own")) == {}, "a folder that is not there is empty"
