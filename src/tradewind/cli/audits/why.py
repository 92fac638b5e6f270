"""`tradewind audit why`: why something is in an image, and why it is kept or removed."""

from __future__ import annotations

from pathlib import Path

import click

from tradewind.cli import terminal
from tradewind.cli.audits import options
from tradewind.errors import Misuse
from tradewind.session.audit.subject import open_subject


@terminal.verb("tradewind audit why numpy --image image.oci")
@click.argument("what")
@click.option("--image", default="", help="The image; the profile's own if not given.")
@options.profile
def command(*, what: str, image: str, profile: Path, as_json: bool) -> int:
    """Why a path or a package is in an image, and why it is kept or removed.

    WHAT is a path in the image or a package, as numpy or apt:libc6.
    """
    with open_subject(image, options.existing(profile)) as subject:
        question = subject.question()
        path = what.strip("/")
        if "/" in what or path in subject.tree:
            told = question.path(what)
        elif subject.inventory.by_name(what):
            told = question.package(what)
        else:
            raise Misuse(
                f"{what!r} is neither a path nor a package of it", source=subject.image.source, field="WHAT",
                fix="See tradewind audit scan for the packages.",
            )  # fmt: skip
    if as_json:
        terminal.show({"what": what, "why": told})
    else:
        click.echo("\n".join(told))
    return 0
