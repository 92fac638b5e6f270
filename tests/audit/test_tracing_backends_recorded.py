"""Recorded runs: written and read back whole, and damage of every kind told."""

import gzip

import pytest

from tradewind.audit.tracing.backends.recorded import opened_recorded, read_recorded, write_recorded
from tradewind.audit.tracing.events import Event, RunHeader
from tradewind.errors import Misuse

HEADER = RunHeader("tradewind-trace-1", "r", "strace", ("python3", "x.py"), "sha256:0", 0, 1.5, ("open",), 2)
EVENTS = tuple(
    Event(0.1 * at, 7, "open", path, at % 2 == 0, "/bin/sh")
    for at, path in enumerate(["/a", "/é", "/new\nline", '/"quote\\', "/not-utf8-\udcff"])
)


@pytest.mark.parametrize("name", ["run.jsonl", "run.jsonl.gz"])
def test_a_run_reads_back_as_it_was_written(tmp_path, name):
    path = tmp_path / name
    write_recorded(path, HEADER, EVENTS)
    assert read_recorded(path) == (HEADER, EVENTS, ())
    first = path.read_bytes()
    write_recorded(path, HEADER, EVENTS)
    assert path.read_bytes() == first and [p.name for p in tmp_path.iterdir()] == [name]


def test_a_run_that_breaks_off_while_it_is_written_leaves_the_old_one(tmp_path):
    path = tmp_path / "run.jsonl"
    write_recorded(path, HEADER, EVENTS[:1])

    def broken():
        yield EVENTS[0]
        raise RuntimeError("cut")

    with pytest.raises(RuntimeError):
        write_recorded(path, HEADER, broken())
    assert read_recorded(path)[1] == EVENTS[:1] and len(list(tmp_path.iterdir())) == 1


def test_every_damage_is_told_by_its_line_and_the_rest_is_read(tmp_path):
    path = tmp_path / "run.jsonl"
    write_recorded(path, HEADER, EVENTS[:3])
    lines = path.read_bytes().splitlines(keepends=True)
    lines[2] = b'{"ts":0,"pid":1,"op":"eat","path":"/x"}\n'
    lines.insert(3, b"[" * 2000 + b"\n")
    lines.insert(3, b"x" * ((1 << 20) + 5) + b"\n")
    path.write_bytes(b"".join(lines)[:-4])
    header, events, damage = read_recorded(path)
    assert header == HEADER and events == EVENTS[:1]
    assert [each.partition(":")[0] for each in damage] == ["line 3", "line 4", "line 5", "line 6"]
    assert "eat" in damage[0] and "longer than" in damage[1] and "cut short" in damage[3]


def test_a_compressed_run_that_is_cut_tells_so(tmp_path):
    path = tmp_path / "run.gz"
    write_recorded(path, HEADER, EVENTS * 500)
    path.write_bytes(path.read_bytes()[:-200])
    with opened_recorded(path) as recorded:
        read = list(recorded)
        assert 0 < len(read) < 2500 and "cannot be read further" in recorded.damage[-1]


FOREIGN = b'{"format":"other-2","name":"","backend":"","command":[],"tree":""}\n'


@pytest.mark.parametrize(
    "content",
    [b"", b"{}\n", FOREIGN, b"\x1f\x8bxx", b"\xff\n"],
    ids=["empty", "no header", "another format", "no gzip", "no text"],
)
def test_what_is_no_recorded_run_is_refused(tmp_path, content):
    path = tmp_path / "run"
    path.write_bytes(content)
    with pytest.raises(Misuse, match="line 1"):
        read_recorded(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(Misuse, match="nothing-here"):
        read_recorded(tmp_path / "nothing-here")


def test_the_file_is_lines_of_json(tmp_path):
    path = tmp_path / "run.jsonl.gz"
    write_recorded(path, HEADER, EVENTS[:1])
    assert gzip.decompress(path.read_bytes()).count(b"\n") == 2
