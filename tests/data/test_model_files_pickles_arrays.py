"""Element types as pickles describe them, against numpy's own; contradictions are refused."""

import pickle

import numpy as np
import pytest

from tradewind.data.model_files.allowed.lists import shipped
from tradewind.data.model_files.inspection import Budget, Source
from tradewind.data.model_files.pickles.arrays import UnknownArray, element_of, text_of
from tradewind.data.model_files.pickles.machine import Machine
from tradewind.data.model_files.pickles.stream import Stream
from tradewind.data.model_files.pickles.stubs import Made

TYPES = [
    "f8", ">f4", "?", "i1", "u8", "c16", "O", "U5", "S3", "V8", "M8[ns]", "m8[D]", "f2", "g",
    [("a", "f4"), ("b", "i8")], [("a", "O")], [("a", "f4", (3,))], [("a", [("b", "U2")])],
]  # fmt: skip


def stub_of(dtype):
    content = pickle.dumps(np.dtype(dtype), 4)
    return Machine(Stream(Source(content)), shipped(), Budget(), lambda *each: None).load()


@pytest.mark.parametrize("dtype", TYPES, ids=str)
def test_sizes_and_references_are_numpy_s(dtype):
    real = np.dtype(dtype)
    found = element_of(stub_of(dtype))
    assert (found.size, found.objects) == (real.itemsize, real.hasobject)
    if real.names is None and not real.hasobject and real.kind not in "VmM":
        assert np.dtype(found.text) == real


def test_flags_that_turn_bytes_into_references_are_refused():
    plain = (3, "<", None, None, None, -1, -1, 0)
    assert element_of(Made("numpy.dtype", ("f8",))).size == 8
    for name, state in {
        "f8": (*plain[:7], 63), "O8": plain, "V8": (3, "|", None, None, None, 8, 1, 1), "i4": (*plain[:5],
        16, 1, 0),
    }.items():  # fmt: skip
        stub = Made("numpy.dtype", (name, False, True))
        stub.states.append(state)
        with pytest.raises(UnknownArray):
            element_of(stub)


def test_fields_stay_in_their_record():
    inner = Made("numpy.dtype", ("f8",))
    for fields in ({"a": (inner, 4)}, {"a": (inner, -1)}, {"a": (inner,)}, {"b": (inner, 0)}):
        stub = Made("numpy.dtype", ("V8", False, True))
        stub.states.append((3, "|", None, ("a",), fields, 8, 1, 16))
        with pytest.raises(UnknownArray):
            element_of(stub)


@pytest.mark.parametrize("text", ["f3", "", "x8", "i16", "f8;", "O8x", "U" + "9" * 12], ids=repr)
def test_texts_that_are_no_type(text):
    with pytest.raises(UnknownArray):
        text_of(text)
    with pytest.raises(UnknownArray):
        element_of(text)
