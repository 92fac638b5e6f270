"""Serving tasks: of a store's variants, each request gets the cheapest that does what it demands."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from tradewind import clock
from tradewind.errors import Misuse, suggestion
from tradewind.serving.models.repository import Trust
from tradewind.serving.server.engine import ModelEngine, Options
from tradewind.serving.server.front import Address, Front
from tradewind.serving.server.grpc.server import tls_credentials
from tradewind.serving.server.http import variants_page
from tradewind.serving.server.http.connection import parser_module
from tradewind.serving.server.tasks.engine import TaskEngine
from tradewind.serving.server.tasks.fleet import VariantFleet
from tradewind.serving.server.tasks.library import VariantLibrary
from tradewind.serving.server.tasks.metrics import task_families
from tradewind.serving.server.tasks.scaling import Scaler
from tradewind.serving.variants.registry import Registry
from tradewind.serving.variants.scaling.infaas import InfaasScaling
from tradewind.serving.variants.scaling.integer_program import IntegerProgram
from tradewind.serving.variants.scaling.interface import Limit
from tradewind.serving.variants.selection.cheapest_in_time import CheapestInTime
from tradewind.serving.variants.selection.infaas import InfaasSelection
from tradewind.serving.variants.traffic import Traffic
from tradewind.serving.variants.variant import Rated, Task
from tradewind.session.serve import GRACE, Listening, harmless, shown_host, tls_of
from tradewind.session.variants import opened_store

SELECTION: dict[str, Callable[[], Any]] = {
    CheapestInTime.name: CheapestInTime,
    InfaasSelection.name: lambda: InfaasSelection(cpu_from=0.0),
}
"""Ways to choose a variant for a request. INFaaS's looks at CPUs for every bound: there is nothing else."""
SCALING: dict[str, Callable[[], Any]] = {
    IntegerProgram.name: IntegerProgram,
    InfaasScaling.name: InfaasScaling,
}
"""Ways to say how many replicas of each there should be."""
_SHARE = 0.8
"""Of this machine's memory, that variants may take where nobody said."""
_A_CORE = 2
"""Replicas for each core, where nobody said: one may wait while another computes."""


class Routing(Struct, frozen=True, kw_only=True):
    """How variants are chosen and scaled."""

    selection: str = CheapestInTime.name
    """One of `SELECTION`."""
    scaling: str = IntegerProgram.name
    """One of `SCALING`."""
    replicas: int | None = None
    """Of all variants together; None for two a core."""
    headroom: float = 0.2
    """The share of the load that there should be room for beyond it."""
    warm: bool = True
    """Whether each task keeps a variant open, even where nobody asks."""
    idle: int = 60
    """Seconds for which a kind of request is expected again."""


def serve_variants(
    store: str | os.PathLike[str],
    *,
    routing: Routing | None = None,
    address: Address | None = None,
    options: Options | None = None,
    trust: Trust | None = None,
    certificate: str = "",
    key: str = "",
    grace: float = GRACE,
    ready: Callable[[Listening], None] = lambda listening: None,
    said: Callable[[str], None] = lambda text: None,
) -> bool:
    """Serve a store's tasks until SIGTERM or SIGINT; whether every request was answered in the end.

    `options.memory` is what all replicas may take together (four fifths of the machine's, if not given);
    `options.replicas` is not used. Misuse before anything listens where there is no variant, or none of a
    task can be opened.
    """
    parser_module()  # MissingExtra before a model is loaded
    routing = routing or Routing()
    _known(routing.selection, SELECTION, "selection")
    _known(routing.scaling, SCALING, "scaling")
    with opened_store(store) as keeper:
        registry = Registry(keeper)
        tasks, rated = registry.tasks(), registry.rated()
    if not rated:
        raise Misuse(
            "no variant is registered", source=os.fspath(store),
            fix="Register one: tradewind variants add TASK MODEL --data FILE.",
        )  # fmt: skip
    tls = tls_of(certificate, key)
    credentials = None
    if tls is not None:
        chain = Path(certificate).read_bytes()
        credentials = tls_credentials(chain, Path(key).read_bytes() if key else chain)

    async def run() -> bool:
        took = clock.stopwatch()
        engine = engine_of(tasks, rated, routing, options, trust, harmless(said))
        where = address or Address()
        front = Front(
            engine,
            where,
            tls=tls,
            grpc_credentials=credentials,
            promised=None if options is None else options.objective,
            failed=lambda error: harmless(said)(f"{type(error).__name__}: {error}"),
            pages=lambda routes: variants_page.add_routes(routes, engine),
            families=lambda: task_families(engine),
        )
        try:
            await engine.open()
            await front.start()
            stopped = asyncio.ensure_future(front.stopped())
            await asyncio.sleep(0)
            host = shown_host(where.host)
            ready(
                Listening(
                    f"{'https' if tls else 'http'}://{host}:{front.http.port}",
                    f"{host}:{front.grpc.port}" if front.grpc else "",
                    engine.tasks(),
                    took(),
                )
            )
            harmless(said)(f"{await stopped}: answering what is in flight")
            return await front.drain(grace)
        finally:
            await front.close()

    return clock.serve(run())


def engine_of(
    tasks: tuple[Task, ...],
    rated: tuple[Rated, ...],
    routing: Routing,
    options: Options | None = None,
    trust: Trust | None = None,
    said: Callable[[str], None] = lambda text: None,
) -> TaskEngine:
    """The engine of registered tasks and variants; to be opened on an event loop of `clock.serve`."""
    options = options or Options()
    memory = options.memory or int(_SHARE * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    replicas = routing.replicas or _A_CORE * (os.cpu_count() or 1)
    library = VariantLibrary(trust)
    # The fleet keeps the limits, for it knows what is on its way; the engine's own would evict besides.
    models = ModelEngine(library, replace(options, memory=None, replicas=None, max_batch=None), said=said)
    fleet = VariantFleet(models, library, Limit(replicas, memory), said)
    for each in rated:
        fleet.add(each)
    traffic = Traffic(routing.idle)
    scaler = Scaler(
        fleet, SCALING[routing.scaling](), traffic, headroom=routing.headroom, warm=routing.warm, said=said
    )
    return TaskEngine(fleet, SELECTION[routing.selection](), scaler, traffic, tasks=tasks, said=said)


def _known(name: str, choices: dict[str, Callable[[], Any]], field: str) -> None:
    if name not in choices:
        raise Misuse(f"there is no way {name!r}", field=field, fix=suggestion(name, choices))
