"""A provider on a Ray cluster: leases are its nodes, one actor each, pinned to the node.

What is on offer, at what price and for how long, a market says, as in `providers.local`; a lease gets a
whole node that nobody uses, by an actor that claims its processors. Where a type of the market is the shape
of nodes (see `ray_cluster`), an instance of it is such a node; any other type is stood in for by any node.

To what the market does comes what the cluster does: a node that is drained, as Ray is told of a preemption,
is a notice with the drain's deadline, a dead node ends its lease, and so does a dead actor. Only Ray's table
of nodes and Ray's word on an actor count; a look at them that fails says nothing.

The state of a job has one node to itself, its home, whose address its processes know. Where a bid finds no
free node, or an offer has none, the first one that comes free is told as capacity.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import uuid
from collections import deque
from collections.abc import Coroutine
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from tradewind import __version__, clock
from tradewind.errors import Misuse, Permanent
from tradewind.market.charges import Invoice
from tradewind.market.decisions import CapacityAbove, Watch
from tradewind.market.instances import InstanceType, Pool
from tradewind.market.leases import Ending, Lease, LeaseId, Revocation
from tradewind.market.news import Crossed, Ended, News, Warned
from tradewind.market.offers import Bid, Offer, Terms
from tradewind.market.recorded import RecordedMarket
from tradewind.market.tariffs import Tariff
from tradewind.providers.holdings import Holdings
from tradewind.providers.local import Shares
from tradewind.providers.ray_cluster import RayNode, ask, connected, nodes_of, state_home
from tradewind.providers.ray_instance import RayInstance
from tradewind.providers.waiting import Bell, told

NAMESPACE = "tradewind"
"""The namespace of Ray that the actors of leases are named in."""
STATE, WORK = "state", "work"
"""The purposes of leases."""
LOOK = 0.5
"""Seconds of the wall's between two looks at Ray's table of nodes."""
_FAREWELL = 0.5
"""Seconds of the wall's that an instance has between SIGTERM and SIGKILL where we end a lease ourselves, and
that its actor has afterwards to tell whoever is connected."""
_DEAD = 10.0
"""Seconds of the wall's that an actor is given to end its program, before it is killed with it."""


class _Leases(Holdings):
    """Holdings whose leases may be warned by their machines too, not by the market alone."""

    def __init__(self, market: RecordedMarket, address: Any) -> None:
        super().__init__(market, address)
        self._drains: dict[LeaseId, Revocation] = {}
        self._cluster_news: list[News] = []

    def warn(self, revocation: Revocation) -> bool:
        """The machine of a lease will be taken away; False if that was known, or the lease has ended."""
        if revocation.lease in self._drains or revocation.lease not in self.held():
            return False
        if any(each.lease == revocation.lease for each in super().revocations()):
            return False
        self._drains[revocation.lease] = revocation
        self._cluster_news.append(Warned(revocation))
        return True

    def tell_of_room(self, pool: Pool, now: float) -> None:
        """There is a node again for a pool that had none."""
        self._cluster_news.append(Crossed(CapacityAbove(pool, 0), now))

    def end(self, lease: LeaseId, now: float, ending: Ending) -> bool:
        """As ever; the end of a lease whose machine was to be taken away is a revocation."""
        drained = self._drains.pop(lease, None)
        if drained is not None and ending is Ending.FAILED:
            ending = Ending.REVOKED
        return super().end(lease, now, ending)

    def advance(self, now: float) -> tuple[Warned | Ended, ...]:
        """Let all happen up to `now`."""
        due = [each for each in self._drains.values() if each.due <= now]
        for each in due:
            self.end(each.lease, each.due, Ending.REVOKED)
        return (*(Ended(each.lease, each.due, Ending.REVOKED) for each in due), *super().advance(now))

    def next_moment(self) -> float:
        """When something will be done to a lease."""
        return min([super().next_moment(), *(each.due for each in self._drains.values())])

    def revocations(self) -> tuple[Revocation, ...]:
        """The notices given for leases that are held."""
        return (*super().revocations(), *self._drains.values())

    @property
    def has_news(self) -> bool:
        """Whether there is anything to tell."""
        return bool(self._cluster_news) or super().has_news

    def tell(self) -> list[News]:
        """Hand out the news that nobody was told."""
        news, self._cluster_news = self._cluster_news, []
        return [*news, *super().tell()]


