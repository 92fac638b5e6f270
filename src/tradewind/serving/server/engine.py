"""The engine behind every wire: models of a repository, kept open as memory allows, each with its queue.

A call finds its model open (or opens it), is checked against its signature, waits in its queue and comes back
with its rows of a batch's outputs.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from msgspec import Struct
from msgspec.structs import replace

from tradewind import clock
from tradewind.errors import Misuse, Temporary, TradewindError
from tradewind.serving.batching.rules import rule
from tradewind.serving.calls import (
    Answer,
    Call,
    ModelMetadata,
    ModelState,
    ModelStatistics,
    Refusal,
    RefusalKind,
)
from tradewind.serving.models.answers import made_up
from tradewind.serving.models.opening import Opening, artefact_bytes, open_model
from tradewind.serving.models.repository import ModelSettings, settings_of
from tradewind.serving.models.shelf import Loan, Shelf
from tradewind.serving.objective import Objective
from tradewind.serving.server.batcher import USUAL, Batcher, Limits
from tradewind.serving.server.crew import Crew, Hiring
from tradewind.serving.server.fleet import Fleet
from tradewind.serving.server.metrics.meters import Gauges, Meters, ModelGauge
from tradewind.serving.server.relief import Relieving
from tradewind.serving.server.replicas.in_server import InServer
from tradewind.serving.server.replicas.interface import ModelFailed, Replica, ReplicaLost
from tradewind.serving.server.replicas.own_process import OwnProcess
from tradewind.serving.server.served import Served

AUTO, SERVER, PROCESS = "auto", "server", "process"
_WARM_UP = 3
"""Batches of one size that are timed before a model serves."""
_UNLIMITED = 1 << 62
PATIENCE = 60.0
"""Seconds that a batch may take where nobody said."""


class Options(Struct, frozen=True, kw_only=True):
    """How an engine serves; a model's own settings go before."""

    batching: str = "slack"
    """The rule that cuts batches, by its name."""
    batching_options: dict[str, Any] = {}
    objective: Objective | None = None
    """What is promised; None for the best that can be done."""
    replicas: int | None = None
    """Replicas of each model; None for what its settings say."""
    max_batch: int | None = None
    """Rows of a batch at most; None for what a model's settings say."""
    isolation: str = AUTO
    """`server` runs models in the server's own process, `process` each replica in one of its own; `auto` the
    latter where a model is somebody's code, or has several replicas."""
    memory: int | None = None
    """Bytes that all models may take together; None for no limit."""
    replica_memory: int = 0
    """Bytes that one replica's process may grow to before it is replaced; 0 for no limit."""
    patience: float = PATIENCE
    """Seconds that a batch may take in a process of its own."""
    waiting: Limits = USUAL


class Library(Protocol):
    """Where models come from: `Repository` is one."""

    def names(self) -> tuple[str, ...]:
        """Every model's name, ascending."""
        ...

    def versions(self, name: str) -> tuple[str, ...]:
        """The versions that may be asked for, in ascending order."""
        ...

    def artefact(self, name: str, version: str = "") -> Path:
        """Where a version lies."""
        ...

    def settings(self, name: str) -> ModelSettings:
        """How a model is served."""
        ...

    def opening(self, name: str, version: str = "") -> Opening:
        """How a version is opened."""
        ...


