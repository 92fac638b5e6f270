"""Pages of lists."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tradewind.errors import Misuse
from tradewind.serving.server.endpoints.listing import page

ROWS = [
    {
        "EndpointName": f"e{at}", "CreationTime": float(at // 2),
        "EndpointStatus": "InService" if at % 3 else "Failed",
    }
    for at in range(10)
]  # fmt: skip


def pages(rows, **told):
    found, token = [], {}
    while True:
        said = page({**told, **token}, rows, "Endpoints", "EndpointName")
        found.append([row["EndpointName"] for row in said["Endpoints"]])
        if "NextToken" not in said:
            return found
        token = {"NextToken": said["NextToken"]}


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(["Name", "CreationTime", "Status"]), st.sampled_from(["Ascending", "Descending"]),
    st.integers(1, 12),
)  # fmt: skip
def test_pages_together_are_the_list_in_order(by, order, size) -> None:
    found = pages(ROWS, SortBy=by, SortOrder=order, MaxResults=size)
    assert all(len(each) == size for each in found[:-1])
    key = {"Name": "EndpointName", "CreationTime": "CreationTime", "Status": "EndpointStatus"}[by]
    expected = sorted(ROWS, key=lambda row: (row[key], row["EndpointName"]), reverse=order == "Descending")
    assert [name for each in found for name in each] == [row["EndpointName"] for row in expected]


def test_filters() -> None:
    assert pages(ROWS, StatusEquals="Failed", SortBy="Name", SortOrder="Ascending") == [
        ["e0", "e3", "e6", "e9"]
    ]
    assert pages(ROWS, NameContains="E4") == [["e4"]]
    assert pages(ROWS, CreationTimeAfter=3.5) == [["e9", "e8"]]
    assert pages(ROWS, CreationTimeBefore=1, LastModifiedTimeBefore=0.5) == [["e1", "e0"]]


def test_a_page_goes_on_behind_what_was_deleted_meanwhile() -> None:
    first = page(
        {"MaxResults": 3, "SortBy": "Name", "SortOrder": "Ascending"}, ROWS, "Endpoints", "EndpointName"
    )
    told = {"MaxResults": 3, "SortBy": "Name", "SortOrder": "Ascending", "NextToken": first["NextToken"]}
    left = [row for row in ROWS if row["EndpointName"] not in ("e1", "e2")]
    said = page(told, left, "Endpoints", "EndpointName")
    assert [row["EndpointName"] for row in said["Endpoints"]] == ["e3", "e4", "e5"]


@pytest.mark.parametrize(
    "told", [{"NextToken": "%%%"}, {"NextToken": "eA=="}, {"MaxResults": 0}, {"SortBy": "Age"}]
)
def test_what_is_no_page(told) -> None:
    with pytest.raises(Misuse):
        page(told, ROWS, "Endpoints", "EndpointName")
