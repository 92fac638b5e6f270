"""A space that was written down is the same when it is read."""

from __future__ import annotations

import msgspec
import pytest

from tradewind.errors import Misuse
from tradewind.tuning.space import Choice, Float, Integer, Space
from tradewind.tuning.space_documents import described, space_of


def test_every_kind_comes_back_through_json():
    space = Space.of(
        {
            "kind": ["a", True, 1.5, None],
            "one": [1],
            "rate": {"low": 1e-5, "high": 1.0, "log": True},
            "depth": {"low": 2, "high": 9, "when": {"kind": ["a", True]}},
            "wide": {"low": 1, "high": 4096, "log": True, "when": {"kind": None, "one": 1}},
            "whole": Float(1.0, 2.0),
        }
    )
    again = space_of(msgspec.json.decode(msgspec.json.encode(described(space))))
    assert again == space
    assert [type(each.of) for each in again.parameters] == [Choice, Choice, Float, Integer, Integer, Float]
    assert type(again.parameters[0].of.values[1]) is bool and type(again.parameters[5].of.low) is float


@pytest.mark.parametrize(
    "document", [[{}], [{"name": "x", "of": {"kind": "Odd"}, "when": {}}], ["x"], [{"name": "x", "of": 1}]]
)
def test_what_is_no_description_is_said(document):
    with pytest.raises(Misuse, match=r"there: space: .*It is no description"):
        space_of(document, "there")
