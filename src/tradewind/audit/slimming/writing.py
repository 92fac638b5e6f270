"""Writes what was slimmed: an image that keeps its layers, or folders, with side-car and lists beside it.

Everything is made below a temporary name and renamed whole; on any error, or on Ctrl-C, nothing is left.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Literal

from msgspec import Struct
from msgspec.structs import replace

from tradewind.audit.images.copying import write_folder
from tradewind.audit.images.opening import Image, open_files
from tradewind.audit.images.unfolding import Packing
from tradewind.audit.images.writing import LayerContent, LayerCopy, Written, write_image
from tradewind.audit.packages import Inventory
from tradewind.audit.slimming.closure import Closure
from tradewind.audit.slimming.halves import Half, side_car, slim_half, whiteouts
from tradewind.audit.slimming.lists import as_lines, prefetch, removed_paths
from tradewind.audit.tracing.events import Run
from tradewind.audit.trees import Entry, Files, Tree
from tradewind.data.durable_files import creating_directory, sync
from tradewind.errors import Misuse

Form = Literal["layout", "folders"]
IMAGE, SLIM, SIDE_CAR, ORIGINAL = "image", "slim", "side-car", "original"
"""The names in a target: the layout with its references, or the folders."""
REMOVED, PREFETCH, ADDED = "removed.jsonl", "prefetch.txt", "added.txt"
BY = "tradewind audit slim"
Progress = Callable[[int], None]


class Part(Struct, frozen=True):
    """One image that is written, with all that was decided about it."""

    image: Image
    closure: Closure
    inventory: Inventory
    made: Mapping[str, bytes] = {}
    runs: tuple[Run, ...] = ()
    name: str = ""
    """What its references in a layout begin with, where several are written together."""
    order: tuple[str, ...] = ()
    """Paths in the order of their first opening, for the list of what to fetch first."""


class SlimImage(Struct, frozen=True):
    """What was written of one image."""

    bytes: int
    """Of the files of the slim half, hard links counted once; what was made is among them."""
    original_bytes: int
    removed_files: int
    packed: int = 0
    """Bytes of the slim image's layers as they are stored; 0 for folders."""
    side_car_packed: int = 0
    layers: tuple[str, ...] = ()
    """The digests of the slim image's layers, the lowest first."""
    kept_layers: int = 0
    """How many of them are the original's own, byte for byte."""
    layers_packed: tuple[int, ...] = ()
    """Bytes of each of them as it is stored."""
    left_out: tuple[str, ...] = ()
    """Sockets and devices, which neither half can hold: engines make them."""

    @property
    def degree(self) -> float:
        """The container bloat degree, from 0 to 1: the share of the bytes that is gone.

        0 where what was made, such as the bill of materials, outweighs what went.
        """
        return max(0.0, 1 - self.bytes / self.original_bytes) if self.original_bytes else 0.0


def slim_image(
    part: Part,
    target: Path,
    *,
    form: Form = "layout",
    packing: Packing = "gzip",
    level: int | None = None,
    progress: Progress | None = None,
) -> SlimImage:
    """Write the slim half, the side-car and the lists of one image below `target`, which must not be there.

    A layout, in `image`, has three references: `slim`; `side-car`, one layer with all that was removed; and
    `original`, which is the first with the second on top and equals the original. Layers of which nothing
    goes are kept as they are stored. Folders are `slim` and `side-car`: an overlay with the side-car above
    the slim half shows the original. `removed.jsonl` and `prefetch.txt` stand beside; `added.txt` names the
    paths of the slim half that the original has not.
    """
    return slim_images([part], target, form=form, packing=packing, level=level, progress=progress)[0]


def slim_images(
    parts: Sequence[Part],
    target: Path,
    *,
    form: Form = "layout",
    packing: Packing = "gzip",
    level: int | None = None,
    progress: Progress | None = None,
    shared: int | None = None,
) -> list[SlimImage]:
    """The same for several images in one layout, whose closures `close_together` made: what layers they share
    they go on sharing, as one blob, at most the lowest `shared`. Their references and lists have the part's
    name and a hyphen in front.

    Raises Misuse for a name that is missing or there twice, and for a target that is there already.
    """
    _check(parts, target)
    names = [f"{part.name}-" if part.name else "" for part in parts]
    with creating_directory(target) as partial:
        halves = [
            (slim_half(p.image.files, p.closure, p.made), side_car(p.image.files, p.closure)) for p in parts
        ]
        made = []
        if form == "folders":
            for part, name, (slim, rest) in zip(parts, names, halves, strict=True):
                write_folder(slim, list(slim.tree.entries), partial / f"{name}{SLIM}", progress=progress)
                write_folder(rest, _storable(rest), partial / f"{name}{SIDE_CAR}", progress=progress)
                made.append(_told(part, slim, rest))
        else:
            layouts = _Layouts(partial, packing, level, progress)
            common = _common(parts, [slim for slim, _ in halves], shared)
            for at, (part, name, (slim, rest)) in enumerate(zip(parts, names, halves, strict=True)):
                made.append(layouts.add(part, name, slim, rest, common[at]))
            layouts.finish()
        for part, name, (slim, _) in zip(parts, names, halves, strict=True):
            _write_lists(part, slim, partial, name)
    return made


