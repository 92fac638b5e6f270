"""Pages of a list, as SageMaker's List operations give them."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from tradewind.errors import Misuse
from tradewind.serving.rollout.requests import read

_USUAL = 10
STATUSES = {
    "EndpointName": (
        "OutOfService", "Creating", "Updating", "SystemUpdating", "RollingBack", "InService", "Deleting",
        "Failed", "UpdateRollbackFailed",
    ),
    "TransformJobName": ("InProgress", "Completed", "Failed", "Stopping", "Stopped"),
}  # fmt: skip
"""What may be asked for by `StatusEquals`, by the field of the names."""


class _Asked(Struct, rename="pascal"):
    sort_by: Literal["Name", "CreationTime", "Status"] = "CreationTime"
    sort_order: Literal["Ascending", "Descending"] = "Descending"
    next_token: str = ""
    max_results: Annotated[int, Meta(ge=1, le=100)] = _USUAL
    name_contains: str = ""
    status_equals: str = ""
    creation_time_before: float | None = None
    creation_time_after: float | None = None
    last_modified_time_before: float | None = None
    last_modified_time_after: float | None = None


def page(told: dict[str, Any], rows: list[dict[str, Any]], key: str, name: str) -> dict[str, Any]:
    """The part of `rows` that is asked for, under `key`; `name` is the field of their names.

    A page goes on behind the last row of the one before it, whatever was deleted or made meanwhile. Misuse
    for what cannot be asked.
    """
    asked = read(told, _Asked)
    if asked.status_equals and asked.status_equals not in STATUSES.get(name, ()):
        raise Misuse(
            f"1 validation error detected: {asked.status_equals[:80]!r} is no status", field="StatusEquals",
            fix=f"Give one of {', '.join(STATUSES.get(name, ()))}.",
        )  # fmt: skip
    status = name.replace("Name", "Status")
    left = [
        row
        for row in rows
        if asked.name_contains.lower() in row[name].lower()
        and asked.status_equals in ("", row.get(status))
        and _within(row["CreationTime"], asked.creation_time_after, asked.creation_time_before)
        and _within(
            row.get("LastModifiedTime", row["CreationTime"]),
            asked.last_modified_time_after,
            asked.last_modified_time_before,
        )
    ]

    def place(row: dict[str, Any]) -> list[Any]:
        by = {"Name": row[name], "CreationTime": row["CreationTime"], "Status": row.get(status, "")}
        return [by[asked.sort_by], row[name]]

    descending = asked.sort_order == "Descending"
    left.sort(key=place, reverse=descending)
    if asked.next_token:
        behind = _read(asked.next_token, asked.sort_by)
        left = [row for row in left if (place(row) < behind if descending else place(row) > behind)]
    found: dict[str, Any] = {key: left[: asked.max_results]}
    if len(left) > asked.max_results:
        found["NextToken"] = _written(place(left[asked.max_results - 1]))
    return found


def _within(moment: float, after: float | None, before: float | None) -> bool:
    return (after is None or moment > after) and (before is None or moment < before)


def _written(place: list[Any]) -> str:
    return base64.urlsafe_b64encode(f"{place[0]!r}\0{place[1]}".encode()).decode()


def _read(token: str, by: str) -> list[Any]:
    try:
        first, _, name = base64.urlsafe_b64decode(token.encode()).decode().partition("\0")
        return [float(first) if by == "CreationTime" else first[1:-1], name]
    except (ValueError, binascii.Error):
        raise Misuse("Invalid NextToken.", field="NextToken") from None
