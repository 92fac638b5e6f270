"""The part of JSONPath that filters take, against an implementation of others."""

from __future__ import annotations

import jsonpath_ng.ext
import pytest

from tradewind.errors import Misuse
from tradewind.serving.batch_transform.json_path import path

RECORD = {
    "id": 7, "features": [1.5, 2.5, 3.5, 4.5], "SageMakerOutput": {"scores": [0.1, 0.9], "a-b": "x"},
    "rows": [{"k": 1}, {"k": 2}],
}  # fmt: skip


@pytest.mark.parametrize(
    "text",
    ["$", "$.id", "$.features", "$.features[0]", "$.features[-1]", "$.SageMakerOutput.scores[1]",
     "$['id']", "$.SageMakerOutput['a-b']", "$.rows[1].k"],
)  # fmt: skip
def test_a_single_place(text) -> None:
    (found,) = jsonpath_ng.ext.parse(text).find(RECORD)
    assert path(text).of(RECORD) == found.value


@pytest.mark.parametrize(
    "text", ["$.features[1:]", "$.features[:2]", "$.features[1:4:2]", "$.features[*]", "$.rows[*].k",
             "$.features[-2:]", "$.SageMakerOutput.*"]
)  # fmt: skip
def test_several_places(text) -> None:
    found = [each.value for each in jsonpath_ng.ext.parse(text).find(RECORD)]
    assert found and path(text).of(RECORD) == found


def test_unions_and_lists() -> None:
    assert path("$.features[0,2]").of(RECORD) == [1.5, 3.5]
    assert path("$['id', \"rows\"]").of(RECORD) == [7, RECORD["rows"]]
    assert path("$[0, 2:]").of([1, 2, 3, 4]) == [1, 3, 4]
    assert path("$[1:]").of([1]) == [] and path("").whole and path(" $ ").whole


@pytest.mark.parametrize("text", ["$.none", "$.features[9]", "$.id[0]", "$.features.id", "$[0]"])
def test_nothing_there(text) -> None:
    with pytest.raises(Misuse, match="finds nothing"):
        path(text).of(RECORD)


@pytest.mark.parametrize(
    "text", ["id", "$..id", "$.features[?(@>1)]", "$[", "$[]", "$[1;2]", "$.a b", "$[::-1]", "$.", "$[a]"]
)
def test_what_is_not_served(text) -> None:
    with pytest.raises(Misuse, match="no path"):
        path(text)
