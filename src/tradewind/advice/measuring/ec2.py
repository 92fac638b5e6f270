"""Probes on EC2: an instance of the candidate's type each, booked for one run and then ended.

Nothing listens on the instance and it has no credentials. Its user data fetches the command's folder and the
task from addresses that were signed here, and our program there puts what it has to tell to others
(`on_instance`). It powers itself off, which ends it, at the end, and at its time at the latest.

An attempt is on record before anything is asked for: `booking.json` in its folder has the driver's name,
under which the instance is found, and where in the store it tells. Whoever goes on for a driver that was
killed finds the instance by that, watches it to its end, and books none again.

Nothing here was ever tried against AWS itself: see `docs/decisions/0153-probes-on-ec2.md`.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from tradewind import clock
from tradewind.advice.measuring.ec2_bundle import ENDING, FETCHING, packed, task_of, user_data
from tradewind.advice.measuring.interface import INTERRUPTED, Measured, Order, Quote, Room
from tradewind.advice.measuring.keeper import End
from tradewind.advice.measuring.local import LOG, measured
from tradewind.data.durable_files import write_durably
from tradewind.data.s3_store import S3Store
from tradewind.errors import Misuse, NoCapacity, Temporary
from tradewind.market.catalog import Catalog
from tradewind.market.leases import Ending, Lease
from tradewind.market.measured_runs import FAILED, TIMED_OUT
from tradewind.market.news import Ended
from tradewind.market.offers import Bid, Offer, Terms
from tradewind.providers.aws.client import Links
from tradewind.providers.aws.provider import AwsProvider
from tradewind.providers.aws.requests import Settings
from tradewind.providers.aws.sweeping import SETTLE
from tradewind.providers.ledger import LEDGER, Account, Closed, Ledger, accounts

BOOKING, MEASURED = "booking.json", "measured.json"
"""In an attempt's folder: under what name it is booked, and what came of it."""
_LOOK, _BEAT, _ASK = 5.0, 10.0, 0.3
"""Seconds between two looks at the store and at EC2, between two signs of life, and between two questions
whether to stop."""
_SILENCE = 150.0
"""Seconds without a new sign of life after which an instance is given up."""
_SLACK = 3600.0
"""Seconds for which links last longer than anybody should need them."""
_TAIL = 600
_GIB = 2**30


class Wanted(Struct, frozen=True):
    """What a candidate is at EC2."""

    type: str
    per_hour: float
    """US dollars an instance-hour that it may cost at most."""


class Plan(Struct, frozen=True, kw_only=True):
    """How probes are booked."""

    settings: Settings
    """Types are filled in for each probe, and user data."""
    store: str
    """`s3://BUCKET/PREFIX`, by which the instance and the driver speak."""
    terms: Terms
    time_limit: float
    """Seconds of a run at most."""
    boot_limit: float
    """Seconds from a grant to the first sign of life at most."""
    folder: str = ""
    """The command's, packed at the first check, so that one too large is told then; empty for not before a
    probe."""
    leave: tuple[str, ...] = ()
    """Patterns of what stays out of the bundle."""
    look: float = _LOOK
    beat: float = _BEAT
    settle: float = SETTLE


class Booking(Struct, frozen=True, kw_only=True):
    """An attempt that is about to be asked for."""

    driver: str
    at: float
    """The wall's moment."""
    type: str
    bundle: str
    place: str
    """The keys of the bundle, and before those of this attempt."""


class _Told(End, frozen=True, kw_only=True):
    """What the instance wrote at the end."""

    tail: str = ""


