"""Images and archives put together by the standard library, or by bytes, to be read by what is tested."""

import gzip
import hashlib
import io
import json
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import zstandard

from tradewind.audit.images.regions import Region

DIRECTORY, LINK, HARD = tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE


def member(name: str, content: bytes | None = None, **said: Any) -> tuple[tarfile.TarInfo, bytes | None]:
    """A member as one says it, however wrong."""
    info = tarfile.TarInfo(name)
    info.size = len(content or b"")
    for key, value in said.items():
        setattr(info, key, value)
    return info, content


def directory(name: str) -> tuple[tarfile.TarInfo, None]:
    return member(name, type=DIRECTORY, mode=0o755)[0], None


def link(name: str, target: str) -> tuple[tarfile.TarInfo, None]:
    return member(name, type=LINK, linkname=target)[0], None


def hard(name: str, target: str) -> tuple[tarfile.TarInfo, None]:
    return member(name, type=HARD, linkname=target)[0], None


def tar(*members: tuple[tarfile.TarInfo, bytes | None], form: int = tarfile.PAX_FORMAT) -> bytes:
    """An archive of these members."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        for info, content in members:
            archive.addfile(info, io.BytesIO(content) if content is not None else None)
    return out.getvalue()


def digest(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


def packed(content: bytes, packing: str) -> bytes:
    match packing:
        case "gzip":
            return gzip.compress(content, 1)
        case "zstd":
            return zstandard.compress(content)
        case _:
            return content


class Layout:
    """An OCI layout in the making."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "blobs/sha256").mkdir(parents=True)
        (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')

    def blob(self, content: bytes | dict[str, Any], media: str) -> dict[str, Any]:
        """Keep a blob; its descriptor."""
        raw = content if isinstance(content, bytes) else json.dumps(content).encode()
        (self.folder / "blobs/sha256" / digest(raw).removeprefix("sha256:")).write_bytes(raw)
        return {"mediaType": f"application/vnd.oci.image.{media}", "digest": digest(raw), "size": len(raw)}

    def image(self, layers: list[bytes], *, packing: str = "gzip", **config: Any) -> dict[str, Any]:
        """Keep an image; the descriptor of its manifest."""
        stored = [self.blob(packed(each, packing), f"layer.v1.tar+{packing}") for each in layers]
        about = {
            "os": "linux",
            "architecture": "amd64",
            "rootfs": {"type": "layers", "diff_ids": [digest(each) for each in layers]},
            **config,
        }
        manifest = {"schemaVersion": 2, "config": self.blob(about, "config.v1+json"), "layers": stored}
        return self.blob(manifest, "manifest.v1+json")

    def index(self, *descriptors: dict[str, Any], **references: dict[str, Any]) -> Path:
        """Write the index of these images, and of those by reference; where the layout is."""
        listed = [*descriptors]
        for name, each in references.items():
            listed.append({**each, "annotations": {"org.opencontainers.image.ref.name": name}})
        (self.folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": listed}))
        return self.folder


def layout(folder: Path, *layers: bytes, packing: str = "gzip", **config: Any) -> Path:
    """An OCI layout of one image."""
    made = Layout(folder)
    return made.index(made.image(list(layers), packing=packing, **config))


def docker(*layers: bytes, tag: str = "shop/model:1", linked: bool = False) -> bytes:
    """What `docker save` wrote before it wrote OCI layouts; equal layers as links, as it does."""
    config = json.dumps({"os": "linux", "rootfs": {"diff_ids": [digest(each) for each in layers]}}).encode()
    members = [member("config.json", config)]
    for number, each in enumerate(layers):
        members.append(directory(f"{number}/"))
        if linked and number:
            members.append(link(f"{number}/layer.tar", "../0/layer.tar"))
        else:
            members.append(member(f"{number}/layer.tar", each))
    names = [f"{number}/layer.tar" for number in range(len(layers))]
    manifest = json.dumps([{"Config": "config.json", "RepoTags": [tag], "Layers": names}]).encode()
    return tar(*members, member("manifest.json", manifest))


@contextmanager
def stored(content: bytes) -> Iterator[Region]:
    """Content in a file, as a region."""
    with tempfile.TemporaryFile() as file:
        file.write(content)
        file.flush()
        yield Region(file, 0, len(content))
