"""Tasks as processes on leased instances: this side of an instance's agent.

The agent answers at the lease's address, and at no other place do providers and runtimes meet. One connection
goes to each address, and carries every task of that instance; when it breaks, the instance is gone.

Patience and grace are in the wall's seconds, whatever the speed of the clock: a process takes as long to
start in a market that runs sixty times as fast.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import msgspec

from tradewind import clock
from tradewind.errors import Misuse, Unreachable
from tradewind.market.leases import Lease
from tradewind.runtimes.interface import Task, TaskEnd, TaskState
from tradewind.runtimes.wire import Garbled, Inbox, Message, line

_RETRY = 0.02
"""Seconds of the wall's between two tries to connect to an instance that may still be starting."""

_FAREWELL = 2.0
"""Seconds of the wall's that `close` waits to be told that the tasks it killed are dead."""


class AgentStatus(msgspec.Struct, frozen=True):
    """What an instance says of itself."""

    pid: int
    """The agent's process and group."""
    tasks: tuple[str, ...]
    """Those that run."""
    ready: bool
    """Whether it has imported what it was told to warm."""
    noticed: bool
    """Whether it was given notice."""
    cpu_share: float | None
    """Cores for all tasks together; None for as many as there are."""
    cpu_method: str | None
    """How the share is kept: cgroup, duty_cycle or none; None until ready."""


class Sender(Protocol):
    """The sending side of a connection, as `asyncio.StreamWriter` has it."""

    def write(self, data: bytes) -> None:
        """Send, in the order of the calls."""
        ...

    async def drain(self) -> None:
        """Wait until more may be written. Raises ConnectionError where nobody is there any more."""
        ...

    def is_closing(self) -> bool:
        """Whether it was closed."""
        ...

    def close(self) -> None:
        """Let go."""
        ...

    async def wait_closed(self) -> None:
        """Wait until that is done."""
        ...


class Connection(msgspec.Struct, frozen=True):
    """A way to one agent and back."""

    reader: asyncio.StreamReader
    writer: Sender
    fate: Callable[[], tuple[TaskState, str]]
    """Asked once the reader is at its end: what that means for the tasks at the other, and why."""


class Road(Protocol):
    """How this side gets to the agents."""

    scheme: str
    """What the addresses begin with that it leads to."""
    rented_from: str
    """Who grants leases with such addresses, in words."""

    def log(self, task: str) -> str:
        """The file for a task's output, as its instance names it."""
        ...

    async def connect(self, address: str) -> Connection:
        """Connect to an agent, waiting for one that is not there yet; Unreachable for one that is gone."""
        ...


class UnixRoad:
    """To agents of this machine, at their sockets; `logs` is the folder that gets the tasks' output."""

    scheme = "unix:"
    rented_from = "Processes run on leases of the provider `local`"

    def __init__(self, logs: Path | str) -> None:
        self._logs = Path(logs)

    def log(self, task: str) -> str:
        """A file in the folder, which is made when it is first needed."""
        self._logs.mkdir(parents=True, exist_ok=True)
        return str(self._logs.absolute() / f"{task}.log")

    async def connect(self, address: str) -> Connection:
        """Open the agent's socket."""
        reader, writer = await _connect(address.removeprefix(self.scheme))
        return Connection(reader, writer, _gone)


def _gone() -> tuple[TaskState, str]:
    return TaskState.LOST, "the connection to its instance broke"


