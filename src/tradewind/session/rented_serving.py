"""Serving on machines that are rented: an endpoint whose replicas come and go as a policy says.

The front is this process: HTTP, gRPC, queues and batches. Each lease of the provider carries a replica. What
rents them runs in a thread of its own, on the market's clock, so that neither a policy that thinks nor a
market that runs faster than the wall is felt by a request.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import inspect
import itertools
import math
import os
import secrets
import shutil
import tempfile
import threading
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from tradewind import __version__, clock
from tradewind.control.records import header_for
from tradewind.data.prediction_log import PredictionLog
from tradewind.errors import Misuse, Unreachable
from tradewind.estimates.load.forecasters import load_forecaster
from tradewind.estimates.revocation.forecasters import forecaster
from tradewind.estimates.run_time import Interval
from tradewind.market.leases import Lease
from tradewind.market.recorded import RecordedMarket
from tradewind.providers.interface import Provider
from tradewind.providers.ray_nodes import RayNodes
from tradewind.serving.batching.rules import rule
from tradewind.serving.models.repository import Trust
from tradewind.serving.objective import Objective, objective
from tradewind.serving.provisioning.at_least import AtLeast
from tradewind.serving.provisioning.controller import Endpoint, Result, run
from tradewind.serving.provisioning.course import FunctionTariff
from tradewind.serving.provisioning.interface import Profile, ProvisioningPolicy, ServingView
from tradewind.serving.provisioning.policies import DEFAULT, FORESEEING, POLICIES
from tradewind.serving.provisioning.process_service import TASK, ProcessService
from tradewind.serving.provisioning.sustained import sustained
from tradewind.serving.server.engine import PROCESS, Library, ModelEngine, Options
from tradewind.serving.server.front import Address, Front
from tradewind.serving.server.function_relief import Bill
from tradewind.serving.server.http.connection import parser_module
from tradewind.serving.server.rented import RentedCrews
from tradewind.serving.server.replicas.secured import new_identity
from tradewind.session.endpoint_record import EndpointRecord, ToldJournal
from tradewind.session.known_feasibilities import KeptOutcomes
from tradewind.session.known_run_times import INDEX, KnownRunTimes, log_of
from tradewind.session.overflowing import Overflowing, in_words, overflowing, relief_for
from tradewind.session.places import Places, market_for
from tradewind.session.serve import GRACE, Listening, harmless, library_of, shown_host
from tradewind.session.spec import ProviderSpec

JOURNAL = "journal.sqlite"
_FORECAST = "empirical"
"""What forecasts the market for a policy that looks ahead."""
LOOK_EVERY = 10.0
"""Seconds of the market between two lines on record of how the endpoint stands."""
_TOLD_BY = 200.0
"""Requests by which what a batch takes is learned on the machines that answered them."""
_SOONEST = 0.2
"""Seconds of the wall between two, at the least."""
_DID = "the server and its replicas were processes {}, and answered over HTTP"
_FUNCTIONS_HERE = (
    "functions were processes of a host on this machine, which simulates Lambda's API; their dollars are "
    "what Lambda's price list would charge for what they did"
)
_FUNCTIONS_ELSEWHERE = "functions' dollars are those of the calls' reports at Lambda's list price"
_PORTS = range(21_000, 31_000)
"""Ports that replicas listen at on the nodes of a cluster; one that is taken costs a try."""


class Renting(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How replicas are rented."""

    provider: ProviderSpec = ProviderSpec()
    runtime: str = "processes"
    """`processes`, or `ray:ADDRESS` for the nodes of a Ray cluster."""
    policy: Any = DEFAULT
    """A provisioning policy, or the name of one."""
    policy_options: dict[str, Any] = {}
    least: int = 1
    """Replicas at least, whatever a policy that is named says."""
    interval: float = 60.0
    """Seconds of the market between two looks at the traffic; 5 or more."""
    expected: float = 1.0
    """Requests a second that are expected at first."""
    instance_types: tuple[str, ...] = ()
    """Types that replicas may be on; any that the market sells if none is named."""
    counted_on: dict[str, float] = {}
    """By type, requests a second that one replica is counted on for at most, whatever it was seen to do."""
    out: str = "runs"
    """The folder that the run's own folder is made in, with the journal and the logs of the replicas."""


