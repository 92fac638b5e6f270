"""Tasks on the nodes of a Ray cluster: the agents of its leases, reached through Ray.

A lease on a Ray node is a named actor, pinned to the node, that keeps the instance's agent and carries bytes
to it; its address is `ray:NODE/NAME`. From the agent on, everything is as on this machine: tasks are forked
in milliseconds, asked to leave by SIGTERM, killed after their grace. So a task that is killed has FAILED and
says by what, and no task costs the start of a Ray worker.

What Ray is asked is who is alive. A call that fails says nothing yet. An actor that Ray calls dead has taken
its tasks along: they are LOST if Ray's table of nodes has the node dead too, and have FAILED if it is alive.
Ray counts a node dead after `health_check_failure_threshold` health checks, `health_check_period_ms` apart,
have failed, each after `health_check_timeout_ms` at the latest: that is the bound within which a lost node is
noticed, about half a minute by the defaults of a cluster. Ray restarts and retries nothing here.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import uuid
from pathlib import Path
from typing import Any

from tradewind import clock
from tradewind.errors import MissingExtra, Misuse, Unreachable
from tradewind.runtimes.interface import TaskState
from tradewind.runtimes.processes import Connection, ProcessRuntime

NAMESPACE = "tradewind"
"""The namespace of Ray that the actors of leases are named in."""
_RETRY = 0.1
"""Seconds of the wall's between two tries to find an actor, to reach it, or to read the table of nodes."""


def _ray(cluster: str) -> Any:
    """Ray, connected to `cluster`. MissingExtra without Ray, Misuse where no cluster is; blocks."""
    try:
        import ray  # noqa: PLC0415
        import ray.exceptions  # noqa: PLC0415
    except ImportError:
        raise MissingExtra("ray", "ray", "the runtime `ray`") from None
    if not ray.is_initialized():
        try:
            ray.init(address=cluster, log_to_driver=False, logging_level=logging.ERROR)
        except ConnectionError as problem:
            raise Misuse(
                f"there is no Ray cluster: {problem}",
                source="runtime",
                field=cluster,
                fix="Start one with `ray start --head`, or give the address of one.",
            ) from problem
    return ray


class RayRuntime(ProcessRuntime):
    """Runs each task in a process of its own on the lease's Ray node.

    `logs` is the folder on this machine that gets one file a task, as it is put out. `cluster` is what
    `ray.init` takes as an address; this process stays with the cluster that it is connected to already.
    `patience` is in seconds of the wall: a Ray worker takes about one to start.
    """

    def __init__(self, logs: Path | str, *, cluster: str = "auto", patience: float = 60.0) -> None:
        super().__init__(logs, patience=patience, road=_RayRoad(Path(logs), cluster))


class _RayRoad:
    """To agents on Ray nodes."""

    scheme = "ray:"
    rented_from = "The runtime `ray` runs on leases of the provider `ray`"

    def __init__(self, logs: Path, cluster: str) -> None:
        self._logs, self._cluster = logs, cluster

    def log(self, task: str) -> str:
        """A file in the folder whose bytes the instance's actor carries here."""
        return f"logs/{task}.log"

    async def connect(self, address: str) -> Connection:
        """Find the actor, and have it connect to its agent."""
        node, _, name = address.removeprefix(self.scheme).partition("/")
        ray = await asyncio.to_thread(_ray, self._cluster)
        actor = await _found(ray, node, name)
        line = _Line(ray, actor, node, self._logs)
        try:
            await line.open()
        except BaseException:
            line.close()
            raise
        return Connection(line.reader, line, line.fate)


async def _found(ray: Any, node: str, name: str) -> Any:
    """The actor of that name; waits for one that is not there yet. Unreachable if its node is dead."""
    while True:
        try:
            return await asyncio.to_thread(ray.get_actor, name, NAMESPACE)
        except ValueError:  # none of that name, or no longer
            if await _alive(ray, node) is False:
                raise Unreachable(f"the Ray node {node} is dead") from None
        except ray.exceptions.RayError:
            pass
        await _pause()


async def _alive(ray: Any, node: str) -> bool | None:
    """Whether Ray has that node alive; None where it does not say."""
    try:
        table = await asyncio.to_thread(ray.nodes)
    except Exception:
        # Ray raises what its wires raise. That it did not answer once says nothing of any node.
        return None
    return next((bool(each["Alive"]) for each in table if each["NodeID"] == node), None)


async def _pause() -> None:
    await clock.sleep_until(clock.now() + _RETRY * clock.speed())


class _Dead(Exception):
    """Ray says that an actor is dead, or it would never answer."""