class ProcessRuntime:
    """Runs each task in a process of its own on the lease's instance.

    `logs` is the folder that gets one file a task, TASK.log, with its output and its traceback. `road` leads
    to the agents; that of this machine if None.
    """

    def __init__(self, logs: Path | str, *, patience: float = 20.0, road: Road | None = None) -> None:
        self._road: Road = UnixRoad(logs) if road is None else road
        self._patience = patience
        self._links: dict[str, _Link] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        self._owners: dict[str, _Link | None] = {}
        """Task to link, for every task that was started or is being started."""
        self._ends: asyncio.Queue[TaskEnd] = asyncio.Queue()
        self._closed = False

    async def start(self, lease: Lease, task: Task) -> None:
        """Run `task` on `lease`; returns when its agent has accepted it."""
        address = self._check(lease, task)
        order = {
            "do": "start",
            "task": task.id,
            "module": task.module,
            "arguments": task.arguments,
            "log": self._road.log(task.id),
        }
        self._owners[task.id] = None
        try:
            async with asyncio.timeout(self._patience * _speed()):
                link = await self._link(address)
                self._owners[task.id] = link
                await link.start(task.id, line(order))
        except TimeoutError:
            self._owners.pop(task.id, None)
            raise Unreachable(f"{address} did not answer within {self._patience:g} s") from None
        except BaseException:
            self._owners.pop(task.id, None)
            raise
        link.release_end(task.id)

    async def stop(self, task: str, grace: float) -> None:
        """Ask a task to leave, and have it killed after `grace`."""
        link = self._owners.get(task)
        if link is not None:
            link.send({"do": "stop", "task": task, "grace": max(0.0, grace)})

    async def next_end(self) -> TaskEnd:
        """Wait for the next task that ends."""
        return await self._ends.get()

    async def status(self, lease: Lease) -> AgentStatus:
        """What the lease's instance says of itself. Raises Unreachable as `start` does."""
        address = lease.instance.address
        try:
            async with asyncio.timeout(self._patience * _speed()):
                return msgspec.convert(await (await self._link(address)).status(), AgentStatus)
        except TimeoutError:
            raise Unreachable(f"{address} did not answer within {self._patience:g} s") from None

    async def close(self) -> None:
        """Kill every task and let go of every connection."""
        self._closed = True
        for task in list(self._owners):
            await self.stop(task, 0.0)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_FAREWELL * _speed()):
                for link in list(self._links.values()):
                    await link.idle()
        for link in list(self._links.values()):
            await link.close()
        self._links.clear()

    def _check(self, lease: Lease, task: Task) -> str:
        """The address; Misuse, before anything is started, for what cannot be started."""
        address = lease.instance.address
        if self._closed:
            raise Misuse("this runtime was closed", field="start", fix="Make a new one.")
        if not address.startswith(self._road.scheme):
            raise Misuse(
                f"{address!r} is no address of an agent",
                source=f"lease {lease.id}",
                field="address",
                fix=f"{self._road.rented_from}; in a simulation, work is modelled.",
            )
        if task.id in self._owners:
            raise Misuse(
                f"a task {task.id!r} was started already", field="task.id", fix="Give each its own id."
            )
        if not task.id or task.id.startswith(".") or set(task.id) & set("/\0\n"):
            raise Misuse(
                f"{task.id!r} is no name for a file",
                field="task.id",
                fix="Its log is named for it: leave out slashes and leading dots.",
            )
        try:
            line(task.arguments)
        except (TypeError, ValueError) as problem:
            raise Misuse(
                f"these are no JSON values: {problem}", source=f"task {task.id}", field="arguments"
            ) from None
        _speed()
        return address

    async def _link(self, address: str) -> _Link:
        """The open connection to an address; waits for an agent that is not there yet."""
        async with self._locks.setdefault(address, asyncio.Lock()):
            link = self._links.get(address)
            if link is None or link.broken:
                link = self._links[address] = _Link(address, await self._road.connect(address), self._tell)
            return link

    def _tell(self, end: TaskEnd) -> None:
        self._owners.pop(end.task, None)
        self._ends.put_nowait(end)


