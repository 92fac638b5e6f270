"""`tradewind endpoint`: the endpoints of a running server."""

from __future__ import annotations

import re
from typing import Any

import click

from tradewind.cli import terminal
from tradewind.errors import Misuse
from tradewind.session.endpoint_client import (
    ONLY,
    PLANS,
    SERVER,
    EndpointClient,
    Rollout,
    VariantOf,
)

_VARIANT = re.compile(r"(?:([A-Za-z0-9][A-Za-z0-9-]{0,62})=)?(.+?)(?:@(\d+(?:\.\d+)?))?")
_WAIT = 3600.0


@click.group(epilog="Example: tradewind endpoint create shop runs/latest")
def command() -> None:
    """Make, change, list and delete the endpoints of a running server.

    The server is one of `tradewind serve --endpoints FOLDER`. A variant is an artefact (a run, a model, s3://),
    alone or as NAME=ARTEFACT@WEIGHT.
    """


def _server(function: Any) -> Any:
    for option in (
        click.option("--token", envvar="TRADEWIND_TOKEN", help="What the server asks for."),
        click.option("--server", default=SERVER, show_default=True, help="The URL of the server."),
    ):
        function = option(function)
    return function


def _waiting(function: Any) -> Any:
    return click.option("--wait/--no-wait", default=True, show_default=True, help="Wait until it is done.")(
        function
    )


@terminal.verb("tradewind endpoint create shop old=runs/one@9 new=runs/two@1 --capture captured")
@click.argument("name")
@click.argument("variants", nargs=-1, required=True)
@click.option("--replicas", type=click.IntRange(1), default=1, show_default=True, help="Of each variant.")
@click.option("--shadow", help="A variant that gets copies, as NAME=ARTEFACT@SHARE; nobody gets its answers.")
@click.option("--capture", default="", help="Where requests and answers are kept: a folder or s3://.")
@click.option("--sampling", type=click.IntRange(0, 100), default=100, show_default=True, help="Percent kept.")
@_waiting
@_server
def create(
    *,
    name: str,
    variants: tuple[str, ...],
    replicas: int,
    shadow: str | None,
    capture: str,
    sampling: int,
    wait: bool,
    server: str,
    token: str | None,
    as_json: bool,
) -> int:
    """Make an endpoint of one variant, or of several by their weights."""
    client = EndpointClient(server, token)
    made = client.create(
        name, _variants(variants), replicas=replicas, shadow=_variant(shadow, "shadow") if shadow else None,
        capture=capture, sampling=sampling,
    )  # fmt: skip
    _tell(client.settled(name, _WAIT) if wait else made, as_json)
    return 0


@terminal.verb('tradewind endpoint update shop runs/two --plan canary --bake 60 --alarm "errors>5%"')
@click.argument("name")
@click.argument("variants", nargs=-1)
@click.option(
    "--plan",
    type=click.Choice(PLANS),
    default="all_at_once",
    show_default=True,
    help="How traffic moves over.",
)
@click.option("--size", type=click.IntRange(1, 50), default=10, show_default=True, help="Percent of a step.")
@click.option("--bake", type=click.IntRange(0, 3600), default=0, help="Seconds after every step.")
@click.option("--alarm", multiple=True, help="Goes back when it rings: errors>5%, p99>50ms over 30s.")
@click.option(
    "--replicas", type=click.IntRange(1), help="Of each variant; as many as there are, if not given."
)
@click.option("--shadow", help="A variant that gets copies, as NAME=ARTEFACT@SHARE.")
@click.option("--weight", multiple=True, help="NAME=WEIGHT, of a variant that stays; not with VARIANTS.")
@_waiting
@_server
def update(
    *,
    name: str,
    variants: tuple[str, ...],
    plan: str,
    size: int,
    bake: int,
    alarm: tuple[str, ...],
    replicas: int | None,
    shadow: str | None,
    weight: tuple[str, ...],
    wait: bool,
    server: str,
    token: str | None,
    as_json: bool,
) -> int:
    """Move an endpoint to other variants, step by step; or change weights and replicas where they are."""
    client = EndpointClient(server, token)
    if variants:
        if weight:
            raise Misuse("goes with no VARIANTS", field="weight", fix="Write the weight as NAME=ARTEFACT@2.")
        made = client.update(
            name, _variants(variants), Rollout(plan=plan, size=size, bake=bake, alarms=alarm),
            replicas=replicas, shadow=_variant(shadow, "shadow") if shadow else None,
        )  # fmt: skip
    else:
        if not weight and replicas is None:
            raise Misuse("nothing is to be changed", field="variants", fix="Give variants, or --weight.")
        weights, counts = dict(_weight(each) for each in weight), {}
        if replicas is not None:
            counts = {each["VariantName"]: replicas for each in _described(client, name)}
        made = client.reweigh(name, weights, counts)
    _tell(client.settled(name, _WAIT) if wait else made, as_json)
    return 0


