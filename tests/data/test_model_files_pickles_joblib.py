"""Arrays between the opcodes, as joblib writes them."""

import io
import pickle

import joblib
import numpy as np
import pytest

from tradewind.data.model_files.scanner import scan_bytes, scan_file

VALUES = {
    "floats": np.arange(10.0), "fortran": np.asfortranarray(np.eye(5)), "empty": np.zeros((0, 3)),
    "objects": np.array([{"a": 1}, [2]], dtype=object), "texts": np.array(["a", "bcd"]),
    "scalar": np.float32(2),
    "records": np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")]), "big-endian": np.arange(3,
    dtype=">i4"),
    "dates": np.array(["2026-01-02"], dtype="M8[D]"), "none": np.array(3),
}  # fmt: skip


def dumped(value, tmp_path, **options):
    joblib.dump(value, tmp_path / "x.joblib", **options)
    return (tmp_path / "x.joblib").read_bytes()


@pytest.mark.parametrize("name", VALUES)
def test_arrays_are_passed_over(name, tmp_path):
    value = [VALUES[name], {"again": VALUES[name]}, "end"]
    assert scan_bytes(dumped(value, tmp_path)).findings == ()
    loaded = joblib.load(tmp_path / "x.joblib")
    assert np.array_equal(loaded[0], VALUES[name])


@pytest.mark.parametrize("method", ["zlib", "gzip", "bz2", "xz", "lzma"])
def test_every_compression(method, tmp_path):
    content = dumped([np.arange(99.0), {"a": np.eye(3)}], tmp_path, compress=(method, 3))
    scan = scan_bytes(content)
    assert scan.verdict == "clean"
    assert scan.format == f"{method}!pickle"
    assert scan_bytes(content[:-9]).verdict == "blocked"
    assert scan_bytes(content + b"x").verdict == "blocked"


def behind(content, payload):
    at = content.rindex(b"\x95\x05\x00\x00\x00\x00\x00\x00\x00M90e.")
    return content[:at] + payload + b"e."


def test_what_follows_an_array_is_read(tmp_path):
    content = dumped([np.arange(9.0), 12345], tmp_path)
    assert scan_bytes(content).verdict == "clean"
    scan = scan_bytes(behind(content, b"cos\nmkdir\nX\x01\x00\x00\x00x\x85R"))
    assert {finding.rule for finding in scan.findings} == {"pickle-global", "pickle-call"}
    inner = dumped(np.array([{}], dtype=object), tmp_path)
    own = pickle.dumps(np.array([{}], dtype=object), 5)
    bad = inner.replace(own, b"\x80\x02cos\nmkdir\nX\x01\x00\x00\x00x\x85R.")
    assert scan_bytes(inner).verdict == "clean"
    assert scan_bytes(bad).verdict == "blocked"


def test_padding_is_padding(tmp_path):
    content = dumped([np.arange(9.0), 1], tmp_path)
    at = content.index(b"ub\x10") + 2 if b"ub\x10" in content else content.index(b"\xff\xff\xff\xff\xff") - 1
    changed = content[: at + 1] + b"(" + content[at + 2 :]
    assert "joblib-padding" in {finding.rule for finding in scan_bytes(changed).findings}


def test_an_array_that_a_plain_reader_would_execute_is_blocked(tmp_path):
    payload = b"cos\nmkdir\nX\x01\x00\x00\x00x\x85R."
    hidden = np.frombuffer(payload.ljust(64, b"."), dtype="u1")
    file = io.BytesIO()
    joblib.dump([hidden], file)
    content = file.getvalue().replace(
        b"\x8c\x1bnumpy_array_alignment_bytes\x94K\x10", b"\x8c\x1bnumpy_array_alignment_bytes\x94N"
    )
    mark = content.index(payload)
    length = content[mark - 17 : mark]
    del length
    start = content.rindex(b"ub", 0, mark) + 2
    content = content[:start] + content[mark:]
    old = int.from_bytes(content[3:11], "little")
    content = content[:3] + (old - 1).to_bytes(8, "little") + content[11:]
    assert {finding.rule for finding in scan_bytes(content).findings} >= {"joblib-hidden"}


def test_a_large_array_is_not_read(tmp_path):
    path = tmp_path / "large.joblib"
    joblib.dump([np.zeros(9 << 20), {"end": 1}], path)  # above the size that is read whole
    scan = scan_file(path)
    assert scan.verdict == "clean"
    assert scan.size > 64 << 20
