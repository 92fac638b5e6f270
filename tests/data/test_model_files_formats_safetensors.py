"""safetensors: every way in which header and bytes may disagree is told."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save

from tradewind.data.model_files.scanner import scan_bytes


def judged(content):
    scan = scan_bytes(content)
    return scan.verdict, {each.rule for each in scan.findings}


def file(header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def entry(first, last, dtype="U8", shape=None):
    return {
        "dtype": dtype,
        "shape": [last - first] if shape is None else shape,
        "data_offsets": [first, last],
    }


def test_what_the_library_writes_is_clean():
    arrays = {"a": np.ones((3, 4), "f4"), "b": np.zeros(0, "i8"), "c": np.array(2.0)}
    assert judged(save(arrays, {"format": "pt"})) == ("clean", set())
    assert judged(file({"a": entry(0, 4, "BF16", [2])}, b"1234"))[0] == "clean"
    assert judged(file({"__metadata__": {"x": "y"}}))[0] == "clean"


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (file({"a": entry(0, 4), "b": entry(2, 6)}, b"123456"), "safetensors-bytes"),
        (file({"a": entry(0, 2), "b": entry(4, 6)}, b"123456"), "safetensors-bytes"),
        (file({"a": entry(2, 6)}, b"123456"), "safetensors-bytes"),
        (file({"a": entry(0, 4)}, b"1234trailing"), "safetensors-bytes"),
        (file({"a": entry(0, 400)}, b"1234"), "safetensors-bytes"),
        (file({"a": entry(0, 4, "F32", [2])}, b"1234"), "safetensors-bytes"),
        (file({"a": entry(0, 4, "Q3", [2])}, b"1234"), "safetensors-dtype"),
        (file({"a": entry(0, 4, "U8", [-4])}, b"1234"), "safetensors-header"),
        (file({"a": {**entry(0, 4), "code": "x"}}, b"1234"), "safetensors-header"),
        (file({"a": entry(0, 4), "__metadata__": {"x": {"y": 1}}}, b"1234"), "safetensors-header"),
        (file(b'{"a":1,"a":2}'), "safetensors-header"),
        (file(b'{"a":' + b"[" * 20_000 + b"]" * 20_000 + b"}"), "safetensors-header"),
        (file(b"{not json"), "safetensors-header"),
    ],
    ids=[
        "overlap", "gap", "late", "trailing", "beyond", "short", "dtype", "negative", "key", "metadata",
        "twice",
        "deep", "json",
    ],
)  # fmt: skip
def test_a_disagreement_is_told(content, rule):
    verdict, rules = judged(content)
    assert verdict != "clean" and rule in rules


def test_no_cut_is_clean():
    whole = save({"a": np.ones((2, 2), "f4")})
    assert not [cut for cut in range(len(whole)) if judged(whole[:cut])[0] == "clean"]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 70), st.integers(0, 255))
def test_a_changed_header_is_never_a_fault_of_the_scanner(at, byte):
    whole = bytearray(save({"a": np.ones((2, 2), "f4")}))
    whole[at % len(whole)] = byte
    assert "scan-fault" not in judged(bytes(whole))[1]
