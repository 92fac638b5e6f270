"""What is shipped is what it says, and what is imported is there whole or not at all."""

from __future__ import annotations

import gzip
import hashlib
import json
import subprocess
import sys
import zipfile
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from tradewind.audit.packages import Inventory, Package
from tradewind.audit.trees import Entry, Tree
from tradewind.audit.vulnerabilities.evidence import Evidence, report
from tradewind.audit.vulnerabilities.gate import PASSED, UNDECIDED, exit_code
from tradewind.audit.vulnerabilities.matching import match
from tradewind.audit.vulnerabilities.sources import moment_of
from tradewind.audit.vulnerabilities.stored import compiled, imported, opened, shipped
from tradewind.errors import Misuse

NOW = moment_of("2026-11-10") or 0.0
RECORD: dict[str, Any] = {
    "id": "X-1",
    "modified": "2026-11-01T00:00:00Z",
    "affected": [
        {
            "package": {"ecosystem": "PyPI", "name": "x"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "2"}]}],
        }
    ],
}


def test_what_is_shipped() -> None:
    database = shipped()
    pypa, overlay = database.sources
    folder = files("tradewind.audit.vulnerabilities") / "shipped"
    content = (folder / "pypa-2024-10.jsonl.gz").read_bytes()
    assert pypa.digest == hashlib.sha256(content).hexdigest()
    assert pypa.as_of.startswith("2024-10-10")
    assert pypa.covers == ("PyPI",)
    assert pypa.records > 2500
    assert "CC BY 4.0" in pypa.licence
    assert len(content) <= 600_000
    assert overlay.covers == ()
    assert overlay.records >= 60


def test_every_advisory_kept_by_hand_tells_where_it_was_read() -> None:
    lines = (
        (files("tradewind.audit.vulnerabilities") / "shipped" / "ml_overlay.jsonl").read_text().splitlines()
    )
    records = [json.loads(line) for line in lines]
    assert len({each["id"] for each in records}) == len(records)
    for each in records:
        assert each["database_specific"]["checked"], each["id"]
        assert all(reference["url"].startswith("https://") for reference in each["references"]), each["id"]
        assert each["references"], each["id"]
        (entry,) = each["affected"]
        kinds = [kind for event in entry["ranges"][0]["events"] for kind in event]
        assert kinds[0] == "introduced", each["id"]
        assert kinds[-1] in ("fixed", "last_affected"), each["id"]


def test_the_snapshot_compiles_to_the_same_bytes(bench_data: Any) -> None:
    snapshot = bench_data("advisories/pypa-2024-10.jsonl.gz")
    made = gzip.decompress(compiled(snapshot))
    folder = files("tradewind.audit.vulnerabilities") / "shipped"
    # Compared inflated: another zlib may deflate otherwise.
    assert made == gzip.decompress((folder / "pypa-2024-10.jsonl.gz").read_bytes())


def written(path: Path, form: str) -> Path:
    line = json.dumps(RECORD)
    match form:
        case "zip":
            with zipfile.ZipFile(path, "w") as archive:
                archive.writestr("X-1.json", json.dumps(RECORD, indent=1))
                archive.writestr("README", "none of ours")
        case "lines":
            path.write_text(f"{line}\n\n{line.replace('X-1', 'X-2')}\n")
        case "gzip":
            path.write_bytes(gzip.compress(line.encode()))
        case "list":
            path.write_text(f"[{line}]")
        case "one":
            path.write_text(line)
    return path


@pytest.mark.parametrize("form", ["zip", "lines", "gzip", "list", "one"])
def test_osv_in_every_form(tmp_path: Path, form: str) -> None:
    source = imported(written(tmp_path / "all.dump", form), tmp_path / "own", complete=("PyPI",))
    assert (source.name, source.as_of, source.covers) == ("osv-all", "2026-11-01T00:00:00Z", ("PyPI",))
    assert source.records == (2 if form == "lines" else 1)
    database = opened(tmp_path / "own", with_shipped=False)
    assert database.sources == (source,)
    assert database.about("PyPI", "x")[0].advisory.id == "X-1"
    assert [path.name for path in (tmp_path / "own").iterdir()] == ["osv-all.jsonl.gz"]


def strict(database: Any) -> int:
    package = Package("pip", "y", "1.0", files=("y.py",))
    inventory = Inventory(Tree([Entry("y.py", "file", 1)]), {package.key: package})
    return exit_code(report(Evidence(inventory), match(inventory, database, NOW)), None, strict=True)


