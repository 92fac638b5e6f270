"""The command `tradewind`: its verbs, its exit codes, and how it tells an error.

Exit codes: 0 done, 1 failed (or paused), 2 misuse. A verb's module is imported when it is called, so that
`tradewind --help` is quick.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Any

import click

from tradewind.cli.verbs import Verbs
from tradewind.errors import Misuse, TradewindError

VERBS = {
    "demo": "Train through real revocations on this machine, and serve what was learned, in a minute or so.",
    "prices": "What is cheapest, now or at a recorded moment.",
    "estimate": "What a spec would take and cost, before anything is rented.",
    "train": "Train what a spec says, through whatever the market does.",
    "tune": "Search for the best setting of what a spec learns.",
    "advise": "Which machine, and how many, for a command of your own.",
    "run": "Search, train, audit and serve: what one spec says, from its rows to a model that answers.",
    "serve": "Answer requests with a run's model, a model file, a folder of models or a class of yours.",
    "variants": "Register the models that answer one task, each measured: how accurate, how quick, how dear.",
    "endpoint": "Make, change, list and delete the endpoints of a running server.",
    "console": "Show a study live in a browser, and kill trials there.",
    "resume": "Go on with a run that was paused or cut off.",
    "runs": "The runs so far: how they stand and what they cost.",
    "report": "Write the report of a run, an endpoint, a study or a search for machines, one HTML file.",
    "card": "Show the card of a finished run's model: its data, settings, quality and cost.",
    "export": "Write a finished run's model for others, as ONNX or in the open layout.",
    "audit": "What is in an image, what of it is needed, and what in a model file would bite.",
    "replay": "Decide every view of a journal again and compare.",
    "compare": "What policies would have paid for a job, from random starts in a recorded market.",
    "explain": "Why each lease was taken and dropped, in words.",
    "clean": "End what a driver that is gone left running.",
}
"""Each verb with its one line of help, the first of its module's own."""


@click.group(
    cls=Verbs,
    verbs=VERBS,
    package="tradewind.cli",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Example: tradewind prices --vcpus 8 --region us-east-1",
)
@click.version_option(package_name="tradewind", message="tradewind %(version)s")
def tradewind() -> None:
    """Train models on machines that come and go, for the least money that still meets the deadline."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line on `arguments` (the process's own, if None); the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    as_json, debug = "--json" in given, "--debug" in given
    try:
        outcome: Any = tradewind.main(args=given, prog_name="tradewind", standalone_mode=False)
        sys.stdout.flush()
    except click.Abort:
        _tell("Interrupted", "interrupted", as_json)
        return 1
    except click.ClickException as problem:
        if as_json:
            _tell(type(problem).__name__, problem.format_message(), as_json)
        else:
            problem.show()
        return problem.exit_code
    except BrokenPipeError:
        # Whoever read our output has gone; what is left in the buffer must not fail again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except TradewindError as problem:
        if debug:
            traceback.print_exc()
        if isinstance(problem, Misuse):
            told = {"source": problem.source, "field": problem.field, "fix": problem.fix}
            _tell(type(problem).__name__, str(problem), as_json, told)
            return 2
        _tell(type(problem).__name__, str(problem), as_json)
        return 1
    except Exception as problem:
        if debug:
            traceback.print_exc()
        _tell(type(problem).__name__, f"this is a fault of ours: {problem!r} (--debug tells more)", as_json)
        return 1
    return outcome if isinstance(outcome, int) else 0


def _tell(kind: str, message: str, as_json: bool, more: dict[str, str] | None = None) -> None:
    """An error, as one line on stderr or as one JSON object on stdout."""
    line = " ".join(message.split())
    if as_json:
        click.echo(json.dumps({"error": {"kind": kind, "message": line, **(more or {})}}))
    else:
        click.echo(f"tradewind: {line}", err=True)
