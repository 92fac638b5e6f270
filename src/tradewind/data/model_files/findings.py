"""What the scanner of model files tells: findings by rule, and the verdict that they come to."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

Verdict = Literal["clean", "blocked", "undecided"]
Level = Literal["blocked", "undecided", "note"]
EXIT_CODES: dict[Verdict, int] = {"clean": 0, "blocked": 1, "undecided": 2}
"""What a command that scans exits with; the worst of several files counts, `blocked` before `undecided`."""


class Rule(Struct, frozen=True):
    """One thing the scanner looks for."""

    id: str
    """Stable, in kebab case, its format in front: `pickle-call`, `onnx-external-data`."""
    level: Level
    meaning: str
    """One sentence: what it is and what loading such a file could do."""
    fix: str = ""
    """What the reader of a finding can do."""


class Finding(Struct, frozen=True, omit_defaults=True):
    """One place in a file where a rule holds."""

    rule: str
    level: Level
    message: str
    where: str = ""
    """The member of the container that it is in, containers from outside to inside joined by `!`."""
    offset: int | None = None
    """Bytes from the start of that member."""
    opcode: str = ""
    """The pickle opcode, operator or tensor operation."""
    name: str = ""
    """The global, class, operation or path that is named."""
    preview: str = ""
    """The beginning of what would be its arguments, never longer than a line, with nothing unprintable."""


class Scan(Struct, frozen=True):
    """The verdict on one file."""

    path: str
    format: str
    """What the bytes say it is, containers from outside to inside joined by `!`; or `unknown`."""
    size: int
    digest: str
    """SHA-256 of the whole file, in hexadecimal: the verdict holds for these bytes only."""
    findings: tuple[Finding, ...] = ()

    @property
    def verdict(self) -> Verdict:
        """The worst of the findings; `clean` only where every byte was understood and nothing was found."""
        levels = {finding.level for finding in self.findings}
        if "blocked" in levels:
            return "blocked"
        return "undecided" if "undecided" in levels else "clean"
