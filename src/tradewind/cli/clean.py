"""`tradewind clean`: end what a driver that is gone left running."""

from __future__ import annotations

from pathlib import Path

import click

from tradewind.cli import terminal
from tradewind.cli.report import find_run
from tradewind.errors import Misuse
from tradewind.session.cleaning import Cleaned, clean_region, clean_run, clean_runs


@terminal.verb("tradewind clean latest --dry-run")
@click.argument("run", required=False)
@terminal.runs_folder
@click.option("--provider", type=click.Choice(["aws"]), help="Clean a provider's region, not a run.")
@click.option("--region", default="", help="The region, with --provider.")
@click.option("--profile", default="", help="The profile of the AWS configuration, with --provider.")
@click.option("--endpoint-url", default="", help="Another address for EC2, with --provider.")
@click.option("--dry-run", is_flag=True, help="Say what would be ended, and end nothing.")
@click.option("--force", is_flag=True, help="Also what a living driver holds, or one on another machine.")
@click.option(
    "--wait",
    type=click.FloatRange(min=0),
    default=20.0,
    show_default=True,
    help="Seconds to watch EC2 for what a cut-off request may have rented.",
)
def command(
    *,
    run: str | None,
    out: Path,
    provider: str | None,
    region: str,
    profile: str,
    endpoint_url: str,
    dry_run: bool,
    force: bool,
    wait: float,
    as_json: bool,
) -> int:
    """End what a driver that is gone left running.

    RUN is `latest`, a run's number, name or folder; without it, every run of the folder whose driver is gone.
    With --provider aws and --region, every instance there that any driver of Tradewind rented, even if its
    run's folder is lost. May be repeated. Exits with 1 if something was left that may be nobody's.
    """
    if provider is not None:
        if run is not None:
            raise Misuse("a run has its own provider", field="--provider", fix="Leave one of the two out.")
        if not region:
            raise Misuse("no region is given", field="--region", fix="Add --region us-east-1.")
        done = clean_region(
            region, endpoint_url=endpoint_url, profile=profile, force=force, dry_run=dry_run, wait=wait
        )
    elif region or profile or endpoint_url:
        raise Misuse("is for a provider", field="--region", fix="Add --provider aws.")
    elif run is not None:
        found = find_run(run, out)
        done = clean_run(found.parent if found.is_file() else found, force=force, dry_run=dry_run, wait=wait)
    elif force:
        raise Misuse("which run?", field="--force", fix="Name the run whose driver you mean to overrule.")
    else:
        done = clean_runs(out, dry_run=dry_run, wait=wait)
    _tell(done, as_json)
    return 1 if done.uncertain else 0


def _tell(done: Cleaned, as_json: bool) -> None:
    if as_json:
        terminal.show(done)
        return
    heads = ("provider", "what", "", "driver")
    if done.ended:
        title = "would be ended" if done.dry_run else "ended"
        terminal.table(heads, [(e.provider, e.id, e.what, e.driver) for e in done.ended], title=title)
    else:
        click.echo("nothing was left")
    if done.left:
        rows = [(e.provider, e.id, e.what, e.driver) for e in done.left]
        terminal.table(heads, rows, title="left alone: driven now, or by a driver on another machine")
