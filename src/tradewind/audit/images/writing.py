"""Writing images: OCI layouts and archives of them, made of chosen paths, always in the same bytes.

Entries keep their modes, owners, times (whole seconds), links, hard links and extended attributes. Sockets
cannot be stored. Everything is written beside the target and renamed into place.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Literal

from msgspec import Struct
from msgspec.structs import replace

from tradewind.audit.images.copying import chosen_entries
from tradewind.audit.images.folder import Folder
from tradewind.audit.images.layered import WHITEOUT
from tradewind.audit.images.layouts import REFERENCE
from tradewind.audit.images.opening import Image, Layer
from tradewind.audit.images.packing import Packer
from tradewind.audit.images.regions import CHUNK
from tradewind.audit.images.tars import TarWriter
from tradewind.audit.images.unfolding import Packing
from tradewind.audit.trees import Entry, Files
from tradewind.data.durable_files import TEMPORARY, creating_directory, replacing, sync
from tradewind.errors import Misuse

Form = Literal["layout", "archive", "docker"]
"""An OCI layout in a directory, the same in one archive, or an archive that `docker load` takes too."""

EPOCH = "1970-01-01T00:00:00Z"
_MEDIA: dict[Packing, str] = {
    "plain": "application/vnd.oci.image.layer.v1.tar",
    "gzip": "application/vnd.oci.image.layer.v1.tar+gzip",
    "zstd": "application/vnd.oci.image.layer.v1.tar+zstd",
}
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"


class LayerContent(Struct, frozen=True):
    """What goes into one layer of an image that is written."""

    files: Files
    paths: Collection[str]
    """What of it goes in; the directories above come with it."""
    contents: Mapping[str, bytes] = {}
    """Files with another content than the tree's, or that the tree has not; all of them go in."""
    removed: Collection[str] = ()
    """Paths of lower layers that this one hides."""
    created_by: str = ""


class LayerCopy(Struct, frozen=True):
    """A layer of an opened image, taken as it is stored: whoever has it need not pull it again."""

    image: Image
    number: int
    created_by: str = ""
    """Who made it; what the image says without."""


class Written(Struct, frozen=True):
    """What was written."""

    digest: str
    """Of the manifest."""
    config_digest: str
    layers: tuple[Layer, ...]
    manifest_bytes: int

    @property
    def bytes(self) -> int:
        """Bytes of all layers as they are stored."""
        return sum(layer.packed for layer in self.layers)


