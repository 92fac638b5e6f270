"""`tradewind demo`: the whole idea, from training to serving."""

from __future__ import annotations

from pathlib import Path

import click

from tradewind.cli import terminal
from tradewind.cli.progress import Progress
from tradewind.session import demo, durations
from tradewind.session.report.data import ReportData
from tradewind.session.report.page import dollars
from tradewind.session.report.reading import report_data


@terminal.verb("tradewind demo --out runs")
@terminal.runs_folder
def command(*, out: Path, as_json: bool) -> int:
    """Train through real revocations on this machine, and serve what was learned, in a minute or so.

    Workers and replicas are real processes on a recorded market; a notice is a SIGTERM and a revocation a
    SIGKILL. What was trained is then served while a recorded burst of requests comes over HTTP, pressed into
    seconds. It ends with a table beside the other policies, two reports in HTML, and one line of JSON.
    """
    with Progress("demo", silent=as_json) as progress:
        shown = demo.run(out=out, console=progress, said=progress.tell)
    directory = Path(shown.directory)
    data = report_data(directory)
    if not as_json:
        tell_comparison(data)
        click.echo(f"report: {directory / 'report.html'}")
        if shown.served is not None:
            click.echo(f"served: {shown.served.words}")
            click.echo(f"report: {Path(shown.served.directory) / 'report.html'}")
    terminal.show({"benchmark": "demo", "figures": shown.figures})
    return 0 if data.outcome == "done" else 1


def tell_comparison(data: ReportData) -> None:
    """Write the policies beside each other; each row says whether it ran for real."""
    rows = [
        (
            row.name,
            dollars(row.cost),
            "–" if row.seconds is None else durations.text(row.seconds),
            "" if row.quality is None else f"{row.quality:.4f}",
            "" if row.revocations is None else str(row.revocations),
            row.how,
        )
        for row in data.comparison
    ]
    heads = ("policy", "cost", "market time", data.quality_name or "quality", "revocations", "how")
    terminal.table(heads, rows, numbers=(1, 2, 3, 4))
