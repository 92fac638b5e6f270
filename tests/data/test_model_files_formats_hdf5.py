"""HDF5 without its library: configurations are found, and everything that leads out of the file."""

import json
import pickle
import struct

import pytest
from hdf5_writing import Writer, attribute, keras_file, space
from hypothesis import given, settings
from hypothesis import strategies as st

from tradewind.data.model_files.scanner import scan_bytes

DENSE = {"class_name": "Dense", "config": {"units": 2, "activation": "relu"}, "module": "keras.layers"}
GOOD = json.dumps({"class_name": "Sequential", "config": {"layers": [DENSE]}})
LAMBDA = {"class_name": "Lambda", "config": {"function": ["4wEAAA==", None, None]}}
BAD = json.dumps({"class_name": "Sequential", "config": {"layers": [DENSE, LAMBDA]}})


def judged(content):
    scan = scan_bytes(content)
    return scan.format, scan.verdict, {each.rule for each in scan.findings}


def test_a_model_of_layers_is_clean():
    assert judged(keras_file(GOOD)) == ("hdf5", "clean", set())


def test_a_lambda_in_its_configuration_is_blocked():
    assert "keras-lambda" in judged(keras_file(BAD))[2]


def test_a_configuration_of_variable_length_is_found_in_its_heap():
    writer = Writer()
    text = BAD.encode()
    body = struct.pack("<HH4xQ", 1, 1, len(text)) + text + b"\0" * (-len(text) % 8)
    heap = writer.put(b"GCOL" + struct.pack("<B3xQ", 1, 16 + len(body) + 16) + body + b"\0" * 16)
    kind = bytes([0x19, 1, 0, 0]) + struct.pack("<I", 16) + bytes([0x13, 0, 0, 0]) + struct.pack("<I", 1)
    parts = [b"model_config\0", kind, space(())]
    told = struct.pack("<BxHHH", 1, *(len(each) for each in parts))
    told += b"".join(each + b"\0" * (-len(each) % 8) for each in parts)
    told += struct.pack("<IQI", len(text), heap, 1)
    content = writer.file(writer.group([("a", writer.dataset([1.0]))], [(0x0C, told)]))
    assert "keras-lambda" in judged(content)[2]


def outside_link(writer):
    body = bytes([1, 8, 64, 1]) + b"x" + struct.pack("<HB", 14, 0) + b"/etc/passwd\0y\0"
    return writer.header([(0x06, body)])


CASES = {
    "external link": (outside_link, "hdf5-outside"),
    "external values": (lambda w: w.dataset([1.0], messages=[(0x07, b"\1" + b"\0" * 23)]), "hdf5-outside"),
    "virtual": (lambda w: w.header([(8, bytes([4, 3]) + b"\0" * 12)]), "hdf5-outside"),
    "claims": (lambda w: w.dataset([1.0], shape=(1 << 40, 1 << 20)), "hdf5-size"),
    "filter": (
        lambda w: w.dataset(
            [1.0], messages=[(0x0B, bytes([1, 1]) + b"\0" * 6 + struct.pack("<HHHH", 32015, 0, 0, 0))]
        ),
        "hdf5-filter",
    ),
    "dense": (lambda w: w.header([(0x02, bytes([0, 0]) + struct.pack("<QQ", 64, 64))]), "hdf5-malformed"),
    "objects": (
        lambda w: w.dataset([1.0], messages=[attribute("PSEUDOATOM", "object")]),
        "hdf5-objects",
    ),
    "no object": (lambda w: 16, "hdf5-malformed"),
    "unknown message": (lambda w: w.header([(0x60, b"\0" * 8)]), "hdf5-malformed"),
}


@pytest.mark.parametrize("name", CASES)
def test_what_leads_outside_or_is_not_understood_is_told(name):
    make, rule = CASES[name]
    _, verdict, rules = judged(keras_file(GOOD, [("odd", make)]))
    assert verdict != "clean" and rule in rules, rules


class Trap:
    def __reduce__(self):
        return (print, ("harm",))


def test_a_pickle_in_an_attribute_is_judged_as_one(capsys):
    bad = lambda writer: writer.dataset([1.0], messages=[attribute("x", pickle.dumps(Trap(), 2))])  # noqa: E731
    old = lambda writer: writer.dataset(  # noqa: E731
        [1.0], messages=[attribute("PYTABLES_FORMAT_VERSION", "2.1"), attribute("x", pickle.dumps(Trap(), 0))]
    )
    for make in (bad, old):
        _, verdict, rules = judged(keras_file(GOOD, [("odd", make)]))
        assert verdict == "blocked" and any(each.startswith("pickle-") for each in rules)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("config", ["no json", '{"class_name": "A", "class_name": "B"}', "{" * 3000])
def test_a_configuration_that_cannot_be_read_is_blocked(config):
    assert "hdf5-config" in judged(keras_file(config))[2]


def test_bytes_behind_the_end_are_blocked_and_a_cut_is_never_clean():
    whole = keras_file(GOOD)
    assert "hdf5-trailing" in judged(whole + b"more")[2]
    assert not [cut for cut in range(len(whole)) if judged(whole[:cut])[1] == "clean"]


def test_structures_that_lead_to_themselves_end():
    writer = Writer()
    first = writer.group([("a", writer.dataset([1.0]))])
    looped = bytearray(writer.file(writer.group([("up", first), ("again", first)])))
    assert judged(bytes(looped))[1] == "clean"
    tree = looped.rindex(b"TREE")
    looped[tree + 32 : tree + 40] = struct.pack("<Q", tree)
    assert judged(bytes(looped))[1] == "undecided"


WHOLE = keras_file(BAD)


@settings(max_examples=120, deadline=None)
@given(st.integers(0, len(WHOLE) - 1), st.integers(0, 255))
def test_a_changed_byte_neither_breaks_the_scanner_nor_hides_the_lambda(at, byte):
    changed = bytearray(WHOLE)
    changed[at] = byte
    _, verdict, rules = judged(bytes(changed))
    assert "scan-fault" not in rules
    if b'"class_name": "Lambda"' in changed and b"model_config" in changed:
        assert verdict != "clean"
