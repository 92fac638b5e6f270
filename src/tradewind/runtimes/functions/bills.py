"""What calls owe: a host keeps a record of each, and the market's rule for functions reckons with them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from tradewind.errors import Corrupt
from tradewind.market.billing.functions import BY_MILLISECONDS, Call, Functions
from tradewind.market.charges import Charge, Invoice
from tradewind.market.instances import Instance, InstanceType
from tradewind.market.leases import Lease, LeaseId
from tradewind.market.offers import Terms
from tradewind.market.resources import Resources


class CallRecord(Struct, frozen=True):
    """One call as it was billed."""

    function: str
    environment: str
    start: float
    """The moment from which it is billed, seconds."""
    billed: int
    """Milliseconds."""
    memory: int
    """MB of 2**20 bytes."""
    init: float | None = None
    """Milliseconds that its environment took to start; None for a warm one."""
    error: str = ""


def records(path: Path) -> tuple[CallRecord, ...]:
    """The calls of a host's file `calls.jsonl`; a last line that was cut off is left out."""
    found = []
    lines = path.read_bytes().split(b"\n")
    for number, line in enumerate(lines, 1):
        try:
            if line:
                found.append(msgspec.json.decode(line, type=CallRecord))
        except msgspec.DecodeError as problem:
            if number < len(lines):
                raise Corrupt(f"{path}, line {number}: {problem}") from None
    return tuple(found)


def invoice(calls: Iterable[CallRecord], rule: Functions = BY_MILLISECONDS) -> Invoice:
    """What the calls owe together; each environment is a lease of its function's memory."""
    by_environment: dict[str, list[CallRecord]] = {}
    for each in calls:
        by_environment.setdefault(each.environment, []).append(each)
    charges: list[Charge] = []
    for name, mine in by_environment.items():
        spans = tuple(Call(each.start, each.start + each.billed / 1000.0) for each in mine)
        last = max(span.end for span in spans)
        first, memory = mine[0], mine[0].memory / 1024.0
        size = InstanceType(f"function-{first.memory}", Resources(memory_gib=memory))
        lease = Lease(
            LeaseId(name), Instance(name, size, "local"), Terms.FUNCTION, first.start,
            purpose=first.function, ended=last,
        )  # fmt: skip
        charges += replace(rule, calls={lease.id: spans}).charges(lease, lambda moment: 0.0, last)
    return Invoice(tuple(sorted(charges, key=lambda each: (each.lease, each.start))))
