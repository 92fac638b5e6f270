"""The wire format: fields as protocol buffers writes them, and nothing past a message's end."""

import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tradewind.data.model_files.formats.wire import Malformed, Message, signed
from tradewind.data.model_files.inspection import Source


def fields(content):
    return [
        (each.number, each.wire, each.begin, each.end, each.value)
        for each in Message(Source(content)).fields()
    ]


def test_each_kind_of_field():
    content = b"\x08\x96\x01\x12\x03abc\x1d1234\x2112345678"
    assert fields(content) == [(1, 0, 1, 3, 150), (2, 2, 5, 8, 0), (3, 5, 9, 13, 0), (4, 1, 14, 22, 0)]
    message = Message(Source(content))
    texts = [message.text(each) for each in message.fields() if each.wire == 2]
    assert texts == ["abc"] and signed((1 << 64) - 1) == -1


@pytest.mark.parametrize(
    "content",
    [b"\x00", b"\x0a\x05abc", b"\x08", b"\x08" + b"\xff" * 10, b"\x0b", b"\x0f",
     b"\x0d12", b"\x0a" + b"\xff" * 9 + b"\x01", b"\x07"],
    ids=range(9),
)  # fmt: skip
def test_what_is_no_message(content):
    with pytest.raises(Malformed):
        fields(content)


def test_a_text_longer_than_asked_for_is_refused():
    message = Message(Source(b"\x12\x03abc"))
    (field,) = message.fields()
    with pytest.raises(Malformed):
        message.content(field, 2)


def test_long_messages_are_read_in_blocks_and_counted():
    counted = []
    content = (b"\x12\x80\x80\x08" + b"x" * (1 << 17)) * 3 + b"\x08\x05" * 20_000
    message = Message(Source(content), counted.append)
    found = list(message.fields())
    assert len(found) == 20_003 and found[-1].value == 5 and sum(counted) > 19_000


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=40), st.integers(-(1 << 63), (1 << 63) - 1), st.binary(max_size=300))
def test_what_protobuf_writes_is_read(name, version, raw):
    tensor = onnx.TensorProto(name=name, dims=[version, 3], raw_data=raw)
    message = Message(Source(tensor.SerializeToString()))
    found = {each.number: each for each in message.fields()}
    dims = [
        signed(value) for each in message.fields() if each.number == 1 for value in message.varints(each, 99)
    ]
    assert dims == [version, 3]
    assert (message.text(found[8]) if name else "") == name
    assert (message.content(found[9], 999) if 9 in found else b"") == raw
