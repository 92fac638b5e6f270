"""Deciding again: every recorded view is given to the policy anew, and the answers must be the same bytes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec
from msgspec import Struct

from tradewind.clock import iso, stopwatch
from tradewind.control.journal import Journal
from tradewind.control.policy import AnyPolicy
from tradewind.control.records import Header, resolve
from tradewind.errors import Diverged, Misuse

_json = msgspec.json.Encoder(order="deterministic").encode


class Replayed(Struct, frozen=True):
    """A replay in which every decision was the same."""

    header: Header
    decisions: int
    digest: str
    """Of the last row, in hexadecimal."""
    seconds: float
    """The wall's."""


def rebuild(header: Header, known: Mapping[str, type] | None = None) -> AnyPolicy:
    """The policy that a header names, made anew with the recorded arguments. Raises Misuse."""
    kind = resolve(header.policy_home, known or {})
    try:
        policy: AnyPolicy = kind(**header.arguments)
    except TypeError as problem:
        raise Misuse(
            f"{header.policy} cannot be made with its recorded arguments: {problem}",
            field="arguments",
            fix=f"Replay with Tradewind {header.version}." if header.version else "",
        ) from None
    return policy


def replay(path: str | Path, known: Mapping[str, type] | None = None) -> Replayed:
    """Decide every row of the journal at `path` again.

    `known` maps `module:Class` to classes of policies, views and memories that are not Tradewind's own.
    Raises Diverged at the first decision or memory that differs, naming the row, the moment and both;
    Corrupt if a row was altered.
    """
    elapsed = stopwatch()
    with Journal.read(path, known) as journal:
        starts = dict(journal.segments)
        policy = rebuild(journal.header, known)
        count, digest = 0, b""
        for entry in journal.entries():
            if entry.row in starts and entry.row > 0:
                policy = rebuild(starts[entry.row], known)
            decision, recalled = policy.decide(entry.view, entry.memory)
            for what, ours, theirs in (
                ("decision", decision, entry.decision),
                ("memory", recalled, entry.recalled),
            ):
                answer, recorded = _json(ours), _json(theirs)
                if answer != recorded:
                    raise Diverged(
                        f"{path}: row {entry.row} at {iso(entry.moment)}: the {what} of {policy.name} is "
                        f"{answer.decode()} now and was {recorded.decode()}"
                    )
            count, digest = entry.row + 1, entry.digest
        return Replayed(journal.header, count, digest.hex(), elapsed())
