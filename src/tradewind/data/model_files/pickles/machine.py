"""The pickle machine, inert: Python's own, with every opcode that would reach an object replaced by a note.

Stack, marks, memo, frames and decoding of arguments are those of `pickle._Unpickler`, so that nothing can be
arranged to look different here than where the file is loaded. What differs only ever refuses more: lengths
are checked before allocation, arguments may not cross a frame, keys are compared only where that is cheap.
Nothing is imported, called or given state; what would be is compared with exact names, and the machine goes
on with stubs to tell all of it. This is the only module that imports pickle.
"""

from __future__ import annotations

import _compat_pickle  # the names that Python 2 had, by what reads protocols below 3
import pickle
from collections.abc import Callable
from struct import unpack
from typing import Any, ClassVar

from tradewind.data.model_files.findings import Rule
from tradewind.data.model_files.inspection import Allowed, Budget
from tradewind.data.model_files.pickles import decoding, rules
from tradewind.data.model_files.pickles.arguments import checked
from tradewind.data.model_files.pickles.arrays import UnknownArray, element_of
from tradewind.data.model_files.pickles.joblib import ARRAY_WRAPPER, array_of
from tradewind.data.model_files.pickles.stepping import run
from tradewind.data.model_files.pickles.stream import Broken, Stream
from tradewind.data.model_files.pickles.stubs import Blob, Made, Named, key_of, preview

Tell = Callable[[Rule, str, int, str, str, str], None]
"""Rule, message, offset, opcode, name, preview."""
Persistent = Callable[[Any], Any]
"""What a persistent identifier stands for; ValueError, with the reason, where it is none that may be used."""

_ENCODED = ("gAI", "gAM", "gAQ", "gAS", "gAU", "gAW", "8002", "8003", "8004", "8005")


class Stopped(Exception):
    """The machine came as far as it was asked to."""


