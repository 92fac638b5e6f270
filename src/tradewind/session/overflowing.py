"""Functions beside a server, as users ask for them: `functions`, `functions:URL`, `functions:aws`."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import Any

import msgspec
from msgspec import Struct

from tradewind.errors import MissingExtra, Misuse, TradewindError
from tradewind.providers.functions import FULL_CORE, LAMBDA
from tradewind.runtimes.functions.client import Functions
from tradewind.serving.server.function_relief import PREFIX, Bill, FunctionRelief, Size
from tradewind.serving.server.overflow import Terms
from tradewind.session.cleaning import driver_name, lives

AWS = "aws"
_KIND = "functions"
_WHOSE = "tradewind overflow of "
_MARGIN = 10.0
"""Seconds beyond a function's own limit that its answer is waited for."""


class Overflowing(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where requests go that the replicas would answer late, and how much of that."""

    where: str = ""
    """Empty for a host on this machine that is started with the server and ends with it; `aws`; or the
    address of whatever speaks Lambda's API."""
    region: str = ""
    """Of AWS; what boto3 finds if not given."""
    token: str = ""
    """What a host at an address asks for."""
    memory: int = FULL_CORE
    """MB of each environment."""
    timeout: int = 30
    """Seconds of a call."""
    concurrency: int = 16
    """Calls at a time at most, of each model."""
    standby: int = 2
    """Environments of each model that are kept started; a burst starts more."""
    budget: float = math.inf
    """US dollars for calls of each model's function; then replicas answer alone."""
    late: float = math.inf
    """What a late answer costs, US dollars; a request stays where the call costs more."""
    role: str = ""
    """ARN of the role that functions on AWS run as."""
    layers: tuple[str, ...] = ()
    """ARNs of layers on AWS with Tradewind and what the model needs."""


def overflowing(asked: Overflowing | Mapping[str, Any] | str) -> Overflowing:
    """What a text such as `functions:aws`, or fields by name, ask for; Misuse for anything else."""
    if isinstance(asked, str):
        kind, _, where = asked.partition(":")
        if kind != _KIND:
            raise Misuse(
                f"{asked!r} is nothing to overflow to", field="overflow",
                fix="Write functions, functions:URL or functions:aws.",
            )  # fmt: skip
        asked = {"where": where}
    if not isinstance(asked, Overflowing):
        plain = dict(asked)
        if isinstance(plain.get("layers"), str):
            plain["layers"] = plain["layers"].split(",")
        try:
            asked = msgspec.convert(plain, Overflowing, strict=False)
        except msgspec.ValidationError as problem:
            told, _, where = str(problem).partition(" - at `$.")
            raise Misuse(told, source="overflow", field=where.rstrip("`"), fix="Mend the value.") from None
    return _checked(asked)


def _checked(asked: Overflowing) -> Overflowing:
    wrong = ""
    if not LAMBDA.least <= asked.memory <= LAMBDA.most:
        wrong, fix = "memory", f"Give {LAMBDA.least} to {LAMBDA.most} MB."
    elif not 1 <= asked.timeout <= LAMBDA.longest:
        wrong, fix = "timeout", f"Give 1 to {LAMBDA.longest:g} s."
    elif not 1 <= asked.concurrency <= LAMBDA.concurrency:
        wrong, fix = "concurrency", f"Give 1 to {LAMBDA.concurrency}."
    elif not 1 <= asked.standby <= asked.concurrency:
        wrong, fix = "standby", f"Give 1 to {asked.concurrency}, the concurrency."
    elif not asked.budget > 0:
        wrong, fix = "budget", "Give dollars above 0."
    elif not asked.late >= 0:
        wrong, fix = "late", "Give dollars."
    if wrong:
        raise Misuse(
            f"{getattr(asked, wrong)!r} cannot be", source="overflow", field=wrong, fix=fix
        )  # fmt: skip
    if asked.where and asked.where != AWS and not asked.where.startswith(("http://", "https://")):
        raise Misuse(
            f"{asked.where!r} is no address", source="overflow", field="where",
            fix="Write functions:http://HOST:PORT, or functions:aws.",
        )  # fmt: skip
    if asked.where == AWS and not asked.role:
        raise Misuse(
            "a function on AWS runs as a role", source="overflow", field="role",
            fix="Give its ARN; layers with Tradewind and what the model needs are wanted there, too.",
        )  # fmt: skip
    return asked


def relief_for(asked: Overflowing, said: Callable[[str], None] = lambda text: None) -> FunctionRelief:
    """Functions for a server, none of which is there yet. MissingExtra without boto3.

    Blocks where functions are elsewhere: those that servers on this machine left there, which were killed,
    are deleted.
    """
    if find_spec("boto3") is None:
        raise MissingExtra("boto3", "aws", "calling functions")
    address = None
    if asked.where:
        address = Functions(
            "" if asked.where == AWS else asked.where, region=asked.region, token=asked.token,
            connections=2 * asked.concurrency, longest=asked.timeout + _MARGIN,
        )  # fmt: skip
        try:
            for name in swept(address):
                said(f"deleted the function {name}, which a server that is gone left")
        except TradewindError as problem:
            said(f"functions cannot be listed ({problem}); replicas answer until they can be reached")
    return FunctionRelief(
        address,
        size=Size(
            memory=asked.memory, timeout=asked.timeout, concurrency=asked.concurrency, role=asked.role,
            layers=asked.layers,
        ),
        terms=Terms(
            standby=asked.standby, budget=asked.budget, late=asked.late, longest=float(asked.timeout)
        ),
        description=_WHOSE + driver_name(),
        said=said,
    )  # fmt: skip


def swept(functions: Functions) -> tuple[str, ...]:
    """Delete the functions that servers of this machine made and are gone; their names. Those of servers that
    live, and of other machines, are let be."""
    gone = []
    for name, description in functions.described().items():
        ours = name.startswith(PREFIX) and description.startswith(_WHOSE)
        if ours and lives(description.removeprefix(_WHOSE)) is False:
            functions.delete(name)
            gone.append(name)
    return tuple(sorted(gone))


def in_words(bill: Bill, local: bool) -> str:
    """A bill in words."""
    where = (
        "as Lambda's price list would charge; the functions were simulated by a local host"
        if local
        else "by the calls' reports, at Lambda's list price"
    )
    return (
        f"functions answered {bill.answered} requests ({bill.returned} came back to the queue) in "
        f"{bill.calls} calls, {bill.cold} of them cold: ${bill.dollars:.6f} {where}"
    )