def test_only_a_fresh_and_readable_dump_passes_a_strict_gate(tmp_path: Path) -> None:
    own = tmp_path / "own"
    assert strict(opened()) == UNDECIDED
    imported(written(tmp_path / "a.jsonl", "lines"), own)
    assert strict(opened(own)) == UNDECIDED
    imported(written(tmp_path / "a.jsonl", "lines"), own, complete=("PyPI",), as_of="2026-01-01")
    assert strict(opened(own)) == UNDECIDED
    imported(written(tmp_path / "a.jsonl", "lines"), own, complete=("PyPI",))
    assert strict(opened(own)) == PASSED
    (own / "broken.jsonl.gz").write_bytes(b"\x1f\x8b half")
    assert strict(opened(own)) == UNDECIDED
    assert "broken" in [source.name for source in opened(own).sources if source.trouble]
    assert strict(opened(tmp_path / "nowhere")) == UNDECIDED


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"nonsense", "no JSON"),
        (b"3\n4\n", "no OSV record"),
        (b'{"matches": 1, "descriptor": {}}', "matches"),
        (b"PK\x03\x04 broken", "no JSON"),
        (gzip.compress(b"{}" * 100)[:-4], "cut short"),
        (b'{"a": 1}', "pip-audit"),
    ],
    ids=["nonsense", "numbers", "grype", "zip", "gzip", "other"],
)
def test_what_cannot_be_read_leaves_nothing(tmp_path: Path, content: bytes, complaint: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(Misuse, match=complaint):
        imported(path, tmp_path / "own")
    assert not (tmp_path / "own").exists()


def test_a_member_that_is_larger_than_it_may_be_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tradewind.audit.vulnerabilities.stored.LARGEST_RECORD", 1000)
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("X.json", json.dumps(RECORD) + " " * 100_000)
    with pytest.raises(Misuse, match="too much"):
        imported(tmp_path / "bomb.zip", tmp_path / "own")


def test_names_and_dates_are_checked(tmp_path: Path) -> None:
    path = written(tmp_path / "a.jsonl", "one")
    with pytest.raises(Misuse, match="name"):
        imported(path, tmp_path / "own", name="../outside")
    with pytest.raises(Misuse, match="as_of"):
        imported(path, tmp_path / "own", as_of="yesterday")
    with pytest.raises(Misuse, match="no such file"):
        imported(tmp_path / "none", tmp_path / "own")
    audit = tmp_path / "audit.json"
    audit.write_text('{"dependencies": []}')
    with pytest.raises(Misuse, match="complete"):
        imported(audit, tmp_path / "own", complete=("PyPI",))


def test_the_command_that_compiles(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tradewind.audit.vulnerabilities.stored"]
    snapshot = written(tmp_path / "dump", "lines")
    ran = subprocess.run(
        [*command, str(snapshot), str(tmp_path / "out.jsonl.gz")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert "2 advisories up to 2026-11-01" in ran.stdout
    assert subprocess.run(command, capture_output=True, timeout=60, check=False).returncode == 2


WRITTEN = b'{"id": "X-1", "affected": [{"package": {"ecosystem": "PyPI", "name": "a"}, "versions": ["%s"]}]}'


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"[" * 100_000, "deep"),
        (WRITTEN % b"\\ud800", "no Unicode"),
        (WRITTEN % b"1" + b"\n" + b"[" * 100_000, "no JSON"),
    ],
    ids=["deep", "a lone surrogate", "a deep line"],
)
def test_json_that_is_read_and_cannot_be_kept_is_refused(
    tmp_path: Path, content: bytes, complaint: str
) -> None:
    (tmp_path / "given.json").write_bytes(content)
    with pytest.raises(Misuse, match=complaint):
        imported(tmp_path / "given.json", tmp_path / "to")
    assert not (tmp_path / "to").exists() or not list((tmp_path / "to").iterdir())


@pytest.mark.parametrize("damage", ["a name of no letters", "a place before the file"])
def test_an_archive_whose_directory_lies_is_refused(tmp_path: Path, damage: str) -> None:
    given = tmp_path / "given.zip"
    with zipfile.ZipFile(given, "w") as archive:
        archive.writestr("a.json", WRITTEN % b"1")
        archive.writestr("b", b"")
    content = bytearray(given.read_bytes())
    at = content.rindex(b"PK\1\2") if damage.startswith("a name") else content.index(b"PK\1\2")
    if damage.startswith("a name"):
        content[at + 28 : at + 32] = b"\0\0\1\0"  # the name's byte is one of an extra field
        given.write_bytes(content)
        assert imported(given, tmp_path / "to").name == "osv-given"
        return
    content[at + 42 : at + 46] = b"\xff\xff\xff\x7f"
    given.write_bytes(content)
    with pytest.raises(Misuse, match="damaged archive"):
        imported(given, tmp_path / "to")
