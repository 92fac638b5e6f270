"""Functions beside the replicas of a server's models: one for each version in service, and the bill for all.

They are on a host of this machine, which is started with the first model and ends with the server, or behind
an address that speaks Lambda's API.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import threading
from collections.abc import Callable
from decimal import Decimal
from importlib.util import find_spec
from pathlib import Path
from site import getsitepackages

from msgspec import Struct
from msgspec.structs import replace

from tradewind.market.billing.functions import BY_MILLISECONDS
from tradewind.market.billing.functions import Functions as Prices
from tradewind.providers.functions import FULL_CORE
from tradewind.runtimes.functions.client import Functions
from tradewind.runtimes.functions.limits import Limits
from tradewind.runtimes.functions.local_host import LocalHost
from tradewind.serving.models.answers import made_up
from tradewind.serving.models.opening import Opening
from tradewind.serving.overflow import FunctionTerms
from tradewind.serving.server.batcher import Batcher
from tradewind.serving.server.metrics.families import Family, counted, measured
from tradewind.serving.server.metrics.meters import ModelMeter
from tradewind.serving.server.overflow import Overflow, Terms
from tradewind.serving.server.replicas.functions.deployed import DeployedModel
from tradewind.serving.tensors import Signature

PREFIX = "tradewind-overflow-"
"""Of the names of functions."""
_LONGEST_NAME = 64
_PATIENCE = 0.1
"""Seconds that a call which is throttled is tried again for: who waits has better to do."""


class Size(Struct, frozen=True, kw_only=True):
    """What each function is."""

    memory: int = FULL_CORE
    """MB; the share of a processor goes with it."""
    timeout: int = 30
    """Seconds of a call."""
    concurrency: int = 16
    """Calls at a time at most, of each model."""
    role: str = ""
    """ARN of the role that it runs as; on AWS alone, and needed there."""
    layers: tuple[str, ...] = ()
    """ARNs of layers with Tradewind and what the model needs; on AWS alone, and needed there."""


class Bill(Struct, frozen=True):
    """What functions did, and what calls owe by their reports, at the prices of Lambda's list."""

    answered: int = 0
    """Requests that functions answered."""
    returned: int = 0
    """Requests that came back from functions, and went to the queue."""
    calls: int = 0
    """All calls, those that keep environments warm among them."""
    cold: int = 0
    """Of these, those that started an environment."""
    throttled: int = 0
    untold: int = 0
    """Calls whose report did not come, and that are not in the dollars."""
    gb_seconds: float = 0.0
    dollars: Decimal = Decimal(0)

    def plus(self, other: Bill) -> Bill:
        """Both together."""
        return Bill(*(getattr(self, name) + getattr(other, name) for name in self.__struct_fields__))


