"""Healing of a slim image: what workloads take from its side-car is told, and goes into a new version."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from tradewind.audit.slimming.healing import Canary, canary
from tradewind.audit.slimming.kept import Reason
from tradewind.audit.slimming.lists import as_lines
from tradewind.audit.slimming.misses import Miss, healed
from tradewind.audit.slimming.writing import SlimImage, slim_image
from tradewind.audit.tracing.workload import Workload
from tradewind.data.durable_files import sync
from tradewind.errors import Misuse
from tradewind.session.audit.exclusive import alone_in, made_alone
from tradewind.session.audit.profile import Profile
from tradewind.session.audit.slim_folder import HEALED, slim_folder
from tradewind.session.audit.spec import AuditSpec
from tradewind.session.audit.steps import confined_profile, part_of, scratch_in, succeeded
from tradewind.session.audit.subject import Subject


class Healing(Struct, frozen=True):
    """What canary runs came to."""

    canaries: tuple[Canary, ...]
    misses: tuple[Miss, ...]
    """In the order of the runs; what several missed is told for each."""
    written: SlimImage | None = None
    """The new version; None where none was asked for, or nothing was missed."""
    dropped: tuple[str, ...] = ()
    """What was missed and the new version has not either, for the profile's policy drops it."""


def heal(
    subject: Subject,
    target: Path,
    spec: AuditSpec,
    to: Path | None = None,
    *,
    told: Callable[[Canary], None] = lambda _: None,
    counted: Callable[[int], None] | None = None,
) -> Healing:
    """Run the workloads of `spec` on the slim image at `target` with its side-car, and heal what they miss.

    With `to` the next version is written there, in the same form, whole or not at all: it has what the
    profile's runs need, what was healed before, and what was missed now, all of which its `healed.jsonl`
    names. Runs that missed something join the profile first, under a name that none of its runs has, so that
    the next verification repeats them. Misuse if `target` holds no slim image of the profile's tree,
    Permanent for a workload that fails even with the side-car.
    """
    profile = confined_profile(subject)
    if not spec.run:
        raise Misuse(
            "there is nothing to run", source="the spec", field="run", fix="Add a [[run]], or give --run."
        )
    runs, inventory, about = subject.needs_runs(), subject.inventory, profile.about
    found = slim_folder(target, profile.name)
    with alone_in(profile.folder), scratch_in(profile.folder) as scratch:
        with found.halves(scratch, about.tree) as (small, rest):
            absent = found.lacking(subject.tree, small)
            canaries: list[Canary] = []
            workloads: list[Workload] = []
            for asked in spec.run:
                workload = replace(asked, name=_free(asked.name, [*about.workloads, *workloads]))
                done = canary(
                    inventory, absent, workload, [rest, small],
                    scratch=scratch, backend=spec.backend, digest=about.tree,
                )  # fmt: skip
                succeeded(workload, done.recorded.outcome, done.recorded.run.header.lost)
                told(done)
                canaries.append(done)
                workloads.append(workload)
        missed = tuple(miss for each in canaries for miss in each.misses)
        if to is None or not missed:
            return Healing(tuple(canaries), missed)
        _join(profile, canaries, workloads)
        earlier = found.healed()
        reasons = {miss.path: Reason("healed", miss.run) for miss in earlier}
        traced = (*runs, *(each.recorded.run for each in canaries if each.misses))
        closure = healed(subject.files, traced, missed, inventory, about.policy, reasons)
        with made_alone(to) as made_at:
            part = part_of(subject, closure, traced)
            written = slim_image(part, made_at, form=found.form, progress=counted)
            record = made_at / HEALED
            mended = [miss for miss in (*earlier, *missed) if miss.path in closure.kept]
            record.write_bytes(b"".join(as_lines(mended)))
            sync(record)
    dropped = sorted({miss.path for miss in missed if miss.path not in closure.kept})
    return Healing(tuple(canaries), missed, written, tuple(dropped))


def _join(profile: Profile, canaries: Collection[Canary], workloads: Collection[Workload]) -> None:
    """Keep the runs that missed something; those that missed nothing tell nothing new."""
    for done, workload in zip(canaries, workloads, strict=True):
        if done.misses:
            profile.keep(done.recorded, workload)


def _free(name: str, taken: Collection[Workload]) -> str:
    """The name, or with a number behind it where it is taken."""
    names = {each.name for each in taken}
    number = 2
    free = name
    while free in names:
        free, number = f"{name}-{number}", number + 1
    return free
