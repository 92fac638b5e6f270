"""Images: tar archives, packed layers, OCI layouts, docker archives; nothing may get outside."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import shutil
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import zstandard
from fuzz_targets.target import Broken, Target

from tradewind.audit.images.copying import write_folder
from tradewind.audit.images.limits import Limits
from tradewind.audit.images.opening import open_files
from tradewind.audit.images.settings import settings_of

SMALL = Limits(bytes=1 << 20, members=200)
_KIND = "application/vnd.oci.image."


class _Room:
    """A folder: the archive, where it is unpacked, and beside it what nothing may touch."""

    def __init__(self) -> None:
        made = tempfile.TemporaryDirectory()
        self.held, self.path = made, Path(made.name)
        self.archive, self.inside = self.path / "archive", self.path / "inside"
        self.outside = self.path / "outside"
        self.outside.mkdir()
        (self.outside / "kept").write_text("kept")

    def opened(self, content: bytes) -> None:
        """Open an archive and write what it holds; Broken if anything but that is there then."""
        self.archive.write_bytes(content)
        try:
            with open_files(self.archive, limits=SMALL, scratch=self.path) as image:
                tree = image.files.tree
                if tree.bytes > SMALL.bytes:
                    raise Broken(f"{tree.bytes} bytes where {SMALL.bytes} are allowed")
                if len(tree) <= 20:
                    write_folder(image.files, list(tree.entries), self.inside)
        finally:
            there = sorted(os.listdir(self.path))
            shutil.rmtree(self.inside, ignore_errors=True)
        if [name for name in there if name not in ("archive", "inside", "outside")]:
            raise Broken(f"beside the target there is {there}")
        if os.listdir(self.outside) != ["kept"] or (self.outside / "kept").read_text() != "kept":
            raise Broken("what lies outside was changed")


_rooms: list[_Room] = []


def _room() -> _Room:
    if not _rooms:
        _rooms.append(_Room())
    return _rooms[0]


def _tar(form: int = tarfile.PAX_FORMAT, **more: Any) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        for name, kind, target in (
            ("etc", tarfile.DIRTYPE, ""), ("etc/a", tarfile.REGTYPE, ""), ("etc/b", tarfile.LNKTYPE, "etc/a"),
            ("lib", tarfile.SYMTYPE, "../../outside"), ("etc/.wh.c", tarfile.REGTYPE, ""),
            ("n" * 90 + "/" + "o" * 90, tarfile.REGTYPE, ""), ("pipe", tarfile.FIFOTYPE, ""),
            ("null", tarfile.CHRTYPE, ""),
        ):  # fmt: skip
            info = tarfile.TarInfo(name)
            info.type, info.linkname, info.pax_headers = kind, target, dict(more)
            content = b"text" if kind == tarfile.REGTYPE else b""
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def _repaired(content: bytes) -> bytes:
    """The archive with right checksums, which no mutation would find."""
    made = bytearray(content)
    for at in range(0, len(made) - 511, 512):
        if made[at + 257 : at + 262] == b"ustar":
            made[at + 148 : at + 156] = b" " * 8
            made[at + 148 : at + 156] = b"%06o\0 " % sum(made[at : at + 512])
    return bytes(made)


def _tars() -> list[bytes]:
    sparse = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "9"}
    older = {"GNU.sparse.map": "0,4", "GNU.sparse.size": "4", "SCHILY.xattr.user.a": "b", "mtime": "1.5"}
    return [_tar(), _tar(tarfile.GNU_FORMAT), _tar(tarfile.USTAR_FORMAT), _tar(**sparse), _tar(**older)]


def _packed(content: bytes) -> None:
    _room().opened(content)


def _packings() -> list[bytes]:
    whole = _tar()
    return [gzip.compress(whole, mtime=0), zstandard.compress(whole), whole[:512] + bytes(1024)]


def _digest(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


def _archive(members: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


_LAYER = _archive({"etc/a": b"text"})
_CONFIG = json.dumps({
    "os": "linux", "architecture": "amd64", "config": {"Env": ["A=b"], "Cmd": ["run"], "WorkingDir": "/a",
    "Entrypoint": ["sh"], "User": "1:1", "Volumes": {"/v": {}}, "ExposedPorts": {"80/tcp": {}},
    "Labels": {"a": "b"}}, "rootfs": {"type": "layers", "diff_ids": [_digest(_LAYER)]},
    "history": [{"created_by": "x"}, {"empty_layer": True}],
}).encode()  # fmt: skip


def _described(content: bytes, kind: str) -> dict[str, Any]:
    return {"mediaType": _KIND + kind, "digest": _digest(content), "size": len(content)}


def _manifest(config: bytes = _CONFIG) -> bytes:
    return json.dumps(
        {"schemaVersion": 2, "config": _described(config, "config.v1+json"),
         "layers": [_described(_LAYER, "layer.v1.tar")], "annotations": {"a": "b"}}
    ).encode()  # fmt: skip


def _index(manifest: bytes) -> bytes:
    named = {"org.opencontainers.image.ref.name": "one"}
    described = _described(manifest, "manifest.v1+json")
    return json.dumps({"schemaVersion": 2, "manifests": [{**described, "annotations": named}]}).encode()


def _layout(content: bytes) -> None:
    """The first byte says which document of a layout is replaced by the rest; all others fit to it."""
    role, given = content[:1], content[1:]
    config = given if role == b"c" else _CONFIG
    manifest = given if role == b"m" else _manifest(config)
    index = given if role == b"i" else _index(manifest)
    version = given if role == b"v" else b'{"imageLayoutVersion": "1.0.0"}'
    blobs = {f"blobs/{_digest(each).replace(':', '/')}": each for each in (config, manifest, _LAYER)}
    _room().opened(_archive({"oci-layout": version, "index.json": index, **blobs}))


def _layouts() -> list[bytes]:
    nested = json.dumps({"manifests": [_described(_manifest(), "index.v1+json")]}).encode()
    return [b"c" + _CONFIG, b"m" + _manifest(), b"m" + nested, b"i" + _index(_manifest()), b"v{}"]


def _docker(content: bytes) -> None:
    _room().opened(_archive({"manifest.json": content, "c.json": _CONFIG, "a/layer.tar": _LAYER}))


def _dockers() -> list[bytes]:
    listed = [{"Config": "c.json", "RepoTags": ["a:1"], "Layers": ["a/layer.tar"]}]
    return [json.dumps(listed).encode(), json.dumps(listed * 2).encode()]


def _settings(content: bytes) -> None:
    document = _object(content)
    if document is not None:
        settings_of(document, "fuzzed")


def _object(content: bytes) -> dict[str, Any] | None:
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


TARGETS = (
    Target("tar", lambda content: _room().opened(_repaired(content)), _tars),
    Target("packed-layer", _packed, _packings),
    Target("oci-documents", _layout, _layouts),
    Target("docker-manifest", _docker, _dockers),
    Target("image-config", _settings, lambda: [_CONFIG]),
)
