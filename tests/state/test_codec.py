from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tradewind.errors import Corrupt
from tradewind.state.codec import COMPACT, RAW, Codec, Packed, agreed, pack, unpack

LOSSLESS = [RAW, COMPACT, Codec("delta"), Codec(compress=True)]


@settings(max_examples=120, deadline=None)
@given(
    array=st.one_of(
        arrays(np.float32, st.tuples(st.integers(0, 40), st.integers(1, 3))),
        arrays(np.float64, st.integers(0, 60)),
        arrays(np.int64, st.integers(0, 60)),
        st.lists(st.integers(0, 2**62), max_size=60).map(lambda rows: np.unique(np.array(rows, np.int64))),
        st.integers(2, 500).map(lambda n: np.arange(n, dtype=np.int64) * 3),
    ),
    codec=st.sampled_from(LOSSLESS),
)
def test_what_is_not_lossy_comes_back_bit_for_bit(array, codec):
    packed, body = pack(array, codec)
    back = unpack(packed, bytes(body))
    assert back.dtype == array.dtype and back.shape == array.shape
    assert back.tobytes() == array.tobytes()


@given(arrays(np.float32, 20, elements=st.floats(-60000, 60000, width=32)))
@settings(max_examples=30, deadline=None)
def test_float16_keeps_three_digits(array):
    packed, body = pack(array, Codec(values="float16"))
    assert packed.coding == "half" and len(body) == 40
    np.testing.assert_allclose(unpack(packed, body), array, rtol=1e-3, atol=1e-7)


def test_what_float16_cannot_hold_goes_whole():
    array = np.array([1e6, np.nan, np.inf], np.float32)
    packed, body = pack(array, Codec(values="float16"))
    assert packed.coding == "raw"
    assert unpack(packed, bytes(body)).tobytes() == array.tobytes()


def test_rows_of_a_batch_get_smaller():
    rows = np.unique(np.random.default_rng(0).zipf(1.3, 8000) % 2**19).astype(np.int64)
    packed, body = pack(rows, COMPACT)
    assert packed.coding.startswith("delta")
    assert len(body) < rows.nbytes / 3


def test_each_part_is_agreed_upon():
    assert agreed(COMPACT, RAW) == RAW
    assert agreed(Codec("delta", "float16", True), COMPACT) == COMPACT


@pytest.mark.parametrize(
    ("packed", "body"),
    [
        (Packed("float32", (3,)), b"1234"),
        (Packed("object", (1,)), b"12345678"),
        (Packed("float32", (-1,)), b""),
        (Packed("int64", (3,), "delta1"), b"12345678"),
        (Packed("int64", (3,), "delta3"), b"12345678"),
        (Packed("float32", (2,), "half"), b"1"),
        (Packed("float32", (2,), "raw", True), b"no zstd at all"),
        (Packed("float32", (1,), "pickle"), b"1234"),
    ],
)
def test_a_frame_that_lies_is_corrupt(packed, body):
    with pytest.raises(Corrupt):
        unpack(packed, body)
