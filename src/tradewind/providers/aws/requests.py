"""What is asked of EC2, as values: built here, printed by a dry run, sent by `client`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from msgspec import Struct

from tradewind.clock import iso
from tradewind.errors import Misuse
from tradewind.market.offers import Bid, Terms

DRIVER, RUN, TAKE, PURPOSE = "tradewind:driver", "tradewind:run", "tradewind:take", "tradewind:purpose"
"""Tags of every instance that we rent: by whom, for which run, in which take, and what for."""
NOTICE, REBALANCE = "tradewind:notice", "tradewind:rebalance"
"""Tags that an instance's own watcher puts on it: an interruption it was told of, and a risk of one."""
ALIVE = ("pending", "running", "stopping", "stopped", "shutting-down")
"""States in which EC2 may still charge, or holds the instance."""
PRODUCT = "Linux/UNIX"
"""What EC2's spot prices are asked for."""
_TAG_LENGTH = 256
"""Characters of a tag's value at most."""
_USER_DATA = 16 * 1024
"""Bytes of user data at most."""


class Settings(Struct, frozen=True, kw_only=True):
    """Where and how instances are started."""

    region: str
    types: tuple[str, ...]
    """Instance types to choose from."""
    image: str
    """The machine image (AMI)."""
    zones: tuple[str, ...] = ()
    """Zones to choose from; empty for all of the region."""
    subnets: dict[str, str] = {}
    """The subnet of a zone; a zone that is not named uses its default subnet."""
    security_groups: tuple[str, ...] = ()
    key: str = ""
    """The key pair's name; empty for none."""
    instance_profile: str = ""
    """The IAM instance profile's name; empty for none. The watcher needs one that may tag its instance."""
    user_data: str = ""
    """What an instance runs when it boots; `{run}`, `{take}` and `{region}` are filled in."""
    tags: dict[str, str] = {}
    """More tags, such as a cost centre."""
    endpoint_url: str = ""
    """Another address than AWS's, for a stand-in."""
    profile: str = ""
    """The profile of the AWS configuration; empty for the default credentials."""
    boot: float = 60.0
    """Seconds from a bid until an instance is of use, told in every offer."""


class Request(Struct, frozen=True):
    """One call of the EC2 API, not sent yet."""

    operation: str
    """As the API names it, such as RunInstances."""
    arguments: dict[str, Any]

    @property
    def changes(self) -> bool:
        """Whether it changes anything, and so takes a dry run."""
        return not self.operation.startswith("Describe")

    def dry(self) -> Request:
        """The same, to be checked by EC2 and not done. Raises Misuse for one that only asks."""
        if not self.changes:
            raise Misuse(f"{self.operation} changes nothing", field="dry_run", fix="Send it as it is.")
        return Request(self.operation, {**self.arguments, "DryRun": True})


def check(settings: Settings) -> None:
    """Raise Misuse for settings that no request could be built of."""
    where = "provider aws"
    for field in ("region", "image", "types"):
        if not getattr(settings, field):
            raise Misuse("is not given", source=where, field=field, fix="Give it.")
    if not settings.image.startswith("ami-"):
        raise Misuse(
            f"{settings.image!r} is no image", source=where, field="image", fix="Give an id such as ami-0abc."
        )
    for name, value in settings.tags.items():
        if name.startswith(("tradewind:", "aws:")):
            raise Misuse(f"{name!r} is a reserved name", source=where, field="tags", fix="Choose another.")
        if len(value) > _TAG_LENGTH:
            raise Misuse(f"{name!r} is too long", source=where, field="tags", fix="Use 256 characters.")
    for zone in settings.subnets:
        if settings.zones and zone not in settings.zones:
            raise Misuse(
                f"{zone} is not among the zones", source=where, field="subnets", fix="Add it to zones."
            )
    user_data(settings, "run", "take")


def user_data(settings: Settings, run: str, take: str) -> str:
    """The boot script with its placeholders filled in. Raises Misuse for one that is none, or is too long."""
    try:
        text = settings.user_data.format_map({"run": run, "take": take, "region": settings.region})
    except (KeyError, ValueError, IndexError) as problem:
        raise Misuse(
            f"{problem} is no placeholder",
            source="provider aws",
            field="user_data",
            fix="They are {run}, {take} and {region}; write other braces twice.",
        ) from None
    if len(text.encode()) > _USER_DATA:
        raise Misuse(
            "is longer than 16 KiB", source="provider aws", field="user_data", fix="Fetch the rest from it."
        )
    return text


