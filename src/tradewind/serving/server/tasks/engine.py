"""Model-less serving: an engine whose models are tasks, architectures and variants.

Romero, Li, Yadwadkar and Kozyrakis, "INFaaS: Automated Model-less Inference Serving", USENIX ATC 2021. A call
for a task, or for an architecture, says in its parameters how accurate and how quick its answer must be
(`min_accuracy`, `max_latency_ms`, `confidence`); the rule chooses the variant, which is opened if need be,
and is named in the answer. A name that is several things is the task's first, then the architecture's; a
variant of either may be asked for by the call's `variant`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from msgspec import Struct

from tradewind import clock
from tradewind.errors import Misuse, suggestion
from tradewind.serving.calls import (
    Answer,
    Call,
    ModelMetadata,
    ModelState,
    ModelStatistics,
    Refusal,
    RefusalKind,
)
from tradewind.serving.server.engine import ModelEngine
from tradewind.serving.server.metrics.meters import Gauges, Meters
from tradewind.serving.server.tasks.fleet import Member, VariantFleet, cheapest
from tradewind.serving.server.tasks.scaling import Scaler
from tradewind.serving.tensors import DTYPES, Signature, Tensors
from tradewind.serving.variants.demands import Required, demand_of
from tradewind.serving.variants.selection.interface import Impossible, Query, SelectionRule
from tradewind.serving.variants.traffic import Traffic
from tradewind.serving.variants.variant import Task

_LEISURE = 1.0
"""Seconds that an answer may take where nobody said, if no variant needs longer."""
_SLOWEST = 3.0
"""Times what the slowest variant takes, where that is longer."""
_MEMO = 1024
_LATER = (RefusalKind.NOT_READY, RefusalKind.NO_ROOM)
"""Refusals of a variant after which another is asked."""


class Meaning(Struct, frozen=True):
    """What a name stands for."""

    kind: str
    """task, architecture or variant."""
    name: str
    members: tuple[Member, ...]


class Routed(Struct):
    """How the calls for one name fared with one variant."""

    answered: int = 0
    late: int = 0
    """Answered, but not within the latency demanded."""


class TaskEngine:
    """Implements `calls.Engine` over the variants of `fleet`, chosen by `rule` and scaled by `scaler`."""

    def __init__(
        self,
        fleet: VariantFleet,
        rule: SelectionRule,
        scaler: Scaler,
        traffic: Traffic,
        *,
        tasks: Sequence[Task] = (),
        said: Callable[[str], None] = lambda text: None,
    ) -> None:
        """`tasks` are those registered: they say what every variant of one takes and gives."""
        self.fleet, self.scaler, self.traffic = fleet, scaler, traffic
        self._rule, self._memory = rule, rule.recall()
        self._tasks, self._said = {each.name: each for each in tasks}, said
        self._meanings: dict[str, Meaning] = {}
        self._queries: dict[tuple[Any, ...], Query] = {}
        self._draining = False
        self._loop: asyncio.Task[None] | None = None
        self.routed: dict[tuple[str, str], Routed] = {}
        """By what was asked for, and the variant that answered."""
        self.impossible: dict[str, int] = {}
        """By what was asked for: calls that demanded what no variant gives."""
        self.learn_names()

    @property
    def models(self) -> ModelEngine:
        """The engine below."""
        return self.fleet.models

    @property
    def meters(self) -> Meters:
        """Of every variant."""
        return self.models.meters

    @property
    def live(self) -> bool:
        """Whether the server runs at all."""
        return self.models.live

    @property
    def ready(self) -> bool:
        """Whether it takes calls; variants are opened as they are needed."""
        return not self._draining and self.models.ready

    def learn_names(self) -> None:
        """Read again what names there are, after variants were added."""
        members = tuple(self.fleet.members.values())
        found: dict[str, Meaning] = {each.name: Meaning("variant", each.name, (each,)) for each in members}
        for kind in ("architecture", "task"):
            for name in dict.fromkeys(getattr(each.rated.variant, kind) for each in members):
                theirs = tuple(each for each in members if getattr(each.rated.variant, kind) == name)
                if [each.name for each in theirs] != [name]:  # else the variant's own name, and says as much
                    found[name] = Meaning(kind, name, theirs)
        self._meanings = found
        self._queries.clear()
        for task in self.tasks():
            self.scaler.always[task] = self._query(Call(task, {}), self._meanings[task], 1)

    def tasks(self) -> tuple[str, ...]:
        """Every task's name."""
        return tuple(sorted({each.rated.variant.task for each in self.fleet.members.values()}))

    async def open(self) -> None:
        """Open the cheapest variant of each task, and begin to scale. Misuse where none of a task opens."""
        await self.models.open(())
        for task in self.tasks() if self.scaler.warm else ():
            problem: Refusal | None = None
            for member in cheapest(self._meanings[task].members):
                try:
                    await self.fleet.ensure(member)
                    break
                except Refusal as refusal:
                    problem = refusal
                    if refusal.kind is RefusalKind.NO_ROOM:
                        break  # it is opened when it is asked for
            else:
                raise Misuse(str(problem), source=f"task {task!r}") from problem
        self._loop = asyncio.get_running_loop().create_task(self.scaler.run())

    async def infer(self, call: Call) -> Answer:
        """The answer of the variant that the rule chooses."""
        meaning = self._meaning(call.model)
        if self._draining and not any(map(self.fleet.up, meaning.members)):
            raise Refusal(RefusalKind.NOT_READY, "the server is going down", retry_after=1.0)
        try:
            query = self._asked(call, meaning)
        except Misuse as problem:
            self.meters.refused(RefusalKind.MALFORMED)
            raise Refusal(RefusalKind.MALFORMED, str(problem)) from None
        began = clock.now()
        member, answer = await self._answered(call, meaning, query)
        routed = self.routed.get((call.model, member.name))
        if routed is None:
            routed = self.routed[call.model, member.name] = Routed()
        routed.answered += 1
        if clock.now() - began > query.latency:
            routed.late += 1
        return Answer(call.model, answer.version, call.id, answer.outputs, member.name)

    async def _answered(self, call: Call, meaning: Meaning, query: Query) -> tuple[Member, Answer]:
        """The answer, of another variant where one cannot be opened."""
        fleet, refused = self.fleet, dict[str, Refusal]()
        within = query.latency if demand_of(call.parameters).latency is not None else None
        outputs = call.outputs
        task = self._tasks.get(meaning.members[0].rated.variant.task)
        if task is not None and not outputs and meaning.kind != "variant":
            outputs = tuple([each.name for each in task.outputs])
        counted = False
        while True:
            now = clock.now()
            able = [each for each in meaning.members if fleet.usable(each, now) and each.name not in refused]
            if not able:
                raise self._none(meaning, refused)
            standings = [fleet.standing(each, now) for each in able]
            try:
                choice, self._memory = self._rule.choose(query, standings, self._memory)
            except Misuse as problem:
                raise Refusal(RefusalKind.NOT_FOUND, str(problem)) from None
            if isinstance(choice, Impossible):
                if refused or len(able) < len(meaning.members):
                    raise self._none(meaning, refused, choice.reason)
                self.impossible[meaning.name] = self.impossible.get(meaning.name, 0) + 1
                self.meters.refused(RefusalKind.MALFORMED)
                raise Refusal(RefusalKind.MALFORMED, f"{meaning.kind} {meaning.name!r}: {choice.reason}")
            if not counted:
                self.traffic.came(query)
                counted = True
            member = fleet.members[choice.variant]
            member.used = now
            up = fleet.up(member)
            if choice.start and (up or choice.start != member.name):
                fleet.grow(fleet.members[choice.start])
            try:
                if not up:
                    await fleet.ensure(member)
                served = self.models.served(member.name)
                inputs = call.inputs
                if task is not None and served is not None:
                    inputs = _fitting(inputs, task, served.signature)
                return member, await self.models.infer(
                    Call(
                        member.name, inputs, call.version, call.id, outputs, call.deadline, "",
                        call.parameters, within,
                    )
                )  # fmt: skip
            except Refusal as refusal:
                if refusal.kind not in _LATER or self._draining:
                    raise
                refused[member.name] = refusal

    def _none(self, meaning: Meaning, refused: dict[str, Refusal], reason: str = "") -> Refusal:
        """Why no variant that would do can be had now."""
        if refused and all(each.kind is RefusalKind.NO_ROOM for each in refused.values()):
            return next(iter(refused.values()))
        troubles = [str(each) for each in refused.values()]
        for each in meaning.members:
            if each.banned:
                troubles.append(f"variant {each.name!r} was unloaded")
            elif each.trouble and each.name not in refused:
                troubles.append(f"variant {each.name!r} cannot be opened: {each.trouble}")
        told = "; ".join([reason, *troubles] if reason else troubles)
        self.meters.refused(RefusalKind.NOT_READY)
        return Refusal(
            RefusalKind.NOT_READY, f"{meaning.kind} {meaning.name!r} has no variant that can answer: {told}",
            retry_after=None if all(each.banned for each in meaning.members) else 1.0,
        )  # fmt: skip

    def _meaning(self, name: str) -> Meaning:
        found = self._meanings.get(name)
        if found is None:
            self.meters.refused(RefusalKind.NOT_FOUND)
            known = suggestion(name[:255], self._meanings) if self._meanings else "Nothing is registered."
            text = f"there is no task, architecture or variant {name[:255]!r}. {known}"
            raise Refusal(RefusalKind.NOT_FOUND, text)
        return found

    def _asked(self, call: Call, meaning: Meaning) -> Query:
        """The query that a call makes; Misuse where its demands are none."""
        rows = max((len(each) for each in call.inputs.values() if each.ndim), default=1)
        return self._query(call, meaning, max(1, rows))

    def _query(self, call: Call, meaning: Meaning, rows: int) -> Query:
        demand = demand_of(call.parameters)
        key = (call.model, call.variant, demand, rows)
        query = self._queries.get(key)
        if query is None:
            if len(self._queries) >= _MEMO:
                self._queries.clear()
            query = self._queries[key] = _made(demand, call.variant, meaning, rows)
        return query

    # What the protocol asks besides

    def default_model(self) -> str:
        """The one task that there is."""
        tasks = self.tasks()
        if len(tasks) != 1:
            raise Refusal(
                RefusalKind.NOT_FOUND, f"the server has {len(tasks)} tasks: name one in the path or a header"
            )
        return tasks[0]

    def index(self) -> tuple[ModelState, ...]:
        """Every task, architecture and variant; a variant's reason is its state."""
        loading = {each.name for each in self.models.index() if each.state == "LOADING"}
        found = []
        for name, meaning in sorted(self._meanings.items()):
            up = [each for each in meaning.members if self.fleet.up(each)]
            if meaning.kind != "variant":
                told = f"{meaning.kind}, answered by {', '.join(each.name for each in up) or 'none now'}"
                found.append(ModelState(name, "1", "READY" if up else "UNAVAILABLE", told))
                continue
            (member,) = meaning.members
            state = "READY" if up else "LOADING" if name in loading or member.opening else "UNAVAILABLE"
            found.append(ModelState(name, "1", state, self.state_of(member)))
        return tuple(found)

    def state_of(self, member: Member) -> str:
        """A variant's state in words."""
        if member.banned:
            return "unloaded"
        if member.trouble:
            return member.trouble
        seen = self.fleet.standing(member, clock.now())
        slow = f", {seen.slowdown:.2g} times what its profile says" if seen.slowdown >= 1.5 else ""
        return f"{seen.state.value}{slow}"

    def is_ready(self, name: str, version: str = "") -> bool:
        """Whether a variant that the name means can answer now."""
        meaning = self._meaning(name)
        _check_version(meaning, version)
        return not self._draining and any(
            self.models.is_ready(each.name) for each in meaning.members if self.fleet.up(each)
        )

    def metadata(self, name: str, version: str = "") -> ModelMetadata:
        """What it takes and gives: of a variant that is open, for all variants take the same."""
        meaning = self._meaning(name)
        _check_version(meaning, version)
        for each in meaning.members:
            if self.fleet.up(each):
                return self._told(self.models.metadata(each.name), meaning)
        raise Refusal(RefusalKind.NOT_READY, f"no variant of {name!r} is loaded")

    def _told(self, told: ModelMetadata, meaning: Meaning) -> ModelMetadata:
        largest = max(each.rated.variant.max_batch for each in meaning.members) if told.max_batch else 0
        signature = told.signature
        task = self._tasks.get(meaning.members[0].rated.variant.task)
        if task is not None and task.inputs and meaning.kind != "variant":
            signature = Signature(task.inputs, task.outputs, signature.batched)
        return ModelMetadata(meaning.name, told.versions, told.platform, signature, largest)

    async def described(self, name: str, version: str = "") -> ModelMetadata:
        """What it takes and gives; the cheapest is opened if none is."""
        meaning = self._meaning(name)
        _check_version(meaning, version)
        await self._some(meaning)
        return self.metadata(name, version)

    async def _some(self, meaning: Meaning) -> None:
        """Have one of them open."""
        refused: dict[str, Refusal] = {}
        if any(map(self.fleet.up, meaning.members)):
            return
        for each in cheapest(meaning.members):
            if self.fleet.usable(each, clock.now()):
                try:
                    await self.fleet.ensure(each)
                    return
                except Refusal as refusal:
                    refused[each.name] = refusal
        raise self._none(meaning, refused)

    def statistics(self, name: str = "", version: str = "") -> tuple[ModelStatistics, ...]:
        """What variants have done; all of them if `name` is empty."""
        if not name:
            return self.models.statistics("", version)
        theirs = {each.name for each in self._meaning(name).members}
        return tuple(each for each in self.models.statistics("", version) if each.name in theirs)

    def gauges(self) -> Gauges:
        """How the server stands, with what its replicas cost."""
        below = self.models.gauges()
        cost = sum(self.fleet.up(each) * each.rated.profile.per_hour for each in self.fleet.members.values())
        return Gauges(below.models, self.fleet.limit.memory, cost, self.ready)

    async def load(self, name: str, settings: dict[str, Any] | None = None) -> None:
        """Have a variant of it open; what was unloaded may be used again."""
        if settings is not None:
            raise Refusal(
                RefusalKind.MALFORMED, "a variant's settings are what it was measured with; profile it anew"
            )
        meaning = self._meaning(name)
        for each in meaning.members:
            self.fleet.allow(each)
        await self._some(meaning)

    async def unload(self, name: str) -> None:
        """Use none of its variants until it is loaded again."""
        leaving = self._meaning(name).members
        for each in leaving:
            self.fleet.unload(each)
        while any(each.leaving for each in leaving):
            await asyncio.sleep(0.01)

    def stop_taking(self) -> None:
        """Not ready from now on; what comes all the same is answered."""
        self._draining = True
        self.models.stop_taking()

    async def close(self) -> None:
        """Answer what is in flight and let go of every variant."""
        self._draining = True
        if self._loop is not None:
            self._loop.cancel()
            await asyncio.wait([self._loop])
        await self.fleet.close()
        await self.models.close()


