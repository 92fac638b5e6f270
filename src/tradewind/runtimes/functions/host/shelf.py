"""The functions that a host has: their configurations, on disk, each written whole or not at all."""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from pathlib import Path

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from tradewind.errors import Corrupt
from tradewind.runtimes.functions.host.refusals import conflict, unknown

LATEST = "$LATEST"
REGION, ACCOUNT = "local", "000000000000"
_NAME = re.compile(
    r"(?:arn:aws[a-z-]*:lambda:[a-z0-9-]+:\d{12}:function:|\d{12}:function:)?"
    r"([a-zA-Z0-9-_]{1,64})(?::(\$LATEST|[a-zA-Z0-9-_]{1,128}))?"
)


class Function(Struct, frozen=True, kw_only=True):
    """One version of a function."""

    name: str
    version: str = LATEST
    runtime: str
    role: str
    handler: str
    description: str = ""
    timeout: int = 3
    memory: int = 128
    variables: dict[str, str] = {}
    package: str
    """Its id among the packages."""
    zipped: int = 0
    """Bytes of the package as it was sent."""
    modified: str = ""
    revision: str = ""
    modules: tuple[str, ...] = ()
    """What its code was seen to load from outside the package; empty before its first start."""

    @property
    def arn(self) -> str:
        """Its name in full."""
        suffix = "" if self.version == LATEST else f":{self.version}"
        return f"{arn(self.name)}{suffix}"


class Entry(Struct):
    """A function with all that is kept of it."""

    latest: Function
    versions: dict[str, Function] = {}
    reserved: int | None = None
    """Calls at a time that it may have, and that nobody else may; None to share with the others."""
    provisioned: dict[str, int] = {}
    """Environments that are kept started, by version."""

    def version(self, qualifier: str) -> Function:
        """A version; ResourceNotFound if there is none."""
        if qualifier in ("", LATEST):
            return self.latest
        try:
            return self.versions[qualifier]
        except KeyError:
            raise unknown(f"{arn(self.latest.name)}:{qualifier}") from None


class Shelf:
    """The entries, each a JSON file in `root`."""

    def __init__(self, root: Path) -> None:
        self._root = root
        root.mkdir(parents=True, exist_ok=True)
        self.entries: dict[str, Entry] = {}
        for file in sorted(root.glob("*.json")):
            try:
                entry = msgspec.json.decode(file.read_bytes(), type=Entry)
            except msgspec.DecodeError as problem:
                raise Corrupt(f"{file}: {problem}; delete it and create the function again") from None
            self.entries[entry.latest.name] = entry

    def __getitem__(self, name: str) -> Entry:
        try:
            return self.entries[name]
        except KeyError:
            raise unknown(arn(name)) from None

    def add(self, function: Function) -> Entry:
        """Take in a new function; a conflict if its name is taken."""
        if function.name in self.entries:
            raise conflict(f"Function already exist: {function.name}")
        entry = Entry(function)
        self.write(entry)
        return entry

    def write(self, entry: Entry) -> None:
        """Keep an entry as it is now."""
        name = entry.latest.name
        descriptor, coming = tempfile.mkstemp(prefix=".", dir=self._root)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(msgspec.json.encode(entry))
                file.flush()
                os.fsync(file.fileno())
            os.replace(coming, self._root / f"{name}.json")
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(coming)
            raise
        self.entries[name] = entry

    def publish(self, name: str) -> Function:
        """A version of the function as it is now, which will stay as it is."""
        entry = self[name]
        number = str(1 + max((int(each) for each in entry.versions), default=0))
        version = replace(entry.latest, version=number)
        entry.versions[number] = version
        self.write(entry)
        return version

    def remove(self, name: str, version: str = "") -> None:
        """Forget a function, or one version of it."""
        entry = self[name]
        if version:
            entry.version(version)
            entry.versions.pop(version)
            entry.provisioned.pop(version, None)
            self.write(entry)
            return
        os.unlink(self._root / f"{name}.json")
        del self.entries[name]

    def packages(self) -> set[str]:
        """The packages that are in use."""
        return {
            each.package
            for entry in self.entries.values()
            for each in (entry.latest, *entry.versions.values())
        }


def arn(name: str) -> str:
    """A function's name in full."""
    return f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{name}"


def named(text: str) -> tuple[str, str]:
    """The name and the qualifier in a name, a partial or a full ARN; unknown for what is none.

    >>> named("score"), named("arn:aws:lambda:us-east-1:123456789012:function:score:7")
    (('score', ''), ('score', '7'))
    """
    found = _NAME.fullmatch(text)
    if found is None:
        raise unknown(text[:200])
    return found[1], found[2] or ""
