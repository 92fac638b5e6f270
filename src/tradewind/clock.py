"""Time: one clock, the running event loop's, in three worlds.

`run(main())` is reality. `run(main(), start=..., speed=60)` is the local cloud: the same coroutine, on a
clock that starts at a recorded moment and runs sixty times as fast as the wall's. `simulate(main(),
start=...)` is months in seconds: the clock jumps to the next timer whenever every task waits. `serve(main())`
is reality on a quicker loop, for servers.

Moments are seconds since 1970-01-01 UTC, as floats. Nothing else in the package reads the time.
"""

from __future__ import annotations

import asyncio
import math
import selectors
import time
from collections.abc import Callable, Coroutine, Mapping
from contextvars import Context
from datetime import UTC, datetime
from typing import Any, TypeVar

from tradewind.errors import Misuse

T = TypeVar("T")

_RESOLUTION = 1e-6
"""Seconds. asyncio's own, a nanosecond, is lost in a double after 2**24 s: the loop would spin for ever."""


class Stalled(RuntimeError):
    """Every task of a simulation waits and no timer is set: it would wait for ever."""


class _Jump(selectors.BaseSelector):
    """A selector that never blocks: a wait becomes a jump of its loop's clock."""

    def __init__(self) -> None:
        self._inner = selectors.DefaultSelector()
        self.loop: _JumpingLoop | None = None

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = self._inner.select(0)
        if not ready and self.loop is not None:
            if timeout is None:
                raise Stalled("every task waits and no timer is set; a task awaits what nobody will do")
            if timeout > 0:
                self.loop.jump(timeout)
        return ready

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._inner.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._inner.unregister(fileobj)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._inner.get_map()

    def close(self) -> None:
        self._inner.close()


class _JumpingLoop(asyncio.SelectorEventLoop):
    """An event loop whose time is a number."""

    def __init__(self, start: float) -> None:
        selector = _Jump()
        self._now = 0.0
        self.start = start
        super().__init__(selector)
        selector.loop = self
        self._clock_resolution = _RESOLUTION

    def time(self) -> float:
        return self._now

    def jump(self, seconds: float) -> None:
        self._now += seconds

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        # A timer inside the resolution fires without the clock having reached it: a task that waits until
        # that moment would find itself early and wait again, for ever. The clock is moved to it first.
        def fire() -> None:
            self._now = max(self._now, when)
            callback(*args)

        return super().call_at(when, fire, context=context)


class _Scaled(selectors.DefaultSelector):
    """A selector that waits `speed` times shorter than it is told."""

    def __init__(self, speed: float) -> None:
        super().__init__()
        self._speed = speed

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        return super().select(timeout if timeout is None or timeout <= 0 else timeout / self._speed)


class _ScaledLoop(asyncio.SelectorEventLoop):
    """An event loop whose time runs `speed` times as fast as the wall's, from `start`."""

    def __init__(self, start: float | None, speed: float) -> None:
        self._speed = speed
        self._origin = time.monotonic()
        self.start = time.time() if start is None else start
        super().__init__(_Scaled(speed))
        self._clock_resolution = _RESOLUTION * speed

    def time(self) -> float:
        return (time.monotonic() - self._origin) * self._speed

    @property
    def speed(self) -> float:
        return self._speed


def simulate(main: Coroutine[Any, Any, T], *, start: float = 0.0) -> T:
    """Run `main` on a clock that begins at `start` and jumps over every wait.

    Raises `Stalled` if every task waits and no timer is set.
    """
    with asyncio.Runner(loop_factory=lambda: _JumpingLoop(start)) as runner:
        return runner.run(main)


def run(main: Coroutine[Any, Any, T], *, start: float | None = None, speed: float = 1.0) -> T:
    """Run `main` on a clock that begins at `start` (now, if None) and runs at `speed` times the wall's."""
    if not (math.isfinite(speed) and speed > 0):
        main.close()
        raise Misuse(f"{speed!r} is no speed", field="speed", fix="Give a positive number, such as 60.")
    with asyncio.Runner(loop_factory=lambda: _ScaledLoop(start, speed)) as runner:
        return runner.run(main)


def serve(main: Coroutine[Any, Any, T]) -> T:
    """Run `main` in reality, on the quickest event loop that is installed: for servers.

    That is uvloop's, of the extra `serving`, or else asyncio's own.
    """
    with asyncio.Runner(loop_factory=_quickest_loop) as runner:
        return runner.run(main)


def _quickest_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop  # noqa: PLC0415 -- an extra
    except ImportError:
        return _ScaledLoop(None, 1.0)

    class Quick(uvloop.Loop):
        """uvloop's loop, which knows the moment at which its own time was zero."""

        def __init__(self) -> None:
            super().__init__()
            self.start = time.time() - time.monotonic()
            self.speed = 1.0

        def time(self) -> float:
            # uvloop's own is in whole milliseconds, as of the loop's last turn.
            return time.monotonic()

    return Quick()


def now() -> float:
    """This moment, in the running loop's world. Raises RuntimeError outside of `run` and `simulate`."""
    loop = asyncio.get_running_loop()
    if type(loop) is _JumpingLoop:  # asked a hundred times a decision, where months are replayed
        return loop.start + loop.time()
    start: float | None = getattr(loop, "start", None)
    if start is None:
        raise RuntimeError("this event loop was not started by tradewind.clock")
    return start + loop.time()


def speed() -> float:
    """How many of this world's seconds pass in one of the wall's; infinity in a simulation."""
    loop = asyncio.get_running_loop()
    found: float = getattr(loop, "speed", math.inf)
    return found


async def sleep_until(moment: float) -> None:
    """Wait until `moment`; return at once if it has passed."""
    while (left := moment - now()) > 0:
        await asyncio.sleep(left)


def wall() -> float:
    """The wall's own time, for file names and records, never for a decision."""
    return time.time()


def stopwatch() -> Callable[[], float]:
    """Start measuring; the returned function says how many of the wall's seconds have passed."""
    began = time.perf_counter()
    return lambda: time.perf_counter() - began


def moment(text: str) -> float:
    """The moment that an ISO 8601 text names; UTC where it names no zone.

    >>> moment("2020-01-01T00:00:00Z")
    1577836800.0
    """
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        raise Misuse(f"{text!r} is no moment", fix="Write it as 2020-01-31T12:00:00Z.") from None
    return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()


def iso(moment: float) -> str:
    """`moment` as ISO 8601 text in UTC, to the second.

    >>> iso(1577836800.0)
    '2020-01-01T00:00:00Z'
    """
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