def _made(demand: Required, variant: str, meaning: Meaning, rows: int) -> Query:
    latency = demand.latency
    if latency is None:
        slowest = max(each.rated.profile.latency.of(rows) for each in meaning.members)
        latency = max(_LEISURE, _SLOWEST * slowest)
    about = {meaning.kind: meaning.name} if not variant else {"variant": variant}
    return Query(latency, **about, accuracy=demand.accuracy, rows=rows, confidence=demand.confidence)


def _check_version(meaning: Meaning, version: str) -> None:
    if version not in ("", "1"):
        raise Refusal(RefusalKind.NOT_FOUND, f"{meaning.name!r} has no version {version!r}; there is 1")


def _fitting(inputs: Tensors, task: Task, signature: Signature) -> Tensors:
    """A task's single input under the name and in the precision that a variant takes it."""
    if len(inputs) != 1 or len(task.inputs) != 1 or len(signature.inputs) != 1:
        return inputs
    ((name, array),) = inputs.items()
    (given,), (taken,) = task.inputs, signature.inputs
    if name != given.name or given == taken:
        return inputs  # the variant checks it
    if array.dtype != DTYPES[given.datatype] or array.ndim != len(given.shape):
        raise Refusal(
            RefusalKind.MALFORMED,
            f"task {task.name!r}: input {name!r} is {array.dtype} {list(array.shape)}, and it takes "
            f"{given.datatype} {list(given.shape)}",
        )
    return {taken.name: array.astype(DTYPES[taken.datatype], copy=False)}
