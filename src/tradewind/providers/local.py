"""A provider on this machine: a recorded market whose leases are process groups.

Every lease starts one program, the boot command, as the leader of a process group of its own; that group is
the instance. The market's time is the clock's, which may run faster than the wall's; what it does to a lease
is done for real at its moment, whether or not anybody waits for news: the notice is SIGTERM to the group, the
revocation SIGKILL. A program that dies by itself ends its lease as failed; the kernel tells at once.

The program's standard input is a lifeline. It stays open as long as this process lives, and a program that
sees it close must kill its own group; so nothing is left behind even by a SIGKILL of this process.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import math
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Coroutine, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

from tradewind import clock
from tradewind.errors import Misuse
from tradewind.market.charges import Invoice
from tradewind.market.decisions import Watch
from tradewind.market.instances import InstanceType
from tradewind.market.leases import Ending, Lease, LeaseId, Revocation
from tradewind.market.news import Ended, News
from tradewind.market.offers import Bid, Offer, Terms
from tradewind.market.recorded import RecordedMarket
from tradewind.market.tariffs import Tariff
from tradewind.providers.holdings import Holdings
from tradewind.providers.local_leftovers import marked
from tradewind.providers.waiting import Bell, told

Shares = Mapping[str, float] | Callable[[InstanceType], float]

_PROBE = 0.05
"""Seconds of the wall's between two tries to reach an instance that starts."""

_FAREWELL = 0.5
"""Seconds of the wall's between SIGTERM and SIGKILL where we end a lease ourselves."""

_DEAD = 5.0
"""Seconds of the wall's that a killed leader is waited for; the kernel takes milliseconds."""

_LONGEST = 80
"""Characters of a folder for sockets: the kernel limits a socket's path to 107 bytes."""


