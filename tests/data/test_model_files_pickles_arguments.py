"""Harmless calls with arguments that are not."""

import pickle
from collections import Counter, OrderedDict, defaultdict, deque

import numpy as np
import pytest

from tradewind.data.model_files.scanner import scan_bytes


def text(value):
    return b"X" + len(value).to_bytes(4, "little") + value.encode()


def call(module, name, *args):
    return f"c{module}\n{name}\n".encode() + b"(" + b"".join(args) + b"tR"


def rules(content):
    return {each.rule for each in scan_bytes(b"\x80\x02" + content + b".").findings if each.level != "note"}


def test_what_the_libraries_write_passes():
    for value in (
        OrderedDict(a=1), Counter("aab"), deque([1], 2), defaultdict(list, a=[1]), b"bytes", np.arange(3),
        np.float32(1), np.dtype("f8"), np.random.RandomState(0), np.random.default_rng(0), {1, 2},
        complex(1, 2),
    ):  # fmt: skip
        for protocol in range(6):
            assert scan_bytes(pickle.dumps(value, protocol)).findings == ()


@pytest.mark.parametrize(
    "content",
    [
        call("copyreg", "_reconstructor", b"cos\nmkdir\n", b"cbuiltins\nobject\n", b"N"),
        call("copyreg", "_reconstructor", b"ccollections\nOrderedDict\n", b"cos\nmkdir\n", b"N"),
        call("copyreg", "__newobj__", b"csubprocess\nPopen\n"),
        call("copyreg", "__newobj_ex__", b"ccollections\nOrderedDict\n", b"N", b"N"),
        call("_codecs", "encode", text("x"), text("zlib")),
        call("_codecs", "encode", b"N", text("latin1")),
        call("functools", "partial", call("collections", "OrderedDict")),
        call("builtins", "bytes", b"J\x00\x00\x00\x7f"),
        call("builtins", "bytearray", b"J\x00\x00\x00\x7f"),
        call("builtins", "list", call("builtins", "range", b"J\xff\xff\xff\x7f")),
        call("numpy", "dtype", text("f8;")),
        call(
            "numpy.core.multiarray", "_reconstruct", b"cnumpy\nndarray\n", b"J\xff\xff\xff\x7f\x85", text("b")
        ),
        call("numpy.core.multiarray", "scalar", call("numpy", "dtype", text("f8")), b"U\x01a"),
        call("numpy.random._pickle", "__generator_ctor", text("x"), b"cbuiltins\nlist\n"),
        call("pandas.core.indexes.base", "_new_Index", b"cnumpy\nlog1p\n", b"}"),
        call(
            "torch._tensor",
            "_rebuild_from_type_v2",
            b"cos\nmkdir\n",
            b"cbuiltins\nint\n",
            text("x") + b"\x85",
            b"}",
        ),
        call("torch._utils", "_rebuild_tensor_v2", b"N", b"K\x00", b"K\x01\x85", b"K\x01\x85", b"\x89", b"N"),
        call("torch.storage", "_load_from_bytes", b"K\x01"),
        call("sklearn.tree._tree", "__pyx_unpickle_X", b"N", b"N"),
    ],
    ids=lambda content: content[1:40].split(b"\n(")[0].replace(b"\n", b".").decode(),
)
def test_what_they_never_write_is_told(content):
    assert {"pickle-arguments", "pickle-call"} & rules(content)


def test_bytes_that_a_call_would_load_are_inspected():
    inner = pickle.dumps({"a": 1}, 2)
    bad = b"\x80\x02cos\nmkdir\n" + text("x") + b"\x85R."

    def loading(content):
        return call("torch.storage", "_load_from_bytes", b"B" + len(content).to_bytes(4, "little") + content)

    assert rules(loading(inner)) == set()
    found = scan_bytes(b"\x80\x03" + loading(bad) + b".").findings
    found = [finding for finding in found if finding.level != "note"]
    assert {finding.rule for finding in found} == {"pickle-global", "pickle-call"}
    assert {finding.where for finding in found} == {"torch.storage._load_from_bytes()"}
