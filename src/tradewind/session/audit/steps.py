"""The steps of an audit: record, slim, verify; each on the trees and profiles of the others."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from tradewind import __version__, clock
from tradewind.audit.images.digests import tree_digest
from tradewind.audit.images.opening import open_files
from tradewind.audit.inventory.sbom_cyclonedx import cyclonedx
from tradewind.audit.inventory.sbom_spdx import spdx
from tradewind.audit.slimming.closure import Closure
from tradewind.audit.slimming.databases import kept_files, made_files
from tradewind.audit.slimming.policy import Policy
from tradewind.audit.slimming.writing import Form, Part, SlimImage, slim_image
from tradewind.audit.tracing.backends.recording import trace
from tradewind.audit.tracing.events import Run
from tradewind.audit.tracing.outcome import Outcome, Recorded
from tradewind.audit.tracing.workload import Workload
from tradewind.audit.verification.comparing import unexpected
from tradewind.audit.verification.coverage import coverage
from tradewind.audit.verification.proof import Check, Missed, Proof, sealed
from tradewind.audit.verification.running import check_both, leave_out
from tradewind.data.durable_files import TEMPORARY
from tradewind.errors import Misuse, Permanent
from tradewind.session.audit.environment import (
    check_environment,
    is_environment,
    seen_in_part,
    trace_environment,
)
from tradewind.session.audit.exclusive import alone_in, made_alone
from tradewind.session.audit.profile import Profile, open_profile, profile_of
from tradewind.session.audit.slim_folder import slim_folder
from tradewind.session.audit.spec import AuditSpec
from tradewind.session.audit.subject import Subject

_SAID = 400
"""Characters of a failed workload's error output that are told."""


def record(
    subject: Subject,
    folder: Path,
    spec: AuditSpec,
    *,
    settling: bool = True,
    told: Callable[[Workload, Recorded], None] = lambda *_: None,
) -> Profile:
    """Run the workloads of `spec` in the image, confined and traced; keep them in the profile at `folder`.

    Those of an environment of Python run unconfined, under the audit hook. The policy of `spec`, its bounds
    and its workloads beside become the profile's, unless not `settling`: then only the runs are added. Raises
    Permanent for a workload that fails or a run that lost events: what was recorded before it stays.
    """
    if not spec.run:
        raise Misuse(
            "there is nothing to run", source="the spec", field="run", fix="Add a [[run]], or give --run."
        )
    if is_environment(subject.image):
        check_environment(spec)
    with alone_in(folder), scratch_in(folder) as scratch:
        profile = profile_of(folder, subject.image)
        if settling:
            profile.change(beside=spec.beside, policy=spec.policy, bounds=spec.bounds)
        for workload in spec.run:
            recorded = _traced(profile, subject, workload, spec.backend, scratch)
            succeeded(workload, recorded.outcome, recorded.run.header.lost)
            profile.keep(recorded, workload)
            told(workload, recorded)
    return profile


def _traced(profile: Profile, subject: Subject, workload: Workload, backend: str, scratch: Path) -> Recorded:
    about = profile.about
    if about.environment:
        return trace_environment(
            Path(about.image), subject.tree, workload, scratch=scratch, digest=about.tree
        )
    return trace(profile.root(), subject.tree, workload, scratch=scratch, backend=backend, digest=about.tree)


def settle(folder: Path, spec: AuditSpec, *, policy: bool = True) -> None:
    """Make the bounds, the workloads beside and, with `policy`, the policy of `spec` the profile's.

    Nothing is run. Misuse if there is no profile in `folder`.
    """
    profile = open_profile(folder)
    with alone_in(folder):
        chosen = spec.policy if policy else profile.about.policy
        profile.change(beside=spec.beside, bounds=spec.bounds, policy=chosen)


def succeeded(workload: Workload, outcome: Outcome, lost: int = 0) -> None:
    """Raise Permanent for a run that failed, answered otherwise than expected, or lost events."""
    said = outcome.stderr[-_SAID:].decode(errors="replace").strip()
    if outcome.problem:
        raise Permanent(f"{workload.name}: {outcome.problem}{': ' + said if said else ''}")
    if outcome.exit_code and not workload.long_running:
        raise Permanent(f"{workload.name} ended with exit code {outcome.exit_code}: {said}")
    wrong = unexpected("image", outcome.answers, workload)
    if wrong:
        told = f"{wrong[0].where}: {wrong[0].original}, and it is {wrong[0].other}"
        raise Permanent(f"{workload.name}: {told}{': ' + said if said else ''}")
    if lost:
        raise Permanent(
            f"{workload.name}: the tracer lost {lost} events, so it is not whole; use another backend"
        )


