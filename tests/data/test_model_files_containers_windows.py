"""Parts of files as files, and streams that unfold within a budget."""

import io
import tempfile

import pytest

from tradewind.data.model_files.containers import windows
from tradewind.data.model_files.containers.windows import Spool, Unpacked, pieces, window
from tradewind.data.model_files.inspection import Allowed, Budget, Exhausted, Source
from tradewind.data.model_files.scanning import Scanning

CONTENT = bytes(range(256)) * 40


def test_a_window_is_a_file_of_its_own():
    file = window(Source(CONTENT), 100, 500)
    real = io.BytesIO(CONTENT[100:600])
    for offset, whence, count in ((0, 0, 7), (3, 1, 9), (-5, 2, 20), (499, 0, 3), (0, 0, -1), (10, 2, 4)):
        assert file.seek(offset, whence) == real.seek(offset, whence)
        assert file.read(count) == real.read(count)
        assert file.tell() == real.tell()
    buffer = bytearray(4)
    file.seek(0)
    assert file.readinto(buffer) == 4 and bytes(buffer) == CONTENT[100:104]
    assert window(Source(CONTENT), 10_000, 9_999).read() == CONTENT[10_000:]
    with pytest.raises(ValueError, match="no position"):
        file.seek(-1)
    assert Source(file).read(2, 3) == CONTENT[102:105]


def test_pieces_are_all_of_a_part():
    assert b"".join(pieces(Source(CONTENT), 5, 900)) == CONTENT[5:905]
    assert b"".join(pieces(Source(CONTENT), 10_000, 10**9)) == CONTENT[10_000:]


def test_what_grows_goes_to_a_file_and_leaves_nothing(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(windows, "_MEMORY", 1000)
    spool = Spool()
    for start in range(0, len(CONTENT), 300):
        spool.add(CONTENT[start : start + 300])
    assert Source(spool).read(0, len(CONTENT) + 1) == CONTENT
    assert spool.seek(5) == 5 and spool.read(2) == CONTENT[5:7] and spool.readall() == CONTENT[7:]
    del spool  # the last reference
    assert list(tmp_path.iterdir()) == []


def test_unfolding_takes_from_the_budget():
    unpacked = Unpacked(Scanning(Allowed(), Budget(unpacked=5000)), 10)
    unpacked.add(bytes(5000))
    with pytest.raises(Exhausted, match="more bytes"):
        unpacked.add(b"x")
    unpacked = Unpacked(Scanning(Allowed(), Budget(ratio=2)), 2000)
    unpacked.add(bytes(4000))
    with pytest.raises(Exhausted, match="unfolds"):
        unpacked.add(b"x")