class ModelEngine:
    """Serves the models of `repository`; implements `calls.Engine`.

    `said` is told, in words, of what an operator should know: replicas lost, models that could not be loaded.
    `hiring` finds the replicas, such as on rented machines; without it the engine keeps them up itself.
    `relieving` has what takes requests that would be late, such as functions.
    """

    def __init__(
        self,
        repository: Library,
        options: Options | None = None,
        *,
        meters: Meters | None = None,
        said: Callable[[str], None] = lambda text: None,
        hiring: Hiring | None = None,
        relieving: Relieving | None = None,
    ) -> None:
        self._hiring, self._relieving = hiring, relieving
        self._repository, self._options = repository, options or Options()
        if self._options.isolation not in (AUTO, SERVER, PROCESS):
            raise Misuse(
                f"{self._options.isolation!r} is no isolation", field="isolation",
                fix=f"Choose {AUTO}, {SERVER} or {PROCESS}.",
            )  # fmt: skip
        rule(self._options.batching, **self._options.batching_options)
        self._said = said
        self.meters = meters or Meters()
        self._shelf: Shelf[Served] = Shelf(
            self._options.memory or _UNLIMITED, self._open, self._expected, said
        )
        self._versions: dict[str, tuple[str, ...]] = {}
        """What may be asked for of each model that was loaded, or may be loaded when it is asked for."""
        self._settings: dict[str, ModelSettings] = {}
        """Settings given with a load request, in place of those on disk."""
        self._unloaded: set[str] = set()
        """Models that somebody unloaded: they are not loaded because they are asked for."""
        self._failures: dict[str, str] = {}
        self._wanted: tuple[str, ...] = ()
        self._draining = False

    @property
    def live(self) -> bool:
        """Whether the server runs at all."""
        return True

    @property
    def ready(self) -> bool:
        """Whether every model that should be loaded is, and the server is not draining."""
        return not self._draining and all(self._has_ready(name) for name in self._wanted)

    async def open(self, names: tuple[str, ...] | None = None) -> None:
        """Load `names`, all of the repository if None; raises what the first failing one raises.

        Where memory is limited the rest is loaded when it is asked for.
        """
        there = self._repository.names()
        for name in there:
            with contextlib.suppress(TradewindError):
                self._versions[name] = self._repository.versions(name)
        wanted = there if names is None else names
        for name in wanted:
            try:
                await self.load(name)
            except Refusal as refusal:
                if refusal.kind is RefusalKind.NO_ROOM and names is None and self._options.memory:
                    break
                raise Misuse(str(refusal)) from refusal
        if not self._options.memory:
            self._wanted = tuple(wanted)

    async def infer(self, call: Call) -> Answer:
        """The answer of one model to one call."""
        loan = self._shelf.lend_now(call.model, call.version or self._newest(call.model))
        if loan is None:
            loan = await self._reached(call.model, call.version)
        try:
            return await loan.thing.answer(call)
        finally:
            loan.give_back()

    def _newest(self, name: str) -> str:
        versions = self._versions.get(name)
        return versions[-1] if versions else ""

    async def _reached(self, name: str, version: str) -> Loan[Served]:
        """A loan of a model that is not open yet."""
        try:
            if self._draining:
                raise Refusal(RefusalKind.NOT_READY, "the server is going down", retry_after=1.0)
            if name in self._unloaded:
                raise Refusal(RefusalKind.NOT_READY, f"model {name!r} was unloaded")
            versions = self._known(name)
            if version and version not in versions:
                raise Refusal(
                    RefusalKind.NOT_FOUND,
                    f"model {name!r} has no version {version!r}; there are: {', '.join(versions)}",
                )
            return await self._shelf.lend(name, version or versions[-1])
        except Refusal as refusal:
            self.meters.refused(refusal.kind)
            raise
        except TradewindError as problem:
            self.meters.refused(RefusalKind.NOT_READY)
            raise Refusal(
                RefusalKind.NOT_READY,
                f"model {name!r} cannot be loaded: {problem}",
                retry_after=_after(problem),
            ) from problem

    def _known(self, name: str) -> tuple[str, ...]:
        """The versions of a model that may be asked for; NOT_FOUND if there is none."""
        versions = self._versions.get(name)
        if not versions:
            try:
                versions = self._versions[name] = self._repository.versions(name)
            except Misuse as problem:
                raise Refusal(RefusalKind.NOT_READY, str(problem)) from problem
        if not versions:
            raise Refusal(RefusalKind.NOT_FOUND, f"model {name!r} has no version")
        return versions

    def default_model(self) -> str:
        """The model that a wire without names in its paths means."""
        names = [name for name in self._repository.names() if name not in self._unloaded]
        if len(names) != 1:
            raise Refusal(
                RefusalKind.NOT_FOUND, f"the server has {len(names)} models: name one in the path or a header"
            )
        return names[0]

    def index(self) -> tuple[ModelState, ...]:
        """Every model of the repository, by name and version."""
        opened, loading = set(self._shelf.opened()), set(self._shelf.loading())
        found = []
        for name in self._repository.names():
            versions: tuple[str, ...] = ()
            reason = self._failures.get(name, "")
            try:
                versions = self._repository.versions(name)
            except TradewindError as problem:
                reason = str(problem)
            for version in versions or ("",):
                key = (name, version)
                if key in opened:
                    found.append(ModelState(name, version, "READY"))
                elif key in loading:
                    found.append(ModelState(name, version, "LOADING"))
                else:
                    told = reason or ("unloaded" if name in self._unloaded else "not loaded yet")
                    found.append(ModelState(name, version, "UNAVAILABLE", told))
        return tuple(found)

    def is_ready(self, name: str, version: str = "") -> bool:
        """Whether the model can answer now."""
        versions = self._known(name)
        if version and version not in versions:
            raise Refusal(RefusalKind.NOT_FOUND, f"model {name!r} has no version {version!r}")
        served = self._shelf.peek(name, version or versions[-1])
        return served is not None and served.ready and not self._draining

    def _has_ready(self, name: str) -> bool:
        try:
            return self.is_ready(name)
        except Refusal:
            return False

    def metadata(self, name: str, version: str = "") -> ModelMetadata:
        """What it takes and gives."""
        versions = self._known(name)
        served = self._shelf.peek(name, version or versions[-1])
        if served is None:
            if version and version not in versions:
                raise Refusal(RefusalKind.NOT_FOUND, f"model {name!r} has no version {version!r}")
            raise Refusal(RefusalKind.NOT_READY, f"model {name!r} is not loaded")
        return served.metadata(versions)

    async def described(self, name: str, version: str = "") -> ModelMetadata:
        """What it takes and gives, for which it is loaded where `infer` would load it."""
        served = self._shelf.peek(name, version or self._newest(name))
        if served is not None:
            return served.metadata(self._versions[name])
        loan = await self._reached(name, version)
        try:
            return loan.thing.metadata(self._known(name))
        finally:
            loan.give_back()

    def statistics(self, name: str = "", version: str = "") -> tuple[ModelStatistics, ...]:
        """What models have done; all of them if `name` is empty."""
        if name:
            self._known(name)
        return tuple(
            meter.statistics()
            for meter in self.meters
            if (not name or meter.name == name) and (not version or meter.version == version)
        )

    def gauges(self) -> Gauges:
        """How the server stands at this moment."""
        models = []
        for key in self._shelf.opened():
            served = self._shelf.peek(*key)
            if served is not None:
                batcher, fleet = served.batcher, served.fleet
                states = {
                    "idle": batcher.replicas - batcher.busy, "busy": batcher.busy, "starting": fleet.starting
                }  # fmt: skip
                models.append(ModelGauge(*key, batcher.waiting, states, served.memory))
        return Gauges(tuple(models), self._options.memory, None, self.ready)

    async def load(self, name: str, settings: dict[str, Any] | None = None) -> None:
        """Load a model of the repository, or load it anew; calls in flight are answered by the old one."""
        if self._draining:
            raise Refusal(RefusalKind.NOT_READY, "the server is going down")
        before = self._settings.get(name)
        try:
            if settings is not None:
                self._settings[name] = settings_of(settings, f"load of {name}")
            versions = self._repository.versions(name)
            if not versions:
                raise Refusal(RefusalKind.NOT_FOUND, f"model {name!r} has no version")
            for version in versions:
                await self._shelf.renew(name, version)
        except TradewindError as problem:
            if before is None:
                self._settings.pop(name, None)
            else:
                self._settings[name] = before
            self._failures[name] = str(problem)
            if isinstance(problem, Refusal):
                raise
            raise Refusal(RefusalKind.MALFORMED, f"model {name!r} cannot be loaded: {problem}") from problem
        gone = [key for key in self._shelf.opened() if key[0] == name and key[1] not in versions]
        self._versions[name] = versions
        self._unloaded.discard(name)
        self._failures.pop(name, None)
        for key in gone:
            await self._shelf.drop(*key)

    async def unload(self, name: str) -> None:
        """Stop answering for a model, once what is in flight is answered."""
        self._known(name)
        self._unloaded.add(name)
        self._wanted = tuple(each for each in self._wanted if each != name)
        await asyncio.gather(*(self._shelf.drop(*key) for key in self._shelf.opened() if key[0] == name))

    def replicas_up(self, name: str) -> int:
        """Replicas of a model's newest version that are up; 0 where it is not loaded."""
        served = self._shelf.peek(name, self._newest(name))
        return served.fleet.up if served is not None else 0

    async def resize(self, name: str, count: int) -> None:
        """Keep `count` replicas of a model's newest version; it is loaded if need be. Raises as `load`.

        A model that ran in this very process and gets several replicas is loaded anew, in processes of its
        own, as the library's settings say.
        """
        served = self._shelf.peek(name, self._newest(name))
        here = served is not None and any(each.inline for each in served.fleet.replicas)
        if served is None or (here and count > 1 and self._options.isolation == AUTO):
            await self.load(name)
        else:
            served.fleet.resize(count)

    def served(self, name: str) -> Served | None:
        """A model's newest version in service; None where it is not open."""
        return self._shelf.peek(name, self._newest(name))

    async def let_go(self, name: str) -> None:
        """Close a model once what is in flight is answered; it is opened again when it is asked for."""
        await asyncio.gather(*(self._shelf.drop(*key) for key in self._shelf.opened() if key[0] == name))

    def stop_taking(self) -> None:
        """Not ready from now on, so that no more is sent here; what comes all the same is answered."""
        self._draining = True

    async def close(self) -> None:
        """Answer what is in flight and let go of every model."""
        self._draining = True
        await self._shelf.close()

    def _expected(self, name: str, version: str) -> int:
        try:
            return artefact_bytes(self._repository.artefact(name, version))
        except TradewindError:
            return 0

    async def _open(self, name: str, version: str) -> Served:
        """A model version with its replicas up; raises what opening it raises."""
        options = self._options
        settings = self._settings.get(name) or self._repository.settings(name)
        opening = self._repository.opening(name, version)
        if name in self._settings:
            opening = replace(
                opening, threads=settings.threads, warm_up=settings.warm_up, shapes=settings.shapes
            )
        count = options.replicas or settings.instances
        objective = settings.slo or (options.objective.latency if options.objective else None)
        meter = self.meters.model(name, version, objective)
        largest = settings.max_batch if options.max_batch is None else options.max_batch
        make = self._maker(opening, count)
        fleet: Crew | None = None
        model = f"model {name!r} version {version}"
        first = make()
        await first.open()
        batched = first.signature.batched and largest > 1
        batcher = Batcher(
            rule(options.batching, **options.batching_options),
            meter,
            largest=largest,
            batched=batched,
            objective=objective,
            limits=options.waiting,
            lost=lambda replica: fleet.lost(replica) if fleet is not None else None,
        )
        try:
            await _warmed(first, batcher, largest if batched else 1, opening)
        except BaseException:
            await first.close()
            raise
        if self._hiring is None:
            fleet = Fleet(make, batcher, count, said=lambda text: self._said(f"{model}: {text}"))
        else:
            said = self._said
            fleet = self._hiring.crew(name, version, opening, batcher, lambda text: said(f"{model}: {text}"))
        signature, platform = first.signature, first.platform
        fleet.begin(first)
        relief = None
        if self._relieving is not None:
            relief = self._relieving.relief(name, version, opening, signature, batcher, meter, objective)
        if objective is not None and batcher.learned.latency.of(1) > objective:
            took = 1000 * batcher.learned.latency.of(1)
            self._said(f"{model} takes {took:.3g} ms for one row: more than its {1000 * objective:.3g} ms")
        return Served(
            name, version, signature=signature, platform=platform, largest=largest if batched else 0,
            batcher=batcher, fleet=fleet, meter=meter, relief=relief,
        )  # fmt: skip

    def _maker(self, opening: Opening, count: int) -> Callable[[], Replica]:
        code = bool(opening.python or opening.network)
        apart = self._options.isolation == PROCESS or (
            self._options.isolation == AUTO and (code or count > 1)
        )
        if not apart:
            return lambda: InServer(lambda: open_model(opening))
        return lambda: OwnProcess(
            opening,
            patience=self._options.patience,
            memory_limit=self._options.replica_memory,
            threads=opening.threads,
        )


async def _warmed(replica: Replica, batcher: Batcher, largest: int, opening: Opening) -> None:
    """Time a few batches of one row and of many, so that the first callers find a latency learned."""
    if not opening.warm_up:
        return
    for rows in sorted({1, min(8, largest), largest}):
        inputs = made_up(replica.signature, rows, opening.shapes)
        for turn in range(_WARM_UP):
            took = clock.stopwatch()
            try:
                await replica.run(inputs)
            except (ModelFailed, ReplicaLost) as problem:
                raise Misuse(
                    f"fails on {rows} rows of zeros: {problem}", source=opening.path or opening.python,
                    fix="Mend it, state the lengths of its open dimensions (shapes), or turn warm_up off.",
                ) from problem  # fmt: skip
            if turn:
                batcher.learn(rows, took())


def _after(problem: TradewindError) -> float | None:
    return problem.delay if isinstance(problem, Temporary) else None
