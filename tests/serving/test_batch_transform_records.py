"""Records cut, packed, filtered and joined."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tradewind.errors import Misuse
from tradewind.serving.batch_transform.json_path import path
from tradewind.serving.batch_transform.records import (
    CSV,
    JSON,
    LINES,
    Processing,
    cut,
    joined,
    kind_of,
    payloads,
    taken,
    written,
)


def test_cutting_into_lines() -> None:
    assert cut(b"a\r\n\nb\n", True) == [b"a", b"b"] and cut(b"a\nb", False) == [b"a\nb"]
    assert cut(b"", True) == [] and cut(b"last", True) == [b"last"]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.binary(max_size=12), max_size=30), st.integers(12, 40))
def test_payloads_hold_every_record_once_in_order_and_fit(records, largest) -> None:
    packs = list(payloads(records, largest, True))
    assert [at for pack in packs for at in pack] == list(range(len(records)))
    for pack in packs:
        assert len(b"\n".join(records[at] for at in pack)) <= largest
    for one, following in pairwise(packs):
        assert sum(len(records[at]) + 1 for at in [*one, following[0]]) > largest
    assert list(payloads(records, largest, False)) == [[at] for at in range(len(records))]


def test_a_record_that_is_too_large_is_named() -> None:
    with pytest.raises(Misuse, match="record 1 has 5 bytes"):
        list(payloads([b"a", b"12345"], 4, True))


@pytest.mark.parametrize(
    ("kind", "record", "answer", "processing", "sent", "said"),
    [
        (CSV, b'7,"a,b",1.5', b"0.9", Processing(path("$[1:]"), join=True), b'"a,b",1.5', b'7,"a,b",1.5,0.9'),
        (CSV, b"7,1,2", b"0.1,0.9", Processing(path("$[1:]"), path("$[0,-1]"), True), b"1,2", b"7,0.9"),
        (CSV, b"7,1", b"0.1,0.9", Processing(output=path("$[1]")), b"7,1", b"0.9"),
        (LINES, b'{"id":1,"f":[2]}', b'{"y":3}', Processing(path("$.f"), join=True), b"[2]",
         b'{"id":1,"f":[2],"SageMakerOutput":{"y":3}}'),
        (JSON, b"[1,2]", b"[3]", Processing(join=True), b"[1,2]",
         b'{"SageMakerInput":[1,2],"SageMakerOutput":[3]}'),
        (LINES, b'{"id":1,"f":[2]}', b'{"y":[3]}',
         Processing(path("$.f"), path("$['id','SageMakerOutput']"), True), b"[2]", b'[1,{"y":[3]}]'),
        (CSV, b"1,2", b"anything", Processing(), b"1,2", b"anything"),
    ],
)  # fmt: skip
def test_what_is_sent_and_written(kind, record, answer, processing, sent, said) -> None:
    assert taken(record, kind, processing) == sent
    assert joined(record, answer, kind, processing) == said


def test_what_cannot_be_read_is_named() -> None:
    for record, kind in ((b"{", JSON), (b'a,"b', CSV), (b"\xff", CSV), (b'"a\nb",1\n2', CSV)):
        with pytest.raises(Misuse):
            taken(record, kind, Processing(path("$[0]")))
    with pytest.raises(Misuse, match="cell"):
        written([[1]], CSV)
    assert kind_of("Text/CSV; header=absent") == CSV and kind_of("application/x-ndjson") == LINES
