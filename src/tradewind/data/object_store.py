"""Where whole objects are kept under keys: a directory, a bucket of S3, or what fsspec knows besides."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Protocol

import fsspec

from tradewind.data.durable_files import TEMPORARY, sync, write_durably
from tradewind.data.object_keys import check_key
from tradewind.data.s3_store import S3Store
from tradewind.errors import Misuse

_S3 = "s3://"
_PACKAGES = {"gs": "gcsfs", "gcs": "gcsfs", "abfs": "adlfs", "az": "adlfs"}
"""What fsspec needs besides for the kinds of stores that we have no extra for."""


class ObjectStore(Protocol):
    """Whole objects under keys such as `runs/7/model.json`.

    1. A key is one or more names joined by `/`; Misuse for an empty one, `.`, `..`, or a leading slash.
    2. `put` replaces the object as a whole: a reader, or a crash at any moment, sees the old or the new.
    3. `get` raises KeyError for an absent key; `delete` is silent for one.
    4. `list` gives the keys that begin with a prefix, sorted; unfinished objects are not among them.
    """

    def put(self, key: str, content: bytes) -> None:
        """Keep `content` under `key`."""
        ...

    def get(self, key: str) -> bytes:
        """What is kept under `key`."""
        ...

    def list(self, prefix: str = "") -> list[str]:
        """The keys that begin with `prefix`."""
        ...

    def delete(self, key: str) -> None:
        """Keep nothing under `key`."""
        ...


class DirectoryStore:
    """Objects as files under a directory; each is synced and renamed into place."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def put(self, key: str, content: bytes) -> None:
        """Keep `content` under `key`; durable on return."""
        check_key(key)
        try:
            write_durably(self.root / key, content)
        except (NotADirectoryError, IsADirectoryError, FileExistsError):
            raise Misuse(
                "a key cannot be both an object and the beginning of another", source=str(self.root),
                field=key, fix="Choose another key.",
            ) from None  # fmt: skip

    def get(self, key: str) -> bytes:
        """What is kept under `key`."""
        check_key(key)
        try:
            return (self.root / key).read_bytes()
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            raise KeyError(key) from None

    def list(self, prefix: str = "") -> list[str]:
        """The keys that begin with `prefix`."""
        found = []
        for directory, _, names in os.walk(self.root):
            for name in names:
                if not name.startswith(TEMPORARY):
                    found.append(Path(directory, name).relative_to(self.root).as_posix())
        return sorted(key for key in found if key.startswith(prefix))

    def delete(self, key: str) -> None:
        """Keep nothing under `key`."""
        check_key(key)
        path = self.root / key
        try:
            path.unlink()
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            return
        sync(path.parent)


class RemoteStore:
    """Objects of an fsspec file system whose single writes are atomic: memory, GCS."""

    def __init__(self, system: Any, root: str) -> None:
        self._system, self._root = system, root.rstrip("/")

    def _path(self, key: str) -> str:
        check_key(key)
        return f"{self._root}/{key}"

    def put(self, key: str, content: bytes) -> None:
        """Keep `content` under `key`."""
        self._system.pipe_file(self._path(key), content)

    def get(self, key: str) -> bytes:
        """What is kept under `key`."""
        try:
            return bytes(self._system.cat_file(self._path(key)))
        except (FileNotFoundError, IsADirectoryError):
            raise KeyError(key) from None

    def list(self, prefix: str = "") -> list[str]:
        """The keys that begin with `prefix`."""
        paths = self._system.find(self._root)
        start = len(self._system._strip_protocol(self._root).strip("/"))
        keys = (path.strip("/")[start:].lstrip("/") for path in paths)
        return sorted(key for key in keys if key.startswith(prefix))

    def delete(self, key: str) -> None:
        """Keep nothing under `key`."""
        try:
            self._system.rm_file(self._path(key))
        except FileNotFoundError:
            return


def open_store(address: str | os.PathLike[str]) -> DirectoryStore | S3Store | RemoteStore:
    """The store at a directory's path, or at an address such as file:///path, memory://name or s3://bucket.

    Raises Misuse for an unknown kind of address, MissingExtra (Misuse, for a kind without an extra) where
    its client is not installed.
    """
    text = os.fspath(address)
    if "://" not in text:
        return DirectoryStore(Path(text))
    if text.startswith("file://"):
        return DirectoryStore(Path(text.removeprefix("file://")))
    if text.startswith(_S3):
        bucket, _, root = text.removeprefix(_S3).partition("/")
        return S3Store(bucket, root)
    system, path = _system(text)
    return RemoteStore(system, path)


def read_address(address: str) -> bytes:
    """The whole content of the file at an address; Misuse if there is none."""
    if address.startswith(_S3):
        bucket, _, key = address.removeprefix(_S3).partition("/")
        try:
            return S3Store(bucket).get(key)
        except KeyError:
            raise Misuse("there is no such file", source=address, fix="Check the address.") from None
    system, path = _system(address)
    try:
        return bytes(system.cat_file(path))
    except (FileNotFoundError, IsADirectoryError):
        raise Misuse("there is no such file", source=address, fix="Check the address.") from None


def _system(address: str) -> tuple[Any, str]:
    protocol = address.split("://", 1)[0]
    try:
        system, path = fsspec.core.url_to_fs(address)
    except ValueError:
        raise Misuse(
            f"{protocol}:// is no kind of store",
            source=address,
            fix="Use a path, file://, memory:// or s3://.",
        ) from None
    except ImportError:
        package = _PACKAGES.get(protocol, f"fsspec[{protocol}]")
        raise Misuse(
            f"{protocol}:// needs the package {package}", source=address,
            fix=f"Install it with: pip install {package}",
        ) from None  # fmt: skip
    return system, path
