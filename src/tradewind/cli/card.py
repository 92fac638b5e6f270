"""`tradewind card`: the card of a run's model."""

from __future__ import annotations

from pathlib import Path

import click

from tradewind.cli import terminal
from tradewind.cli.report import find_run
from tradewind.errors import Misuse
from tradewind.session.model_cards import filled, page_of, read_card, write_card
from tradewind.session.model_folders import model_folder


@terminal.verb("tradewind card latest --set licence=Apache-2.0")
@click.argument("run", default="latest")
@terminal.runs_folder
@click.option(
    "--set",
    "given",
    multiple=True,
    metavar="FIELD=TEXT",
    help="Fill in licence, contact, intended_use, users, out_of_scope, factors, ethics or caveats.",
)
def command(*, run: str, out: Path, given: tuple[str, ...], as_json: bool) -> None:
    """Show the card of a finished run's model: its data, settings, quality and cost.

    RUN is `latest`, a run's number, name or folder, or a model's folder. The card lies beside the model as
    card.json and card.md. Fails if the model's files are not those that the card tells of.
    """
    fields = {}
    for each in given:
        field, equals, text = each.partition("=")
        if not equals:
            raise Misuse(f"{each!r} sets nothing", field="--set", fix="Write FIELD=TEXT.")
        fields[field] = text
    folder = model_folder(find_run(run, out))
    card = read_card(folder)
    if fields:
        card = filled(card, fields)
        write_card(folder, card)
    if as_json:
        terminal.show(card)
        return
    click.echo(page_of(card), nl=False)
