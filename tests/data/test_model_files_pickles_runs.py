"""Runs of numbers with one opcode."""

import struct

import pytest

from tradewind.data.model_files.pickles.runs import Decoded, run_of


@pytest.mark.parametrize(
    ("opcode", "width", "layout", "values"),
    [
        ("K", 1, "B", [0, 75, 255, 10]), ("M", 2, "<H", [0, 77, 65_535, 10]), ("J", 4, "<i", [-1, 74,
        2**31 - 1]),
        ("G", 8, ">d", [0.5, -1e300, 71.0]),
    ],
    ids=["K", "M", "J", "G"],
)  # fmt: skip
def test_runs(opcode, width, layout, values):
    code = opcode.encode()
    data = b"".join(code + struct.pack(layout, each) for each in values)
    decoded = Decoded(code[0], width)
    assert run_of(decoded, b"x" + data + b"q", 1, len(data) + 2) == (values, len(data) + 1)
    assert run_of(decoded, data, 0, len(data) - 1) == (values[:-1], (len(values) - 1) * (width + 1))
