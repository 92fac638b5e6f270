"""The machine that only takes notes: every opcode, every way to reach something, nothing imported."""

import importlib.abc
import io
import os
import pickle
import struct
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tradewind.data.model_files.allowed.lists import shipped
from tradewind.data.model_files.inspection import Allowed, Budget, Source
from tradewind.data.model_files.pickles.machine import Machine, Stopped
from tradewind.data.model_files.pickles.stream import Broken, Stream
from tradewind.data.model_files.pickles.stubs import Blob, Made, Named
from tradewind.data.model_files.scanner import scan_bytes

MKDIR = b"cos\nmkdir\n"
HERE = b"X\x01\x00\x00\x00x"


def ran(content, allowed=None, budget=None, **options):
    """The machine after a pickle, what it made, and the rules it told, in order."""
    told = []
    machine = Machine(
        Stream(Source(content)), shipped() if allowed is None else allowed, budget or Budget(),
        lambda *each: told.append(each), **options,
    )  # fmt: skip
    return machine, machine.load(), [each[0].id for each in told], told


class Acts:
    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", range(6))
def test_a_call_is_told_with_its_place_and_arguments(protocol):
    content = pickle.dumps([1, Acts(os.system, "echo no")], protocol)
    _, value, rules, told = ran(content)
    assert rules == ["pickle-global", "pickle-call"]
    assert told[1][4] == "posix.system"
    assert "echo no" in told[1][5]
    assert content[told[1][2]] == pickle.REDUCE[0]
    assert content[told[0][2]] in (pickle.GLOBAL[0], pickle.STACK_GLOBAL[0])
    assert type(value[1]) is Made


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (b"\x80\x02" + MKDIR + HERE + b"\x85R.", "pickle-call"),
        (b"\x80\x04\x8c\x02os\x8c\x05mkdir\x93" + HERE + b"\x85R.", "pickle-call"),
        (b"(S'x'\nios\nmkdir\n.", "pickle-call"),
        (b"\x80\x02(" + MKDIR + HERE + b"o.", "pickle-call"),
        (b"\x80\x02cos\nmkdir\n)\x81.", "pickle-call"),
        (b"\x80\x04cos\nmkdir\n)}\x92.", "pickle-call"),
        (b"\x80\x02cos\nmkdir\n.", "pickle-global"),
        (b"\x80\x02ccollections\nOrderedDict\n}X\x01\x00\x00\x00aK\x01sb.", "pickle-build"),
        (b"\x80\x02ccollections\nOrderedDict\nNR.", "pickle-call"),
        (b"\x80\x02cos\npath\n}b.", "pickle-build"),
        (b"\x80\x02csys\nmodules\nX\x01\x00\x00\x00aK\x01s.", "pickle-items"),
        (b"\x80\x02csys\npath\nK\x01a.", "pickle-items"),
        (b"\x80\x02csys\npath\n(K\x01K\x02e.", "pickle-items"),
        (b"\x80\x04csys\npath\n(K\x01\x90.", "pickle-items"),
        (b"\x80\x04\x8c\x02os\x8c\x0apath.mkdir\x93.", "pickle-attribute"),
        (b"\x80\x02cos\npath.mkdir\n.", "pickle-attribute"),
        (b"\x80\x02\x82\x05.", "pickle-extension"),
        (b"\x80\x02\x83\x05\x00.", "pickle-extension"),
        (b"\x80\x02\x84\x05\x00\x00\x00.", "pickle-extension"),
        (b"Pname\n.", "pickle-persistent-id"),
        (b"\x80\x02K\x01Q.", "pickle-persistent-id"),
        (b"\x80\x05\x97.", "pickle-buffer"),
        (b"\x80\x02Nr\xff\xff\xff\x7f.", "pickle-memo"),
        (b"\x80\x02Np99999999\n.", "pickle-memo"),
    ],
    ids=[
        "reduce", "stack-global", "inst", "obj", "newobj", "newobj-ex", "global", "build-of-a-class",
        "no-tuple",
        "build-of-a-module", "setitem", "append", "appends", "additems", "dotted", "dotted-old", "ext1",
        "ext2",
        "ext4", "persid", "binpersid", "buffer", "memo", "memo-text",
    ],
)  # fmt: skip
def test_what_reaches_something_is_told(content, rule):
    assert rule in ran(content)[2]