class Ec2Measurer:
    """Books an instance for each probe.

    `wanted` are the candidates by name; `names` makes a new name of this driver, as
    `session.cleaning.driver_name`; `tell` is told what is about to be booked. The ledger that `tradewind
    clean` goes by is in the folder that `work` is in.
    """

    def __init__(
        self,
        plan: Plan,
        catalog: Catalog,
        wanted: Mapping[str, Wanted],
        *,
        names: Callable[[], str],
        tell: Callable[[str], None] = lambda words: None,
    ) -> None:
        """Raises Misuse for a store that is none, and without credentials; MissingExtra without boto3."""
        self._plan, self._catalog, self._wanted = plan, catalog, wanted
        self._names, self._tell = names, tell
        bucket, _, root = plan.store.removeprefix("s3://").partition("/")
        self._store = S3Store(bucket, root)
        self._root = f"{self._store.root}/" if self._store.root else ""
        self._links = Links(bucket, plan.settings.region)
        self._links.check(self._longest + _SLACK)
        self._bundle = ""
        """The key of what was put there by this process; empty for nothing yet."""
        self._content: bytes | None = None
        """What was packed and is not in the store yet."""
        self._offers: tuple[Offer, ...] | None = None

    @property
    def told(self) -> str:
        """In words: where runs are made, and how they are limited."""
        how = "spot" if self._plan.terms is Terms.SPOT else "on demand"
        return (
            f"real runs on instances of EC2 in {self._plan.settings.region}, {how}, one at a time; what they "
            "cost is reckoned by us, AWS's bill comes later; never yet tried against AWS itself"
        )

    def check(self, name: str, room: Room, machines: float) -> None:
        """Raise Misuse for what EC2 does not sell so, at that price, with this image; it books nothing."""
        wanted = self._wanted.get(name)
        if wanted is None:
            raise _unfit(f"nothing says of which instance type {name!r} is", "type", "Give its type.")
        if machines != 1:
            raise _unfit(
                f"{name!r} has {machines:g} machines, and a probe on EC2 has one",
                "machines",
                "Give candidates of one machine each.",
            )
        has = self._catalog.type(wanted.type).resources
        cores, memory = room.cores or 1.0, (room.memory or 0) / _GIB
        if cores > has.vcpus or cores != round(cores):
            raise _unfit(
                f"{name!r} has {cores:g} processors, and {wanted.type} has {has.vcpus:g}, whole ones",
                "vcpus",
                "Give what the type has, or less.",
            )
        if memory > has.memory_gib:
            raise _unfit(
                f"{name!r} has {memory:g} GiB, and {wanted.type} has {has.memory_gib:g}",
                "memory_gib",
                "Give what the type has, or less.",
            )
        self.quote(name)

    def quote(self, name: str) -> Quote:
        """What would be booked for a probe now; asks EC2 once for all. Misuse where nothing could be."""
        wanted, terms = self._wanted[name], self._plan.terms
        offers = [each for each in self._looked() if each.type.name == wanted.type and each.terms is terms]
        if not offers:
            raise _unfit(
                f"{wanted.type} is not sold as {terms} in {self._plan.settings.region}",
                "type",
                "Choose other types, zones or terms.",
            )
        best = min(offers, key=lambda each: (each.price.per_hour, each.zone))
        if best.price.per_hour > wanted.per_hour:
            raise _unfit(
                f"{name!r} is said to cost ${wanted.per_hour:g} an hour, and {terms} costs "
                f"${best.price.per_hour:g} in {best.zone}",
                "per_hour",
                "Give the price that it has there.",
            )
        return Quote(
            candidate=name,
            type=wanted.type,
            zone=best.zone,
            terms=terms,
            per_hour=best.price.per_hour,
            most_per_hour=wanted.per_hour,
            seconds=self._longest,
            most=wanted.per_hour * self._longest / 3600,
        )

    def measure(self, order: Order, work: Path, stop: Callable[[], bool]) -> Measured:
        """Book an instance, and watch it to its end; where no zone has room the candidate has failed."""
        folder = work / order.name
        folder.mkdir(parents=True, exist_ok=True)
        order = self._bounded(order)
        bundle = self._bundle or f"bundle-{secrets.token_hex(8)}.tar.gz"
        booking = Booking(
            driver=self._names(),
            at=clock.wall(),
            type=self._wanted[order.candidate].type,
            bundle=bundle,
            place=f"probe-{secrets.token_hex(8)}",
        )
        write_durably(folder / BOOKING, msgspec.json.encode(booking))
        script = self._put(order, booking)
        found = clock.run(self._booked(order, work, booking, script, stop))
        return self._kept(found, folder, booking)

    def recover(self, order: Order, work: Path, stop: Callable[[], bool]) -> Measured | None:
        """How an attempt went whose driver is gone: one that still runs is watched to its end."""
        folder, order = work / order.name, self._bounded(order)
        if not (folder / BOOKING).exists():
            return None
        booking = msgspec.json.decode((folder / BOOKING).read_bytes(), type=Booking)
        if (folder / MEASURED).exists():
            self._forget(booking)
            return msgspec.json.decode((folder / MEASURED).read_bytes(), type=Measured)
        known = [each for each in accounts(work.parent / LEDGER) if each.opened.driver == booking.driver]
        found: Measured | None = None
        if known:
            found = clock.run(self._adopted(order, work, booking, known[-1], stop))
        if found is None:
            self._forget(booking)
            return None
        return self._kept(found, folder, booking)

    def close(self) -> None:
        """Remove the bundle from the store."""
        if self._bundle:
            self._store.delete(self._bundle)
            self._bundle = ""
        self._links.close()

    # before

    @property
    def _longest(self) -> float:
        return self._plan.boot_limit + FETCHING + self._plan.time_limit + ENDING

    def _bounded(self, order: Order) -> Order:
        if order.limit is not None and order.limit <= self._plan.time_limit:
            return order
        return replace(order, limit=self._plan.time_limit, at_limit=TIMED_OUT)

    def _looked(self) -> tuple[Offer, ...]:
        """What is sold of the candidates' types, once EC2 has checked a request for each and links work."""
        if self._offers is None:
            types = tuple(sorted({each.type for each in self._wanted.values()}))
            self._offers = clock.run(self._offered(replace(self._plan.settings, types=types)))
            self._try_links()
            if self._plan.folder:
                self._content = packed(self._plan.folder, self._plan.leave)
        return self._offers

    async def _offered(self, settings: Settings) -> tuple[Offer, ...]:
        provider = AwsProvider(settings, self._catalog, driver="tradewind advise", dry_run=True)
        try:
            await provider.open()
            offers = await provider.offers()
            for each in {each.type.name: each for each in offers if each.terms is self._plan.terms}.values():
                try:
                    await provider.take(Bid(each.pool, each.terms))
                except NoCapacity as problem:
                    raise _unfit(str(problem), "type", "Leave it out.") from problem
            return offers
        finally:
            await provider.close()

    def _try_links(self) -> None:
        """Put an object and get it as an instance would. Raises Misuse, Temporary."""
        key = f"trial-{secrets.token_hex(8)}"
        self._store.put(key, b"")  # what cannot be put at all is told by the store
        with contextlib.suppress(KeyError):
            self._store.get(f"{key}-absent")  # without the right to list, S3 refuses what is not there
        try:
            put = urllib.request.Request(self._links.put(self._root + key, 600), b"x", method="PUT")
            put.add_header("Content-Type", "")
            for what in (put, self._links.get(self._root + key, 600)):
                with urllib.request.urlopen(what, timeout=30) as answer:
                    answer.read()
        except urllib.error.HTTPError as problem:
            raise Misuse(
                f"an address signed for it was refused ({problem.code})",
                source=self._plan.store,
                fix="Allow these credentials to put and get there, and name the bucket's region in "
                "AWS_DEFAULT_REGION.",
            ) from problem
        except OSError as problem:
            raise Temporary(f"{self._plan.store}: {problem}") from problem
        finally:
            self._store.delete(key)

    def _put(self, order: Order, booking: Booking) -> str:
        """Put what the instance needs into the store; its user data."""
        if not self._bundle:
            self._store.put(booking.bundle, self._content or packed(order.folder, self._plan.leave))
            self._bundle, self._content = booking.bundle, None
        assert order.limit is not None
        life = self._longest + _SLACK
        place = f"{self._root}{booking.place}/"
        names = {"alive": "alive.json", "output": LOG, "end": "end.json"}
        links = {name: self._links.put(place + key, life) for name, key in names.items()}
        has = self._catalog.type(booking.type).resources.vcpus
        cores = order.room.cores if order.room.cores is not None and order.room.cores < has else None
        task = msgspec.json.encode(task_of(order, cores, links, self._plan.beat))
        self._store.put(f"{booking.place}/task.json", task)
        return user_data(
            self._links.get(self._root + booking.bundle, life),
            self._links.get(f"{place}task.json", life),
            order.limit,
        )

    # the lease

    def _provider(self, booking: Booking, work: Path, ledger: Ledger | None, script: str) -> AwsProvider:
        settings = replace(self._plan.settings, types=(booking.type,), user_data=script)
        return AwsProvider(
            settings,
            self._catalog,
            driver=booking.driver,
            run=work.parent.name,
            ledger=ledger,
            look_every=self._plan.look,
            past=max(0.0, clock.wall() - booking.at) + 3600.0,
            settle=self._plan.settle,
        )

    async def _booked(
        self, order: Order, work: Path, booking: Booking, script: str, stop: Callable[[], bool]
    ) -> Measured:
        provider = self._provider(booking, work, Ledger(work.parent / LEDGER), script)
        try:
            await provider.open()
            lease = None if stop() else await self._taken(provider, order)
            if lease is not None:
                found = await self._watched(provider, lease, order, booking, stop)
            elif stop():
                found = Measured(1e-6, INTERRUPTED, "It was asked to stop.")
            else:
                words = f"No zone had a {booking.type} to give, at its price."
                found = Measured(1e-6, FAILED, words)
        finally:
            await provider.close()
        return replace(found, charged=float(await provider.owed()))

    async def _adopted(
        self, order: Order, work: Path, booking: Booking, account: Account, stop: Callable[[], bool]
    ) -> Measured | None:
        """Go on with what the account's driver has booked; None where it has booked nothing."""
        provider = self._provider(booking, work, None, "")
        found: Measured | None = None
        try:
            await provider.open()
            leases = await provider.adopt()
            if leases and not account.closed:
                found = await self._watched(provider, leases[-1], order, booking, stop)
            elif account.held or account.closed or any(await asyncio.to_thread(self._read, booking)):
                found = await asyncio.to_thread(self._from_the_store, order, booking)
        finally:
            await provider.close()
        if not account.closed:
            Ledger(work.parent / LEDGER).write(Closed(at=clock.wall(), driver=booking.driver))
        if found is None or not leases:
            return found
        return replace(found, charged=float(await provider.owed()))

    async def _taken(self, provider: AwsProvider, order: Order) -> Lease | None:
        wanted, terms = self._wanted[order.candidate], self._plan.terms
        offers = [each for each in await provider.offers() if each.terms is terms]
        for offer in sorted(offers, key=lambda each: (each.price.per_hour, each.zone)):
            assert order.limit is not None
            longest = self._longest - self._plan.time_limit + order.limit
            self._tell(
                f"  booking {offer.pool}, {terms.replace('_', ' ')}, ${offer.price.per_hour:.4g} an hour: "
                f"at most ${wanted.per_hour * longest / 3600:.4g} for this probe"
            )
            bid = Bid(offer.pool, terms, limit=wanted.per_hour, purpose=f"probe {order.name}")
            if leases := await provider.take(bid):
                return leases[0]
        return None

    async def _watched(
        self, provider: AwsProvider, lease: Lease, order: Order, booking: Booking, stop: Callable[[], bool]
    ) -> Measured:
        assert order.limit is not None
        plan = self._plan
        passed, looked, silence = clock.stopwatch(), clock.stopwatch(), clock.stopwatch()
        since_heard: Callable[[], float] | None = None
        heard: End | None = None
        while True:
            if stop():
                return Measured(_seconds(heard), INTERRUPTED, "It was asked to stop.")
            news = await provider.next_news(clock.now() + min(_ASK, plan.look))
            over = next((each for each in news if isinstance(each, Ended) and each.lease == lease.id), None)
            if over is None and looked() < plan.look:
                continue
            looked = clock.stopwatch()
            try:
                end, alive = await asyncio.to_thread(self._read, booking)
            except Temporary:
                if over is not None:
                    raise
                silence = clock.stopwatch()  # it is we who do not hear
                continue
            if end is not None:
                return self._measured(end, order, booking)
            if alive != heard:
                heard, silence = alive, clock.stopwatch()
                since_heard = since_heard or clock.stopwatch()
            if over is not None:
                return _lost(over.ending, heard, lease)
            if heard is None and passed() > plan.boot_limit:
                words = f"It never came up: no sign of life of {lease.id} within {plan.boot_limit:g} s."
                return Measured(1e-6, FAILED, words)
            if since_heard is not None and since_heard() > order.limit + ENDING:
                return Measured(order.limit, order.at_limit, "It did not end at its limit, and was ended.")
            if heard is not None and silence() > _SILENCE + plan.beat:
                return Measured(_seconds(heard), FAILED, f"Its instance fell silent for {silence():.0f} s.")

    # what it tells

    def _read(self, booking: Booking) -> tuple[_Told | None, End | None]:
        """The end of an attempt, or its latest sign of life. Raises Temporary, Misuse."""
        for name, kind in (("end", _Told), ("alive", End)):
            try:
                text = self._store.get(f"{booking.place}/{name}.json")
                found: Any = msgspec.json.decode(text, type=kind)
            except (KeyError, msgspec.DecodeError):  # whoever has the address could write anything there
                continue
            return (found, None) if name == "end" else (None, found)
        return None, None

    def _measured(self, end: _Told, order: Order, booking: Booking) -> Measured:
        cores = order.room.cores or self._catalog.type(booking.type).resources.vcpus
        return measured(end, " ".join(end.tail.split())[-_TAIL:], cores, order.at_limit)

    def _from_the_store(self, order: Order, booking: Booking) -> Measured:
        end, alive = self._read(booking)
        if end is not None:
            return self._measured(end, order, booking)
        return Measured(_seconds(alive), INTERRUPTED, "It was ended with its driver, or by a cleaning.")

    def _kept(self, found: Measured, folder: Path, booking: Booking) -> Measured:
        """Keep an outcome and what the command said; after that the store need not."""
        with contextlib.suppress(KeyError):  # it may not have come so far
            write_durably(folder / LOG, self._store.get(f"{booking.place}/{LOG}"))
        write_durably(folder / MEASURED, msgspec.json.encode(found))
        self._forget(booking)
        return found

    def _forget(self, booking: Booking) -> None:
        keys = [f"{booking.place}/{name}" for name in ("task.json", "alive.json", LOG, "end.json")]
        others = [booking.bundle] if booking.bundle != self._bundle else []  # a dead driver's
        for key in (*keys, *others):
            self._store.delete(key)


def probe_overhead(boot_limit: float) -> float:
    """Seconds for which a probe may hold its instance beside the run itself, at most."""
    return boot_limit + FETCHING + ENDING


def _lost(ending: Ending, heard: End | None, lease: Lease) -> Measured:
    """An end that says nothing of the candidate: EC2 or somebody else may have wished it."""
    if ending is Ending.REVOKED:
        return Measured(_seconds(heard), INTERRUPTED, f"EC2 took {lease.id} back.")
    when = "before its program began" if heard is None else "without a word"
    return Measured(_seconds(heard), INTERRUPTED, f"Its instance {lease.id} ended {when}.")


def _seconds(heard: End | None) -> float:
    return 1e-6 if heard is None else max(heard.seconds, 1e-6)


def _unfit(problem: str, field: str, fix: str) -> Misuse:
    return Misuse(problem, source="candidates", field=field, fix=fix)
