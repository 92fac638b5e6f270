"""Formats by their bytes."""

import gzip
import json
import pickle

from tradewind.data.model_files.identification import every_reading, recognised
from tradewind.data.model_files.inspection import Source


def names(content):
    alone, finer = recognised(Source(content))
    return [each.name for each in alone], [each.name for each in finer]


def test_marks_are_enough():
    assert names(pickle.dumps(1)) == (["pickle"], [])
    assert names(gzip.compress(b"x")) == (["gzip"], [])
    assert names(b"\x93NUMPY\x01\0") == (["npy"], [])
    assert names(b"PK\x03\x04") == (["zip"], [])
    assert names(b"7z\xbc\xaf\x27\x1c") == (["7z"], [])


def test_texts_are_the_last_resort():
    assert names(json.dumps({"a": [1]}).encode())[0] == ["json"]
    assert names(b"# A model\n\nIt does things.\n")[0] == ["text"]
    assert names(b"cos\nmkdir\n(Vx\ntR.")[0] == ["pickle"]
    assert names(b"\xfe\xff\xfe")[0] == []


def test_every_reading_has_its_own_name_and_rules():
    readings = every_reading()
    known = [reading.name for reading in readings]
    assert len(set(known)) == len(known)
    assert {reading.refines for reading in readings} - {""} <= set(known)
    for reading in readings:
        assert reading.rules and all(rule.id == name for name, rule in reading.rules.items())
