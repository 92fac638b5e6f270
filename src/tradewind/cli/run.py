"""`tradewind run`: a whole life from one spec."""

from __future__ import annotations

import contextlib
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from tradewind.cli import terminal
from tradewind.cli.estimate import tell_estimate
from tradewind.cli.progress import Progress
from tradewind.cli.spec_options import FIELDS, changes_in, options_of
from tradewind.session import durations
from tradewind.session.pipeline.deployable import PASSED, REFUSED, UNDECIDED
from tradewind.session.pipeline.record import PipelineRecord
from tradewind.session.pipeline.run import Ran, run
from tradewind.session.pipeline.spec import read_pipeline_spec
from tradewind.session.report.page import dollars
from tradewind.session.serve import Listening
from tradewind.session.train import estimate

_VERDICTS = {PASSED: "nothing found that stops it", REFUSED: "refused", UNDECIDED: "not decided, so refused"}
_SHOWN = 10
"""Reasons of a refusal that are shown."""


@terminal.verb("tradewind run pipeline.toml --budget 5 --set serve.port=9000")
@options_of(FIELDS, "serve.port=9000")
@click.option("--yes", "-y", is_flag=True, help="Do not ask before the start.")
def command(*, spec: Path, sets: tuple[str, ...], yes: bool, as_json: bool, **options: Any) -> int:
    """Search, train, audit and serve: what one spec says, from its rows to a model that answers.

    SPEC is a training spec; a table `tune` adds a search before it, a table `serve` a server after it, and a
    table `audit` says what may stop the deployment. A model that the scanner does not call clean is never
    served. Run it again after a pause or a crash: what was finished is not done twice. With --json a line
    says where it answers before the last one says how it ended. Exits with 0 only if everything was done.
    """
    given = read_pipeline_spec(spec, changes_in(FIELDS, sets, options))
    if sys.stdin.isatty() and sys.stdout.isatty() and not (yes or as_json):
        click.echo(f"{given.train.name}: {', '.join(given.steps)}; training alone:")
        tell_estimate(estimate(given.train))
        click.confirm("Begin?", default=True, abort=True)

    @contextlib.contextmanager
    def watching(step: str) -> Iterator[Progress]:
        words = {"what": "steps", "value": "best"} if step == "tune" else {}
        with Progress(
            f"{given.train.name}: {step}", budget=given.train.budget, silent=as_json, **words
        ) as shown:
            yield shown

    def said(step: str, record: PipelineRecord) -> None:
        if not as_json and (line := _line(step, record)):
            click.echo(line)
            sys.stdout.flush()

    def ready(listening: Listening) -> None:
        if as_json:
            terminal.show(listening)
        else:
            click.echo(f"page: {listening.http}/docs; Ctrl-C ends")
        sys.stdout.flush()

    found = run(given, watching=watching, said=said, ready=ready)
    return _tell(found, spec, as_json)


def _line(step: str, record: PipelineRecord) -> str:
    """What a step came to, in a line."""
    if step == "tune" and (tuned := record.tuned) is not None:
        best = ", ".join(f"{field} = {value!r}" for field, value in tuned.fields.items())
        spent = f"{dollars(tuned.cost)} in {durations.text(tuned.seconds)}"
        return f"tuned: {tuned.trials} trials, {spent}; {best}; {tuned.directory}"
    if step == "train" and (trained := record.trained) is not None:
        quality = "" if trained.quality is None else f"; {trained.metric or 'quality'} {trained.quality:.4f}"
        spent = f"{dollars(trained.cost)} in {durations.text(trained.seconds)}"
        return f"trained: {spent}{quality}; {trained.directory}"
    if step == "audit" and (audited := record.audited) is not None:
        looked = f"{audited.model_files} model files, {audited.packages} packages"
        unknown = f"{audited.unanswered} packages that no fresh source speaks of, so unknown"
        told = f"{looked}; {audited.known} known vulnerabilities; {unknown} ({'; '.join(audited.sources)})"
        return f"audited: {_VERDICTS[audited.verdict]}; {told}"
    if step == "serve" and (served := record.served) is not None:
        return f"serving at {served.url}"
    return ""


def _tell(found: Ran, spec: Path, as_json: bool) -> int:
    """Tell how far it came; the exit code."""
    record = found.record
    drained = record.served is None or record.served.drained is not False
    code = 0 if found.outcome == "done" and drained else 1
    if as_json:
        terminal.show(
            {"outcome": found.outcome, "home": found.home, "steps": found.steps, "cost": found.cost,
             "record": record}
        )  # fmt: skip
        return code
    if found.outcome == "refused" and record.audited is not None:
        for reason in record.audited.reasons[:_SHOWN]:
            click.echo(f"  {reason}")
        if (more := len(record.audited.reasons) - _SHOWN) > 0:
            click.echo(f"  and {more} more")
    click.echo(f"{found.outcome}: {dollars(found.cost)}; {found.home}")
    if found.outcome == "paused":
        click.echo(f"go on with: tradewind run {shlex.quote(str(spec))}")
    return code