@pytest.mark.parametrize(
    "content",
    [
        b"", b"\x80", b"\x80\x02", b"\x80\x06.", b"\x80\x02K", b"\x80\x02.", b"\x80\x02N", b"\x80\x02(.",
        b"\x80\x02t.", b"\x80\x02h\x01.", b"\x80\x02Nq\x01h\x02.", b"\x80\x02NNs.", b"\x80\x02\xff.",
        b"\x80\x02X\xff\xff\xff\x7fabc.", b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.",
        b"\x80\x05\x96\xff\xff\xff\xff\xff\xff\xff\x7f.", b"\x80\x04\x95\xff\x00\x00\x00\x00\x00\x00\x00N.",
        b"\x80\x04\x95\x03\x00\x00\x00\x00\x00\x00\x00NM\x01\x00.", b"\x80\x02\x8b\xff\xff\xff\xff.",
        b"\x80\x02\x8b\xff\xff\xff\x7f.", b"\x80\x02T\xff\xff\xff\xff.", b"\x80\x02(K\x01d.",
        b"\x80\x02}(K\x01u.",
        b"\x80\x02}]K\x01s.", b"cos", b"cos\nmkdir", b"\x80\x04K\x01K\x02\x93.", b"p-1\n.", b"Ixyz\n.",
        b"Fx\n.",
        b"Sxyz\n.", b"\x80\x04\x95\x03\x00\x00\x00\x00\x00\x00\x00N\x95\x00\x00\x00\x00\x00\x00\x00\x00.",
    ],
    ids=lambda content: content.hex()[:40] or "empty",
)  # fmt: skip
def test_what_is_no_pickle_is_broken_and_nothing_else(content):
    with pytest.raises(Broken):
        ran(content)


class NeverImports(importlib.abc.MetaPathFinder):
    def find_spec(self, fullname, path, target=None):
        raise AssertionError(f"{fullname} would be imported")


def test_nothing_is_imported(monkeypatch):
    shipped()
    monkeypatch.setattr(sys, "meta_path", [NeverImports()])
    before = set(sys.modules)
    for module in ("antigravity", "this", "turtle", "lib2to3.pytree", "nothing.at.all"):
        content = b"c" + module.encode() + b"\nname\n(S'x'\ntR."
        assert ran(content)[2] == ["pickle-global", "pickle-call"]
        assert scan_bytes(content).verdict == "blocked"
    assert set(sys.modules) == before


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=6)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text() | st.integers(-(2**59), 2**59), inner, max_size=5)
        | st.sets(st.integers(-(2**59), 2**59), max_size=4)
        | st.frozensets(st.text(), max_size=4)
    ),
    max_leaves=25,
)


@settings(max_examples=60, deadline=None)
@given(PLAIN, st.integers(4, 5))
def test_plain_values_come_out_as_the_real_machine_makes_them(value, protocol):
    content = pickle.dumps(value, protocol)
    machine, made, rules, _ = ran(content)
    assert made == value
    assert not machine.dangers and set(rules) <= {"pickle-nested"}
    assert machine.stream.position == len(content)


def test_long_lists_of_numbers_are_read_at_once_and_right():
    value = [
        list(range(300)),
        [-5, 2**31 - 1, 70000] * 900,
        [index / 7 for index in range(20_000)],
        [3, 3.5, 4],
    ]
    for protocol in (2, 4, 5):
        machine, made, _, _ = ran(pickle.dumps(value, protocol))
        assert made == value
        assert machine.opcodes > 23_000


def test_the_memo_is_python_s_own():
    content = b"\x80\x02ccollections\nOrderedDict\nq\x01" + b"0" + MKDIR + b"q\x010h\x01" + HERE + b"\x85R."
    assert ran(content)[3][-1][4] == "os.mkdir"


def test_names_of_python_2_mean_what_they_mean_to_a_loader():
    assert ran(b"\x80\x02c__builtin__\neval\n.")[3][0][4] == "builtins.eval"
    assert ran(b"\x80\x02ccopy_reg\n_reconstructor\n.")[2] == []
    assert ran(b"\x80\x03ccopy_reg\n_reconstructor\n.")[2] == ["pickle-global"]


def test_what_may_only_be_named_may_not_be_called():
    allowed = Allowed(globals=frozenset({"m.A"}), news=frozenset({"m.A"}))
    assert ran(b"\x80\x02cm\nA\n.", allowed)[2] == []
    assert ran(b"\x80\x02cm\nA\n)\x81.", allowed)[2] == []
    assert ran(b"\x80\x02cm\nA\n)R.", allowed)[2] == ["pickle-call"]
    assert ran(b"\x80\x02cm\nA\n)\x81}X\x01\x00\x00\x00aNsb.", allowed)[2] == ["pickle-build"]