def run_instances(settings: Settings, bid: Bid, *, take: str, driver: str, run: str) -> Request:
    """Take up an offer: between 1 and `bid.count` instances in the bid's zone, under its terms.

    `take` is the client token, by which EC2 knows a repeated request, and a tag, by which anybody finds what
    it rented; both are chosen before anything is sent.
    """
    labels = {
        **settings.tags,
        DRIVER: driver,
        RUN: run,
        TAKE: take,
        PURPOSE: bid.purpose,
        "Name": f"tradewind {run} {bid.purpose}"[:_TAG_LENGTH],
    }
    tags = [{"Key": key, "Value": value} for key, value in sorted(labels.items())]
    arguments: dict[str, Any] = {
        "ImageId": settings.image,
        "InstanceType": bid.pool.instance_type,
        "MinCount": 1,
        "MaxCount": bid.count,
        "ClientToken": take,
        "Placement": {"AvailabilityZone": bid.pool.zone},
        "InstanceInitiatedShutdownBehavior": "terminate",
        "MetadataOptions": {"HttpTokens": "required", "HttpEndpoint": "enabled"},
        "TagSpecifications": [{"ResourceType": kind, "Tags": tags} for kind in ("instance", "volume")],
    }
    if bid.terms is Terms.SPOT:
        spot = {"SpotInstanceType": "one-time", "InstanceInterruptionBehavior": "terminate"}
        if bid.limit is not None:
            spot["MaxPrice"] = f"{Decimal(repr(float(bid.limit))):f}"
        arguments["InstanceMarketOptions"] = {"MarketType": "spot", "SpotOptions": spot}
    if bid.pool.zone in settings.subnets:
        arguments["SubnetId"] = settings.subnets[bid.pool.zone]
    if settings.security_groups:
        arguments["SecurityGroupIds"] = list(settings.security_groups)
    if settings.key:
        arguments["KeyName"] = settings.key
    if settings.instance_profile:
        arguments["IamInstanceProfile"] = {"Name": settings.instance_profile}
    if settings.user_data:
        arguments["UserData"] = user_data(settings, run, take)
    return Request("RunInstances", arguments)


def terminate(instances: Iterable[str]) -> Request:
    """End instances; one that has ended already is no error."""
    return Request("TerminateInstances", {"InstanceIds": sorted(instances)})


def create_tags(instance: str, tags: Mapping[str, str]) -> Request:
    """Put tags on an instance, in place of those of the same name."""
    labels = [{"Key": key, "Value": value} for key, value in sorted(tags.items())]
    return Request("CreateTags", {"Resources": [instance], "Tags": labels})


def instances(tags: Mapping[str, str], *, states: Iterable[str] = ()) -> Request:
    """The instances that have these tags: a value of one, or `*` for any."""
    filters = [{"Name": f"tag:{key}", "Values": [value]} for key, value in sorted(tags.items())]
    if wanted := list(states):
        filters.append({"Name": "instance-state-name", "Values": wanted})
    return Request("DescribeInstances", {"Filters": filters})


def spot_requests(ids: Iterable[str]) -> Request:
    """The standing of spot instances, by their ids."""
    filters = [{"Name": "instance-id", "Values": sorted(ids)}]
    return Request("DescribeSpotInstanceRequests", {"Filters": filters})


def spot_prices(settings: Settings, since: float, until: float | None = None) -> Request:
    """The spot prices of the types from `since` on; EC2 answers with the price in force then as well."""
    arguments: dict[str, Any] = {
        "InstanceTypes": list(settings.types),
        "ProductDescriptions": [PRODUCT],
        "StartTime": iso(since),
    }
    if until is not None:
        arguments["EndTime"] = iso(until)
    return Request("DescribeSpotPriceHistory", arguments)


def offerings(settings: Settings) -> Request:
    """Which zones have which of the types."""
    filters = [{"Name": "instance-type", "Values": list(settings.types)}]
    arguments = {"LocationType": "availability-zone", "Filters": filters}
    return Request("DescribeInstanceTypeOfferings", arguments)