class Machine(pickle._Unpickler):
    """One reading of one pickle."""

    dispatch: ClassVar[dict[int, Any]] = dict(pickle._Unpickler.dispatch)
    memo: dict[int, Any]
    pop_mark: Callable[[], list[Any]]

    def __init__(
        self,
        stream: Stream,
        allowed: Allowed,
        budget: Budget,
        tell: Tell,
        *,
        persistent: Persistent | None = None,
        arrays: bool = True,
    ) -> None:
        super().__init__(stream, encoding="latin-1")
        self.stream = stream
        self.allowed, self.budget, self.tell = allowed, budget, tell
        self.dangers = 0
        """Findings that block."""
        self.first_array: int | None = None
        """Where the first array of joblib's lies between the opcodes."""
        self.opcodes = 0
        self.nested: list[tuple[Any, str]] = []
        """Strings that something allowed would load as a file: string, what would load it."""
        self._persistent, self._arrays = persistent, arrays
        self.at = stream.position

    def load(self, limit: int = 0) -> Any:
        """What the pickle would make, in stubs; Broken if it cannot be read, Stopped after `limit` opcodes.

        The stream is left after the STOP. Whatever is no pickle raises Broken and no other exception.
        """
        self.read, self.readline = self.stream.read, self.stream.readline
        self.metastack: list[list[Any]] = []
        self.stack: list[Any] = []
        self.append = self.stack.append
        self.proto = 0
        try:
            run(self, _TABLE, limit or self.budget.opcodes)
        except pickle._Stop as stop:  # type: ignore[attr-defined]
            return stop.value
        except (Broken, Stopped):
            raise
        except (
            ValueError, TypeError, IndexError, KeyError, AttributeError, EOFError, OverflowError,
            AssertionError,
            pickle.UnpicklingError,
        ) as error:  # fmt: skip
            raise Broken(_reason(error)) from None
        raise Stopped

    # What a file may name and what it may do with it.

    @property
    def position(self) -> int:
        """Offset of the opcode that is being executed."""
        return self.at

    def danger(self, rule: Rule, message: str, opcode: str, name: str = "", shown: Any = None) -> None:
        """Tell a finding; the machine goes on."""
        self.dangers += 1
        self.tell(rule, message, self.position, opcode, name, "" if shown is None else preview(shown))

    def named(self, module: str, name: str, opcode: str) -> Named:
        """The stub of a global, told if it may not be named."""
        if self.proto < 3:
            if (module, name) in _compat_pickle.NAME_MAPPING:
                module, name = _compat_pickle.NAME_MAPPING[(module, name)]
            elif module in _compat_pickle.IMPORT_MAPPING:
                module = _compat_pickle.IMPORT_MAPPING[module]
        full = f"{module}.{name}"
        if "." in name:
            self.danger(rules.ATTRIBUTE, f"the path {name} is followed in {module}", opcode, full)
        elif full not in self.allowed.globals:
            self.danger(rules.GLOBAL, f"{full} is named, and no list allows it", opcode, full)
        return Named(full)

    def find_class(self, module: str, name: str) -> Named:
        """The stub of a global; nothing is imported."""
        return self.named(module, name, "GLOBAL")

    def called(self, callee: Any, args: Any, opcode: str, kwargs: Any = None) -> Any:
        """The stub of what a call would return, told if the call may not be made."""
        if type(callee) is not Named:
            self.danger(
                rules.CALL, "an object that the file made is called, no global", opcode,
                callee.name if type(callee) is Made else "", args,
            )  # fmt: skip
            return Made(getattr(callee, "name", "?"), args, kwargs)
        if type(args) is not tuple:
            self.danger(
                rules.CALL, f"{callee.name} is called with what is no tuple", opcode, callee.name, args
            )
            return Made(callee.name, (args,), kwargs)
        if kwargs is not None and type(kwargs) is not dict:
            self.danger(
                rules.CALL, f"{callee.name} is called with what is no mapping", opcode, callee.name, kwargs
            )
        name = callee.name
        new = opcode.startswith("NEWOBJ")
        if name not in self.allowed.calls and not (new and name in self.allowed.news):
            self.danger(rules.CALL, f"{name} would be called", opcode, name, args)
            return Made(name, args, kwargs)
        made = Made(name, args, kwargs, "new" if new else "call")
        return made if new and not args and not kwargs else checked(self, made, opcode)

    def filled(self, target: Any, items: list[Any], opcode: str) -> None:
        """Put items into a stub, told if its methods for that may do harm."""
        if type(target) is Made and target.name in self.allowed.items:
            if not target.items:
                target.items = []
            target.items.extend(items)
        elif items:
            name = getattr(target, "name", type(target).__name__)
            self.danger(rules.ITEMS, f"items are put into {name}", opcode, name, items)

    def noted(self, content: bytes | str) -> None:
        """Tell a string that looks like a pickle in a string; it is not loaded with this file."""
        if isinstance(content, str):
            looks = content.startswith(_ENCODED) and content.isascii() and content.rstrip("=").isalnum()
        else:
            looks = content[0] == 0x80 and 2 <= content[1] <= decoding.HIGHEST and content[-1:] == b"."
        if looks:
            self.tell(rules.NESTED, "a string looks like a pickle", self.position, "", "", preview(content))


def _reason(error: Exception) -> str:
    if isinstance(error, EOFError):
        return "the file ends before the pickle does"
    if isinstance(error, IndexError | AttributeError):
        return "the stack does not hold what an opcode takes"
    if isinstance(error, KeyError):
        return "an opcode or a memo slot does not exist"
    return str(error)[:200] or type(error).__name__


# Opcodes. Those that only move what lies on the stack are Python's own, at the end.


def _global(machine: Machine) -> None:
    module = machine.readline()[:-1].decode("utf-8")
    name = machine.readline()[:-1].decode("utf-8")
    machine.append(machine.named(module, name, "GLOBAL"))


def _stack_global(machine: Machine) -> None:
    name, module = machine.stack.pop(), machine.stack.pop()
    if type(name) is not str or type(module) is not str:
        raise Broken("a global is named by what is no string")
    machine.append(machine.named(module, name, "STACK_GLOBAL"))


def _inst(machine: Machine) -> None:
    module = machine.readline()[:-1].decode("ascii")
    name = machine.readline()[:-1].decode("ascii")
    callee = machine.named(module, name, "INST")
    args = tuple(machine.pop_mark())
    machine.append(machine.called(callee, args, "INST"))


def _obj(machine: Machine) -> None:
    args = machine.pop_mark()
    machine.append(machine.called(args[0], tuple(args[1:]), "OBJ"))


def _reduce(machine: Machine) -> None:
    args = machine.stack.pop()
    machine.stack[-1] = machine.called(machine.stack[-1], args, "REDUCE")


def _newobj(machine: Machine) -> None:
    stack = machine.stack
    args, callee = stack.pop(), stack[-1]
    if args == () and type(callee) is Named and callee.name in machine.allowed.news:
        stack[-1] = Made(callee.name, (), None, "new")  # as `called` would, which most of them are
    else:
        stack[-1] = machine.called(callee, args, "NEWOBJ")