class FunctionRelief:
    """Implements `Relieving`. Without an `address` functions are on a host of this machine.

    `address` is a client for Lambda's API; `description` is what functions there tell of themselves. A
    function is there some time after its model: until then, and whenever it is lost, replicas answer alone.
    """

    def __init__(
        self,
        address: Functions | None = None,
        *,
        size: Size | None = None,
        terms: Terms | None = None,
        prices: Prices = BY_MILLISECONDS,
        description: str = "",
        said: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._size, self._terms = size or Size(), terms or Terms()
        self._address, self._prices, self._description, self._said = address, prices, description, said
        concurrency = max(4, 2 * self._size.concurrency)
        self._host = LocalHost(Limits(concurrency=concurrency, unreserved=0)) if address is None else None
        self._starting = asyncio.Lock()
        self._mine: Functions | None = None
        self._up: dict[tuple[str, str], list[Overflow]] = {}
        self._past: dict[tuple[str, str], Bill] = {}
        self._listed = threading.Lock()
        """Held where those two change or are gone through: who rents asks from another thread."""

    @property
    def host(self) -> LocalHost | None:
        """The host on this machine; None where functions are elsewhere."""
        return self._host

    @property
    def prices(self) -> Prices:
        """What calls are charged by."""
        return self._prices

    def relief(
        self,
        name: str,
        version: str,
        opening: Opening,
        signature: Signature,
        batcher: Batcher,
        meter: ModelMeter,
        objective: float | None,
    ) -> Overflow:
        """A function for a model version; it is made while the model serves already."""
        whose = re.sub(r"[^A-Za-z0-9-_]", "-", f"{name}-{version}")
        called = f"{PREFIX}{whose}"[: _LONGEST_NAME - 9] + f"-{secrets.token_hex(4)}"
        size = self._size
        deployed = DeployedModel(
            self._address, called, concurrency=size.concurrency, patience=_PATIENCE, prices=self._prices
        )  # fmt: skip
        sample = made_up(signature, 1, opening.shapes) if opening.warm_up else None
        made = Overflow(
            batcher, deployed, meter, objective=objective, terms=self._terms, sample=sample, said=self._said,
            closed=lambda: self._over((name, version), made),
        )  # fmt: skip

        async def prepare() -> None:
            deployed.use(await self._functions())
            await deployed.deploy(
                replace(opening, path=str(Path(opening.path).absolute()) if opening.path else ""),
                code=code_of(opening), memory=size.memory, timeout=size.timeout, role=size.role,
                layers=size.layers, description=self._description,
            )  # fmt: skip

        with self._listed:
            self._up.setdefault((name, version), []).append(made)
        made.keep(prepare)
        return made

    async def _functions(self) -> Functions:
        """The client of wherever functions are, which is seen to be there."""
        if self._host is None:
            assert self._address is not None
            return self._address
        async with self._starting:
            if self._mine is None or self._host.pid is None:
                url = await self._host.start()
                self._mine = Functions(
                    url, token=self._host.token, longest=self._size.timeout + 10.0,
                    connections=2 * self._size.concurrency,
                )  # fmt: skip
                self._said(
                    f"functions are on a local host at {url}, which simulates Lambda's API; time and dollars "
                    "are as Lambda's price list would charge"
                )
            return self._mine

    def _over(self, key: tuple[str, str], made: Overflow) -> None:
        """A model version is no longer in service: its bill is kept."""
        with self._listed:
            self._up[key].remove(made)
            self._past[key] = self._past.get(key, Bill()).plus(_bill(made))

    def bills(self) -> dict[tuple[str, str], Bill]:
        """What functions did so far, by model and version; from any thread."""
        with self._listed:
            found = dict(self._past)
            for key, several in self._up.items():
                for each in several:
                    found[key] = found.get(key, Bill()).plus(_bill(each))
        return found

    def bill(self) -> Bill:
        """What all of them did so far; from any thread."""
        whole = Bill()
        for each in self.bills().values():
            whole = whole.plus(each)
        return whole

    def terms(self) -> FunctionTerms | None:
        """What any model in service does as a function at the worst, by the calls so far, from any thread;
        None while one of them has no function that answers, or none is in service."""
        with self._listed:
            known = [each.profile for several in self._up.values() for each in several[-1:]]
        found = [each for each in known if each is not None]
        if not found or len(found) < len(known):
            return None
        return FunctionTerms(
            per_request=max(each.per_request for each in found),
            warm=max(each.warm for each in found),
            cold=max(each.cold for each in found),
            concurrency=min(each.concurrency for each in found),
        )

    def families(self) -> list[Family]:
        """The metrics of functions."""
        bills = [
            ({"model": name, "version": version}, bill) for (name, version), bill in self.bills().items()
        ]
        up = [
            ({"model": name, "version": version}, each)
            for (name, version), several in self._up.items()
            for each in several[-1:]
        ]
        outcomes = [
            ({**labels, "outcome": outcome}, count)
            for labels, bill in bills
            for outcome, count in (("answered", bill.answered), ("returned", bill.returned))
        ]
        return [
            counted(
                "tradewind_function_requests",
                "Inference requests sent to a function because replicas would have been late, by outcome: "
                "answered there, or returned to the queue without an answer.",
                outcomes,
            ),
            counted(
                "tradewind_function_calls",
                "Calls of functions, those that keep environments warm among them.",
                [(labels, bill.calls) for labels, bill in bills],
            ),
            counted(
                "tradewind_function_cold_starts",
                "Calls that started an environment.",
                [(labels, bill.cold) for labels, bill in bills],
            ),
            counted(
                "tradewind_function_throttled",
                "Calls refused because too many ran.",
                [(labels, bill.throttled) for labels, bill in bills],
            ),
            counted(
                "tradewind_function_gb_seconds",
                "Memory and time that calls were billed.",
                [(labels, bill.gb_seconds) for labels, bill in bills],
            ),
            counted(
                "tradewind_function_dollars",
                "US dollars of the calls by their reports, at Lambda's list price; on a local host nobody "
                "asks for them.",
                [(labels, float(bill.dollars)) for labels, bill in bills],
            ),
            measured(
                "tradewind_function_environments",
                "Environments that are known to be started.",
                [(labels, each.environments) for labels, each in up],
            ),
            measured(
                "tradewind_function_calls_in_progress",
                "Calls in hand.",
                [(labels, each.calling) for labels, each in up],
            ),
        ]

    async def close(self) -> None:
        """End the host, if it is ours; functions were deleted with their models."""
        for client in (self._mine, self._address):
            if client is not None:
                client.close()
        if self._host is not None:
            await self._host.close()


def _bill(made: Overflow) -> Bill:
    spending = made.deployed.spending
    return Bill(
        made.sent, made.returned, spending.calls, spending.cold, spending.throttled, spending.untold,
        spending.gb_seconds, spending.dollars,
    )  # fmt: skip


def code_of(opening: Opening) -> Path | None:
    """The package or module of a model in Python, which goes into its function; None for what is installed,
    for that is in the function's layer."""
    home = (opening.python or opening.network).partition(":")[0].partition(".")[0]
    found = find_spec(home) if home else None
    if found is None or found.origin is None or not Path(found.origin).exists():
        return None
    origin = Path(found.origin)
    if any(origin.is_relative_to(each) for each in getsitepackages()):
        return None
    return origin.parent if found.submodule_search_locations else origin
