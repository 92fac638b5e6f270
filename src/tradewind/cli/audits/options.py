"""Arguments and options that several verbs of `tradewind audit` have."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from tradewind.errors import Misuse
from tradewind.session.audit.moving import Fleet
from tradewind.session.audit.spec import DEFAULT_BACKEND, AuditSpec, make_audit_spec, read_audit_spec

F = TypeVar("F", bound=Callable[..., Any])
PROFILE = Path("audit-profile")


def image(function: F) -> F:
    """Give a verb the argument IMAGE; empty where the profile's own is meant."""
    return click.argument("image", default="")(function)


def profile(function: F) -> F:
    """Give a verb `--profile`, the folder of the recorded runs."""
    return click.option(
        "--profile",
        type=click.Path(path_type=Path),
        default=PROFILE,
        show_default=True,
        help="The folder of the recorded runs.",
    )(function)


def workloads(function: F) -> F:
    """Give a verb `--spec` and `--run`: what is run."""
    function = click.option("--run", "line", metavar="COMMAND", help="One command, as 'python3 app.py'.")(
        function
    )
    return click.option(
        "--spec",
        type=click.Path(path_type=Path),
        help="A TOML file with the image, workloads, policy and bounds.",
    )(function)


def backend(function: F) -> F:
    """Give a verb `--backend`, the tracer."""
    return click.option(
        "--backend",
        default=DEFAULT_BACKEND,
        show_default=True,
        help="auto, fanotify, bpftrace, strace, access-times or audit-hook.",
    )(function)


def fleet(function: F) -> F:
    """Give a verb the options that say how a slim image is used and paid, as `Fleet` has them."""
    dollars = click.FloatRange(0)
    for option, kind, words in (
        ("--instance-price", dollars, "Dollars an hour of an instance that waits for a pull."),
        ("--store-price", dollars, "Dollars a GB and month in the registry."),
        ("--disk-price", dollars, "Dollars a GB and month on an instance's disk."),
        ("--transfer-price", dollars, "Dollars a GB pulled."),
    ):
        function = click.option(option, type=kind, help=words)(function)
    function = click.option(
        "--pulls-a-day", type=click.FloatRange(0), default=1.0, show_default=True, help="Of each instance."
    )(function)
    function = click.option(
        "--replicas", type=click.IntRange(0), default=0, help="Instances that run it: tells a month's cost."
    )(function)
    return click.option(
        "--megabits", type=click.FloatRange(0, min_open=True), multiple=True, default=(100.0, 1000.0),
        show_default=True, help="Bandwidth of a pull in Mbit/s; may be given again.",
    )(function)  # fmt: skip


def spec_of(spec: Path | None, line: str | None) -> AuditSpec:
    """What a file or one command asks; an empty spec if there is neither."""
    if spec is not None and line is not None:
        raise Misuse("there is a spec too", source="the command line", field="--run", fix="Leave one out.")
    if spec is not None:
        return read_audit_spec(spec)
    return make_audit_spec({"run": [{"command": line}]} if line else {}, source="the command line")


def fleet_of(target: Path | None, used: Mapping[str, Any]) -> Fleet:
    """What the options of `fleet` say. Misuse for what cannot be, and where there is no slim image to ask it
    of."""
    found = Fleet(**used)
    found.check()
    if found.replicas and target is None:
        raise Misuse("a month is compared with that of a slim image", field="--slim", fix="Give one.")
    return found


def existing(profile: Path) -> Path | None:
    """The profile's folder if there is one; None where the default was meant and nothing is there."""
    return None if profile == PROFILE and not profile.exists() else profile


def adding(tell: Callable[[int, int | None], None]) -> Callable[[int], None]:
    """A function of amounts that tells how many have come together so far."""
    so_far = 0

    def add(amount: int) -> None:
        nonlocal so_far
        so_far += amount
        tell(so_far, None)

    return add
