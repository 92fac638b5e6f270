"""Pages are measured by running again, kept with the profile, and forgotten when its runs are others."""

import json

import pytest

from audited_root import runnable_root
from tradewind.data.durable_files import TEMPORARY
from tradewind.errors import Misuse
from tradewind.session.audit import paging
from tradewind.session.audit.paging import FILE, measure_pages, pages_of, write_prefetch
from tradewind.session.audit.spec import make_audit_spec
from tradewind.session.audit.steps import record
from tradewind.session.audit.subject import open_subject

pytestmark = pytest.mark.root

HEAD = {"name": "head", "command": "busybox head -c 5 /usr/share/waste/pile"}


def recorded(folder, *runs):
    with open_subject(str(folder / "root")) as subject:
        record(subject, folder / "p", make_audit_spec({"run": list(runs)}))


def test_the_pages_of_the_recorded_runs_are_told_as_long_as_they_are_the_same(tmp_path, monkeypatch):
    root = runnable_root(tmp_path / "root")
    recorded(tmp_path, HEAD)
    with open_subject("", tmp_path / "p") as subject:
        assert pages_of(subject) is None
        with pytest.raises(Misuse, match="no pages were measured"):
            write_prefetch(subject, tmp_path / "ahead.jsonl")
        heard = []
        done = measure_pages(subject, heard.append)
        assert done.exact and heard == []
        found = pages_of(subject)
        rows = {row.name: row for row in found.files}
        # What stdio reads at once, of 300 kB; the program is there for more than a page.
        pile = (root / "usr/share/waste/pile").stat().st_size
        assert 0 < rows["usr/share/waste/pile"].touched < pile / 2
        assert rows["bin/busybox"].touched > 4096
        assert {row.name for row in found.packages} >= {"apt:waste", "apt:tools"}
        assert sum(row.touched for row in found.packages) == found.kept.touched
        assert found.kept.bytes == subject.closure.kept.bytes

        stretches = write_prefetch(subject, tmp_path / "ahead.jsonl")
        ahead = [json.loads(line) for line in (tmp_path / "ahead.jsonl").read_text().splitlines()]
        assert len(ahead) == stretches and ahead[0]["path"] == "/bin/busybox"
        assert all(set(each) == {"path", "offset", "length"} and each["length"] > 0 for each in ahead)

        monkeypatch.setattr(paging, "why_not_cold", lambda: "there is no loop device")
        assert not measure_pages(subject, heard.append).exact
        assert heard == ["measured as the tree lies: there is no loop device"]
        assert "upper bound" in pages_of(subject).note
    assert not [each for each in tmp_path.rglob(f"{TEMPORARY}*")]
    recorded(tmp_path, {"name": "more", "command": "cat /srv/link"})
    with open_subject("", tmp_path / "p") as subject:
        assert pages_of(subject) is None
        (tmp_path / "p" / FILE).write_bytes(b"{")
        with pytest.raises(Misuse, match="cannot be read"):
            pages_of(subject)
