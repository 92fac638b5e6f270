"""How a format's inspector sees a file and tells what it found: bytes in, findings out, within a budget.

An inspector is a function `(source, inspection) -> None`. It reads through the source, tells what it finds to
the inspection, and hands what is packed inside back to it, so that every member goes through the same
recognition. Nothing from the file is imported, executed or unpickled; whatever an inspector cannot follow it
must say (`undecided` or `blocked`), for silence means clean.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from typing import BinaryIO, Protocol

from msgspec import Struct

from tradewind.data.model_files.findings import Rule


class Exhausted(Exception):
    """The budget of a scan is spent; the file is undecided."""


class Budget(Struct, frozen=True):
    """How much work one scan may take, whatever a file says of itself."""

    unpacked: int = 8 << 30
    """Bytes that all containers together may unfold to."""
    ratio: int = 1100
    """Bytes that one packed byte may unfold to; deflate cannot exceed 1,032."""
    opcodes: int = 20_000_000
    memo: int = 5_000_000
    depth: int = 8
    """Containers inside containers."""
    members: int = 200_000
    text: int = 64 << 20
    """Bytes of one JSON, XML, template or header that is read as a whole."""


class Source:
    """Bytes that can be read from anywhere, of a file or of a member of a container.

    Reading past the end gives fewer bytes, as files do; a negative offset is a ValueError.
    """

    def __init__(self, content: bytes | BinaryIO, name: str = "") -> None:
        self.name = name
        """The member's path, containers joined by `!`; empty for the file itself."""
        self._file = io.BytesIO(content) if isinstance(content, bytes) else content
        self.size = self._file.seek(0, io.SEEK_END)

    def read(self, offset: int, count: int) -> bytes:
        """Up to `count` bytes from `offset` on."""
        if offset < 0 or count < 0:
            raise ValueError(f"no bytes at {offset}, {count}")
        self._file.seek(offset)
        return self._file.read(count)

    def file(self) -> BinaryIO:
        """The same bytes as a file, for libraries that read one; positions are shared."""
        self._file.seek(0)
        return self._file


class Allowed(Struct, frozen=True):
    """Exact dotted names that a file may use, by what it may do with them. Never a prefix."""

    globals: frozenset[str] = frozenset()
    """May be named."""
    calls: frozenset[str] = frozenset()
    """May be called, by REDUCE, NEWOBJ and the like."""
    builds: frozenset[str] = frozenset()
    """May be given state, by BUILD."""
    news: frozenset[str] = frozenset()
    """May be made without being initialised, by NEWOBJ: classes whose constructors nobody vouches for."""
    items: frozenset[str] = frozenset()
    """May be given items, by APPENDS, SETITEMS and ADDITEMS."""

    def joined(self, other: Allowed) -> Allowed:
        """What either allows."""
        return Allowed(
            self.globals | other.globals,
            self.calls | other.calls,
            self.builds | other.builds,
            self.news | other.news,
            self.items | other.items,
        )


class Inspection(Protocol):
    """What an inspector may use."""

    budget: Budget
    allowed: Allowed

    def found(
        self,
        rule: Rule,
        message: str,
        *,
        source: Source,
        offset: int | None = None,
        opcode: str = "",
        name: str = "",
        preview: str = "",
    ) -> None:
        """Tell a finding. The preview is made printable and short here."""
        ...

    def spend(self, *, unpacked: int = 0, opcodes: int = 0, members: int = 0) -> None:
        """Take from the budget; Exhausted if it is spent."""
        ...

    def inside(self, content: bytes | BinaryIO, name: str, within: Source) -> str:
        """Recognise and inspect a member of `within`; the format that it was found to be.

        Exhausted if containers are nested too deeply.
        """
        ...


Inspector = Callable[[Source, Inspection], None]


class Reading(Struct, frozen=True):
    """One format that the scanner knows."""

    name: str
    """As in `Scan.format`: `pickle`, `zip`, `onnx`."""
    recognises: Callable[[Source], bool]
    """Whether the bytes begin (or end) as this format does; names and extensions are not looked at."""
    inspect: Inspector
    rules: Mapping[str, Rule] = {}
    """The rules that its inspector tells, by identifier."""
    refines: str = ""
    """The reading whose bytes these are too, such as `zip` of a Keras archive. That one's structure is
    checked first; then this inspector takes its place in handing on the members, as it knows what each is."""
