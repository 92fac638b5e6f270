"""A group of verbs, each of which is imported when it is called, so that help is quick."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import click

from tradewind.errors import suggestion


class Verbs(click.Group):
    """A group whose verbs are the `command` of the modules of their names in a package."""

    def __init__(self, *arguments: Any, verbs: Mapping[str, str], package: str, **others: Any) -> None:
        super().__init__(*arguments, **others)
        self.verbs, self.package = verbs, package

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every verb, in the order in which a user meets them."""
        return list(self.verbs)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The verb of that name; a misspelt one is answered with the likely one."""
        if cmd_name not in self.verbs:
            known = suggestion(cmd_name, self.verbs)
            raise click.UsageError(f"There is no verb {cmd_name!r}. {known}", ctx)
        found = import_module(f"{self.package}.{cmd_name}").command
        assert isinstance(found, click.Command)
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of verbs without importing any."""
        with formatter.section("Verbs"):
            formatter.write_dl(list(self.verbs.items()))