class _Line:
    """One connection through an actor: its writing side, and what fills the reading side."""

    def __init__(self, ray: Any, actor: Any, node: str, logs: Path) -> None:
        self.reader = asyncio.StreamReader()
        self._ray, self._actor, self._node, self._logs = ray, actor, node, logs
        told = ray.exceptions
        self._final = (told.ActorDiedError, told.ActorUnschedulableError, told.RayTaskError)
        self._session = uuid.uuid4().hex
        self._verdict = TaskState.LOST, "the connection to its instance was closed"
        self._sent = self._received = 0
        self._waiting = bytearray()
        self._written = asyncio.Event()
        self._carried: dict[str, int] = {}
        self._closed = False
        self._tasks: list[asyncio.Task[None]] = []

    def fate(self) -> tuple[TaskState, str]:
        """What the end of the connection means for its tasks."""
        return self._verdict

    async def open(self) -> None:
        """Connect. Raises Unreachable if the actor is dead."""
        try:
            while not await self._ask(self._actor.connect, self._session):
                await _pause()
        except _Dead as death:
            raise Unreachable(f"nobody is at the Ray node {self._node} any more: {death}") from death
        self._tasks = [asyncio.create_task(self._send()), asyncio.create_task(self._receive())]

    def write(self, data: bytes) -> None:
        """Send, in the order of the calls."""
        self._waiting += data
        self._written.set()

    async def drain(self) -> None:
        """Nothing to wait for: what waits here is a few messages."""
        if self._closed or self.reader.at_eof():
            raise ConnectionResetError("the instance is gone")

    def is_closing(self) -> bool:
        """Whether it was closed."""
        return self._closed

    def close(self) -> None:
        """Hang up: what still runs at the other end is killed there."""
        if self._closed:
            return
        self._closed = True
        for task in self._tasks:
            task.cancel()
        with contextlib.suppress(Exception):  # Ray raises anything once it was shut down
            self._actor.hang_up.remote(self._session)

    async def wait_closed(self) -> None:
        """Wait until nothing of it is under way."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _send(self) -> None:
        with contextlib.suppress(_Dead):  # the reading side says so
            while True:
                await self._written.wait()
                self._written.clear()
                data = bytes(self._waiting)
                self._waiting.clear()
                if not await self._ask(self._actor.send, self._session, self._sent, data):
                    return
                self._sent += len(data)

    async def _receive(self) -> None:
        try:
            over = False
            while not over:
                data, output, over = await self._ask(
                    self._actor.receive, self._session, self._received, dict(self._carried)
                )
                for name, text in output.items():
                    self._keep(name, text)
                self._received += len(data)
                self.reader.feed_data(data)
            self._verdict = TaskState.LOST, "its instance is gone"
        except _Dead as death:
            self._verdict = await self._judge(str(death))
        except OSError as problem:
            self._verdict = TaskState.FAILED, f"its output cannot be kept: {problem}"
        finally:
            self.reader.feed_eof()

    async def _judge(self, death: str) -> tuple[TaskState, str]:
        """The actor is dead, as Ray says; what of its node? Ray writes a node's death down before those of
        its actors, so the table is right by now; where nobody reads it out, we ask again."""
        while (alive := await _alive(self._ray, self._node)) is None:
            await _pause()
        if alive:
            return TaskState.FAILED, f"its actor died on a node that lives: {death}"
        return TaskState.LOST, f"its Ray node is dead: {death}"

    def _keep(self, name: str, text: bytes) -> None:
        self._logs.mkdir(parents=True, exist_ok=True)
        with (self._logs / name).open("ab") as file:
            file.write(text)
        self._carried[name] = self._carried.get(name, 0) + len(text)

    async def _ask(self, method: Any, *arguments: Any) -> Any:
        """Call the actor until it answers. Raises _Dead once Ray says that it is dead."""
        while True:
            try:
                return await _answer(method.remote(*arguments))
            except self._final as death:
                raise _Dead(_sentences(death)) from death
            except self._ray.exceptions.RayError as problem:
                # The way to it is broken, or the answer was lost on it; if that is for good, Ray will say so.
                if not self._ray.is_initialized():
                    raise _Dead("this process has left the cluster") from problem
                await _pause()


def _sentences(death: Exception) -> str:
    """What Ray says of a death, without its table of the actor's particulars."""
    told = [each.strip() for each in str(death).splitlines() if not each.startswith("\t")]
    return " ".join(told)[:600]


async def _answer(reference: Any) -> Any:
    """What a call of an actor comes to. Ray calls back from a thread of its own, at whatever time: whoever
    waits may have been cancelled by then, and the loop be closed."""
    loop, came, answer = asyncio.get_running_loop(), asyncio.Event(), reference.future()

    def ring(_: Any) -> None:
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(came.set)

    answer.add_done_callback(ring)
    await came.wait()
    return answer.result()
