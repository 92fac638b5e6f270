"""Which manifests an OCI layout or a docker archive holds, and what each of them names.

Both are read through `Container`, so that a layout in a directory and one in an archive are the same thing.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, NoReturn, Protocol

from msgspec import Struct
from msgspec.structs import replace

from tradewind.audit.images.limits import Limits
from tradewind.audit.images.regions import Region
from tradewind.audit.trees import Files
from tradewind.errors import Misuse

REFERENCE = "org.opencontainers.image.ref.name"
_CONTAINERD_NAME = "io.containerd.image.name"
_INDEXES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
_CONFIGS = ("application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json")
_DIGEST = re.compile(r"(sha256):([0-9a-f]{64})|(sha512):([0-9a-f]{128})")
_DEEPEST = 4
_AGAIN = "Fetch the image again."


class Container(Files, Protocol):
    """Files of which each lies in one piece somewhere."""

    def region(self, path: str) -> Region:
        """Where the content of a file lies; KeyError if there is no such file."""
        ...


class Blob(Struct, frozen=True):
    """A part of an image, by the path at which it lies in the container."""

    path: str
    digest: str = ""
    """As the manifest states it; empty in a docker archive, which states none."""
    media_type: str = ""


class Manifest(Struct, frozen=True):
    """One image in a layout."""

    names: tuple[str, ...]
    """What it may be chosen by: references, then its digest, then its platform."""
    digest: str
    """Of the manifest; of the configuration in a docker archive, which has no manifest to digest."""
    layers: tuple[Blob, ...]
    config: Mapping[str, Any]
    annotations: Mapping[str, str] = {}


def is_layout(container: Files) -> bool:
    """Whether this is an OCI layout."""
    return "oci-layout" in container.tree and "index.json" in container.tree


def is_docker_archive(container: Files) -> bool:
    """Whether this is what `docker save` writes; newer ones are OCI layouts too."""
    entry = container.tree.get("manifest.json")
    if entry is None or entry.kind != "file":
        return False
    return container.read("manifest.json", 1 << 20).lstrip()[:1] == b"["


def chosen(manifests: list[Manifest], wanted: str, source: str) -> Manifest:
    """The manifest that goes by the name `wanted`; the only one there is if that is empty."""
    fitting = [each for each in manifests if not wanted or wanted in each.names or _short(wanted, each)]
    if len(fitting) == 1:
        return fitting[0]
    known = "; ".join(" = ".join(each.names) for each in manifests) or "none"
    problem = "there are several images" if fitting else "there is no such image"
    raise Misuse(
        problem, source=source, field=wanted,
        fix=f"Choose one by {source}@NAME, with its reference, digest or platform: {known}.",
    )  # fmt: skip


def _short(wanted: str, manifest: Manifest) -> bool:
    """Whether `wanted` is the tag of one of the manifest's references, or one without its registry."""
    ends = (":" + wanted, "/" + wanted)
    return any(name.endswith(ends) for name in manifest.names if name != manifest.digest and ":" in name)


