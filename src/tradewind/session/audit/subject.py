"""What is audited, opened: its files, its packages, and the runs that a profile keeps of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

from tradewind.audit.images.opening import Image, open_files
from tradewind.audit.inventory.taking import take_inventory
from tradewind.audit.packages import Inventory
from tradewind.audit.slimming.closure import Closure, close
from tradewind.audit.slimming.databases import kept_files
from tradewind.audit.slimming.policy import Policy
from tradewind.audit.tracing.events import Run
from tradewind.audit.trees import Files, Tree
from tradewind.audit.why import Question
from tradewind.errors import Misuse
from tradewind.session.audit.profile import Profile, open_profile


class Subject:
    """An opened image or directory, and what is known of its runs."""

    def __init__(self, image: Image, profile: Profile | None = None) -> None:
        self.image, self.profile = image, profile

    @property
    def files(self) -> Files:
        """Its files and their content."""
        return self.image.files

    @property
    def tree(self) -> Tree:
        """Its tree."""
        return self.image.files.tree

    @cached_property
    def inventory(self) -> Inventory:
        """Its packages and who owns what."""
        return take_inventory(self.files)

    @cached_property
    def runs(self) -> tuple[Run, ...]:
        """The recorded runs; none without a profile. Misuse if they are of another tree."""
        if self.profile is None:
            return ()
        about = self.profile.about
        if about.workloads and self.image.digest != about.tree:
            raise Misuse(
                f"the runs were recorded in another tree: this has changed since, or is not {about.image}",
                source=self.image.source, field="profile", fix="Trace it, into a new profile.",
            )  # fmt: skip
        return self.profile.runs(self.tree)

    def needs_runs(self) -> tuple[Run, ...]:
        """The recorded runs. Misuse if there is none."""
        if not self.runs:
            raise Misuse(
                "no run is recorded", source=self.image.source, field="profile",
                fix="Record one first: tradewind audit trace IMAGE --run COMMAND --profile FOLDER.",
            )  # fmt: skip
        return self.runs

    @cached_property
    def closure(self) -> Closure:
        """What is kept for the recorded runs, by the profile's policy. Misuse if none is recorded."""
        runs = self.needs_runs()
        policy = self.profile.about.policy if self.profile else Policy()
        return close(self.files, runs, self.inventory, policy)

    def kept(self) -> frozenset[str] | None:
        """The paths that are kept for the recorded runs; None where none is recorded."""
        return frozenset(kept_files(self.closure)) if self.runs else None

    def question(self) -> Question:
        """Whom to ask why something is there."""
        closure = self.closure if self.runs else None
        events = self.profile.events() if self.profile else {}
        return Question(self.inventory, self.runs, closure, events)


@contextmanager
def open_subject(
    image: str,
    profile: Path | None = None,
    told: Callable[[int], None] | None = None,
    *,
    attributes: bool = True,
) -> Iterator[Subject]:
    """The image at a path, with the profile in a folder; `told` hears of bytes that were read.

    Without an image the profile's own is opened. `attributes` is as `open_files` has it. That the profile
    is of this tree is found when its runs are asked for.
    """
    kept = open_profile(profile) if profile is not None else None
    where = image or (kept.about.image if kept else "")
    if not where:
        raise Misuse("there is nothing to audit", field="IMAGE", fix="Name a directory or an image.")
    with open_files(where, attributes=attributes, progress=told) as opened:
        yield Subject(opened, kept)


def facts_of(subject: Subject) -> Sequence[tuple[str, str]]:
    """What identifies an image, as pairs."""
    image = subject.image
    facts: list[tuple[str, str]] = [("kind", image.kind)]
    if image.reference:
        facts.append(("reference", image.reference))
    if image.layers:
        facts.append(("layers", str(len(image.layers))))
        facts.append(("packed bytes", str(sum(layer.packed for layer in image.layers))))
    system = subject.inventory.system
    if system.get("PRETTY_NAME"):
        facts.append(("system", system["PRETTY_NAME"]))
    return facts
