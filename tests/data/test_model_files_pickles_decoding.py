"""Opcodes that read values, one by one against the machine in C."""

import io
import pickle
import struct

import pytest

from tradewind.data.model_files.inspection import Allowed, Budget, Source
from tradewind.data.model_files.pickles.machine import Machine
from tradewind.data.model_files.pickles.stream import Stream

VALUES = {
    "binint": b"J\xff\xff\xff\xff.", "binint1": b"K\xff.", "binint2": b"M\xff\xff.",
    "long1": b"\x8a\x02\xff\x80.",
    "long4": b"\x8b\x03\x00\x00\x00\x01\x02\x03.", "float": b"F-1.5e3\n.", "int": b"I-12\n.",
    "true": b"I01\n.",
    "false": b"I00\n.", "long": b"L123456789012345678901L\n.", "binfloat": b"G?\xf8\x00\x00\x00\x00\x00\x00.",
    "string": b"S'a\\n\"b'\n.", "binstring": b"T\x03\x00\x00\x00abc.", "short": b"U\x02ab.",
    "unicode": b"Va\\u00fcb\n.",
    "binunicode": b"X\x02\x00\x00\x00\xc3\xbc.", "short unicode": b"\x8c\x02\xc3\xbc.",
    "long unicode": b"\x8d" + struct.pack("<Q", 2) + b"\xc3\xbc.", "bytes": b"B\x02\x00\x00\x00ab.",
    "short bytes": b"C\x02ab.", "long bytes": b"\x8e" + struct.pack("<Q", 2) + b"ab.",
    "bytearray": b"\x96" + struct.pack("<Q", 2) + b"ab.", "put": b"I5\np3\n0g3\n.",
    "binput": b"K\x05q\x070h\x07.",
    "long put": b"K\x05r\x07\x01\x00\x000j\x07\x01\x00\x00.",
    "memoize": b"\x80\x04K\x05\x94K\x06\x94h\x00\x86.",
    "frame": b"\x80\x04\x95\x03\x00\x00\x00\x00\x00\x00\x00K\x05.",
    "surrogate": b"X\x03\x00\x00\x00\xed\xa0\x80.",
    "many": b"(" + b"K\x01" * 40_000 + b"M\x02\x01" * 30_000 + b"t.", "pop": b"K\x01K\x020.",
    "dup": b"K\x012\x86.",
    "nested marks": b"(K\x01(K\x02tl.", "pop mark": b"K\x09(K\x01K\x021.", "readonly": b"\x80\x05C\x01a\x98.",
}  # fmt: skip


@pytest.mark.parametrize("name", VALUES)
def test_as_the_machine_in_c(name):
    content = VALUES[name]
    machine = Machine(Stream(Source(content)), Allowed(), Budget(), lambda *each: None)
    made = machine.load()
    assert made == pickle.Unpickler(io.BytesIO(content)).load()
    assert machine.stream.position == len(content)
    assert not machine.dangers