def _newobj_ex(machine: Machine) -> None:
    kwargs, args = machine.stack.pop(), machine.stack.pop()
    machine.stack[-1] = machine.called(machine.stack[-1], args, "NEWOBJ_EX", kwargs)


def _build(machine: Machine) -> None:
    stack = machine.stack
    state, target = stack.pop(), stack[-1]
    if type(target) is not Made:
        name = target.name if type(target) is Named else type(target).__name__
        if type(target) is Named or state:
            machine.danger(rules.BUILD, f"{name} itself would be changed", "BUILD", name, state)
        return
    if target.name not in machine.allowed.builds:
        machine.danger(rules.BUILD, f"{target.name} would be given state", "BUILD", target.name, state)
    elif type(state) is tuple and len(state) == 2 and type(state[1]) is dict:
        special = [each for each in state[1] if type(each) is str and each.startswith("__")]
        if special:
            machine.danger(rules.BUILD, f"{special[0]} would be set", "BUILD", target.name, state[1])
    target.states.append(state)
    if target.name == "numpy.dtype":
        try:
            element_of(target)
        except UnknownArray as error:
            machine.danger(rules.ARRAY, f"the type contradicts itself: {error}", "BUILD", target.name, state)
    if machine._arrays and target.name == ARRAY_WRAPPER:
        if machine.first_array is None:
            machine.first_array = machine.stream.position
        machine.stack[-1] = array_of(machine, target, lambda _: _inner(machine))


def _inner(machine: Machine) -> Any:
    """A pickle of its own at this point of the stream, as an array of objects is written."""
    if len(machine.metastack) > 200:
        raise Broken("too many things are open")
    stream = machine.stream
    stream.leave()
    inner = Machine(
        stream, machine.allowed, machine.budget, machine.tell, persistent=machine._persistent, arrays=False
    )
    inner.opcodes = machine.opcodes
    try:
        return inner.load()
    finally:
        machine.dangers += inner.dangers
        machine.opcodes = inner.opcodes
        machine.nested += inner.nested
        if stream.in_frame:
            raise Broken("a pickle ends before its frame")
        stream.leave()
        stream.seek(stream.position)
        machine.at = stream.position


def _append(machine: Machine) -> None:
    value = machine.stack.pop()
    target = machine.stack[-1]
    if type(target) is list:
        target.append(value)
        decoding.appended(machine, target)
    else:
        machine.filled(target, [value], "APPEND")


def _appends(machine: Machine) -> None:
    items = machine.pop_mark()
    target = machine.stack[-1]
    if type(target) is list:
        target.extend(items)
    else:
        machine.filled(target, items, "APPENDS")


def _setitem(machine: Machine) -> None:
    value, key = machine.stack.pop(), machine.stack.pop()
    target = machine.stack[-1]
    if type(target) is dict:
        target[key if type(key) is str else key_of(key)] = value
    else:
        machine.filled(target, [(key, value)], "SETITEM")


def _setitems(machine: Machine) -> None:
    items = machine.pop_mark()
    target = machine.stack[-1]
    if len(items) % 2:
        raise Broken("a key has no value")
    if type(target) is dict:
        for index in range(0, len(items), 2):
            key = items[index]
            target[key if type(key) is str else key_of(key)] = items[index + 1]
    else:
        machine.filled(target, list(zip(items[::2], items[1::2], strict=True)), "SETITEMS")


def _dict(machine: Machine) -> None:
    items = machine.pop_mark()
    machine.append({key_of(items[index]): items[index + 1] for index in range(0, len(items), 2)})


def _additems(machine: Machine) -> None:
    items = machine.pop_mark()
    target = machine.stack[-1]
    if type(target) is set:
        target.update(map(key_of, items))
    else:
        machine.filled(target, items, "ADDITEMS")


def _frozenset(machine: Machine) -> None:
    items = machine.pop_mark()  # before `append` is looked up: it is another stack's then
    machine.append(frozenset(map(key_of, items)))


def _extension(machine: Machine, count: int) -> None:
    code = int.from_bytes(machine.read(count), "little")
    machine.danger(rules.EXTENSION, f"the registered extension {code} is used", f"EXT{count}")
    machine.append(Named(f"copyreg extension {code}"))


def _persid(machine: Machine) -> None:
    _identified(machine, machine.readline()[:-1].decode("ascii"), "PERSID")


