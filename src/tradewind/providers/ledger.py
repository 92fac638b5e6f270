"""What a driver took, written down before it asks: a file that a killed driver leaves for `tradewind clean`.

One JSON object a line, appended and synced. A line that is not whole is the last and was cut off by a kill;
what it would have announced was not asked for.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
from msgspec import Struct

from tradewind.errors import Corrupt

LEDGER = "leases.jsonl"
"""The file's name in a run's folder."""


class Opened(Struct, frozen=True, tag="opened", kw_only=True):
    """A driver is about to rent: where, and by what name what it rents is found there."""

    at: float
    provider: str
    driver: str
    region: str = ""
    endpoint_url: str = ""
    profile: str = ""


class Asked(Struct, frozen=True, tag="asked", kw_only=True):
    """A request that rents is about to be sent; `take` is its token."""

    at: float
    take: str
    pool: str
    terms: str
    count: int


class Answered(Struct, frozen=True, tag="answered", kw_only=True):
    """What the request brought, perhaps nothing."""

    at: float
    take: str
    leases: tuple[str, ...] = ()


class Over(Struct, frozen=True, tag="over", kw_only=True):
    """A lease ended."""

    at: float
    lease: str
    ending: str


class Closed(Struct, frozen=True, tag="closed", kw_only=True):
    """The driver, or whoever cleaned up after it, saw that nothing of it is held any more."""

    at: float
    driver: str


Entry = Opened | Asked | Answered | Over | Closed


class Ledger:
    """The ledger in a file, made when the first entry is written."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)

    def write(self, entry: Entry) -> None:
        """Append an entry; on return it is on the disk."""
        fresh = not self.path.exists()
        descriptor = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            torn = False
            if (size := os.fstat(descriptor).st_size) > 0:
                torn = os.pread(descriptor, 1, size - 1) != b"\n"
            line = msgspec.json.encode(entry) + b"\n"
            os.write(descriptor, b"\n" + line if torn else line)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if fresh:
            folder = os.open(self.path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)


class Account(Struct, frozen=True):
    """What one driver's entries add up to."""

    opened: Opened
    unanswered: tuple[Asked, ...]
    """Requests that may have rented something that nobody wrote down."""
    held: tuple[str, ...]
    """Leases whose end nobody wrote down."""
    closed: bool


def accounts(path: Path) -> list[Account]:
    """The accounts of the drivers in a ledger, in their order; none if there is no file.

    Raises Corrupt for a line that is whole and no entry.
    """
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return []
    found: list[Account] = []
    for number, line in enumerate(lines, 1):
        if not line:
            continue
        try:
            entry = msgspec.json.decode(line, type=Entry)
        except msgspec.ValidationError as problem:
            raise Corrupt(f"{path}, line {number}: {problem}") from None
        except msgspec.DecodeError:
            continue  # cut off by a kill, whether or not a later driver wrote on
        if isinstance(entry, Opened):
            found.append(Account(entry, (), (), closed=False))
        elif found:
            found[-1] = _with(found[-1], entry)
    return found


def _with(account: Account, entry: Asked | Answered | Over | Closed) -> Account:
    change = msgspec.structs.replace
    match entry:
        case Asked():
            return change(account, unanswered=(*account.unanswered, entry), closed=False)
        case Answered():
            left = tuple(each for each in account.unanswered if each.take != entry.take)
            return change(account, unanswered=left, held=(*account.held, *entry.leases))
        case Over():
            return change(account, held=tuple(each for each in account.held if each != entry.lease))
        case Closed():
            return change(account, unanswered=(), held=(), closed=True)