class Rented(Struct, frozen=True):
    """What a stretch of serving came to."""

    directory: str
    drained: bool
    """Whether every request was answered in the end."""
    result: Result
    """Of the provisioning; the dollars of functions that were owed by its end are in its cost."""
    functions: Bill | None = None
    """What functions did, and what their calls owe at Lambda's list price; None without."""


def serve_rented(
    path: str | os.PathLike[str],
    *,
    slo: Objective | str,
    renting: Renting | Mapping[str, Any] | None = None,
    name: str = "",
    address: Address | None = None,
    options: Options | None = None,
    trust: Trust | None = None,
    overflow: Overflowing | Mapping[str, Any] | str | None = None,
    grace: float = GRACE,
    stop: threading.Event | None = None,
    ready: Callable[[Listening], None] = lambda listening: None,
    said: Callable[[str], None] = lambda text: None,
) -> Rented:
    """Serve a model on rented machines until SIGTERM or SIGINT, or `stop`.

    `path`, `name`, `address`, `options` and `trust` are as in `serve`; `slo` is what is promised, such as
    `p99<50ms`. The model is opened in this machine once, and timed: what a replica sustains follows from
    that. `overflow` is as in `serve`: functions take what would be late on the replicas, all of it while
    none is up. `ready` is told once the first replica or a function answers. Misuse before anything is
    rented where the model cannot be loaded or cannot keep the promise; Permanent where replicas fail again
    and again, NoCapacity where nothing fits.
    """
    parser_module()  # MissingExtra before a model is loaded
    asked = renting if isinstance(renting, Renting) else _renting(renting or {})
    if asked.runtime.startswith("ray"):
        new_identity()  # MissingExtra before anything is rented
    promised = objective(slo) if isinstance(slo, str) else slo
    options = replace(options or Options(), objective=promised, isolation=PROCESS, replicas=1)
    library = library_of(path, name, trust)
    functions = None if overflow is None else overflowing(overflow)
    called = _called(path, asked.provider)
    serving = _Serving(
        asked, promised, library, options, address or Address(), harmless(said), functions, called, name
    )
    return clock.serve(serving.run(grace, stop, ready))


def _renting(given: Mapping[str, Any]) -> Renting:
    plain = dict(given)
    if isinstance(provider := plain.get("provider"), str):
        plain["provider"] = {"kind": provider}
    try:
        return msgspec.convert(plain, Renting)
    except msgspec.ValidationError as problem:
        told, _, where = str(problem).partition(" - at `$.")
        raise Misuse(told, source="renting", field=where.rstrip("`"), fix="Mend the value.") from problem