class LocalProvider:
    """Rents out shares of this machine at the prices, and with the revocations, of a recorded market.

    `boot_command` is the program of an instance and its arguments, in which `{address}`, `{cpu_share}` and
    `{lease}` are filled in; it must come to listen at the address, a Unix socket, and heed its lifeline. It
    is started with SIGTERM blocked, so that a notice during its start-up waits for it. `cpu_shares` says how
    many cores an instance of a type has, by name or by a function; a type that it lacks has one.
    `directory` gets the program's output, LEASE.log. A program that does not answer within the offer's wait
    or `patience` seconds of the wall's, whichever is longer, ends its lease as failed.
    """

    def __init__(
        self,
        market: RecordedMarket,
        *,
        boot_command: tuple[str, ...],
        directory: Path | str,
        cpu_shares: Shares | None = None,
        patience: float = 20.0,
    ) -> None:
        self._market, self._command, self._directory = market, boot_command, Path(directory)
        self._shares, self._patience = cpu_shares or {}, patience
        if not callable(self._shares):
            for name, share in self._shares.items():
                _check_share(name, share)
        self._sockets: Path | None = None
        self._holdings = Holdings(market, self._address)
        self._bell = Bell()
        self._groups: dict[LeaseId, _Group] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    async def open(self) -> None:
        """Check the command and start to act for the market. Raises Misuse if leases could not be run."""
        if math.isinf(clock.speed()):
            raise Misuse(
                "processes take real time, a simulation has none", fix="Use the provider `simulated`."
            )
        if not hasattr(os, "pidfd_open"):
            raise Misuse("local leases need Linux 5.3 or newer", fix="Use the provider `simulated`.")
        if not self._command or shutil.which(self._command[0]) is None:
            raise Misuse(
                f"there is no program {self._command[:1]!r}", field="boot_command", fix="Give its full path."
            )
        self._fill("", "", 1.0)
        self._directory.mkdir(parents=True, exist_ok=True)
        self._sockets = _sockets_folder()
        atexit.register(self._kill_all)
        self._keep(self._act_for_market())

    async def offers(self) -> tuple[Offer, ...]:
        """What may be had now; the same object as long as it is the same."""
        return self._holdings.offers(self._settle())

    async def tariffs(self) -> dict[Terms, Tariff]:
        """How leases taken now are billed."""
        return self._holdings.tariffs(clock.now())

    async def take(self, bid: Bid) -> tuple[Lease, ...]:
        """Take up an offer, and start an instance for each lease."""
        if self._sockets is None or self._closed:
            raise Misuse("the provider is not open", field="take", fix="Call open first.")
        for offer in self._holdings.offers(self._settle()):
            if offer.pool == bid.pool:
                self._share(offer.type)
        leases = self._holdings.take(bid, self._settle())
        for lease in leases:
            self._boot(lease)
        self._bell.ring()
        return leases

    async def release(self, lease: LeaseId) -> None:
        """End a lease by our wish: it is paid for until now, its group has a moment to leave by itself."""
        if self._holdings.end(lease, self._settle(), Ending.RELEASED):
            self._keep(self._see_off(lease))
            self._bell.ring()

    async def leases(self) -> tuple[Lease, ...]:
        """The leases held, and those whose end was not told yet."""
        self._settle()
        return self._holdings.leases()

    async def revocations(self) -> tuple[Revocation, ...]:
        """The notices for held leases."""
        self._settle()
        return self._holdings.revocations()

    async def next_news(self, before: float, watch: tuple[Watch, ...] = ()) -> tuple[News, ...]:
        """Wait until there is news, a watch comes true, or `before`."""
        return await told(self._holdings, self._bell, self._settle, before, watch)

    async def invoice(self) -> Invoice:
        """Every charge so far, in the market's time."""
        return self._holdings.invoice(self._settle())

    async def owed(self) -> Decimal:
        """The total of every charge so far, US dollars, in the market's time."""
        return self._holdings.owed(self._settle())

    async def close(self) -> None:
        """Release every lease, kill every group, and remove the sockets."""
        self._closed = True
        for lease in self._holdings.held():
            self._holdings.end(lease, self._settle(), Ending.RELEASED)
        self._bell.ring()
        tasks, self._tasks = self._tasks, set()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        loop = asyncio.get_running_loop()
        for group in self._groups.values():
            loop.remove_reader(group.pidfd)
        self._kill_all()
        atexit.unregister(self._kill_all)

    def process_group(self, lease: LeaseId) -> int | None:
        """The process group of a lease's instance; None once it is dead."""
        group = self._groups.get(lease)
        return None if group is None else group.process.pid

    def _address(self, lease: LeaseId) -> str:
        return f"unix:{self._sockets}/{lease.removeprefix('lease-')}"

    def _fill(self, lease: str, address: str, share: float) -> list[str]:
        """The boot command for a lease. Raises Misuse for a placeholder that is none."""
        words = {"lease": lease, "address": address, "cpu_share": f"{share:g}"}
        try:
            return [part.format_map(words) for part in self._command]
        except (KeyError, ValueError, IndexError) as problem:
            raise Misuse(
                f"{problem} in {' '.join(self._command)!r}",
                field="boot_command",
                fix="The placeholders are {address}, {cpu_share} and {lease}.",
            ) from None

    def _share(self, type: InstanceType) -> float:
        share = self._shares(type) if callable(self._shares) else self._shares.get(type.name, 1.0)
        return _check_share(type.name, share)

    def _settle(self) -> float:
        """This moment, with all done that the market does up to it, signals included."""
        now = clock.now()
        happened = self._holdings.advance(now)
        for news in happened:
            if isinstance(news, Ended):
                self._signal(news.lease, signal.SIGKILL)
            else:
                self._signal(news.revocation.lease, signal.SIGTERM)
        if happened:
            self._bell.ring()
        return now

    async def _act_for_market(self) -> None:
        while True:
            self._settle()
            await self._bell.wait(self._holdings.next_moment())

    def _boot(self, lease: Lease) -> None:
        """Start the group; a machine that cannot start another ends the lease as failed."""
        command = self._fill(lease.id, lease.instance.address, self._share(lease.instance.type))
        environment = marked(os.environ, self._directory, lease.id)
        # Blocked signals stay blocked over an exec, and pending until the program is ready for them.
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        try:
            with (self._directory / f"{lease.id}.log").open("ab") as log:
                process = subprocess.Popen(
                    command,
                    stdin=subprocess.PIPE,
                    stdout=log,
                    stderr=log,
                    env=environment,
                    start_new_session=True,
                )
        except OSError:
            self._fail(lease.id)
            return
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        group = self._groups[lease.id] = _Group(process)
        asyncio.get_running_loop().add_reader(group.pidfd, self._died, lease.id)
        self._keep(self._await_answer(lease))

    async def _await_answer(self, lease: Lease) -> None:
        """End the lease as failed if nobody answers at its address in time."""
        path = lease.instance.address.removeprefix("unix:")
        bound = clock.now() + max(self._market.boot, self._patience * clock.speed())
        while lease.id in self._groups:
            try:
                _, writer = await asyncio.open_unix_connection(path)
            except OSError:
                if clock.now() > bound:
                    self._signal(lease.id, signal.SIGKILL)
                    self._fail(lease.id)
                    return
                await clock.sleep_until(clock.now() + _PROBE * clock.speed())
            else:
                writer.close()
                return

    async def _see_off(self, lease: LeaseId) -> None:
        self._signal(lease, signal.SIGTERM)
        await clock.sleep_until(clock.now() + _FAREWELL * clock.speed())
        self._signal(lease, signal.SIGKILL)

    def _died(self, lease: LeaseId) -> None:
        """The leader of a group is dead: so is the instance."""
        group = self._groups.pop(lease)
        asyncio.get_running_loop().remove_reader(group.pidfd)
        group.signal(signal.SIGKILL)
        group.reap()
        self._settle()
        self._fail(lease)

    def _fail(self, lease: LeaseId) -> None:
        if self._holdings.end(lease, clock.now(), Ending.FAILED):
            self._bell.ring()

    def _signal(self, lease: LeaseId, number: signal.Signals) -> None:
        group = self._groups.get(lease)
        if group is not None:
            group.signal(number)

    def _kill_all(self) -> None:
        """Kill every group and remove the sockets; needs no event loop, which may be gone at exit."""
        groups, self._groups = list(self._groups.values()), {}
        for group in groups:
            group.signal(signal.SIGKILL)
        for group in groups:
            group.reap()
        if self._sockets is not None:
            shutil.rmtree(self._sockets, ignore_errors=True)

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a task of our own until it is done or we are closed."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class _Group:
    """The process group of an instance. Until its leader is reaped nobody else can have its number."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self.pidfd = os.pidfd_open(process.pid)
        """Readable once the leader is dead."""

    def signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)

    def reap(self) -> None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(_DEAD)
        os.close(self.pidfd)
        if self.process.stdin is not None:
            self.process.stdin.close()


def _check_share(name: str, share: float) -> float:
    if not (math.isfinite(share) and share > 0):
        raise Misuse(
            f"{share!r} is no share of a processor for {name}", field="cpu_shares", fix="Give cores above 0."
        )
    return share


def _sockets_folder() -> Path:
    """A new folder for sockets, whose path leaves them room."""
    folder = Path(tempfile.mkdtemp(prefix="tw-"))
    if len(str(folder)) > _LONGEST:
        folder.rmdir()
        folder = Path(tempfile.mkdtemp(prefix="tw-", dir="/tmp"))
    return folder