def _check(parts: Sequence[Part], target: Path) -> None:
    names = [part.name for part in parts]
    if len(set(names)) < len(names) or (len(parts) > 1 and not all(names)):
        raise Misuse("each of several images needs a name of its own", source="slim", field="name")
    for name in names:
        if name.startswith(".") or (
            not name.replace("-", "").replace(".", "").replace("_", "").isalnum() and name
        ):
            raise Misuse(
                f"{name!r} is no name",
                source="slim",
                field="name",
                fix="Use letters, digits and . _ - in it.",
            )
    if target.exists() or target.is_symlink():
        raise Misuse("is there already", source=str(target), fix="Name a new place, or remove it first.")


def _storable(half: Half) -> list[str]:
    return [entry.path for entry in half.tree if entry.kind not in ("socket", "device")]


def _told(
    part: Part,
    slim: Half,
    rest: Half,
    written: Written | None = None,
    beside: Written | None = None,
    kept_layers: int = 0,
) -> SlimImage:
    left = [entry.path for half in (slim, rest) for entry in half.tree if entry.kind in ("socket", "device")]
    return SlimImage(
        bytes=slim.tree.bytes,
        original_bytes=part.image.files.tree.bytes,
        removed_files=len(part.closure.removed),
        packed=written.bytes if written else 0,
        side_car_packed=beside.bytes if beside else 0,
        layers=tuple(layer.digest for layer in written.layers) if written else (),
        kept_layers=kept_layers,
        layers_packed=tuple(layer.packed for layer in written.layers) if written else (),
        left_out=tuple(sorted(left)),
    )


def _write_lists(part: Part, slim: Half, partial: Path, name: str) -> None:
    removed = removed_paths(part.closure, part.inventory, part.made)
    first = prefetch(part.closure, part.runs, part.order)
    added = [path for path in slim.tree.entries if path not in part.image.files.tree]
    for title, lines in (
        (REMOVED, as_lines(removed)),
        (PREFETCH, (_line(path) for path in first)),
        (ADDED, (_line(path) for path in added)),
    ):
        path = partial / f"{name}{title}"
        with path.open("wb") as file:
            file.writelines(lines)
        sync(path)


def _line(path: str) -> bytes:
    """A path as a line; the end of a line in a name is written as `\\n`."""
    return b"/" + path.replace("\n", "\\n").encode("utf-8", "surrogateescape") + b"\n"


class _Common(Struct):
    """What several images have in common: their lowest layers, as one image's files would tell them."""

    layers: dict[int, LayerContent | LayerCopy]
    tree: dict[str, Entry]
    """What those layers show, a higher one before a lower."""


class _Joined:
    """The files of several images as one tree; the first that has a path is asked for it."""

    def __init__(self, members: Sequence[tuple[Half, Collection[str]]]) -> None:
        self._owner: dict[str, Half] = {}
        entries: dict[str, Entry] = {}
        for number, (half, paths) in enumerate(members):
            for entry in half.tree.only(paths):
                if entry.path not in entries:
                    node = entry.node and entry.node * len(members) + number
                    entries[entry.path] = replace(entry, node=node)
                    self._owner[entry.path] = half
        self.tree = Tree(entries.values())

    def open(self, path: str) -> BinaryIO:
        return self._owner[path].open(path)

    def read(self, path: str, limit: int = 64 << 20) -> bytes:
        return self._owner[path].read(path, limit)


def _common(parts: Sequence[Part], halves: Sequence[Half], most: int | None) -> list[_Common]:
    """For each image the layers that it shares with another, as they are to be written for all that do."""
    groups: dict[tuple[str, ...], list[int]] = {}
    for at, part in enumerate(parts):
        digests = tuple(layer.diff_id for layer in part.image.layers)[:most]
        for depth in range(1, len(digests) + 1):
            groups.setdefault(digests[:depth], []).append(at)
    found = [_Common({}, {}) for _ in parts]
    for prefix, members in sorted(groups.items(), key=lambda each: len(each[0])):
        if len(members) < 2:
            continue
        number = len(prefix) - 1
        joined = _Joined([(halves[at], _of_layer(halves[at], number)) for at in members])
        layer = _layer(parts[members[0]], joined, list(joined.tree.entries), number)
        if not all(parts[at].image.unchanged(number, joined.tree.entries.keys()) for at in members):
            layer = LayerContent(joined, list(joined.tree.entries), created_by=_by(parts[members[0]], number))
        for at in members:
            found[at].layers[number] = layer
            found[at].tree |= joined.tree.entries
    return found