class _Serving:
    """One endpoint on rented machines, from its first request to its last."""

    def __init__(
        self,
        renting: Renting,
        promised: Objective,
        library: Library,
        options: Options,
        address: Address,
        said: Callable[[str], None],
        overflow: Overflowing | None = None,
        served: str = "",
        name: str = "",
    ) -> None:
        self._renting, self._promised, self._options, self._said = renting, promised, options, said
        self._policy = _policy_of(renting, overflow is not None)
        market, self._start = market_for(renting.provider, renting.runtime)
        self._market: RecordedMarket = market
        self._crews = RentedCrews(patience=options.patience, memory_limit=options.replica_memory)
        self._functions = None if overflow is None else relief_for(overflow, said)
        self._engine = ModelEngine(library, options, said=said, hiring=self._crews, relieving=self._functions)
        self._front = Front(
            self._engine,
            address,
            promised=promised,
            failed=lambda error: said(f"{type(error).__name__}: {error}"),
            families=list if self._functions is None else self._functions.families,
        )
        self._address = address
        self._workload, self._name = f"rented {served}", name
        self._expected: dict[str, Interval] = {}
        """What a request alone takes on a type, by earlier runs."""
        self._used: set[str] = set()
        """Types of the machines that replicas were on."""

    async def run(
        self, grace: float, stop: threading.Event | None, ready: Callable[[Listening], None]
    ) -> Rented:
        took = clock.stopwatch()
        sockets = Path(tempfile.mkdtemp(prefix="tw-"))
        renter: _Renter | None = None
        stopped: asyncio.Task[str] | None = None
        try:
            await self._engine.open()
            opened = took()
            endpoint = self._endpoint(opened)
            await self._front.start()
            async with EndpointRecord(self._renting.out, self._name, self._said) as record:
                stopped = asyncio.create_task(self._stopped(stop))
                renter = _Renter(
                    lambda front, told: self._control(endpoint, record, sockets, front, told),
                    self._start, self._speed(),
                )  # fmt: skip
                over = asyncio.create_task(renter.over())
                told = asyncio.create_task(self._tell_ready(ready, took, record))
                await asyncio.wait({stopped, over}, return_when=asyncio.FIRST_COMPLETED)
                told.cancel()
                if stopped.done():
                    self._said(f"{stopped.result()}: answering what is in flight")
                service = max((each.latency.of(1) for each in self._crews.crews), default=0.0)
                drained = await self._front.drain(grace if stopped.done() else 0.0)
                renter.stop()
                await over
                bill = None if self._functions is None else self._functions.bill()
                result = renter.result()
                record.came_to(result)
            if service > 0:
                self._keep_service(service, result.requests - (0 if bill is None else bill.answered))
            return Rented(str(record.directory), drained, result, bill)
        finally:
            if stopped is not None:
                stopped.cancel()
            if renter is not None:
                renter.stop()
                await renter.over()
            await self._front.close()
            if self._functions is not None:
                await self._functions.close()
                self._said(in_words(self._functions.bill(), self._functions.host is not None))
            shutil.rmtree(sockets, ignore_errors=True)

    def _speed(self) -> float:
        return self._renting.provider.speed if self._renting.provider.kind == "local" else 1.0

    async def _stopped(self, stop: threading.Event | None) -> str:
        if stop is None:
            return await self._front.stopped()
        while not stop.is_set():
            await asyncio.sleep(0.05)
        return "asked to stop"

    async def _tell_ready(
        self, ready: Callable[[Listening], None], took: Callable[[], float], record: EndpointRecord
    ) -> None:
        while not self._engine.ready:
            await asyncio.sleep(0.02)
        host, front = shown_host(self._address.host), self._front
        models = tuple(f"{each.name}/{each.version}" for each in self._engine.index())
        grpc = f"{host}:{front.grpc.port}" if front.grpc else ""
        url = f"http://{host}:{front.http.port}"
        record.ready(url)
        ready(Listening(url, grpc, models, took()))

    def _endpoint(self, opened: float) -> Endpoint:
        """The endpoint as policies see it, from what batches were seen to take on this machine."""
        options = self._options
        known = {
            crew: sustained(
                "", crew.latency, lambda: rule(options.batching, **options.batching_options),
                self._promised, largest=crew.largest,
            )
            for crew in self._crews.crews
        }  # fmt: skip
        self._crews.weigh({crew: (each.rate, each.concurrency) for crew, each in known.items()})
        whole = min(known.values(), key=lambda each: each.rate)
        whole = replace(whole, service=max(each.service for each in known.values()))
        profiles = []
        for each in self._types():
            share = 1.0
            if self._renting.provider.kind == "local":
                share = min(1.0, self._renting.provider.cpu_shares.get(each, 1.0))
            rate = min(whole.rate * share, self._renting.counted_on.get(each, math.inf))
            stay = whole.concurrency / (whole.rate * share)
            profiles.append(self._as_earlier(Profile(each, rate, whole.service / share, rate * stay)))
        startup = self._market.boot + opened * self._speed()
        tariff = None
        if self._functions is not None:
            prices = self._functions.prices
            tariff = FunctionTariff(prices.unit, prices.per_gb_second, prices.per_call)
        return Endpoint(
            objective=self._promised, profiles=tuple(profiles), startup=startup, tariff=tariff
        )  # fmt: skip

    def _as_earlier(self, reckoned: Profile) -> Profile:
        """What is reckoned for a type from this machine, by what replicas took there in earlier runs instead.

        As it was where no earlier run tells.
        """
        name = reckoned.instance_type
        log = log_of(Path(self._renting.out))
        known = None if log is None else KnownRunTimes(log).seconds(self._workload, name, 1, 1.0)
        if known is None:
            return reckoned
        self._expected[name] = known
        low, middle, high = (reckoned.rate * reckoned.service / each for each in _falling(known))
        self._said(
            f"{name}: a request alone is expected to take {1000 * known.expected:.3g} ms "
            f"({1000 * known.low:.3g} to {1000 * known.high:.3g}) by earlier runs, not by any measurement now"
        )
        most = self._renting.counted_on.get(name, math.inf)
        rate = min(middle, most)
        stay = reckoned.concurrency / reckoned.rate * known.expected / reckoned.service
        bounds = min(low, most), min(high, most)
        return Profile(name, rate, known.expected, rate * stay, bounds)

    def _keep_service(self, seconds: float, answered: float) -> None:
        """Keep what a request alone took on the rented machines, if they were of one type and answered enough
        that it was learned there: what a mix takes is not told by its parts."""
        if len(self._used) == 1 and answered >= _TOLD_BY:
            (name,) = self._used
            log = PredictionLog(Path(self._renting.out) / INDEX)
            kept = KeptOutcomes(log, self._market.catalog.types)
            kept.took(self._workload, name, 1, 1.0, seconds, self._expected.get(name))

    def _types(self) -> tuple[str, ...]:
        sold = {offer.type.name for offer in self._market.offers(self._start)}
        sold |= {pool.instance_type for pool in self._market.history.pools}
        asked = self._renting.instance_types
        if unknown := sorted(set(asked) - sold):
            raise Misuse(
                f"the market does not sell {', '.join(unknown)}", source="renting", field="instance_types",
                fix=f"Choose of {', '.join(sorted(sold))}.",
            )  # fmt: skip
        return asked or tuple(sorted(sold))

    async def _control(
        self, endpoint: Endpoint, record: EndpointRecord, sockets: Path, loop: asyncio.AbstractEventLoop,
        stop: asyncio.Event,
    ) -> Result:  # fmt: skip
        """In the thread that rents: the controller, until it is told to stop."""
        directory = record.directory
        renting, policy = self._renting, self._policy
        places = Places(renting.provider, renting.runtime, TASK, self._market, directory)
        provider = places.provider()
        service = ProcessService(
            self._crews, loop, self._engine.meters, places.runtime(),
            self._noting(_addresses(provider, sockets)),
            startup=endpoint.startup, interval=renting.interval, past=[renting.expected],
            functions=self._functions, said=lambda text: self._say(loop, text),
        )  # fmt: skip
        real, simulated = places.told(self._start, _DID)
        if self._functions is not None:
            if self._functions.host is None:
                real = (*real, _FUNCTIONS_ELSEWHERE)
            else:
                simulated = (*simulated, _FUNCTIONS_HERE)
        header = header_for(
            policy, ServingView, version=__version__, seed=0, history=renting.provider.history,
            start=self._start,
            details={
                "title": f"Endpoint {', '.join(sorted({each.name for each in self._engine.index()}))}",
                "real": real, "simulated": simulated, "speed": self._speed(),
            },
        )  # fmt: skip
        foreseen = None
        if policy.name in FORESEEING and self._market.history.pools:
            foreseen = forecaster(_FORECAST, self._market.history, float("inf"))
        with ToldJournal(directory / JOURNAL, header, record.stands) as journal:
            return await run(
                endpoint, policy, provider, service, journal, stop=stop, forecaster=foreseen,
                load_forecaster=load_forecaster(policy.forecaster) if policy.forecaster else None,
                look_every=max(LOOK_EVERY, _SOONEST * self._speed()),
            )  # fmt: skip

    def _noting(self, address: Callable[[Lease], str]) -> Callable[[Lease], str]:
        """The addresses, and a note of the types that they are asked for."""

        def noted(lease: Lease) -> str:
            self._used.add(lease.instance.type.name)
            return address(lease)

        return noted

    def _say(self, loop: asyncio.AbstractEventLoop, text: str) -> None:
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(self._said, text)