def part_of(subject: Subject, closure: Closure, runs: Sequence[Run], name: str = "") -> Part:
    """What is written of the image for a closure of these runs.

    Bills of materials, of CycloneDX and SPDX, go into the slim image and name what was removed too.
    """
    profile = confined_profile(subject)
    kept = kept_files(closure)
    title, now = Path(subject.image.source).name, clock.wall()
    bills = {
        "bill-of-materials.cdx.json": cyclonedx(subject.inventory, name=title, now=now, kept=kept),
        "bill-of-materials.spdx.json": spdx(subject.inventory, name=title, now=now, kept=kept),
    }
    made = made_files(
        subject.files, subject.inventory, closure, profile.about.policy,
        digest=profile.about.tree, extra=bills,
    )  # fmt: skip
    order = profile.first_opened()
    return Part(
        subject.image, closure, subject.inventory, made=made, runs=tuple(runs), name=name, order=order
    )


def slim(
    subject: Subject,
    target: Path,
    *,
    form: Form = "layout",
    told: Callable[[int], None] | None = None,
) -> tuple[SlimImage, Closure]:
    """Write what the profile's runs need of the image to `target`, with the rest and the lists beside it."""
    confined_profile(subject)
    closure = subject.closure
    part = part_of(subject, closure, subject.runs)
    with made_alone(target) as made_at:
        written = slim_image(part, made_at, form=form, progress=told)
    return written, closure


def confined_profile(subject: Subject) -> Profile:
    """The profile of a subject. Misuse if its runs were unconfined: they tell too little to remove files."""
    profile = subject.profile
    assert profile is not None, "a subject without a profile has no runs"
    if profile.about.environment:
        raise seen_in_part(profile.folder)
    return profile


def verify(
    subject: Subject,
    target: Path,
    *,
    repetitions: int = 1,
    negative: int = 0,
    seed: int = 0,
    told: Callable[[Check | Missed], None] = lambda _: None,
) -> Proof:
    """Run the profile's workloads on the image and on the slim one at `target`, compare, and keep the proof.

    The workloads `beside` run on the original, and on the slim image with the side-car over it. With
    `negative`, so many kept files are left out, one at a time. Misuse if `target` holds no slim image.
    """
    profile = confined_profile(subject)
    about = profile.about
    closure = subject.closure
    found = slim_folder(target, profile.name)
    with (
        alone_in(profile.folder),
        scratch_in(profile.folder) as scratch,
        found.halves(scratch, about.tree) as (small, rest),
    ):
        original, bounds = [profile.root()], about.bounds
        checks = check_both(
            original,
            [small],
            about.workloads,
            scratch=scratch,
            bounds=bounds,
            repetitions=repetitions,
            told=told,
        )
        beside = check_both(original, [rest, small], about.beside, scratch=scratch, bounds=bounds, told=told)
        missed: tuple[Missed, ...] = ()
        if negative:
            missed = leave_out(
                original, [small], closure.kept, about.workloads, scratch=scratch, samples=negative,
                seed=seed, owners=subject.inventory.owners, bounds=bounds, told=told,
            )  # fmt: skip
        proof = sealed(
            Proof(
                made=clock.iso(clock.wall()), tradewind=__version__, original=about.tree,
                slim=_digest(small), removed=_digest(rest), policy=_policy_digest(about.policy),
                bounds=bounds, checks=checks, beside=beside, negative=missed,
                coverage=coverage(subject.files, closure.kept, subject.inventory, subject.runs),
            )
        )  # fmt: skip
    profile.prove(proof)
    return proof


def _digest(root: Path) -> str:
    with open_files(root) as image:
        return tree_digest(image.files)


def _policy_digest(policy: Policy) -> str:
    return f"sha256:{hashlib.sha256(msgspec.json.encode(policy, order='sorted')).hexdigest()}"


@contextmanager
def scratch_in(folder: Path) -> Iterator[Path]:
    """A place for rooms of confined runs, on the profile's own file system; gone afterwards."""
    with tempfile.TemporaryDirectory(prefix=TEMPORARY, dir=folder, ignore_cleanup_errors=True) as made:
        yield Path(made)
