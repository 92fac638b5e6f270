"""What EC2 answers, as values: instances as they were seen, and what that says of a lease."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from msgspec import Struct

from tradewind.clock import iso, moment
from tradewind.errors import Misuse
from tradewind.market.leases import Ending, LeaseId, Revocation
from tradewind.providers.aws.requests import DRIVER, NOTICE, PURPOSE, REBALANCE, RUN, TAKE

NOTICE_SECONDS = 120.0
"""EC2 interrupts two minutes after its notice."""
GONE = ("shutting-down", "terminated", "stopping", "stopped")
_REVOKED = {
    "Server.SpotInstanceTermination",
    "Server.SpotInstanceShutdown",
    "Server.InsufficientInstanceCapacity",
}
"""State reasons of an end by EC2's wish. The third ends an instance that never ran."""
_MARKED = {"marked-for-termination", "marked-for-stop", "marked-for-stop-by-experiment"}
_MARKED |= {"marked-for-termination-by-experiment"}
_TAKEN_BACK = "instance-terminated-"
_BY_US = {"instance-terminated-by-user", "instance-terminated-by-schedule"}
_CHANGED = re.compile(r"\((\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d) (?:GMT|UTC)\)")


class Sighting(Struct, frozen=True, kw_only=True):
    """An instance, as EC2 described it."""

    id: LeaseId
    type: str
    zone: str
    spot: bool
    state: str
    """pending, running, shutting-down, terminated, stopping or stopped."""
    launched: float
    driver: str = ""
    run: str = ""
    take: str = ""
    purpose: str = ""
    reason: str = ""
    """The state reason's code."""
    changed: float | None = None
    """When the state was changed, where EC2 says so."""
    notice: Revocation | None = None
    """What its own watcher wrote on it."""
    rebalance: float | None = None
    """When EC2 told it that its risk of an interruption is high."""

    @property
    def gone(self) -> bool:
        """Whether its state is an end."""
        return self.state in GONE

    @property
    def ending(self) -> Ending:
        """How it ended, where the end was not asked for by us."""
        return Ending.REVOKED if self.reason in _REVOKED else Ending.FAILED


class Standing(Struct, frozen=True):
    """What EC2 says of a spot instance's request."""

    instance: LeaseId
    code: str
    updated: float

    @property
    def notice(self) -> Revocation | None:
        """The notice that it is, if it is one."""
        if self.code not in _MARKED:
            return None
        return Revocation(self.instance, self.updated, self.updated + NOTICE_SECONDS)

    @property
    def taken_back(self) -> bool:
        """Whether EC2 ended it by its own wish: for its price, its capacity or its service."""
        return self.code.startswith(_TAKEN_BACK) and self.code not in _BY_US


def sightings(answer: Mapping[str, Any]) -> list[Sighting]:
    """The instances in an answer to DescribeInstances or RunInstances, by launch and id."""
    groups = answer.get("Reservations") or [answer]
    found = [_sighting(each) for group in groups for each in group.get("Instances", ())]
    return sorted(found, key=lambda each: (each.launched, each.id))


def standings(answer: Mapping[str, Any]) -> list[Standing]:
    """The spot requests in an answer to DescribeSpotInstanceRequests that have an instance."""
    return [
        Standing(LeaseId(each["InstanceId"]), each["Status"]["Code"], _seconds(each["Status"]["UpdateTime"]))
        for each in answer.get("SpotInstanceRequests", ())
        if each.get("InstanceId") and each.get("Status", {}).get("UpdateTime")
    ]


def notice_tag(due: float, warned: float) -> str:
    """A notice as the value of a tag.

    >>> notice_tag(1577836920.0, 1577836800.0)
    'terminate 2020-01-01T00:02:00Z seen 2020-01-01T00:00:00Z'
    """
    return f"terminate {iso(due)} seen {iso(warned)}"


def noticed(instance: LeaseId, text: str) -> Revocation | None:
    """The notice in a tag's value; None for a text that is none: anybody may write tags."""
    match = re.fullmatch(r"\w+ (\S+) seen (\S+)", text)
    if match is None:
        return None
    try:
        due, warned = moment(match[1]), moment(match[2])
    except Misuse:
        return None
    return Revocation(instance, min(warned, due), due)


def _sighting(told: Mapping[str, Any]) -> Sighting:
    tags = {each["Key"]: each.get("Value", "") for each in told.get("Tags") or ()}
    id = LeaseId(told["InstanceId"])
    changed = _CHANGED.search(told.get("StateTransitionReason") or "")
    rebalance: float | None = None
    if tags.get(REBALANCE):
        try:
            rebalance = moment(tags[REBALANCE])
        except Misuse:
            rebalance = None
    return Sighting(
        id=id,
        type=told["InstanceType"],
        zone=told.get("Placement", {}).get("AvailabilityZone", ""),
        spot=told.get("InstanceLifecycle") == "spot",
        state=told["State"]["Name"],
        launched=_seconds(told["LaunchTime"]),
        driver=tags.get(DRIVER, ""),
        run=tags.get(RUN, ""),
        take=tags.get(TAKE, ""),
        purpose=tags.get(PURPOSE, ""),
        reason=(told.get("StateReason") or {}).get("Code") or "",
        changed=moment(f"{changed[1]}T{changed[2]}Z") if changed else None,
        notice=noticed(id, tags[NOTICE]) if NOTICE in tags else None,
        rebalance=rebalance,
    )


def _seconds(when: datetime | str) -> float:
    if isinstance(when, str):
        return moment(when)
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()


def zones_of(answer: Mapping[str, Any]) -> set[tuple[str, str]]:
    """The (type, zone) pairs in an answer to DescribeInstanceTypeOfferings."""
    return {(each["InstanceType"], each["Location"]) for each in answer.get("InstanceTypeOfferings", ())}


def prices(answer: Mapping[str, Any]) -> Iterable[tuple[str, str, float, float]]:
    """The (type, zone, moment, US dollars an hour) in an answer to DescribeSpotPriceHistory, by moment."""
    found = [
        (
            each["InstanceType"],
            each["AvailabilityZone"],
            _seconds(each["Timestamp"]),
            float(each["SpotPrice"]),
        )
        for each in answer.get("SpotPriceHistory", ())
    ]
    return sorted(found, key=lambda each: each[2])
