"""The stream of one pickle: windows, frames, lengths that are not believed."""

import io

import pytest

from tradewind.data.model_files.inspection import Source
from tradewind.data.model_files.pickles.stream import Broken, Stream

CONTENT = bytes(range(251)) * 1000


def test_reads_are_those_of_a_file_across_windows():
    stream, file = Stream(Source(CONTENT)), io.BytesIO(CONTENT)
    for count in (1, 5, 65_530, 9, 70_000, 3, 0, 65_536, 1):
        assert stream.read(count) == file.read(count)
        assert stream.position == file.tell()
    stream = Stream(Source(CONTENT), 77)
    assert stream.read(4) == CONTENT[77:81]


def test_lines_are_those_of_a_file():
    text = b"a\n" + b"b" * 90_000 + b"\n\nc\n"
    stream, file = Stream(Source(text)), io.BytesIO(text)
    for _ in range(4):
        assert stream.readline() == file.readline()
    with pytest.raises(Broken):
        stream.readline()
    with pytest.raises(Broken):
        Stream(Source(b"no end")).readline()


def test_lengths_are_compared_with_what_is_left():
    with pytest.raises(Broken, match="declared"):
        Stream(Source(b"abc")).read(1 << 62)
    with pytest.raises(Broken, match="declared"):
        Stream(Source(b"abc")).skip(4)
    with pytest.raises(Broken, match="frame"):
        Stream(Source(b"abc")).frame(4)


def test_skipping_reads_nothing():
    stream = Stream(Source(CONTENT))
    stream.read(3)
    assert stream.skip(200_000) == 3
    assert stream.read(2) == CONTENT[200_003:200_005]


def test_an_argument_stays_in_its_frame():
    stream = Stream(Source(b"abcdef\n"))
    stream.frame(3)
    assert stream.in_frame == 3
    assert stream.read(2) == b"ab"
    with pytest.raises(Broken, match="crosses"):
        stream.read(2)
    stream = Stream(Source(b"abcdef\n"))
    stream.frame(3)
    with pytest.raises(Broken):
        stream.readline()
    stream = Stream(Source(b"abcdef\n"))
    stream.frame(3)
    stream.read(3)
    assert stream.read(2) == b"de"
    stream.frame(1)
    with pytest.raises(Broken, match="before"):
        stream.frame(1)