class Reader:
    """Reads the documents of one container."""

    def __init__(self, container: Container, source: str, limits: Limits) -> None:
        self._container, self._source, self._limits = container, source, limits

    def layout(self) -> list[Manifest]:
        """The images of an OCI layout, indexes in indexes followed; attestations are none."""
        version = self._object(self._document("oci-layout"), "oci-layout").get("imageLayoutVersion")
        if version != "1.0.0":
            self._refuse("oci-layout", f"is of the unknown version {version!r}")
        index = self._object(self._document("index.json"), "index.json")
        found: dict[str, Manifest] = {}
        for manifest in self._listed(index, "index.json", (), 0):
            same = found.get(manifest.digest, manifest)
            # One image under several references is one image.
            found[manifest.digest] = replace(same, names=tuple(dict.fromkeys((*same.names, *manifest.names))))
        return list(found.values())

    def docker(self) -> list[Manifest]:
        """The images of a docker archive."""
        listed = self._document("manifest.json")
        if not isinstance(listed, list):
            self._refuse("manifest.json", "is no list")
        found = []
        for each in listed:
            image = self._object(each, "manifest.json")
            config_path = self._path(image.get("Config"))
            config = self._object(self._document(config_path), config_path)
            layers = image.get("Layers") or []
            tags = image.get("RepoTags") or []
            if not isinstance(layers, list) or not isinstance(tags, list):
                self._refuse("manifest.json", "has no lists of layers and tags")
            digest = "sha256:" + hashlib.sha256(self._bytes(config_path)).hexdigest()
            found.append(
                Manifest(
                    (*map(str, tags), digest, _platform(config)),
                    digest,
                    tuple(Blob(self._path(layer)) for layer in layers),
                    config,
                )
            )
        return found

    def _listed(
        self, index: Mapping[str, Any], name: str, above: tuple[str, ...], depth: int
    ) -> Iterator[Manifest]:
        listed = index.get("manifests")
        if not isinstance(listed, list) or depth > _DEEPEST:
            self._refuse(name, "lists no manifests, or lists too deeply")
        for each in listed:
            descriptor = self._object(each, name)
            annotations = self._texts(descriptor.get("annotations"), name)
            if annotations.get("vnd.docker.reference.type") == "attestation-manifest":
                continue
            blob = self._blob(descriptor, name)
            # An image for another platform may be listed without being there.
            if (
                blob.path not in self._container.tree
                and isinstance(descriptor.get("platform"), dict)
                and depth
            ):
                continue
            document = self._object(self._checked(blob), blob.digest)
            references = [annotations[key] for key in (REFERENCE, _CONTAINERD_NAME) if key in annotations]
            names = tuple(dict.fromkeys((*references, *above)))
            if blob.media_type in _INDEXES or "manifests" in document:
                yield from self._listed(document, blob.digest, names, depth + 1)
                continue
            config_blob = self._blob(self._object(document.get("config"), blob.digest), blob.digest)
            if config_blob.media_type not in _CONFIGS:
                continue
            config = self._object(self._checked(config_blob), config_blob.digest)
            layers = document.get("layers")
            if not isinstance(layers, list):
                self._refuse(blob.digest, "has no list of layers")
            yield Manifest(
                (*names, blob.digest, _platform(config)),
                blob.digest,
                tuple(self._blob(self._object(layer, blob.digest), blob.digest) for layer in layers),
                config,
                annotations | self._texts(document.get("annotations"), blob.digest),
            )

    def _blob(self, descriptor: Mapping[str, Any], name: str) -> Blob:
        digest = descriptor.get("digest")
        match = _DIGEST.fullmatch(digest) if isinstance(digest, str) else None
        if match is None:
            self._refuse(name, f"has the digest {str(digest)[:80]!r}, which is none")
        path = f"blobs/{match[1] or match[3]}/{match[2] or match[4]}"
        size = descriptor.get("size")
        entry = self._container.tree.get(path)
        if entry is not None and isinstance(size, int) and entry.size != size:
            self._refuse(str(digest), f"has {entry.size:,} bytes, not {size:,}")
        media_type = str(descriptor.get("mediaType") or "")
        if media_type.endswith("+encrypted"):
            self._refuse(str(digest), "is encrypted")
        return Blob(path, str(digest), media_type)

    def _checked(self, blob: Blob) -> Any:
        """The document in a blob, if its digest is right."""
        algorithm, _, stated = blob.digest.partition(":")
        if hashlib.new(algorithm, self._bytes(blob.path)).hexdigest() != stated:
            self._refuse(blob.digest, "is not what its digest says")
        return self._document(blob.path)

    def _bytes(self, path: str) -> bytes:
        try:
            return self._container.read(path, self._limits.document)
        except KeyError:
            self._refuse(path, "is missing")

    def _document(self, path: str) -> Any:
        try:
            return json.loads(self._bytes(path))
        except (ValueError, RecursionError):
            self._refuse(path, "is no JSON")

    def _object(self, found: Any, name: str) -> dict[str, Any]:
        if not isinstance(found, dict):
            self._refuse(name, "has something else where an object should be")
        return found

    def _texts(self, found: Any, name: str) -> dict[str, str]:
        return {str(key): str(value) for key, value in self._object(found or {}, name).items()}

    def _path(self, stated: Any) -> str:
        """Where a file of a docker archive is: older ones have links from one layer to another."""
        found = self._container.tree.resolve(stated)[0] if isinstance(stated, str) else None
        if not found or stated.startswith("/"):
            self._refuse("manifest.json", f"names {str(stated)[:200]!r}, which is missing")
        return found

    def _refuse(self, field: str, problem: str) -> NoReturn:
        raise Misuse(problem, source=self._source, field=field, fix=_AGAIN) from None


def _platform(config: Mapping[str, Any]) -> str:
    """`linux/arm64/v8`, as far as a configuration tells."""
    parts = [str(config.get(key) or "") for key in ("os", "architecture", "variant")]
    return "/".join(part for part in parts if part) or "unknown"