async def _connect(path: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    while True:
        try:
            return await asyncio.open_unix_connection(path)
        except ConnectionRefusedError:
            # An agent's socket appears only once it answers: one that refuses was left by a dead agent.
            raise Unreachable(f"nobody listens at {path} any more") from None
        except (FileNotFoundError, ConnectionError, BlockingIOError):
            await clock.sleep_until(clock.now() + _RETRY * _speed())


def _speed() -> float:
    speed = clock.speed()
    if math.isinf(speed):
        raise Misuse("processes take real time, a simulation has none", fix="Run them under clock.run.")
    return speed


class _Link:
    """One connection: what waits for an answer on it, and what runs at its other end."""

    def __init__(
        self,
        address: str,
        connection: Connection,
        tell: Callable[[TaskEnd], None],
    ) -> None:
        self.broken = False
        self._address = address
        self._reader, self._writer, self._tell = connection.reader, connection.writer, tell
        self._fate = connection.fate
        self._starting: dict[str, asyncio.Future[None]] = {}
        self._running: set[str] = set()
        self._early: dict[str, TaskEnd] = {}
        """Ends of tasks whose `start` has not returned yet: told after it has."""
        self._asking: list[asyncio.Future[Message]] = []
        self._idle = asyncio.Event()
        self._idle.set()
        self._listening = asyncio.create_task(self._listen())

    async def start(self, task: str, order: bytes) -> None:
        """Send the order and wait until it is accepted. Given up, the task is killed and its end not told."""
        accepted = asyncio.get_running_loop().create_future()
        self._starting[task] = accepted
        self._idle.clear()
        try:
            if self.broken:
                raise Unreachable(f"{self._address} is gone")
            self._writer.write(order)
            await self._writer.drain()
            await accepted
        except BaseException as problem:
            self._starting.pop(task, None)
            self._early.pop(task, None)
            self.send({"do": "stop", "task": task, "grace": 0.0})
            self._note_idle()
            if isinstance(problem, ConnectionError):
                raise Unreachable(f"{self._address} is gone") from problem
            raise

    def release_end(self, task: str) -> None:
        """`start` returns now: the task's end may be told, at once if it has come already."""
        self._starting.pop(task, None)
        end = self._early.pop(task, None)
        if end is None:
            self._running.add(task)
        else:
            self._tell(end)
        self._note_idle()

    async def status(self) -> Message:
        """Ask the agent, and wait for what it says."""
        answer: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        if self.broken:
            raise Unreachable(f"{self._address} is gone")
        self._asking.append(answer)
        self.send({"do": "status"})
        return await answer

    def send(self, message: dict[str, Any]) -> None:
        """Send, if anybody is there."""
        if not self.broken and not self._writer.is_closing():
            self._writer.write(line(message))

    async def idle(self) -> None:
        """Wait until no task runs here."""
        await self._idle.wait()

    async def close(self) -> None:
        """Let go; the agent kills what still runs, and that is told as lost."""
        self._listening.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._listening
        self._break()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()

    async def _listen(self) -> None:
        inbox = Inbox()
        with contextlib.suppress(OSError, Garbled):
            while received := await self._reader.read(1 << 16):
                for message in inbox.feed(received):
                    self._take_in(message)
        self._break()

    def _take_in(self, message: Message) -> None:
        match message:
            case {"event": "accepted", "task": task} if task in self._starting:
                if not self._starting[task].done():
                    self._starting[task].set_result(None)
            case {"event": "refused", "task": task, "reason": reason} if task in self._starting:
                if not self._starting[task].done():
                    self._starting[task].set_exception(Misuse(reason, source=self._address, field=task))
            case {"event": "ended", "task": task, "state": state, "reason": reason}:
                self._end(TaskEnd(task, TaskState(state), reason))
            case {"event": "status", **fields}:
                answer = self._asking.pop(0)
                if not answer.done():
                    answer.set_result(fields)
            case _:
                pass  # a notice: it is the provider's to tell

    def _end(self, end: TaskEnd) -> None:
        if end.task in self._running:
            self._running.discard(end.task)
            self._tell(end)
        elif end.task in self._starting:
            self._early[end.task] = end
        self._note_idle()

    def _break(self) -> None:
        """The instance is gone, and every task on it."""
        if self.broken:
            return
        self.broken = True
        self._writer.close()
        gone = Unreachable(f"{self._address} is gone")
        state, reason = self._fate()
        for task in sorted(self._running):
            self._end(TaskEnd(task, state, reason))
        for task, accepted in self._starting.items():
            if accepted.done():
                self._early.setdefault(task, TaskEnd(task, state, reason))
            else:
                accepted.set_exception(gone)
        for answer in self._asking:
            if not answer.done():
                answer.set_exception(gone)

    def _note_idle(self) -> None:
        if not self._running and not self._starting:
            self._idle.set()