class _Renter:
    """The thread that rents, with a loop of its own on the market's clock. Made on the front's loop."""

    def __init__(
        self,
        control: Callable[[asyncio.AbstractEventLoop, asyncio.Event], Coroutine[Any, Any, Result]],
        start: float,
        speed: float,
    ) -> None:
        self._control, self._start, self._speed = control, start, speed
        self._front, self._over = asyncio.get_running_loop(), asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._asked = False
        self._result: Result | BaseException | None = None
        threading.Thread(target=self._main, name="renting").start()

    def _main(self) -> None:
        try:
            self._result = clock.run(self._go(), start=self._start, speed=self._speed)
        except BaseException as problem:
            self._result = problem
        with contextlib.suppress(RuntimeError):
            self._front.call_soon_threadsafe(self._over.set)

    async def _go(self) -> Result:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        if self._asked:
            self._stop.set()
        return await self._control(self._front, self._stop)

    def stop(self) -> None:
        """Have it release everything and end."""
        self._asked = True
        if self._loop is not None and self._stop is not None:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._stop.set)

    async def over(self) -> None:
        """Wait until it has ended."""
        await self._over.wait()

    def result(self) -> Result:
        """What it came to; raises what ended it."""
        if isinstance(self._result, BaseException):
            raise self._result
        assert self._result is not None
        return self._result