class _Instance:
    """What carries a lease: its node, and its actor once that was made."""

    def __init__(self, node: RayNode, name: str) -> None:
        self.node, self.name = node, name
        self.actor: Any = None
        self.answered = False
        """Whether it has said that its program runs."""
        self.over = False
        """Whether the lease has ended; the node is taken until the actor is dead."""


class RayNodes:
    """Rents out the nodes of a Ray cluster at the prices, and with the revocations, of a market.

    `boot_command` is an instance's program and its arguments, in which `{address}`, `{cpu_share}` and
    `{lease}` are filled in; it is started on the node, by the node's own Python if it begins with `python`,
    and must listen at the address and heed its lifeline. `cpu_shares` is as for `LocalProvider`, whose types
    are named here too; a type that it lacks has the processors that Ray says the node has. `directory` gets
    what was said by programs that died, LEASE.log. `home` is the node for leases of the purpose `state`; that
    of `ray_cluster.state_home` if None. An instance that does not answer within the offer's wait
    or `patience` seconds of the wall's, whichever is longer, ends its lease as failed.
    """

    def __init__(
        self,
        market: RecordedMarket,
        *,
        boot_command: tuple[str, ...],
        directory: Path | str,
        cluster: str = "auto",
        home: str | None = None,
        cpu_shares: Shares | None = None,
        patience: float = 60.0,
    ) -> None:
        self._market, self._command, self._cluster = market, boot_command, cluster
        self._directory, self._home = Path(directory), home
        self._shares, self._patience = cpu_shares or {}, patience
        self._holdings = _Leases(market, self._address)
        self._bell = Bell()
        self._run = uuid.uuid4().hex[:8]
        self._nodes: tuple[RayNode, ...] = ()
        self._instances: dict[LeaseId, _Instance] = {}
        self._chosen: deque[RayNode] = deque()
        """The nodes for the leases that are being granted."""
        self._wanting: set[tuple[Pool, str]] = set()
        """What was asked for and could not be had for want of a free node."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._making: set[asyncio.Future[None]] = set()
        """Actors on their way."""
        self._ray: Any = None
        self._connected_here = False
        self._closed = False

    async def open(self) -> None:
        """Connect to the cluster. Raises Misuse if there is none, or leases could not be run."""
        if math.isinf(clock.speed()):
            raise Misuse("nodes take real time, a simulation has none", fix="Use the provider `simulated`.")
        self._fill("", 1.0)
        self._ray, self._connected_here = await asyncio.to_thread(connected, self._cluster)
        self._nodes = await asyncio.to_thread(nodes_of, self._ray)
        self._home = self._home or state_home(self._nodes).id
        self._keep(self._act_for_market())
        self._keep(self._watch_nodes())

    async def offers(self) -> tuple[Offer, ...]:
        """What may be had now: what the market offers and a free node is there for."""
        offers = []
        for offer in self._holdings.offers(self._settle()):
            room = sum(len(self._free(offer.type.name, purpose)) for purpose in (STATE, WORK))
            if not room:
                self._wanting |= {(offer.pool, STATE), (offer.pool, WORK)}
            room = room if offer.available is None else min(room, offer.available)
            if room:
                offers.append(msgspec.structs.replace(offer, available=room))
        return tuple(offers)

    async def tariffs(self) -> dict[Terms, Tariff]:
        """How leases taken now are billed."""
        return self._holdings.tariffs(clock.now())

    async def take(self, bid: Bid) -> tuple[Lease, ...]:
        """Take up an offer, as far as there are free nodes, and start an actor on each. Raises Permanent for
        the state where its home is dead: its processes know no other."""
        if self._ray is None or self._closed:
            raise Misuse("the provider is not open", field="take", fix="Call open first.")
        now = self._settle()
        self._market.grant(bid, now)  # for what it raises
        if bid.purpose == STATE and any(node.id == self._home and not node.alive for node in self._nodes):
            raise Permanent(f"the state's home, the Ray node {self._home}, is dead: resume the run")
        free = self._free(bid.pool.instance_type, bid.purpose)
        self._chosen = deque(free)
        count = min(bid.count, len(free))
        if count < bid.count:
            self._wanting.add((bid.pool, bid.purpose))
        leases = self._holdings.take(msgspec.structs.replace(bid, count=count), now) if count else ()
        for lease in leases:
            self._keep(self._carry(lease, self._instances[lease.id]))
        self._bell.ring()
        return leases

    async def release(self, lease: LeaseId) -> None:
        """End a lease by our wish: it is paid for until now, its tasks have a moment to leave."""
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
        """Every charge so far, at the market's prices."""
        return self._holdings.invoice(self._settle())

    async def owed(self) -> Decimal:
        """The total of every charge so far, US dollars, at the market's prices."""
        return self._holdings.owed(self._settle())

    async def close(self) -> None:
        """Release every lease, end every actor, and leave the cluster if it was us who came to it."""
        self._closed = True
        for lease in self._holdings.held():
            self._holdings.end(lease, self._settle(), Ending.RELEASED)
        self._bell.ring()
        tasks, self._tasks = self._tasks, set()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, *self._making, return_exceptions=True)
        if self._ray is not None:
            await asyncio.gather(*(self._dispose(each) for each in self._instances.values()))
            self._instances.clear()
            if self._connected_here:
                self._connected_here = False
                await asyncio.to_thread(self._ray.shutdown)

    def node_of(self, lease: LeaseId) -> RayNode | None:
        """The node that carries a lease, as it was when it was taken; None once the lease is gone from it."""
        instance = self._instances.get(lease)
        return None if instance is None else instance.node

    def _address(self, lease: LeaseId) -> str:
        node = self._chosen.popleft()
        instance = self._instances[lease] = _Instance(node, f"{self._run}-{lease}")
        return f"ray:{node.id}/{instance.name}"

    def _free(self, kind: str, purpose: str) -> list[RayNode]:
        """The nodes that a lease of that type and purpose may have."""
        taken = {each.node.id for each in self._instances.values()}
        named = any(node.shape == kind for node in self._nodes)
        return [
            node
            for node in self._nodes
            if node.alive
            and node.free
            and node.drained_by is None
            and node.id not in taken
            and (node.id == self._home) is (purpose == STATE)
            and (node.shape == kind or not named)
        ]

    def _fill(self, lease: str, share: float) -> list[str]:
        """The boot command for a lease; its address the instance fills in itself. Raises Misuse for a
        placeholder that is none."""
        words = {"lease": lease, "address": "{address}", "cpu_share": f"{share:g}"}
        try:
            return [part.format_map(words) for part in self._command]
        except (KeyError, ValueError, IndexError) as problem:
            raise Misuse(
                f"{problem} in {' '.join(self._command)!r}",
                field="boot_command",
                fix="The placeholders are {address}, {cpu_share} and {lease}.",
            ) from None

    def _settle(self) -> float:
        """This moment, with all done that the market and drains do up to it."""
        now = clock.now()
        happened = self._holdings.advance(now)
        for news in happened:
            if isinstance(news, Ended):
                self._keep(self._cut_off(news.lease))
            else:
                self._keep(self._notify(news.revocation.lease))
        if happened:
            self._bell.ring()
        return now

    async def _act_for_market(self) -> None:
        while True:
            self._settle()
            await self._bell.wait(self._holdings.next_moment())

    async def _watch_nodes(self) -> None:
        while True:
            await self._pause(LOOK)
            try:
                self._nodes = await asyncio.to_thread(nodes_of, self._ray)
            except Exception:
                # Ray raises what its wires raise. That it did not answer once says nothing of any node.
                continue
            for pool, purpose in list(self._wanting):
                if self._free(pool.instance_type, purpose):
                    self._wanting.discard((pool, purpose))
                    self._holdings.tell_of_room(pool, clock.now())
                    self._bell.ring()
            table = {node.id: node for node in self._nodes}
            for lease, instance in list(self._instances.items()):
                node = table.get(instance.node.id)
                if node is not None and not node.alive:
                    self._lost(lease)
                elif node is not None and node.drained_by is not None:
                    self._drained(lease, node.drained_by)

    def _drained(self, lease: LeaseId, by: float) -> None:
        now = self._settle()
        notice = (by - clock.wall()) * clock.speed() if by else self._market.notice
        if self._holdings.warn(Revocation(lease, now, now + max(0.0, notice))):
            self._keep(self._notify(lease))
            self._bell.ring()

    def _lost(self, lease: LeaseId) -> None:
        """The node or the actor of a lease is dead."""
        self._instances.pop(lease, None)
        if self._holdings.end(lease, self._settle(), Ending.FAILED):
            self._bell.ring()

    async def _carry(self, lease: Lease, instance: _Instance) -> None:
        """Make the actor, see that it answers, and wait for the death of it or its program."""
        words = ""
        try:
            command = self._fill(lease.id, self._share(lease.instance.type, instance.node))
            await self._make(instance, command)
            if not instance.over:
                async with asyncio.timeout(max(self._market.boot, self._patience * clock.speed())):
                    await self._booted(lease, instance)
                words = str(await ask(self._ray, instance.actor.outlive))
        except TimeoutError:
            words = f"{lease.instance.address} did not answer within {self._patience:g} s"
        except (Misuse, self._ray.exceptions.RayError) as problem:
            words = str(problem)
        if not instance.over:
            self._directory.mkdir(parents=True, exist_ok=True)
            (self._directory / f"{lease.id}.log").write_text(words)
        await self._dispose(instance)
        self._lost(lease.id)

    async def _make(self, instance: _Instance, command: list[str]) -> None:
        """Make the actor of an instance, pinned to its node, which it has to itself."""
        affinity = self._ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy
        maker = self._ray.remote(RayInstance).options(
            name=instance.name,
            namespace=NAMESPACE,
            num_cpus=instance.node.resources.vcpus,
            num_gpus=instance.node.resources.gpus,
            max_restarts=0,
            max_task_retries=0,
            scheduling_strategy=affinity(node_id=instance.node.id, soft=False),
        )

        def make() -> None:
            instance.actor = maker.remote(command)

        # A thread cannot be cancelled: `close` waits for it, or nobody would know of the actor.
        making = asyncio.ensure_future(asyncio.to_thread(make))
        self._making.add(making)
        making.add_done_callback(self._making.discard)
        await asyncio.shield(making)

    async def _booted(self, lease: Lease, instance: _Instance) -> None:
        """Wait until the program listens. Raises Misuse where the node has another version of us."""
        version, _ = await ask(self._ray, instance.actor.hello)
        if version != __version__:
            raise Misuse(
                f"tradewind {version} is there, {__version__} is here",
                source=f"the Ray node {instance.node.host}",
                fix="Install the same version on every node.",
            )
        instance.answered = True
        while not await ask(self._ray, instance.actor.answers):
            pass

    async def _see_off(self, lease: LeaseId) -> None:
        await self._notify(lease)
        await self._pause(_FAREWELL)
        await self._cut_off(lease)

    async def _notify(self, lease: LeaseId) -> None:
        instance = self._instances.get(lease)
        if instance is not None and instance.actor is not None:
            with contextlib.suppress(self._ray.exceptions.RayError):
                await ask(self._ray, instance.actor.notify)

    async def _cut_off(self, lease: LeaseId) -> None:
        """Kill what runs on a lease that has ended; `_carry` does the rest."""
        instance = self._instances.get(lease)
        if instance is not None:
            instance.over = True
            if instance.actor is not None:
                with contextlib.suppress(self._ray.exceptions.RayError):
                    await ask(self._ray, instance.actor.end)

    async def _dispose(self, instance: _Instance) -> None:
        """Kill an instance's actor, once it has told whoever is connected that its program is gone."""
        actor, instance.over = instance.actor, True
        if actor is None:
            return
        with contextlib.suppress(self._ray.exceptions.RayError, TimeoutError):
            async with asyncio.timeout(_DEAD * clock.speed()):
                if instance.answered:
                    await ask(self._ray, actor.end)
                    if not self._closed:
                        await self._pause(_FAREWELL)
        with contextlib.suppress(Exception):  # a cluster that is gone has no actors
            await asyncio.to_thread(self._ray.kill, actor)
        instance.actor = None  # not before: whoever is cancelled here leaves it to `close`

    def _share(self, type: InstanceType, node: RayNode) -> float:
        shares, whole = self._shares, node.resources.vcpus
        share = shares(type) if callable(shares) else shares.get(type.name, whole)
        if not (math.isfinite(share) and share > 0):
            raise Misuse(f"{share!r} is no share for {type.name}", field="cpu_shares", fix="Give cores.")
        return share

    async def _pause(self, seconds: float) -> None:
        await clock.sleep_until(clock.now() + seconds * clock.speed())

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a task of our own until it is done or we are closed."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