def test_special_attributes_are_not_set():
    allowed = Allowed(*[frozenset({"m.A"})] * 4)
    state = b"N}X\x09\x00\x00\x00__class__K\x01s\x86"
    assert ran(b"\x80\x02cm\nA\n)\x81" + state + b"b.", allowed)[2] == ["pickle-build"]
    assert ran(b"\x80\x02cm\nA\n)\x81N}X\x01\x00\x00\x00xK\x01s\x86b.", allowed)[2] == []


def test_a_result_that_is_called_is_told():
    content = b"\x80\x02ccollections\nOrderedDict\n)R)R."
    assert ran(content)[2] == ["pickle-call"]


def test_budgets_stop_it():
    with pytest.raises(Stopped):
        ran(pickle.dumps([None, True] * 200, 2), budget=Budget(opcodes=100))
    with pytest.raises(Stopped):
        ran(pickle.dumps([str(index) for index in range(80_000)], 4), budget=Budget(memo=100))
    assert scan_bytes(pickle.dumps(["a", "b"] * 900, 2), budget=Budget(opcodes=100)).verdict == "undecided"


def test_long_strings_are_not_read():
    class Counting(io.BytesIO):
        taken = 0

        def read(self, size=-1):
            content = super().read(size)
            Counting.taken += len(content)
            return content

    content = pickle.dumps({"a": bytes(8 << 20), "b": "x" * (4 << 20), "c": bytearray(5 << 20)}, 5)
    told = []
    machine = Machine(Stream(Source(Counting(content))), Allowed(), Budget(), lambda *each: told.append(each))
    made = machine.load()
    assert {key: type(value) for key, value in made.items()} == {"a": Blob, "b": Blob, "c": Blob}
    assert [made[key].size for key in "abc"] == [8 << 20, 4 << 20, 5 << 20]
    assert Counting.taken < 2 << 20


def test_nothing_nested_is_hashed_or_compared_without_end():
    bomb = b"\x80\x02K\x01" + b"2\x86" * 200  # a tuple of 2^200 leaves, each step twice the one before
    assert type(ran(b"\x80\x02}" + bomb[2:] + b"K\x01s.")[1]) is dict
    deep = b"\x80\x02}K\x01" + b"\x85" * 120_000 + b"K\x01s."
    assert type(ran(deep)[1]) is dict
    assert len(ran(b"\x80\x04\x8f(K\x01" + b"\x85" * 100_000 + b"\x90.")[1]) == 1
    same = b"\x80\x02}(" + b"".join(
        b"\x8a\x09" + (index * (2**61 - 1)).to_bytes(9, "little") + b"N" for index in range(1, 200)
    )
    assert len(ran(same + b"u.")[1]) == 199


def test_a_preview_is_short_whatever_it_shows():
    content = b"\x80\x02" + MKDIR + b"K\x01" + b"2\x86" * 100 + b"\x85R."
    _, _, _, told = ran(content)
    assert 0 < len(told[-1][5]) <= 120


def test_a_string_that_looks_like_a_pickle_is_only_noted():
    payload = pickle.dumps(Acts(os.system, "x"))
    for value in (
        payload,
        {"a": payload},
        "80049500" + "00" * 20,
        "gASV" + "A" * 40,
        payload + bytes(70_000),
    ):
        scan = scan_bytes(pickle.dumps(value, 4))
        assert scan.verdict == "clean"
    assert [finding.rule for finding in scan_bytes(pickle.dumps(payload, 4)).findings] == ["pickle-nested"]


def test_text_numbers_end_where_the_machine_in_c_ends_them():
    assert ran(b"I7\x00junk\n.")[1] == 7
    assert ran(b"F1.5\x00junk\n.")[1] == 1.5
    assert ran(b"I01\n.")[1] is True


def test_out_of_frame_bytes_are_seen():
    framed = b"\x80\x04\x95" + struct.pack("<Q", 6) + b"N." + MKDIR[:4]
    assert {finding.rule for finding in scan_bytes(framed).findings} == {"pickle-trailing"}


def test_a_class_is_a_name_and_nothing_else():
    value = ran(b"\x80\x02ccollections\nOrderedDict\n.")[1]
    assert type(value) is Named and value.name == "collections.OrderedDict"
