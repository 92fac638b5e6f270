"""What an image may be at most before it is refused: declared limits, against bombs."""

from __future__ import annotations

from typing import NoReturn

from msgspec import Struct

from tradewind.errors import Misuse

MIB = 1 << 20


class Limits(Struct, frozen=True):
    """The most that one image may unfold to; the largest images of machine learning are well inside."""

    bytes: int = 64 << 30
    """Bytes of all files of all layers together, holes of sparse files included."""
    members: int = 4_000_000
    """Members of all layers together."""
    ratio: int = 1100
    """Bytes that one packed byte may unfold to; deflate cannot exceed 1,032. Told after the first 64 MiB."""
    header: int = 1 * MIB
    """Bytes of the extended headers of one member."""
    path: int = 4096
    """Bytes of one path, and of a link's target."""
    document: int = 8 * MIB
    """Bytes of one index, manifest or configuration."""


class Spent:
    """What of the limits an image has used so far; Misuse as soon as it is more than they allow."""

    def __init__(self, limits: Limits, source: str) -> None:
        self.limits, self.source = limits, source
        self._bytes = self._members = 0

    def member(self, size: int, name: str) -> None:
        """One more member, with a content of `size` bytes."""
        self._members += 1
        self._bytes += size
        if self._members > self.limits.members:
            self._refuse(f"has more than {self.limits.members:,} members", name, "members")
        if self._bytes > self.limits.bytes:
            self._refuse(f"unfolds to more than {self.limits.bytes:,} bytes", name, "bytes")

    def unfolded(self, packed: int, plain: int, name: str) -> None:
        """A layer has so far unfolded from `packed` bytes to `plain`."""
        if plain > self.limits.bytes:
            self._refuse(f"unfolds to more than {self.limits.bytes:,} bytes", name, "bytes")
        if plain > 64 * MIB and plain > packed * self.limits.ratio:
            self._refuse(f"unfolds to more than {self.limits.ratio:,} times its size", name, "ratio")

    def _refuse(self, problem: str, name: str, limit: str) -> NoReturn:
        raise Misuse(
            problem, source=self.source, field=name,
            fix=f"If you trust it, give Limits with a larger `{limit}`.",
        )  # fmt: skip
