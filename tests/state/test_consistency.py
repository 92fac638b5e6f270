from __future__ import annotations

import msgspec
import pytest

from tradewind.errors import Misuse
from tradewind.state.consistency import (
    Asynchronous,
    BulkSynchronous,
    Consistency,
    StaleSynchronous,
    consistency_called,
)


@pytest.mark.parametrize(
    ("name", "staleness", "meant"),
    [
        ("bulk_synchronous", 0, BulkSynchronous()),
        ("stale_synchronous", 3, StaleSynchronous(3)),
        ("asynchronous", 0, Asynchronous()),
    ],
)
def test_names_and_values_go_both_ways(name, staleness, meant):
    assert consistency_called(name, staleness) == meant
    assert msgspec.convert(msgspec.to_builtins(meant), Consistency) == meant


@pytest.mark.parametrize(
    ("name", "staleness", "word"),
    [
        ("bulk", 0, "bulk_synchronous"),
        ("asynchronous", 2, "staleness"),
        ("stale_synchronous", -1, "negative"),
    ],
)
def test_wrong_ones_are_misuse(name, staleness, word):
    with pytest.raises(Misuse, match=word):
        consistency_called(name, staleness)
