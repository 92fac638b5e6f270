"""Arguments and options that several verbs of `tradewind audit` have."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from tradewind.errors import Misuse
from tradewind.session.audit.spec import AuditSpec, make_audit_spec, read_audit_spec

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


def spec_of(spec: Path | None, line: str | None) -> AuditSpec:
    """What a file or one command asks; an empty spec if there is neither."""
    if spec is not None and line is not None:
        raise Misuse("there is a spec too", source="the command line", field="--run", fix="Leave one out.")
    if spec is not None:
        return read_audit_spec(spec)
    return make_audit_spec({"run": [{"command": line}]} if line else {}, source="the command line")


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
