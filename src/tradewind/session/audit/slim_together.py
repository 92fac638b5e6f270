"""Several images slimmed together, so that the layers that they share go on being one where it pays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from msgspec import Struct

from tradewind.audit.slimming.closure import Closure
from tradewind.audit.slimming.sharing import (
    SharedLayer,
    Subject,
    close_together,
    shared_between,
    worth_sharing,
)
from tradewind.audit.slimming.writing import Form, SlimImage, slim_images
from tradewind.errors import Misuse
from tradewind.session.audit import subject
from tradewind.session.audit.exclusive import made_alone
from tradewind.session.audit.steps import confined_profile, part_of

Share = Literal["auto", "all", "none"]


class Together(Struct, frozen=True):
    """What was written of several images."""

    images: dict[str, SlimImage]
    """By name."""
    closures: dict[str, Closure]
    apart: dict[str, int]
    """Bytes of each image's closure for itself."""
    common: tuple[SharedLayer, ...]
    """The layers that images have in common, with what they keep of each for themselves."""
    shared: int
    """How many of them, from the lowest on, are shared."""
    saved: int
    """Bytes of files by which the set is smaller than the images slimmed each for itself."""

    @property
    def packed(self) -> tuple[int, int]:
        """Bytes of all layers as they are stored, each once; and those that several images have."""
        sizes: dict[str, int] = {}
        holders: dict[str, int] = {}
        for image in self.images.values():
            sizes |= dict(zip(image.layers, image.layers_packed, strict=True))
            for digest in set(image.layers):
                holders[digest] = holders.get(digest, 0) + 1
        return sum(sizes.values()), sum(size for digest, size in sizes.items() if holders[digest] > 1)


def slim_together(
    subjects: Sequence[subject.Subject],
    target: Path,
    *,
    share: Share = "auto",
    form: Form = "layout",
    told: Callable[[int], None] | None = None,
) -> Together:
    """Write the slim halves of several images with their profiles to one folder; see `slim`.

    An image is called as its profile's folder. `share` says how many of the layers in common, from the lowest
    on, stay one: those that pay (`worth_sharing`), `all`, or `none`; what one image keeps of a shared layer,
    all keep. Misuse for two profiles of one name.
    """
    profiles = [confined_profile(each) for each in subjects]
    names = [each.name for each in profiles]
    if len(set(names)) < len(names):
        raise Misuse(
            f"two profiles are called {max(names, key=names.count)!r}", field="profile",
            fix="Images are called as the folders of their profiles: rename one.",
        )  # fmt: skip
    asked = [
        Subject(
            name, each.files, tuple(layer.diff_id for layer in each.image.layers), each.needs_runs(),
            each.inventory, profile.about.policy,
        )
        for name, each, profile in zip(names, subjects, profiles, strict=True)
    ]  # fmt: skip
    alone = [each.closure for each in subjects]
    common = shared_between(asked, alone)
    most = {"auto": worth_sharing(common), "all": len({each.number for each in common}), "none": 0}[share]
    closures = close_together(asked, most) if most else alone
    parts = [
        part_of(each, closure, each.runs, name)
        for each, closure, name in zip(subjects, closures, names, strict=True)
    ]
    with made_alone(target) as made_at:
        written = slim_images(parts, made_at, form=form, progress=told, shared=most)
    apart = {name: closure.kept.bytes for name, closure in zip(names, alone, strict=True)}
    once = sum(each.saved for each in shared_between(asked, closures) if each.number < most)
    return Together(
        images=dict(zip(names, written, strict=True)),
        closures=dict(zip(names, closures, strict=True)),
        apart=apart,
        common=common,
        shared=most,
        saved=sum(apart.values()) + once - sum(each.kept.bytes for each in closures),
    )
