"""Opening whatever holds a tree of files: a directory, an OCI layout, a docker archive, an archive of a root.

Nothing is unpacked to disk but packed layers, once each, into files without a name that go away with the
image. What an archive holds is found by its bytes, never by its name.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, Literal, NamedTuple, NoReturn

from msgspec import Struct

from tradewind.audit.images.archives import is_archive, members
from tradewind.audit.images.digests import tree_digest
from tradewind.audit.images.folder import Folder
from tradewind.audit.images.layered import Layered, Stack
from tradewind.audit.images.layouts import (
    Blob,
    Container,
    Manifest,
    Reader,
    chosen,
    is_docker_archive,
    is_layout,
)
from tradewind.audit.images.limits import Limits, Spent
from tradewind.audit.images.regions import Region
from tradewind.audit.images.settings import Settings, settings_of
from tradewind.audit.images.unfolding import Packing, Unfolding
from tradewind.audit.trees import Files
from tradewind.errors import Misuse

ImageKind = Literal["directory", "OCI layout", "OCI archive", "docker archive", "archive"]
_AGAIN = "Fetch the image again."


class Layer(Struct, frozen=True):
    """One layer of an image."""

    digest: str
    """Of the layer as it is stored."""
    diff_id: str
    """Of the archive that it unfolds to."""
    packed: int
    """Bytes as stored: what is pulled."""
    bytes: int
    """Bytes of the archive that it unfolds to."""
    packing: Packing
    media_type: str = ""
    created_by: str = ""


class _Stored(NamedTuple):
    blob: Region
    archive: Region
    layer: Layer


class Image:
    """An opened tree with all that its container says about it."""

    def __init__(
        self,
        source: str,
        kind: ImageKind,
        files: Files,
        *,
        stored: tuple[_Stored, ...] = (),
        manifest: Manifest | None = None,
        notes: tuple[str, ...] = (),
    ) -> None:
        self.source, self.kind, self.files, self.notes = source, kind, files, notes
        self._stored = stored
        self.config: Mapping[str, Any] = manifest.config if manifest else {}
        """The OCI configuration as it stands; empty where there is none."""
        self.settings: Settings = settings_of(self.config, source)
        self.names: tuple[str, ...] = manifest.names if manifest else ()
        """Every name that chooses this image among those of its container."""
        self.annotations: Mapping[str, str] = manifest.annotations if manifest else {}
        self.layers: tuple[Layer, ...] = tuple(each.layer for each in stored)
        """The lowest first; none for a directory."""

    @property
    def reference(self) -> str:
        """The name that the image goes by in its container; its digest if it has no other."""
        return self.names[0] if self.names else ""

    @cached_property
    def digest(self) -> str:
        """The digest of the tree; see `tree_digest`. All content is read once for it."""
        return tree_digest(self.files)

    def blob(self, number: int) -> BinaryIO:
        """A layer as it is stored, packed or not."""
        return self._stored[number].blob.open()

    def unchanged(self, number: int, kept: Collection[str]) -> bool:
        """Whether a layer can be copied as it is, if `kept` and the directories above are to remain.

        That is so if everything it brings is both kept and still to be seen.
        """
        if not isinstance(self.files, Layered):
            return False
        tree = self.files.tree
        above = {path[:at] for path in kept for at in range(len(path)) if path[at] == "/"}
        for path in self.files.placed[number]:
            entry = tree.get(path)
            if entry is None or entry.layer != number or not (path in kept or path in above):
                return False
        return True


@contextmanager
def open_files(
    path: str | os.PathLike[str],
    *,
    reference: str = "",
    limits: Limits | None = None,
    scratch: str | os.PathLike[str] | None = None,
    one_device: bool = True,
    attributes: bool = True,
    progress: Callable[[int], None] | None = None,
) -> Iterator[Image]:
    """The image or directory at `path`, until the context is left.

    Where several images are in one container, `reference` chooses, or `path@reference`: a tag, a digest, or a
    platform such as `linux/arm64`. Packed layers unfold into `scratch`, else where temporary files go;
    `progress` is told of the bytes read, as they are. Of a directory's files `attributes` says whether the
    extended ones are read. Misuse, naming file and place, for whatever is damaged,
    unsafe, more than `limits` allow, or not to be told apart.
    """
    where = Path(path)
    if not reference and not os.path.lexists(where):
        where, reference = _split(os.fspath(path))
    opening = _Opening(str(where), limits or Limits(), Path(scratch) if scratch else None, progress)
    with opening.made:
        yield opening.opened(where, reference, one_device, attributes)


def _split(path: str) -> tuple[Path, str]:
    """What is before the first `@` that ends a path which is there, and what is after."""
    at = path.find("@")
    while at > 0:
        if os.path.lexists(path[:at]):
            return Path(path[:at]), path[at + 1 :]
        at = path.find("@", at + 1)
    return Path(path), ""


class _Opening:
    def __init__(
        self, source: str, limits: Limits, scratch: Path | None, progress: Callable[[int], None] | None
    ) -> None:
        self.made = ExitStack()
        self._source, self._limits = source, limits
        self._spent = Spent(limits, source)
        self._unfolding = Unfolding(self._spent, scratch, progress)
        self.made.callback(self._unfolding.close)

    def opened(self, path: Path, reference: str, one_device: bool, attributes: bool) -> Image:
        if path.is_dir():
            folder = self.made.enter_context(Folder(path, one_device=one_device, attributes=attributes))
            if is_layout(folder):
                return self._image("OCI layout", folder, reference)
            if is_docker_archive(folder):
                return self._image("docker archive", folder, reference)
            return self._plain(Image(self._source, "directory", folder, notes=folder.notes), reference)
        try:
            file = self.made.enter_context(path.open("rb"))
            region = Region(file, 0, os.fstat(file.fileno()).st_size)
        except OSError as error:
            raise Misuse(
                f"cannot be opened ({error.strerror})", source=str(path), fix="Name a directory or an image."
            ) from None
        stored = self._layer(region, self._source)
        if not is_archive(stored.archive):
            raise Misuse(
                "is neither a directory nor an archive of one", source=self._source,
                fix="Name a directory, an OCI layout, what `docker save` wrote, or a tar archive.",
            )  # fmt: skip
        outer = self._stacked([stored], Spent(self._limits, self._source), whole=False)
        if is_docker_archive(outer):
            return self._image("docker archive", outer, reference)
        if is_layout(outer):
            return self._image("OCI archive", outer, reference)
        return self._plain(Image(self._source, "archive", outer, stored=(stored,)), reference)

    def _plain(self, image: Image, reference: str) -> Image:
        if reference:
            raise Misuse(
                f"is one {image.kind}, with nothing in it to choose", source=self._source, field=reference,
                fix="Name it without @.",
            )  # fmt: skip
        return image

    def _image(self, kind: ImageKind, container: Container, reference: str) -> Image:
        reader = Reader(container, self._source, self._limits)
        manifests = reader.docker() if kind == "docker archive" else reader.layout()
        manifest = chosen(manifests, reference, self._source)
        rootfs = manifest.config.get("rootfs")
        stated = rootfs.get("diff_ids") if isinstance(rootfs, dict) else None
        if not isinstance(stated, list) or len(stated) != len(manifest.layers):
            self._refuse("config", f"does not state the digests of {len(manifest.layers)} layers")
        history = manifest.config.get("history")
        made_by = [
            str(each.get("created_by") or "")
            for each in (history if isinstance(history, list) else [])
            if isinstance(each, dict) and not each.get("empty_layer")
        ]
        made_by += [""] * len(manifest.layers)
        stored = []
        for blob, diff_id, creator in zip(manifest.layers, stated, made_by, strict=False):
            name = blob.digest or blob.path
            try:
                region = container.region(blob.path)
            except KeyError:
                self._refuse(name, "is missing")
            stored.append(self._layer(region, name, blob, str(diff_id), creator))
        files = self._stacked(stored, self._spent, whole=True)
        return Image(self._source, kind, files, stored=tuple(stored), manifest=manifest)

    def _layer(
        self, region: Region, name: str, blob: Blob | None = None, diff_id: str = "", creator: str = ""
    ) -> _Stored:
        unfolded = self._unfolding.unfold(region, name, blob.digest if blob else "", diff_id)
        layer = Layer(
            unfolded.digest, unfolded.diff_id, region.size, unfolded.region.size, unfolded.packing,
            blob.media_type if blob else "", creator,
        )  # fmt: skip
        return _Stored(region, unfolded.region, layer)

    def _stacked(self, stored: Iterable[_Stored], spent: Spent, *, whole: bool) -> Layered:
        stack = Stack(spent, self._source)
        for each in stored:
            source = f"{self._source}, {each.layer.digest}" if whole else self._source
            found = members(each.archive, source, self._limits, whole=whole)
            stack.add(each.archive, found, each.layer.digest if whole else "")
        return stack.files()

    def _refuse(self, field: str, problem: str) -> NoReturn:
        raise Misuse(problem, source=self._source, field=field, fix=_AGAIN) from None