def _called(path: str | os.PathLike[str], provider: ProviderSpec) -> str:
    """What counts as the same served models, on machines that are equally fast."""
    text = os.path.abspath(path) if os.path.exists(path) else os.fspath(path)
    told = f"{text} {provider.kind} {sorted(provider.cpu_shares.items())}"
    return f"{Path(text).name[:80]} {hashlib.blake2b(told.encode(), digest_size=8).hexdigest()}"


def _falling(known: Interval) -> tuple[float, float, float]:
    return known.high, known.expected, known.low


def _policy_of(renting: Renting, functions: bool = False) -> ProvisioningPolicy:
    if not isinstance(renting.policy, str):
        given: ProvisioningPolicy = renting.policy
        return given
    options = dict(renting.policy_options)
    kind = POLICIES.get(renting.policy.replace("-", "_"))
    if kind is not None and "overflow" in inspect.signature(kind.__init__).parameters:
        # The front overflows whatever the policy: one that can reckons with functions where there are some.
        options.setdefault("overflow", functions)
    return AtLeast(renting.policy, renting.least, options)


def _addresses(provider: Provider, sockets: Path) -> Callable[[Lease], str]:
    """Where the replica on a lease is to listen: at a socket of this machine, or at a port of its node."""
    number = itertools.count()

    def address(lease: Lease) -> str:
        if not isinstance(provider, RayNodes):
            return f"unix:{sockets}/{next(number)}"
        node = provider.node_of(lease.id)
        if node is None:
            raise Unreachable(f"the node of {lease.id} is gone")
        return f"tcp:{node.host}:{secrets.choice(_PORTS)}"

    return address