@terminal.verb("tradewind endpoint list")
@_server
def list_(*, server: str, token: str | None, as_json: bool) -> int:
    """The endpoints, how they stand, and what of their traffic each variant has."""
    client = EndpointClient(server, token)
    found = client.all()
    if as_json:
        terminal.show({"endpoints": found})
        return 0
    rows = []
    for each in found:
        variants = each.get("ProductionVariants", [])
        whole = sum(variant["CurrentWeight"] for variant in variants)
        for variant in variants or [None]:
            row = [each["EndpointName"], each["EndpointStatus"], "", "", ""]
            if variant is not None:
                share = 100 * variant["CurrentWeight"] / whole
                replicas = f"{variant['CurrentInstanceCount']}/{variant['DesiredInstanceCount']}"
                row[2:] = [variant["VariantName"], f"{share:.4g} %", replicas]
            rows.append(row)
    terminal.table(["endpoint", "status", "variant", "traffic", "replicas"], rows, numbers=(3, 4))
    return 0


@terminal.verb("tradewind endpoint delete shop")
@click.argument("name")
@_waiting
@_server
def delete(*, name: str, wait: bool, server: str, token: str | None, as_json: bool) -> int:
    """Delete an endpoint; what is in flight is answered."""
    client = EndpointClient(server, token)
    client.delete(name)
    if wait:
        client.settled(name, _WAIT)
    if as_json:
        terminal.show({"deleted": name})
    else:
        click.echo(f"endpoint {name} {'is' if wait else 'is being'} deleted")
    return 0


for _verb, _name in ((create, "create"), (update, "update"), (list_, "list"), (delete, "delete")):
    _verb.name = _name
    command.add_command(_verb, _name)


def _variants(texts: tuple[str, ...]) -> list[VariantOf]:
    found = [_variant(each, ONLY if len(texts) == 1 else "") for each in texts]
    if len({each.name for each in found}) < len(found):
        raise Misuse("two variants have one name", field="variants", fix="Write NAME=ARTEFACT@WEIGHT.")
    return found


def _variant(text: str, name: str) -> VariantOf:
    """The variant that a text says; `name` where it says none."""
    found = _VARIANT.fullmatch(text)
    said = (found[1] or name) if found else ""
    if not found or not said:
        raise Misuse(f"{text!r} is no variant", field="variants", fix="Write NAME=ARTEFACT@WEIGHT.")
    return VariantOf(said, found[2], float(found[3] or 1.0))


def _weight(text: str) -> tuple[str, float]:
    name, _, weight = text.partition("=")
    try:
        return name, float(weight)
    except ValueError:
        raise Misuse(f"{text!r} is no weight", field="weight", fix="Write NAME=WEIGHT.") from None


def _described(client: EndpointClient, name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client.call("DescribeEndpoint", EndpointName=name)["ProductionVariants"]
    return found


def _tell(described: dict[str, Any], as_json: bool) -> None:
    if as_json:
        terminal.show(described)
    else:
        click.echo(f"endpoint {described['EndpointName']} is {described['EndpointStatus']}")
