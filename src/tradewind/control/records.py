"""What a journal holds, as values, and how its header names the classes that made them."""

from __future__ import annotations

import hashlib
import importlib
import inspect
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from tradewind.control.loop import Outcome
from tradewind.control.policy import AnyPolicy
from tradewind.errors import Misuse
from tradewind.market.decisions import Decision

FORMAT = 1
"""The version of the file's layout."""


class Header(Struct, frozen=True, kw_only=True):
    """What a run was: enough to read its rows and to decide them again."""

    format: int = FORMAT
    version: str = ""
    """Tradewind's."""
    policy: str
    """As users write it."""
    policy_home: str
    """`module:Class`."""
    arguments: dict[str, Any] = {}
    """The policy's constructor's."""
    view: str
    """`module:Class` of the views."""
    memory: str = ""
    """`module:Class` of the memories; empty where they are None."""
    spec: str = ""
    """A digest of what the user asked for."""
    seed: int = 0
    history: str = ""
    """The name of the recorded market; empty for a live one."""
    start: float = 0.0
    """The moment at which the run began."""
    world: str = ""
    """What was real and what was simulated, in words."""
    details: dict[str, Any] = {}
    """What a report may want to tell besides, as plain JSON values."""


class Sample(Struct, frozen=True):
    """How far a run was at a moment."""

    moment: float
    done: float
    total: float
    loss: float | None
    leases: int
    """How many were held."""
    spent: float
    """US dollars owed."""
    on_demand_spent: float
    """US dollars that the same work would have cost on demand."""


class Entry(Struct, frozen=True):
    """One row: a decision and all that it was made of."""

    row: int
    moment: float
    view: Any
    memory: Any
    decision: Decision
    recalled: Any
    """The memory after."""
    outcomes: tuple[Outcome, ...] | None
    """None where the run ended while the decision was being carried out."""
    digest: bytes


class Summary(Struct, frozen=True):
    """What a list of runs shows of one."""

    header: Header
    decisions: int
    first: float
    """The moment of the first decision; the header's start if there is none."""
    last: float
    """The moment of the last decision, or of the last sample if that is later."""
    sample: Sample | None
    """The last one."""
    digest: str
    """Of the last row, in hexadecimal."""
    notes: tuple[str, ...]


def arguments_of(policy: AnyPolicy) -> dict[str, Any]:
    """The arguments that `policy` was made with, read back from the attributes of the same names."""
    names = [name for name in inspect.signature(type(policy)).parameters if name not in ("args", "kwargs")]
    missing = [name for name in names if not hasattr(policy, name)]
    if missing:
        raise Misuse(
            f"the argument {missing[0]!r} is not kept under its own name",
            source=f"policy {policy.name}",
            fix=f"Write self.{missing[0]} = {missing[0]} in its constructor.",
        )
    arguments: dict[str, Any] = msgspec.to_builtins({name: getattr(policy, name) for name in names})
    return arguments


def home_of(kind: type) -> str:
    """Where `kind` is defined, as `module:Class`."""
    return f"{kind.__module__}:{kind.__qualname__}"


def resolve(home: str, known: Mapping[str, type]) -> type:
    """The class at `home`: one of `known` by that key, or one of Tradewind's own.

    A journal may come from anywhere, so nothing else is imported at its word. Raises Misuse.
    """
    if home in known:
        return known[home]
    module, _, name = home.partition(":")
    if not module.startswith("tradewind."):
        raise Misuse(f"{home!r} is not part of Tradewind", field="home", fix="Pass the class in `known`.")
    try:
        found: Any = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError):
        raise Misuse(
            f"this version of Tradewind has no {home!r}",
            field="home",
            fix="Replay with the version it names.",
        ) from None
    if not isinstance(found, type):
        raise Misuse(f"{home!r} is no class", field="home")
    return found


def header_for(policy: AnyPolicy, view: type, **fields: Any) -> Header:
    """The header of a run of `policy` over views of class `view`; `fields` are the rest of `Header`'s."""
    memory = policy.recall()
    return Header(
        policy=policy.name,
        policy_home=home_of(type(policy)),
        arguments=arguments_of(policy),
        view=home_of(view),
        memory="" if memory is None else home_of(type(memory)),
        **fields,
    )


def next_digest(digest: bytes, *parts: bytes) -> bytes:
    """The digest of a row whose parts these are, after one whose digest was `digest`."""
    hashed = hashlib.blake2b(digest, digest_size=16)
    for part in parts:
        hashed.update(len(part).to_bytes(8, "little"))
        hashed.update(part)
    return hashed.digest()
