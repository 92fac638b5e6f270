import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from tritonclient.utils import deserialize_bytes_tensor, serialize_byte_tensor

from tradewind.errors import Misuse
from tradewind.serving.tensor_bytes import decode, encode, shaped
from tradewind.serving.tensors import DTYPES, datatype_of


def test_the_layout_is_little_endian_and_row_major():
    assert encode(np.array([[1, 256], [2, 3]], np.int16)) == b"\x01\x00\x00\x01\x02\x00\x03\x00"
    assert encode(np.array([[1, 256], [2, 3]], ">i2")) == b"\x01\x00\x00\x01\x02\x00\x03\x00"
    assert encode(np.array([[1, 2], [3, 4]], np.uint8).T) == b"\x01\x03\x02\x04"
    assert encode(np.array([True, False])) == b"\x01\x00"
    assert encode(np.array([1.0], np.float16)) == b"\x00\x3c"
    assert encode(np.array([b"ab", b"", "ü"], object)) == b"\2\0\0\0ab\0\0\0\0\2\0\0\0\xc3\xbc"
    assert encode(np.array(["ab"])) == encode(np.array([b"ab"])) == b"\2\0\0\0ab"
    assert decode(b"\x01\x00\x00\x01", "INT16", (1, 2)).tolist() == [[1, 256]]
    assert decode(b"\2\0\0\0ab\0\0\0\0", "BYTES", [2]).tolist() == [b"ab", b""]
    assert decode(b"\x01\x00", "BOOL", [2]).tolist() == [True, False]
    assert decode(b"\0\0\x80\x3f", "FP32", ()).shape == ()


SHAPES = arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_every_array_comes_back(data):
    datatype = data.draw(st.sampled_from(sorted(DTYPES)))
    shape = data.draw(SHAPES)
    if datatype == "BYTES":
        array = np.empty(shape, object)
        count = int(np.prod(shape))
        array.reshape(-1)[:] = data.draw(st.lists(st.binary(max_size=5), min_size=count, max_size=count))
    else:
        array = data.draw(arrays.arrays(DTYPES[datatype], shape))
    written = encode(array)
    for buffer in (written, bytearray(written), memoryview(b"x" + written)[1:]):
        back = decode(buffer, datatype, shape)
        assert back.dtype == array.dtype and datatype_of(back) == datatype and back.flags.aligned
        np.testing.assert_array_equal(back, array)


def test_texts_are_as_tritons_client_has_them():
    texts = np.array([b"", b"a\x00b", b"\xff" * 300, "ü".encode()], object)
    assert encode(texts) == serialize_byte_tensor(texts).item()
    assert decode(encode(texts), "BYTES", [4]).tolist() == deserialize_bytes_tensor(encode(texts)).tolist()


def test_numbers_are_not_copied_where_they_lie_well():
    buffer = bytearray(16)
    array = decode(buffer, "FP32", [4])
    buffer[3] = 0x40
    assert array[0] == 2.0


@pytest.mark.parametrize(
    ("buffer", "datatype", "shape", "text"),
    [
        (b"\0" * 8, "FP31", [1], "'FP31' is no datatype"),
        (b"\0" * 8, "FP64", [2], "takes 16 bytes, not 8"),
        (b"\0" * 8, "FP64", [0], "takes 0 bytes, not 8"),
        (memoryview(b"\0" * 8).cast("q"), "FP64", [2], "takes 16 bytes, not 8"),
        (b"\0" * 8, "FP64", [-1, -1], "negative dimension"),
        (b"", "FP64", [0] + [1] * 70, "no array has the shape"),
        (b"", "BYTES", [0, 2**80], "no array has the shape"),
        (b"\1\2", "BOOL", [2], "byte 0 or 1"),
        (b"\0" * 4, "BYTES", [2**60], "not 4"),
        (b"\0\0\0\0\0\0\0\0", "BYTES", [1], "4 bytes follow"),
        (b"\4\0\0\0abcd\0\0", "BYTES", [2], "2 elements of BYTES were promised, 1 are there"),
        (b"\xff\xff\xff\xffa", "BYTES", [1], "1 bytes of the 4294967295 promised"),
    ],
)
def test_what_is_no_tensor_is_refused(buffer, datatype, shape, text):
    with pytest.raises(Misuse, match=text):
        decode(buffer, datatype, shape)


@pytest.mark.parametrize(("element", "text"), [(3, "int"), (None, "NoneType"), ("\ud800", "surrogate")])
def test_what_is_no_text_is_refused(element, text):
    with pytest.raises(Misuse, match=text):
        encode(np.array([b"a", element], object))


def test_a_shape_is_given_or_refused():
    assert shaped(np.arange(6), [2, 3]).shape == (2, 3)
    with pytest.raises(Misuse, match="no array"):
        shaped(np.arange(6), [4])
