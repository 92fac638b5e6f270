"""Artefacts of models, brought to this machine: from a path, file://, s3:// or another store's address.

What lies on this machine is served from where it is; everything else is fetched once and kept in a folder
under the digest of what was fetched, whole or not at all. A `.tar.gz`, as SageMaker has them, is unpacked.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from tradewind.data.durable_files import creating_directory, sync
from tradewind.data.object_store import open_store, read_address
from tradewind.errors import Misuse

_ARCHIVES = (".tar.gz", ".tgz", ".tar")
_LARGEST = 64 << 30
"""Bytes that an archive may unpack to."""


class Artefacts:
    """Finds the artefact at an address; every method blocks. `locate` turns a path into where its model is,
    such as a run's folder into the model in it."""

    def __init__(self, folder: Path, locate: Callable[[str], Path] = Path) -> None:
        self._folder, self._locate = folder, locate

    def place(self, address: str) -> Path:
        """Where the artefact lies now. Misuse, naming the address, where there is none, or it is damaged."""
        if not address:
            raise Misuse("the model names no artefact", field="ModelDataUrl", fix="Give a path or s3://.")
        local = address.removeprefix("file://")
        if "://" not in local:
            path = self._locate(local)
            if not path.exists():
                raise Misuse("there is no such file", source=address, field="ModelDataUrl")
            if path.is_file() and path.name.endswith(_ARCHIVES):
                return self._unpacked(path.read_bytes(), address)
            return path
        if address.endswith("/"):
            return self._folder_of(address)
        content = read_address(address)
        if address.endswith(_ARCHIVES):
            return self._unpacked(content, address)
        return self._kept({PurePosixPath(address).name: content}) / PurePosixPath(address).name

    def _folder_of(self, address: str) -> Path:
        """A folder of what lies under a prefix that ends with a slash."""
        store = open_store(address.rstrip("/"))
        files = {key: store.get(key) for key in store.list() if not key.endswith("/")}
        if not files:
            raise Misuse("there is nothing under it", source=address, field="ModelDataUrl")
        return self._kept(files)

    def _unpacked(self, content: bytes, address: str) -> Path:
        """The folder with an archive's files; links, devices and paths that lead out of it are refused."""
        files: dict[str, bytes] = {}
        try:
            with tarfile.open(fileobj=io.BytesIO(content)) as archive:
                left = _LARGEST
                for member in archive:
                    name = PurePosixPath(member.name)
                    if member.isdir():
                        continue
                    if not member.isreg() or name.is_absolute() or ".." in name.parts or not name.parts:
                        raise Misuse(f"{member.name!r} in it is no plain file", source=address)
                    left -= member.size
                    opened = archive.extractfile(member)
                    if left < 0 or opened is None:
                        raise Misuse(f"it unpacks to more than {_LARGEST} bytes", source=address)
                    files[str(name)] = opened.read()
        except (tarfile.TarError, EOFError, OSError) as problem:
            raise Misuse(f"is no archive that can be read ({problem})", source=address) from None
        if not files:
            raise Misuse("is empty", source=address)
        return self._kept(files)

    def _kept(self, files: dict[str, bytes]) -> Path:
        digest = hashlib.sha256()
        for name in sorted(files):
            digest.update(f"{name}\0{len(files[name])}\0".encode())
            digest.update(files[name])
        target = self._folder / digest.hexdigest()
        if not target.is_dir():
            try:
                with creating_directory(target) as partial:
                    for name, content in files.items():
                        file = partial / name
                        file.parent.mkdir(parents=True, exist_ok=True)
                        file.write_bytes(content)
                        sync(file)
            except OSError:
                if not target.is_dir():  # else another thread had brought the same
                    raise
        return target
