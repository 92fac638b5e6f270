"""Opcodes that read a value from the stream or move one to the memo: nothing of them can act.

They are Python's own but for this: a length is believed only as far as the file goes, a long string is passed
over, and many numbers in a row are read at once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tradewind.data.model_files.pickles import rules
from tradewind.data.model_files.pickles.reader import Decoder
from tradewind.data.model_files.pickles.runs import Decoded, appended_run, run_of
from tradewind.data.model_files.pickles.stream import Broken
from tradewind.data.model_files.pickles.stubs import Blob

HIGHEST = 5
"""The highest protocol that there is."""
_BLOB = 1 << 16


def proto(machine: Decoder) -> None:
    """The protocol's number, which says how globals are named."""
    proto = machine.read(1)[0]
    if proto > HIGHEST:
        raise Broken(f"there is no protocol {proto}")
    machine.proto = proto


def frame(machine: Decoder) -> None:
    """A frame begins."""
    stream = machine.stream
    stream.frame(int.from_bytes(stream.read(8), "little"))


def text_int(machine: Decoder) -> None:
    """A number in text, or a truth value."""
    data = machine.readline()
    if data in {b"00\n", b"01\n"}:
        machine.append(data == b"01\n")
    else:
        machine.append(int(data.partition(b"\0")[0], 0))  # where the machine in C ends it


def text_float(machine: Decoder) -> None:
    """A floating-point number in text."""
    machine.append(float(machine.readline()[:-1].partition(b"\0")[0]))


def appended(machine: Decoder, target: list[Any]) -> None:
    """Append all numbers in text that follow, each with its own APPEND, to the list that has had one."""
    stream = machine.stream
    if stream.index < stream.end and stream.data[stream.index] in b"IF":
        values, stream.index = appended_run(stream.data, stream.index, stream.end)
        target += values
        machine.opcodes += 2 * len(values)


def string(machine: Decoder, width: int, kind: str, signed: bool = False) -> None:
    """A string whose length stands in `width` bytes; a long one is passed over."""
    length = int.from_bytes(machine.read(width), "little", signed=signed)
    if length < 0:
        raise Broken("a string has a negative length")
    if length > _BLOB:
        offset = machine.stream.skip(length)
        blob = Blob(machine.stream.source, offset, length, kind)
        machine.append(blob)
        if kind != "str":
            machine.noted(blob.read(2) + machine.stream.source.read(offset + length - 1, 1))
        return
    data = machine.read(length)
    if kind == "str":
        text = str(data, "utf-8", "surrogatepass")
        machine.append(text)
        if length > 24:
            machine.noted(text)
    elif kind == "latin-1":
        machine.append(data.decode("latin-1"))
    else:
        machine.append(data if kind == "bytes" else bytearray(data))
        if length > 8:
            machine.noted(data)


def short_text(machine: Decoder) -> None:
    """A short string; the most frequent of all, without a call where the window holds it."""
    stream = machine.stream
    start = stream.index + 1
    if start < stream.end:
        stop = start + stream.data[start - 1]
        if stop <= stream.end:
            stream.index = stop
            text = stream.data[start:stop].decode("utf-8", "surrogatepass")
            machine.append(text)
            if stop - start > 24:
                machine.noted(text)
            return
    string(machine, 1, "str")


def memoize(machine: Decoder) -> None:
    """Keep the top of the stack under the next slot."""
    memo = machine.memo
    memo[len(memo)] = machine.stack[-1]


def long_binput(machine: Decoder) -> None:
    """Keep the top of the stack under a slot of four bytes."""
    _put(machine, int.from_bytes(machine.read(4), "little"))


def text_put(machine: Decoder) -> None:
    """Keep the top of the stack under a slot in text."""
    _put(machine, int(machine.readline()[:-1]))


def _put(machine: Decoder, slot: int) -> None:
    if slot < 0:
        raise Broken("a memo slot is negative")
    if slot > machine.budget.memo:
        machine.danger(rules.MEMO, f"memo slot {slot:,} is used", "PUT")
    machine.memo[slot] = machine.stack[-1]


def binget(machine: Decoder) -> None:
    """Fetch what a slot of one byte holds."""
    stream = machine.stream
    index = stream.index
    if index < stream.end:
        stream.index = index + 1
        machine.append(machine.memo[stream.data[index]])
    else:
        machine.append(machine.memo[machine.read(1)[0]])


def binput(machine: Decoder) -> None:
    """Keep the top of the stack under a slot of one byte."""
    stream = machine.stream
    index = stream.index
    if index < stream.end:
        stream.index = index + 1
        machine.memo[stream.data[index]] = machine.stack[-1]
    else:
        machine.memo[machine.read(1)[0]] = machine.stack[-1]


def long_binget(machine: Decoder) -> None:
    """Fetch what a slot of four bytes holds."""
    machine.append(machine.memo[int.from_bytes(machine.read(4), "little")])


def numbers(opcode: int, decode: Callable[[bytes], Any], width: int) -> Callable[[Decoder], None]:
    """A number, and all that follow it in the window with the same opcode at once."""
    decoded = Decoded(opcode, width)

    def number(machine: Decoder) -> None:
        stream = machine.stream
        stop = stream.index + width
        third = stop + width + 1
        if third < stream.end and stream.data[stop] == stream.data[third] == opcode:
            values, stream.index = run_of(decoded, stream.data, stream.index - 1, stream.end)
            machine.stack.extend(values)
            machine.opcodes += len(values) - 1
        else:
            machine.append(decode(machine.read(width)))

    return number
