"""Files of pickles: rows of them, what follows, what only looks like one, and every cut of them."""

import contextlib
import io
import pickle
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tradewind.data.model_files.inspection import Source
from tradewind.data.model_files.pickles.plain import recognises, runs_as_pickle
from tradewind.data.model_files.scanner import scan_bytes

BAD = b"\x80\x02cos\nmkdir\nX\x01\x00\x00\x00x\x85R."


def rules(content):
    return {finding.rule for finding in scan_bytes(content).findings}


def test_rows_of_pickles_are_all_read():
    good = pickle.dumps({"a": 1})
    assert rules(good * 3) == {"pickle-stacked"}
    assert scan_bytes(good * 3).verdict == "clean"
    assert rules(good + BAD) >= {"pickle-call"}
    assert rules(good * 2 + BAD[2:]) >= {"pickle-call"}
    assert rules(good + b"\0\0") == {"pickle-trailing"}


def test_what_breaks_off_is_blocked_with_what_stood_before():
    assert rules(BAD[:-1]) == {"pickle-global", "pickle-call", "pickle-broken"}
    assert rules(pickle.dumps([1, "abc"])[:-3]) == {"pickle-broken"}


def test_pickles_are_recognised_without_their_mark():
    assert recognises(Source(b"cos\nmkdir\n(S'x'\ntR."))
    assert recognises(Source(b"cos\nmkdir\nwhatever follows"))
    assert recognises(Source(b"(lp0\nI1\na."))
    for text in (
        b"",
        b"hello",
        b'{"a": 1}',
        b"import os\nprint(1)\n",
        b"\x93NUMPY",
        b"1,2,3\n4,5,6\n",
        bytes(99),
    ):
        assert not runs_as_pickle(Source(text))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, len(BAD) + 40), st.integers(0, 255))
def test_no_change_of_one_byte_makes_the_payload_clean(place, byte):
    content = bytearray(pickle.dumps({"k": list(range(9))}, 2)[:-1] + b"0" + BAD[2:])
    place %= len(content)
    content[place] = byte
    scan = scan_bytes(bytes(content))
    if scan.verdict == "clean":
        assert not _reaches(bytes(content))
    assert "scan-fault" not in {finding.rule for finding in scan.findings}


def _reaches(content):
    """Whether the machine in C looks anything up in the content."""

    class Looks(pickle.Unpickler):
        found = False

        def find_class(self, module, name):
            Looks.found = Looks.found or module.split(".")[0] in sys.stdlib_module_names
            raise pickle.UnpicklingError

    with contextlib.suppress(Exception):
        Looks(io.BytesIO(content)).load()
    return Looks.found


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=120), st.sampled_from([b"", b"\x80\x02", b"\x80\x04", b"\x80\x05]", b"("]))
def test_whatever_looks_up_a_name_in_c_is_never_clean(tail, head):
    content = head + tail
    scan = scan_bytes(content)
    assert "scan-fault" not in {finding.rule for finding in scan.findings}
    if scan.verdict == "clean":
        assert not _reaches(content)


@pytest.mark.parametrize("protocol", range(6))
def test_no_cut_is_clean(protocol):
    content = pickle.dumps({"a": [1, 2.5, "text", b"bytes", (1,), None], "b": {3}}, protocol)
    assert scan_bytes(content).verdict == "clean"
    for length in range(len(content)):
        scan = scan_bytes(content[:length])
        # Of the text protocols a beginning may be a text, which nothing executes.
        assert scan.verdict != "clean" or (protocol < 2 and scan.format == "text"), length
