"""One opcode after the other: the most frequent are carried out here, without a call, the others by a table.

What is done here moves values about on the stack and to and from the memo, exactly as Python's own machine
does it; whatever names, calls or changes something is the table's business.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from tradewind.data.model_files.pickles.reader import Decoder

_CHUNK = 1 << 16
_SHORT = 24  # a text of no more characters is not looked at for a pickle in it
_MARK, _TUPLE, _NONE = ord("("), ord("t"), ord("N")
_EMPTY_TUPLE, _EMPTY_LIST, _EMPTY_DICT = ord(")"), ord("]"), ord("}")
_BININT1, _BINGET, _LONG_BINGET, _BINPUT = ord("K"), ord("h"), ord("j"), ord("q")
_TUPLE1, _TUPLE2, _TUPLE3, _TRUE, _FALSE, _TEXT, _MEMOIZE = 0x85, 0x86, 0x87, 0x88, 0x89, 0x8C, 0x94


class Stepped(Decoder, Protocol):
    """A machine that is driven from here."""

    metastack: list[list[Any]]
    at: int
    """Offset in the source of the opcode that is being executed."""


def run(machine: Stepped, table: Sequence[Callable[[Any], None]], limit: int) -> None:
    """Execute opcodes until the machine has taken `limit` of them or its memo is full.

    Before that it ends by what an opcode raises, a STOP as well as one that is not where it stands.
    """
    stream, memo, metastack = machine.stream, machine.memo, machine.metastack
    data, base, index, end = stream.data, stream.base, stream.index, stream.end
    stack = machine.stack
    while machine.opcodes < limit and len(memo) <= machine.budget.memo:
        done = 0
        try:
            for done in range(1, min(_CHUNK, limit - machine.opcodes) + 1):  # noqa: B007 - told in the end
                if index >= end:
                    stream.index = index
                    if not stream.fill():
                        raise EOFError
                    data, base, index, end = stream.data, stream.base, stream.index, stream.end
                opcode = data[index]
                if opcode >= _TUPLE1:
                    if opcode == _MEMOIZE:
                        memo[len(memo)] = stack[-1]
                        index += 1
                        continue
                    if opcode == _TEXT:
                        start = index + 2
                        stop = start + data[index + 1] if start <= end else end + 1
                        if stop <= end:
                            text = str(data[start:stop], "utf-8", "surrogatepass")
                            stack.append(text)
                            if stop - start > _SHORT:
                                machine.at = base + index
                                machine.noted(text)
                            index = stop
                            if index < end and data[index] == _MEMOIZE:  # nearly always; counted as one
                                memo[len(memo)] = text
                                index += 1
                            continue
                    elif opcode <= _FALSE:
                        if opcode >= _TRUE:
                            stack.append(opcode == _TRUE)
                        elif opcode == _TUPLE1:
                            stack[-1] = (stack[-1],)
                        elif opcode == _TUPLE2:
                            value = stack.pop()
                            stack[-1] = (stack[-1], value)
                        else:
                            stack[-3:] = [(stack[-3], stack[-2], stack[-1])]
                        index += 1
                        continue
                elif opcode == _BININT1:
                    stop = index + 2
                    if stop <= end and not (  # a row of them is decoded at once
                        index + 7 < end and data[stop] == data[index + 4] == data[index + 6] == _BININT1
                    ):
                        stack.append(data[index + 1])
                        index = stop
                        continue
                elif opcode == _BINGET:
                    if index + 2 <= end:
                        stack.append(memo[data[index + 1]])
                        index += 2
                        continue
                elif opcode == _MARK:
                    metastack.append(stack)
                    machine.stack = stack = []
                    machine.append = stack.append
                    index += 1
                    continue
                elif opcode == _EMPTY_DICT:
                    filled: dict[Any, Any] = {}
                    stack.append(filled)
                    index += 1
                    if index < end and data[index] == _MEMOIZE:
                        memo[len(memo)] = filled
                        index += 1
                    continue
                elif opcode == _EMPTY_TUPLE:
                    stack.append(())
                    index += 1
                    continue
                elif opcode == _NONE:
                    stack.append(None)
                    index += 1
                    continue
                elif opcode == _LONG_BINGET:
                    if index + 5 <= end:
                        stack.append(memo[int.from_bytes(data[index + 1 : index + 5], "little")])
                        index += 5
                        continue
                elif opcode == _BINPUT:
                    if index + 2 <= end:
                        memo[data[index + 1]] = stack[-1]
                        index += 2
                        continue
                elif opcode == _EMPTY_LIST:
                    stack.append([])
                    index += 1
                    continue
                elif opcode == _TUPLE:
                    stack, items = metastack.pop(), stack
                    machine.stack = stack
                    machine.append = stack.append
                    stack.append(tuple(items))
                    index += 1
                    continue
                machine.at = base + index
                stream.index = index + 1
                table[opcode](machine)
                data, base, index, end = stream.data, stream.base, stream.index, stream.end
                stack = machine.stack
                if machine.opcodes >= limit:  # it was a run of numbers
                    break
        finally:
            if index < end:
                machine.at = base + index
            machine.opcodes += done
        stream.index = index