def _of_layer(half: Half, number: int) -> list[str]:
    return [entry.path for entry in half.tree if entry.layer == number and entry.kind != "directory"] + [
        entry.path
        for entry in half.tree
        if entry.layer == number and entry.kind == "directory" and not half.tree.children.get(entry.path)
    ]


def _by(part: Part, number: int) -> str:
    layers = part.image.layers
    return f"{layers[number].created_by} ({BY})".strip() if number < len(layers) else BY


def _layer(part: Part, files: Files, paths: Sequence[str], number: int) -> LayerContent | LayerCopy:
    """One layer of an image: as it is stored if nothing of it goes, else its part."""
    image = part.image
    if number < len(image.layers) and image.unchanged(number, set(paths)):
        return LayerCopy(image, number)
    return LayerContent(files, paths, created_by=_by(part, number))


class _Layouts:
    """A layout that grows by images, whose equal blobs are held once."""

    def __init__(self, partial: Path, packing: Packing, level: int | None, progress: Progress | None) -> None:
        self._partial, self._packing, self._level, self._progress = partial, packing, level, progress
        self._target = partial / IMAGE
        self._manifests: list[dict[str, Any]] = []

    def add(self, part: Part, name: str, slim: Half, rest: Half, common: _Common) -> SlimImage:
        """Write the three references of one image."""
        layers = self._layers(part, slim, common)
        told = dict(part.image.annotations)
        written = self._write(part, layers, told, f"{name}{SLIM}")
        hidden = whiteouts(part.image.files, slim)
        content = LayerContent(rest, _storable(rest), removed=hidden, created_by=f"{BY}: what was removed")
        beside = self._write(part, [content], {}, f"{name}{SIDE_CAR}")
        with (
            open_files(self._target, reference=f"{name}{SLIM}") as lower,
            open_files(self._target, reference=f"{name}{SIDE_CAR}") as upper,
        ):
            stacked: list[LayerContent | LayerCopy] = [
                LayerCopy(lower, at) for at in range(len(lower.layers))
            ]
            self._write(part, [*stacked, LayerCopy(upper, 0)], told, f"{name}{ORIGINAL}", quiet=True)
        kept = sum(isinstance(layer, LayerCopy) for layer in layers)
        return _told(part, slim, rest, written, beside, kept)

    def finish(self) -> None:
        """Make the layout durable."""
        for folder in (self._target / "blobs" / "sha256", self._target / "blobs", self._target):
            sync(folder)

    def _layers(self, part: Part, slim: Half, common: _Common) -> list[LayerContent | LayerCopy]:
        """The layers of the slim image, the lowest first; one of which nothing is kept is left out."""
        layers: list[LayerContent | LayerCopy] = []
        above = max((entry.layer for entry in part.image.files.tree), default=-1) + 1
        for number in range(above):
            if number in common.layers:
                layers.append(common.layers[number])
                continue
            paths = _of_layer(slim, number)
            if paths:
                layers.append(_layer(part, slim, paths, number))
        top = [
            *part.made,
            *(path for path, each in slim.tree.entries.items() if _differs(common.tree.get(path), each)),
        ]
        hidden = [path for path in common.tree if path not in slim.tree]
        gone = [path for path in hidden if path.rpartition("/")[0] not in hidden]
        if top or gone:
            layers.append(LayerContent(slim, top, removed=gone, created_by=BY))
        return [
            layer for layer in layers if not isinstance(layer, LayerContent) or layer.paths or layer.removed
        ]

    def _write(
        self,
        part: Part,
        layers: Sequence[LayerContent | LayerCopy],
        annotations: Mapping[str, str],
        reference: str,
        *,
        quiet: bool = False,
    ) -> Written:
        draft = self._partial / f"{IMAGE}-draft"
        written = write_image(
            draft, layers, config=part.image.config, annotations=annotations, reference=reference,
            packing=self._packing, level=self._level, progress=None if quiet else self._progress,
        )  # fmt: skip
        self._merge(draft)
        return written

    def _merge(self, draft: Path) -> None:
        """Move what a layout brings into ours."""
        blobs = self._target / "blobs" / "sha256"
        blobs.mkdir(parents=True, exist_ok=True)
        for blob in (draft / "blobs" / "sha256").iterdir():
            blob.replace(blobs / blob.name)
        self._manifests += json.loads((draft / "index.json").read_bytes())["manifests"]
        (draft / "oci-layout").replace(self._target / "oci-layout")
        index = {"schemaVersion": 2, "manifests": self._manifests}
        path = self._target / "index.json"
        path.write_bytes(json.dumps(index, sort_keys=True, separators=(",", ":")).encode())
        sync(path)
        shutil.rmtree(draft)


def _differs(shared: Entry | None, mine: Entry) -> bool:
    """Whether a directory that the shared layers bring looks different in this image."""
    if shared is None or mine.kind != "directory" or shared.kind != "directory":
        return False
    return replace(shared, layer=0) != replace(mine, layer=0)
