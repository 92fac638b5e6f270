"""`tradewind audit`: images, environments, model files and histories."""

from __future__ import annotations

import click

from tradewind.cli.verbs import Verbs

VERBS = {
    "scan": "What a directory, an environment or an image holds: packages, owners, sizes.",
    "trace": "Run a workload in an image, confined, and record what it touches.",
    "bloat": "How much of an image the recorded runs need, by package and by manager.",
    "slim": "Write the part of an image that the recorded runs need, and the rest beside it.",
    "verify": "Run the same on an image and on its slim one, and compare.",
    "heal": "Run a workload on a slim image with its side-car, and heal what it misses.",
    "why": "Why a path or a package is in an image, and why it is kept or removed.",
    "vulns": "Which known vulnerabilities are in an image, and whether their code is there and loaded.",
    "model": "Judge model files before anything loads them; nothing in them is run.",
    "growth": "How a code base or a package grew: lines by year of origin, size by release.",
    "report": "Write all that is known of an image into one HTML file.",
}
"""Each verb with its one line of help, the first of its module's own."""


@click.group(
    cls=Verbs,
    verbs=VERBS,
    package="tradewind.cli.audits",
    epilog="Example: tradewind audit scan .venv",
)
def command() -> None:
    """What is in an image, what of it is needed, and what in a model file would bite.

    Nothing of an image is trusted: workloads run without network and with dropped capabilities, and nothing
    from a model file is imported or unpickled. Exit codes: 0 done and nothing found, 1 found or failed, 2
    misuse, or what could not be decided.
    """
