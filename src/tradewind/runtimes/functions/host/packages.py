"""Packages: zips unpacked into folders named for their content, whole or not at all."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import shutil
import stat
import tempfile
import zipfile
from pathlib import Path, PurePosixPath

from tradewind.runtimes.functions.host.refusals import ApiRefusal, invalid, no_room
from tradewind.runtimes.functions.limits import Limits

_PIECE = 1 << 20
_MOST_FILES = 100_000


class Packages:
    """The packages in `root`; each is kept once, whoever uses it."""

    def __init__(self, root: Path, limits: Limits) -> None:
        self._root, self._limits = root, limits
        root.mkdir(parents=True, exist_ok=True)

    def add(self, zipped: bytes) -> str:
        """Unpack, and the package's id: the SHA-256 of the zip, hexadecimal. ApiRefusal for what is none."""
        if len(zipped) > self._limits.zipped:
            raise invalid(f"Zipped size must be smaller than {self._limits.zipped} bytes")
        name = hashlib.sha256(zipped).hexdigest()
        if (self._root / name).is_dir():
            return name
        folder = Path(tempfile.mkdtemp(prefix=".coming-", dir=self._root))
        try:
            self._unpack(zipped, folder)
            os.replace(folder, self._root / name)
        except ApiRefusal:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        except (zipfile.BadZipFile, OSError, NotImplementedError, RuntimeError, ValueError, EOFError) as bad:
            shutil.rmtree(folder, ignore_errors=True)
            raise invalid(
                f"Could not unzip uploaded file. Please check your file, then try again: {bad}"
            ) from None
        _sync(self._root)
        return name

    def folder(self, name: str) -> Path:
        """Where a package lies."""
        return self._root / name

    def keep(self, names: set[str]) -> None:
        """Remove every other package, and what was left half unpacked."""
        for each in self._root.iterdir():
            if each.name not in names:
                shutil.rmtree(each, ignore_errors=True)

    def _unpack(self, zipped: bytes, folder: Path) -> None:
        room = self._limits.stored - _bytes_in(self._root)
        with zipfile.ZipFile(io.BytesIO(zipped)) as archive:
            entries = archive.infolist()
            if len(entries) > _MOST_FILES:
                raise invalid(f"The package has more than {_MOST_FILES} files")
            size = 0
            for entry in entries:
                where = folder / _inside(entry)
                if entry.is_dir():
                    where.mkdir(parents=True, exist_ok=True)
                    continue
                where.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(entry) as source, open(where, "xb") as target:
                    # Counted as it is unpacked: what the archive says of its sizes is its own word.
                    while piece := source.read(_PIECE):
                        size += len(piece)
                        if size > self._limits.unzipped:
                            raise invalid(f"Unzipped size must be smaller than {self._limits.unzipped} bytes")
                        if size > room:
                            raise no_room("Code storage limit exceeded.")
                        target.write(piece)
                    target.flush()
                    os.fsync(target.fileno())
                where.chmod(0o755 if (entry.external_attr >> 16) & 0o111 else 0o644)
        if not size:
            raise invalid("Uploaded file must be a non-empty zip")


def sha256_base64(name: str) -> str:
    """A package's id as the API tells it."""
    return base64.b64encode(bytes.fromhex(name)).decode()


def _inside(entry: zipfile.ZipInfo) -> PurePosixPath:
    """An entry's path; refused where it is not one of a file or folder below the package's own."""
    path = PurePosixPath(entry.filename)
    mode = entry.external_attr >> 16
    if (
        path.is_absolute()
        or ".." in path.parts
        or "\\" in entry.filename
        or "\0" in entry.orig_filename
        or not path.parts
        or (stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR))
    ):
        raise invalid(f"Could not unzip uploaded file: {entry.filename!r} is no path inside the package")
    return path


def _bytes_in(folder: Path) -> int:
    return sum(each.stat().st_size for each in folder.rglob("*") if each.is_file())


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
