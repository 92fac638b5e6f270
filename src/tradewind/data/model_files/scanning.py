"""One scan at work: formats recognised, inspectors called, findings kept, the budget taken from."""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO, TypeVar

from tradewind.data.model_files.allowed.lists import shipped
from tradewind.data.model_files.findings import Finding, Rule
from tradewind.data.model_files.identification import (
    FAULT,
    POLYGLOT,
    SPENT,
    STRUCTURES,
    UNKNOWN,
    recognised,
)
from tradewind.data.model_files.inspection import Allowed, Budget, Exhausted, Reading, Source

_T = TypeVar("_T")
_MOST = 500
_PREVIEW, _MESSAGE, _NAME = 120, 300, 200


class Scanning:
    """What inspectors are given: it fulfils `Inspection`."""

    def __init__(self, allowed: Callable[[], Allowed] | Allowed | None, budget: Budget) -> None:
        """`allowed` may be what gives it, which is asked once a file names something; None is what ships.

        Most formats name nothing, and reading the lists takes longer than reading such a file.
        """
        self._allowed, self.budget = shipped if allowed is None else allowed, budget
        self.findings: list[Finding] = []
        self._seen: set[Finding] = set()
        self._unpacked = self._opcodes = self._members = self._depth = 0
        self._inner: list[str] = []

    @property
    def allowed(self) -> Allowed:
        """What a file may name, call and build."""
        if not isinstance(self._allowed, Allowed):
            self._allowed = self._allowed()
        return self._allowed

    @allowed.setter
    def allowed(self, allowed: Allowed) -> None:
        self._allowed = allowed

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
        """Keep a finding; the same one twice counts once, and of very many the first are kept."""
        finding = Finding(
            rule.id, rule.level, _plain(message, _MESSAGE), _plain(source.name, _NAME), offset, opcode,
            _plain(name, _NAME), _plain(preview, _PREVIEW),
        )  # fmt: skip
        if finding in self._seen:
            return
        if len(self.findings) < _MOST or (rule.level == "blocked" and not self._blocked()):
            self._seen.add(finding)
            self.findings.append(finding)
        elif rule.level != "note" and not self._blocked():
            self.findings.append(finding)

    def _blocked(self) -> bool:
        return any(each.level == "blocked" for each in self.findings)

    def spend(self, *, unpacked: int = 0, opcodes: int = 0, members: int = 0) -> None:
        """Take from the budget; Exhausted if it is spent."""
        self._unpacked += unpacked
        self._opcodes += opcodes
        self._members += members
        if self._unpacked > self.budget.unpacked:
            raise Exhausted("the containers unfold to more bytes than one scan may take")
        if self._opcodes > self.budget.opcodes:
            raise Exhausted("the pickles have more opcodes than one scan may follow")
        if self._members > self.budget.members:
            raise Exhausted("the containers have more members than one scan may look at")

    def inside(self, content: bytes | BinaryIO, name: str, within: Source) -> str:
        """Recognise and inspect a member of `within`; the format that it was found to be.

        Exhausted if containers are nested too deeply.
        """
        if self._depth >= self.budget.depth:
            raise Exhausted("containers are nested too deeply")
        where = f"{within.name}!{name}" if within.name and name else within.name or name
        outer, self._inner = self._inner, []
        self._depth += 1
        try:
            found = self.inspect(Source(content, where))
        finally:
            self._depth -= 1
            self._inner = outer
        self._inner.append(found)
        return found

    def inspect(self, source: Source) -> str:
        """Recognise and inspect a source; its format, containers from outside to inside."""
        name = ""
        try:
            name = self._inspect(source)
        except Exhausted as spent:
            self.found(SPENT, str(spent), source=source)
        except (Exception, RecursionError) as error:
            # Whatever it is, silence would mean clean.
            self.found(FAULT, f"{type(error).__name__}: {error}", source=source)
        return name or "unknown"

    def guarded(self, work: Callable[[], _T]) -> _T | None:
        """What `work` gives; None, told, where it fails."""
        try:
            return work()
        except Exhausted as spent:
            self.found(SPENT, str(spent), source=Source(b""))
        except Exception as error:
            self.found(FAULT, f"{type(error).__name__}: {error}", source=Source(b""))
        return None

    def _inspect(self, source: Source) -> str:
        plain, finer = recognised(source)
        if not plain:
            self.found(UNKNOWN, f"{source.size:,} bytes of no known format", source=source, offset=0)
            return ""
        if len(plain) > 1:
            names = " and ".join(reading.name for reading in plain)
            self.found(POLYGLOT, f"the file is {names} at once", source=source, offset=0)
        for reading in plain:
            own = [each for each in finer if each.refines == reading.name]
            self._refined(source, reading, own)
        of_finer = [each for each in finer if each.refines not in {reading.name for reading in plain}]
        for reading in of_finer:
            reading.inspect(source, self)
        name = (finer or plain)[-1 if finer else 0].name
        inner = self._inner
        return f"{name}!{inner[0]}" if len(inner) == 1 and not finer and plain[0].name in _SINGLE else name

    def _refined(self, source: Source, reading: Reading, finer: list[Reading]) -> None:
        if not finer:
            reading.inspect(source, self)
            return
        if len(finer) > 1:
            names = " and ".join(each.name for each in finer)
            self.found(POLYGLOT, f"the file is {names} at once", source=source, offset=0)
        before = len(self.findings)
        STRUCTURES[reading.name](source, self)
        if any(each.level == "blocked" for each in self.findings[before:]):
            reading.inspect(source, self)  # as far as that goes: what it holds may tell more
        for each in finer:
            each.inspect(source, self)


_SINGLE = {"gzip", "bz2", "xz", "lzma", "zlib", "zstd", "zfile", "lz4"}


def _plain(text: str, limit: int) -> str:
    """Text without what a terminal would act on, of at most `limit` characters."""
    shown = text[: limit + 1]
    if not shown.isprintable():
        shown = "".join(each if each.isprintable() else f"\\x{ord(each):02x}" for each in shown)
    return shown if len(shown) <= limit else shown[: limit - 3] + "..."