def _binpersid(machine: Machine) -> None:
    _identified(machine, machine.stack.pop(), "BINPERSID")


def _identified(machine: Machine, identifier: Any, opcode: str) -> None:
    value: Any = Made("persistent identifier", (identifier,))
    if machine._persistent is None:
        machine.danger(
            rules.PERSISTENT,
            "a persistent identifier is used outside of torch's files",
            opcode,
            "",
            identifier,
        )
    else:
        try:
            value = machine._persistent(identifier)
        except ValueError as error:
            machine.danger(rules.STORAGE, str(error), opcode, "", identifier)
    machine.append(value)


def _next_buffer(machine: Machine) -> None:
    machine.danger(rules.BUFFER, "a buffer outside of the file is used", "NEXT_BUFFER")
    machine.append(Made("buffer", ()))


def _readonly_buffer(machine: Machine) -> None:
    if type(machine.stack[-1]) not in (bytes, bytearray, Blob, Made):
        raise Broken("what is no buffer is made read-only")


_OURS: dict[bytes, Callable[[Machine], None]] = {
    pickle.GLOBAL: _global,
    pickle.STACK_GLOBAL: _stack_global,
    pickle.INST: _inst,
    pickle.OBJ: _obj,
    pickle.REDUCE: _reduce,
    pickle.NEWOBJ: _newobj,
    pickle.NEWOBJ_EX: _newobj_ex,
    pickle.BUILD: _build,
    pickle.APPEND: _append,
    pickle.APPENDS: _appends,
    pickle.SETITEM: _setitem,
    pickle.SETITEMS: _setitems,
    pickle.DICT: _dict,
    pickle.ADDITEMS: _additems,
    pickle.FROZENSET: _frozenset,
    pickle.EXT1: lambda machine: _extension(machine, 1),
    pickle.EXT2: lambda machine: _extension(machine, 2),
    pickle.EXT4: lambda machine: _extension(machine, 4),
    pickle.PERSID: _persid,
    pickle.BINPERSID: _binpersid,
    pickle.NEXT_BUFFER: _next_buffer,
    pickle.READONLY_BUFFER: _readonly_buffer,
    pickle.PROTO: decoding.proto,
    pickle.FRAME: decoding.frame,
    pickle.INT: decoding.text_int,
    pickle.FLOAT: decoding.text_float,
    pickle.BINSTRING: lambda machine: decoding.string(machine, 4, "latin-1", signed=True),
    pickle.SHORT_BINSTRING: lambda machine: decoding.string(machine, 1, "latin-1"),
    pickle.BINBYTES: lambda machine: decoding.string(machine, 4, "bytes"),
    pickle.BINBYTES8: lambda machine: decoding.string(machine, 8, "bytes"),
    pickle.SHORT_BINBYTES: lambda machine: decoding.string(machine, 1, "bytes"),
    pickle.BYTEARRAY8: lambda machine: decoding.string(machine, 8, "bytearray"),
    pickle.BINUNICODE: lambda machine: decoding.string(machine, 4, "str"),
    pickle.BINUNICODE8: lambda machine: decoding.string(machine, 8, "str"),
    pickle.SHORT_BINUNICODE: decoding.short_text,
    pickle.MEMOIZE: decoding.memoize,
    pickle.PUT: decoding.text_put,
    pickle.LONG_BINPUT: decoding.long_binput,
    pickle.BINPUT: decoding.binput,
    pickle.BINGET: decoding.binget,
    pickle.LONG_BINGET: decoding.long_binget,
    pickle.BININT1: decoding.numbers(pickle.BININT1[0], lambda data: data[0], 1),
    pickle.BININT2: decoding.numbers(pickle.BININT2[0], lambda data: int.from_bytes(data, "little"), 2),
    pickle.BININT: decoding.numbers(
        pickle.BININT[0], lambda data: int.from_bytes(data, "little", signed=True), 4
    ),
    pickle.BINFLOAT: decoding.numbers(pickle.BINFLOAT[0], lambda data: unpack(">d", data)[0], 8),
}
Machine.dispatch.update({opcode[0]: handler for opcode, handler in _OURS.items()})


def _unknown(machine: Machine) -> None:
    raise Broken(f"there is no opcode {machine.stream.data[machine.stream.index - 1]:#04x}")


_TABLE: list[Callable[[Machine], None]] = [Machine.dispatch.get(each, _unknown) for each in range(256)]


def is_opcode(byte: int) -> bool:
    """Whether a byte is an opcode of any protocol."""
    return byte in Machine.dispatch
