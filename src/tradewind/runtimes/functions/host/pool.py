"""The environments of a host: one for each call at a time, kept warm for a while, never more than allowed."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import secrets
import shutil
import socket
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from tradewind import clock
from tradewind.runtimes.functions.bills import CallRecord
from tradewind.runtimes.functions.host.births import Child, PlainChild, Unfit, Zygote
from tradewind.runtimes.functions.host.environment import Environment, Outcome, StartFailed
from tradewind.runtimes.functions.host.packages import Packages
from tradewind.runtimes.functions.host.refusals import throttled
from tradewind.runtimes.functions.host.shelf import LATEST, REGION, Function, Shelf
from tradewind.runtimes.functions.limits import Limits
from tradewind.runtimes.functions.reports import Report, billed_ms, line

MARK = "TRADEWIND_FUNCTION_HOST"
"""The variable that tells whose a process is: of the host with this folder."""
_ZYGOTES = 4
"""Fork servers at most; the one that has not been used for longest goes."""
_SWEEP = 1.0


class Answered(msgspec.Struct, frozen=True):
    """A call's outcome with its log, report last."""

    outcome: Outcome
    log: str
    version: str


class Pool:
    """Runs calls of the shelf's functions in `root`. With `forked` false every start is a plain one."""

    def __init__(
        self, root: Path, shelf: Shelf, packages: Packages, limits: Limits, *, forked: bool = True
    ) -> None:
        self._root, self._shelf, self._packages = root, shelf, packages
        self._limits, self._forked = limits, forked
        self._idle: dict[tuple[str, str], list[Environment]] = {}
        self._all: set[Environment] = set()
        self._running: dict[str, int] = {}
        self._zygotes: dict[tuple[str, ...], Zygote] = {}
        self._unfit: dict[tuple[str, ...], str] = {}
        self._retired: list[Zygote] = []
        self._chores: set[asyncio.Task[Any]] = set()
        self._numbers = itertools.count(1)
        self._sweeper: asyncio.Task[None] | None = None
        self._closed = False

    def open(self) -> None:
        """Clear what an earlier host left, and start what is to be kept started."""
        shutil.rmtree(self._root / "environments", ignore_errors=True)
        (self._root / "environments").mkdir(parents=True)
        (self._root / "logs").mkdir(exist_ok=True)
        self._sweeper = asyncio.create_task(self._sweep())
        for entry in self._shelf.entries.values():
            for version in entry.provisioned:
                self.provide(entry.latest.name, version)

    def status(self) -> dict[str, Any]:
        """What there is, and how it is held, for whoever looks after the host."""
        return {
            "environments": [
                {"name": each.name, "function": each.function.name, "version": each.function.version,
                 "start": each.start, "provisioned": each.provisioned, "paced_by": each.paced_by,
                 "inbound_refused": each.inbound_refused}
                for each in sorted(self._all, key=lambda each: each.born)
            ],
            "running": dict(self._running),
            "fork_servers": [len(each.modules) for each in self._zygotes.values() if each.up],
            "unfit": list(self._unfit.values()),
        }  # fmt: skip

    async def call(self, function: Function, event: bytes, client_context: Any = None) -> Answered:
        """Run one call, in a warm environment if one is free. ApiRefusal where too many run already."""
        self._admit(function.name)
        request = _request_id()
        try:
            return await self._called(function, event, request, client_context)
        finally:
            self._running[function.name] -= 1

    def _admit(self, name: str) -> None:
        """Count a call in, or refuse it."""
        reserved = self._shelf[name].reserved
        mine = self._running.get(name, 0)
        if reserved is not None:
            if mine >= reserved:
                raise throttled("ReservedFunctionConcurrentInvocationLimitExceeded")
        else:
            entries = self._shelf.entries
            kept = sum(each.reserved or 0 for each in entries.values())
            shared = sum(
                count
                for other, count in self._running.items()
                if other not in entries or entries[other].reserved is None
            )
            if shared >= self._limits.concurrency - kept:
                raise throttled("ConcurrentInvocationLimitExceeded")
        self._running[name] = mine + 1

    async def _called(self, function: Function, event: bytes, request: str, context: Any) -> Answered:
        environment = self._warm(function)
        cold = environment is None
        began = clock.now()
        if environment is None:
            environment = self._made(function)
            try:
                await self._begun(environment)
            except StartFailed as failure:
                return self._closed_books(environment, request, began, failure.outcome, None)
        call = {"request": request, "arn": function.arn, "client_context": context}
        try:
            outcome = await environment.call(event, call)
        finally:
            self._back(environment)
        init = 1000.0 * environment.init_seconds if cold and not environment.provisioned else None
        return self._closed_books(environment, request, began, outcome, init)

    def _closed_books(
        self, environment: Environment, request: str, began: float, outcome: Outcome, init: float | None
    ) -> Answered:
        """The call with its report, once it is in the file of calls and in the function's log."""
        function = environment.function
        duration = 1000.0 * outcome.seconds
        report = Report(
            request, duration, billed_ms(duration, init), function.memory,
            -(-outcome.memory >> 20) if outcome.memory else 0, init, environment.start if init else "",
        )  # fmt: skip
        told = outcome.log if not outcome.log or outcome.log.endswith("\n") else f"{outcome.log}\n"
        log = (
            f"START RequestId: {request} Version: {function.version}\n{told}"
            f"END RequestId: {request}\n{line(report)}"
        )
        record = CallRecord(
            function.name, environment.name, began, report.billed, function.memory, init, outcome.error
        )
        with open(self._root / "calls.jsonl", "ab") as file:
            file.write(msgspec.json.encode(record) + b"\n")
        _append(self._root / "logs" / f"{function.name}.log", log)
        return Answered(outcome, log, function.version)

    def _warm(self, function: Function) -> Environment | None:
        """The free environment that was used last, so that the others may be let go."""
        free = self._idle.get((function.name, function.version), [])
        while free:
            environment = free.pop()
            if not environment.dead and environment.function.revision == function.revision:
                return environment
            self._do(self._end(environment))
        return None

    def _made(self, function: Function) -> Environment:
        name = f"{next(self._numbers)}-{secrets.token_hex(4)}"
        environment = Environment(name, function, self._root / "environments" / name, self._limits)
        self._all.add(environment)
        return environment

    async def _begun(self, environment: Environment) -> None:
        """Start it: forked where its layer is known and can be forked from, else plainly."""
        function = environment.function
        modules = function.modules
        zygote = self._zygotes.get(modules) if self._forked and modules else None
        code = self._packages.folder(function.package)
        learn = self._forked and not modules
        variables = self._variables(environment)
        if zygote is not None and zygote.up:
            self._zygotes[modules] = self._zygotes.pop(modules)  # used last
            try:
                await environment.begin(zygote.fork, code, variables, False)
                return
            except (StartFailed, OSError) as problem:
                # Was it the fork, or is it the function? A plain start, in its place, tells.
                environment.revive()
                why = problem
            await self._begun_plainly(environment, code, False)
            if zygote.up:
                self._forsake(modules, f"a forked start failed: {why}")
        else:
            await self._begun_plainly(environment, code, learn)
        if learn:
            function = environment.function = self._learned(function, environment.modules)
        modules = function.modules
        if self._forked and modules and (modules not in self._zygotes or self._zygotes[modules].gone):
            self._do(self._warm_layer(modules))

    async def _begun_plainly(self, environment: Environment, code: Path, learn: bool) -> None:
        try:
            await environment.begin(self._plain, code, self._variables(environment), learn)
        except BaseException:
            self._all.discard(environment)
            raise

    def _plain(self, connection: socket.socket) -> Child:
        return PlainChild(connection, {MARK: str(self._root)})

    def _variables(self, environment: Environment) -> dict[str, str]:
        function = environment.function
        ours = {
            MARK: str(self._root),
            "AWS_LAMBDA_FUNCTION_NAME": function.name,
            "AWS_LAMBDA_FUNCTION_VERSION": function.version,
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory),
            "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{function.name}",
            "AWS_LAMBDA_LOG_STREAM_NAME": environment.name,
            "AWS_LAMBDA_INITIALIZATION_TYPE": (
                "provisioned-concurrency" if environment.provisioned else "on-demand"
            ),
            "AWS_EXECUTION_ENV": f"AWS_Lambda_{function.runtime}",
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "LAMBDA_TASK_ROOT": str(self._packages.folder(function.package)),
            "_HANDLER": function.handler,
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
        }
        kept = {key: os.environ[key] for key in ("PATH", "LANG", "TZ", "PYTHONPATH") if key in os.environ}
        return kept | function.variables | ours

    def _learned(self, function: Function, modules: tuple[str, ...]) -> Function:
        """Keep, on disk too, what the code loads."""
        with contextlib.suppress(Exception):  # it was changed or deleted meanwhile
            entry = self._shelf[function.name]
            there = entry.version(function.version)
            if there.revision == function.revision:
                learned = replace(there, modules=modules)
                if function.version == LATEST:
                    entry.latest = learned
                else:
                    entry.versions[function.version] = learned
                self._shelf.write(entry)
        return replace(function, modules=modules)

    async def _warm_layer(self, modules: tuple[str, ...]) -> None:
        """Start a fork server; the least used one ends where there are too many."""
        if modules in self._unfit or self._closed:
            return
        before = self._zygotes.get(modules)
        zygote = self._zygotes[modules] = Zygote(modules, {MARK: str(self._root)})
        if before is not None:
            await before.close()  # it was killed, for want of memory maybe
        try:
            await zygote.start(self._limits.start)
        except Unfit as problem:
            self._forsake(modules, str(problem))
            return
        except BaseException:
            self._zygotes.pop(modules, None)
            raise
        for other in list(self._zygotes)[:-_ZYGOTES]:
            if not any(each.function.modules == other and each.start == "forked" for each in self._all):
                await self._zygotes.pop(other).close()

    def _forsake(self, modules: tuple[str, ...], reason: str) -> None:
        self._unfit[modules] = reason
        zygote = self._zygotes.pop(modules, None)
        if zygote is not None:
            self._retired.append(zygote)  # environments that were forked from it live as long as it does

    def _back(self, environment: Environment) -> None:
        """A call is over: keep its environment, or end it."""
        function = environment.function
        entry = self._shelf.entries.get(function.name)
        current = None
        if entry is not None:
            current = entry.latest if function.version == LATEST else entry.versions.get(function.version)
        old = clock.now() - environment.born > self._limits.life
        if environment.dead or old or self._closed or not current or current.revision != function.revision:
            self._do(self._end(environment))
            return
        self._idle.setdefault((function.name, function.version), []).append(environment)

    async def _end(self, environment: Environment) -> None:
        await environment.end()
        self._all.discard(environment)
        if environment.provisioned and not self._closed:
            self.provide(environment.function.name, environment.function.version)

    def forget(self, name: str) -> None:
        """A function was changed or deleted: end its environments that are free and no longer of use."""
        entry = self._shelf.entries.get(name)
        for key in [key for key in self._idle if key[0] == name]:
            kept = []
            for each in self._idle[key]:
                current = None
                if entry is not None:
                    current = entry.latest if key[1] == LATEST else entry.versions.get(key[1])
                if current is not None and current.revision == each.function.revision:
                    kept.append(each)
                else:
                    self._do(self._end(each))
            self._idle[key] = kept

    def provide(self, name: str, version: str) -> None:
        """See to it that a version's provisioned environments are there, and no more."""
        self._do(self._provided(name, version))

    def provided(self, name: str, version: str) -> int:
        """How many provisioned environments of a version are up."""
        return sum(
            each.provisioned and not each.dead and bool(each.start) and each.init_seconds > 0
            for each in self._all
            if (each.function.name, each.function.version) == (name, version)
        )

    async def _provided(self, name: str, version: str) -> None:
        entry = self._shelf.entries.get(name)
        wanted = 0 if entry is None else entry.provisioned.get(version, 0)
        mine = [
            each
            for each in self._all
            if each.provisioned and (each.function.name, each.function.version) == (name, version)
        ]
        for each in mine[wanted:]:
            each.provisioned = False
        if entry is None:
            return
        for _ in range(wanted - len(mine)):
            environment = self._made(entry.version(version))
            environment.provisioned = True
            try:
                await self._begun(environment)
            except StartFailed:
                return  # whoever asks sees that none is there
            self._back(environment)

    async def _sweep(self) -> None:
        """End environments that nobody has called for a while, or that are too old."""
        while True:
            await asyncio.sleep(min(_SWEEP, self._limits.idle / 2))
            now = clock.now()
            for key, free in self._idle.items():
                kept = []
                for each in free:
                    unused = not each.provisioned and now - each.used > self._limits.idle
                    if each.dead or unused or now - each.born > self._limits.life:
                        self._do(self._end(each))
                    else:
                        kept.append(each)
                self._idle[key] = kept

    def _do(self, chore: Any) -> None:
        task = asyncio.create_task(chore)
        self._chores.add(task)
        task.add_done_callback(self._chores.discard)

    async def close(self) -> None:
        """End everything at once."""
        self._closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
        for task in list(self._chores):
            task.cancel()
        if self._chores:
            await asyncio.wait(list(self._chores))
        for each in list(self._all):
            await self._end(each)
        for zygote in [*self._zygotes.values(), *self._retired]:
            await zygote.close()


def _request_id() -> str:
    text = secrets.token_hex(16)
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


_LOG_LONGEST = 4 << 20


def _append(path: Path, text: str) -> None:
    with open(path, "a", encoding="utf-8") as file:
        file.write(text)
        long = file.tell() > _LOG_LONGEST
    if long:
        os.replace(path, f"{path}.1")
