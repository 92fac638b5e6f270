"""`tradewind audit verify`: the same on both images, compared."""

from __future__ import annotations

from pathlib import Path

import click

from tradewind.audit.verification.proof import Check, Missed
from tradewind.cli import terminal
from tradewind.cli.audits import options
from tradewind.session.audit.steps import settle, verify
from tradewind.session.audit.subject import open_subject


@terminal.verb("tradewind audit verify --slim slim --profile audit-profile --negative 5")
@options.image
@click.option("--slim", "target", type=click.Path(path_type=Path), required=True, help="What slim wrote.")
@options.profile
@click.option("--spec", type=click.Path(path_type=Path),
              help="A spec: its bounds and workloads beside are taken from now on.")  # fmt: skip
@click.option("--repetitions", type=click.IntRange(1), help="Of each workload; 1 if nothing says otherwise.")
@click.option("--negative", type=click.IntRange(0), 
              help="Kept files to leave out, one at a time; none if nothing says otherwise.")  # fmt: skip
@click.option("--seed", type=int, help="Which of them.")
def command(
    *,
    image: str,
    target: Path,
    profile: Path,
    spec: Path | None,
    repetitions: int | None,
    negative: int | None,
    seed: int | None,
    as_json: bool,
) -> int:
    """Run the same on an image and on its slim one, and compare.

    Exit codes, output, answers and files are compared within the spec's bounds; the spec's workloads `beside`
    run on the slim image with its side-car. The proof is kept in the profile.
    """

    def tell(found: Check | Missed) -> None:
        if as_json:
            return
        if isinstance(found, Missed):
            click.echo(f"without {found.path}: {'noticed' if found.noticed else found.explained}")
            return
        click.echo(f"{found.workload}: {'equal' if found.equal else 'different'}")
        for each in found.differences[:5]:
            click.echo(f"  {each.where}: {each.original} / {each.other}")

    asked = options.spec_of(spec, None)
    if spec is not None:
        settle(profile, asked, policy=False)
    with open_subject(image, profile) as subject:
        proof = verify(
            subject,
            target,
            repetitions=asked.repetitions if repetitions is None else repetitions,
            negative=asked.negative if negative is None else negative,
            seed=asked.seed if seed is None else seed,
            told=tell,
        )
        where = subject.profile.proof_path if subject.profile else None
    if as_json:
        terminal.show({"holds": proof.holds, "proof": proof, "coverage": proof.coverage.words})
    else:
        click.echo(proof.coverage.words)
        click.echo(f"{'It holds' if proof.holds else 'It does not hold'}. Proof: {where}")
    return 0 if proof.holds else 1