def write_image(
    target: Path,
    layers: Sequence[LayerContent | LayerCopy],
    *,
    config: Mapping[str, Any] | None = None,
    annotations: Mapping[str, str] | None = None,
    reference: str = "latest",
    form: Form = "layout",
    packing: Packing = "gzip",
    level: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> Written:
    """Write an image of these layers, the lowest first, to `target`, which must not be there yet.

    `config` is an OCI configuration of which all is kept but the list of layers and their history. Names of
    one file are hard links within a layer; across layers each has the content, for engines that unpack a
    layer by itself could not link to another's. Misuse if a path is not in its tree, a file changes
    meanwhile, or `target` is there already.
    """
    _check_absent(target)
    if form == "layout":
        with creating_directory(target) as partial:
            return _write_layout(
                partial, layers, config or {}, annotations or {}, reference, packing, level, progress
            )
    with replacing(target) as draft, _beside(draft) as partial:
        written = _write_layout(
            partial, layers, config or {}, annotations or {}, reference, packing, level, progress
        )
        if form == "docker":
            _write_docker(partial, written, reference)
        _archive(partial, draft)
        return written


def _check_absent(target: Path) -> None:
    if os.path.lexists(target):
        raise Misuse("is there already", source=str(target), fix="Name a new place, or remove it first.")


@contextmanager
def _beside(draft: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix=TEMPORARY, dir=draft.parent) as name:
        yield Path(name)


def _write_layout(
    partial: Path,
    layers: Sequence[LayerContent | LayerCopy],
    config: Mapping[str, Any],
    annotations: Mapping[str, str],
    reference: str,
    packing: Packing,
    level: int | None,
    progress: Callable[[int], None] | None,
) -> Written:
    blobs = partial / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    made: list[Layer] = []
    for layer in layers:
        if isinstance(layer, LayerCopy):
            made.append(_copied(layer, blobs, progress))
        else:
            made.append(_packed(layer, blobs, packing, level, progress))
    history = [{"created": config.get("created", EPOCH), "created_by": each.created_by} for each in made]
    settings = {
        "architecture": "amd64",
        "os": "linux",
        "created": EPOCH,
        **config,
        "rootfs": {"type": "layers", "diff_ids": [each.diff_id for each in made]},
        "history": history,
    }
    config_blob = _document(blobs, settings, _CONFIG)
    manifest = {
        "schemaVersion": 2,
        "mediaType": _MANIFEST,
        "config": config_blob,
        "layers": [{"mediaType": e.media_type, "digest": e.digest, "size": e.packed} for e in made],
        "annotations": dict(annotations),
    }
    manifest_blob = _document(blobs, manifest, _MANIFEST)
    index = {"schemaVersion": 2, "manifests": [{**manifest_blob, "annotations": {REFERENCE: reference}}]}
    _put(partial / "index.json", _json(index))
    _put(partial / "oci-layout", _json({"imageLayoutVersion": "1.0.0"}))
    for directory in (blobs, blobs.parent):
        sync(directory)
    return Written(
        str(manifest_blob["digest"]), str(config_blob["digest"]), tuple(made), int(manifest_blob["size"])
    )


def _copied(layer: LayerCopy, blobs: Path, progress: Callable[[int], None] | None) -> Layer:
    known = layer.image.layers[layer.number]
    with layer.image.blob(layer.number) as source, _blob(blobs) as (file, name):
        found = hashlib.sha256()
        while piece := source.read(CHUNK):
            found.update(piece)
            file.write(piece)
            if progress is not None:
                progress(len(piece))
        name.append("sha256:" + found.hexdigest())
    return replace(
        known,
        digest=name[0],
        media_type=_MEDIA[known.packing],
        created_by=layer.created_by or known.created_by,
    )


def _packed(
    layer: LayerContent,
    blobs: Path,
    packing: Packing,
    level: int | None,
    progress: Callable[[int], None] | None,
) -> Layer:
    """Write one layer as a blob."""
    entries = _entries(layer)
    first: dict[int, str] = {}
    with _blob(blobs) as (file, name):
        with Packer(packing, file.write, level) as packer:
            tar = TarWriter(packer.feed)
            for path in sorted(layer.removed):
                directory, mark, last = path.rpartition("/")
                tar.add(Entry(f"{directory}{mark}{WHITEOUT}{last}", "file"))
            for entry in entries:
                if entry.path in layer.contents:
                    tar.add(entry, io.BytesIO(layer.contents[entry.path]))
                elif entry.kind != "file":
                    tar.add(entry)
                elif entry.node and first.setdefault(entry.node, entry.path) != entry.path:
                    tar.add(entry, hard=first[entry.node])
                else:
                    with layer.files.open(entry.path) as content:
                        tar.add(entry, content)
                if progress is not None:
                    progress(entry.size)
            tar.close()
        name.append(packer.digest)
    return Layer(
        packer.digest, packer.diff_id, packer.given, packer.taken, packing, _MEDIA[packing], layer.created_by
    )


def _entries(layer: LayerContent) -> list[Entry]:
    """What a layer holds, in order, with the directories above."""
    found = chosen_entries(layer.files, layer.paths, layer.contents)
    for entry in found:
        if entry.path.rpartition("/")[2].startswith(WHITEOUT):
            raise Misuse(
                f"has a name that begins with {WHITEOUT}: in an image it would hide a file", field=entry.path,
                fix="Rename it, or leave it out.",
            )  # fmt: skip
    return found


@contextmanager
def _blob(blobs: Path) -> Iterator[tuple[BinaryIO, list[str]]]:
    """A file to write, and a list that takes its digest once it is known, by which it is named afterwards."""
    name: list[str] = []
    partial = blobs / TEMPORARY
    with partial.open("wb") as file:
        yield file, name
        file.flush()
        os.fsync(file.fileno())
    partial.rename(blobs / name[0].removeprefix("sha256:"))


def _document(blobs: Path, value: Mapping[str, Any], media_type: str) -> dict[str, Any]:
    """Write a document as a blob; its descriptor."""
    content = _json(value)
    digest = hashlib.sha256(content).hexdigest()
    _put(blobs / digest, content)
    return {"mediaType": media_type, "digest": "sha256:" + digest, "size": len(content)}


def _put(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    sync(path)


def _json(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _write_docker(partial: Path, written: Written, reference: str) -> None:
    """Add what `docker load` reads."""

    def path(digest: str) -> str:
        return "blobs/sha256/" + digest.removeprefix("sha256:")

    # A name without a repository is none to docker.
    tag = reference if ":" in reference.rpartition("/")[2] else f"image:{reference}"
    image = {
        "Config": path(written.config_digest),
        "RepoTags": [tag],
        "Layers": [path(layer.digest) for layer in written.layers],
    }
    _put(partial / "manifest.json", _json([image]))


def _archive(partial: Path, target: Path) -> None:
    """Write a directory as one archive, with nothing in it of who wrote it and when."""
    with Folder(partial) as folder, target.open("wb") as file:
        tar = TarWriter(file.write)
        for entry in folder.tree:
            plain = replace(
                entry,
                user=0,
                group=0,
                modified=0.0,
                attributes=(),
                mode=0o755 if entry.kind == "directory" else 0o644,
            )
            if entry.kind == "file":
                with folder.open(entry.path) as content:
                    tar.add(plain, content)
            else:
                tar.add(plain)
        tar.close()
