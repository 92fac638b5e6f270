"""What `tradewind audit slim` wrote, found again: the two halves as trees, and the lists beside them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import Struct

from tradewind.audit.images.opening import open_files
from tradewind.audit.images.unpacking import unpack
from tradewind.audit.slimming.databases import NOTE
from tradewind.audit.slimming.lists import Removed
from tradewind.audit.slimming.misses import Lacking, Miss, lacking
from tradewind.audit.slimming.writing import IMAGE, REMOVED, SIDE_CAR, SLIM, Form
from tradewind.audit.trees import Tree
from tradewind.errors import Misuse

HEALED = "healed.jsonl"
"""The name of the list of what was missed and healed, a miss a line."""
T = TypeVar("T", bound=Struct)


class SlimFolder:
    """One slim image in a folder: the only one there, or that of a name among several."""

    def __init__(self, folder: Path, prefix: str = "") -> None:
        self.folder, self.prefix = folder, prefix

    @property
    def form(self) -> Form:
        """How it is written."""
        return "layout" if (self.folder / IMAGE).is_dir() else "folders"

    @property
    def reference(self) -> str:
        """The slim half's name in the layout."""
        return f"{self.prefix}{SLIM}"

    @contextmanager
    def halves(self, scratch: Path, digest: str) -> Iterator[tuple[Path, Path]]:
        """The slim half and the side-car as directories; those of a layout are unpacked into `scratch`.

        Misuse if the slim half says that it was made of another tree than that of `digest`.
        """
        small, rest = self.folder / self.reference, self.folder / f"{self.prefix}{SIDE_CAR}"
        if self.form == "layout":
            for name in (small.name, rest.name):
                unpack(self.folder / IMAGE, scratch / name, reference=name)
            small, rest = scratch / small.name, scratch / rest.name
        self._check_origin(small, digest)
        yield small, rest

    def lacking(self, tree: Tree, small: Path) -> Lacking:
        """What the slim half, a directory, has not of the original tree."""
        fates = {each.path: each.fate for each in self._lines(REMOVED, Removed)}
        named = {fate: [path for path, each in fates.items() if each == fate] for fate in set(fates.values())}
        with open_files(small) as image:
            held = image.files.tree.entries.keys()
        return lacking(tree, held, named.get("placeholder", ()), named.get("moved", ()))

    def healed(self) -> tuple[Miss, ...]:
        """What was missed and healed in the versions up to this one, the first first."""
        return self._lines(HEALED, Miss) if (self.folder / f"{self.prefix}{HEALED}").exists() else ()

    def _lines(self, name: str, of: type[T]) -> tuple[T, ...]:
        path = self.folder / f"{self.prefix}{name}"
        try:
            # Names that are no text have lone surrogates, which msgspec's own reader of JSON refuses.
            return tuple(msgspec.convert(json.loads(line), of) for line in path.read_bytes().splitlines())
        except (OSError, ValueError, RecursionError) as problem:
            raise Misuse(
                f"cannot be read ({problem})", source=str(path), fix="Slim the image again."
            ) from None

    def _check_origin(self, small: Path, digest: str) -> None:
        with open_files(small) as image:
            entry = image.files.tree.get(NOTE)
            if entry is None or entry.kind != "file":
                return
            try:
                origin = msgspec.json.decode(image.files.read(NOTE))["original"]["digest"]
            except (msgspec.DecodeError, KeyError, TypeError):
                return
        if origin != digest:
            raise Misuse(
                "the slim image was made of another tree than the profile's", source=str(self.folder),
                field="slim", fix="Slim the image again, or give the profile that it was made by.",
            )  # fmt: skip


def slim_folder(folder: Path, name: str) -> SlimFolder:
    """The slim image in a folder: the one there or, of several, the one called `name`. Misuse if none is."""
    for prefix in ("", f"{name}-"):
        if (folder / f"{prefix}{REMOVED}").is_file():
            return SlimFolder(folder, prefix)
    several = sorted(each.name.removesuffix(f"-{REMOVED}") for each in folder.glob(f"*-{REMOVED}"))
    if several:
        raise Misuse(
            f"there is no image called {name!r} here, but {', '.join(several)}", source=str(folder),
            fix="Give the profile of one of them; its folder's name is the image's.",
        )  # fmt: skip
    raise Misuse(
        "there is no slim image here", source=str(folder),
        fix="Name what tradewind audit slim wrote with --to.",
    )  # fmt: skip
