"""Records that only grow: what was appended reads back, and what was altered shows."""

import json

import pytest

from tradewind.data.record_lines import RecordLines
from tradewind.errors import Corrupt


def test_records_read_back_in_their_order(tmp_path):
    path = tmp_path / "lines.jsonl"
    assert RecordLines(path).read() == []
    RecordLines(path).append({"b": 1, "a": [2.5]})
    lines = RecordLines(path)
    lines.append("x")
    lines.append(None)
    assert [json.loads(each) for each in RecordLines(path).read()] == [{"b": 1, "a": [2.5]}, "x", None]
    assert RecordLines(path).read()[0] == b'{"b":1,"a":[2.5]}'


@pytest.mark.parametrize("kept", [1, 20, 56])
def test_a_last_line_that_a_kill_cut_off_is_dropped_and_written_over(tmp_path, kept):
    path = tmp_path / "lines.jsonl"
    lines = RecordLines(path)
    lines.append(1)
    whole = path.read_bytes()
    lines.append(2)
    path.write_bytes(path.read_bytes()[: len(whole) + kept])
    assert RecordLines(path).read() == [b"1"]
    again = RecordLines(path)
    again.append(3)
    assert RecordLines(path).read() == [b"1", b"3"]


@pytest.mark.parametrize("spoil", ["alter", "remove", "swap", "scribble"])
def test_an_altered_record_shows(tmp_path, spoil):
    path = tmp_path / "lines.jsonl"
    lines = RecordLines(path)
    for each in (10, 20, 30):
        lines.append(each)
    rows = path.read_bytes().splitlines(keepends=True)
    if spoil == "alter":
        rows[1] = rows[1].replace(b"20", b"21")
    elif spoil == "remove":
        del rows[1]
    elif spoil == "swap":
        rows[0], rows[1] = rows[1], rows[0]
    else:
        rows[1] = b"not json\n"
    path.write_bytes(b"".join(rows))
    with pytest.raises(Corrupt, match=r"lines\.jsonl, line [12]"):
        RecordLines(path).read()
