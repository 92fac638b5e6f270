"""numpy's own files: headers that are literals, lengths that are right, objects that are pickles."""

import io
import pickle

import numpy as np
import pytest

from tradewind.data.model_files.inspection import Source
from tradewind.data.model_files.pickles.npy import header_of
from tradewind.data.model_files.scanner import scan_bytes

BAD = b"\x80\x02cos\nmkdir\nX\x01\x00\x00\x00x\x85R."
ARRAYS = {
    "floats": np.arange(6.0).reshape(2, 3), "fortran": np.asfortranarray(np.eye(3)), "texts": np.array(["a",
    "bc"]),
    "dates": np.array(["2026-01-02"], dtype="M8[D]"), "records": np.zeros(3, [("a", "i4"), ("b", "f8",
    (2,))]),
    "empty": np.zeros((0, 2)), "scalar": np.array(2.5), "nested": np.zeros(2, [("a", [("b", "u1")])]),
}  # fmt: skip


def saved(array, **options):
    file = io.BytesIO()
    np.save(file, array, **options)
    return file.getvalue()


def rules(content):
    return {finding.rule for finding in scan_bytes(content).findings}


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_are_clean_and_exactly_as_long_as_they_say(name):
    content = saved(ARRAYS[name])
    header = header_of(Source(content))
    assert (header.shape, header.itemsize) == (ARRAYS[name].shape, ARRAYS[name].itemsize)
    assert scan_bytes(content).findings == ()
    assert rules(content + b"\0") == {"npy-length"}
    for length in range(len(content)):
        assert scan_bytes(content[:length]).verdict != "clean", length


def test_objects_are_inspected():
    content = saved(np.array([{"a": 1}, None], dtype=object))
    assert scan_bytes(content).findings == ()
    start = header_of(Source(content)).start
    assert rules(content[:start] + BAD) == {"pickle-global", "pickle-call"}
    assert "npy-length" in rules(content[:start] + BAD + b"x")


@pytest.mark.parametrize("packed", [False, True])
def test_archives_of_arrays(packed):
    file = io.BytesIO()
    (np.savez_compressed if packed else np.savez)(file, a=np.arange(3), b=np.array([{}], dtype=object))
    scan = scan_bytes(file.getvalue())
    assert (scan.verdict, scan.format) == ("clean", "zip")


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '<f8', 'fortran_order': False, 'shape': (3,)", "__import__('os')", "[1]",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (3,), 'more': 1}",
        "{'descr': '<f8', 'fortran_order': 0, 'shape': (3,)}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (-3,)}",
        "{'descr': '<q9', 'fortran_order': False, 'shape': (3,)}",
        "{'descr': [('a',)], 'fortran_order': False, 'shape': (3,)}",
        "{'descr': " + "[" * 300 + "]" * 300 + ", 'fortran_order': False, 'shape': (3,)}",
        "(" * 20_000, "{'descr': '<f8'" + "-" * 9000, "",
    ],
    ids=["open", "call", "list", "more", "order", "shape", "type", "field", "nested", "deep", "minus",
    "empty"],
)  # fmt: skip
def test_headers_that_numpy_never_writes(header):
    text = header.encode()
    content = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + bytes(24)
    assert rules(content) == {"npy-header"}


def test_objects_in_records_are_pickles_too():
    content = saved(np.zeros(1, [("a", "O")]), allow_pickle=True)
    assert header_of(Source(content)).objects
    assert rules(content[: header_of(Source(content)).start] + BAD) >= {"pickle-call"}
    assert pickle.loads(content[header_of(Source(content)).start :]).dtype.hasobject
