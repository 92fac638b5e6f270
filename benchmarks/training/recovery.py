"""Half of the revocable instances are killed without warning: clocks lost, and how soon the rest is back.

    make bench NAME=training/recovery            six rounds
    make bench NAME=training/recovery ARGS=--quick

One job on leases of the local provider, every process of it real: the state is served by active servers on
revocable instances (stage 3) and backed up by the reliable one. Then SIGKILL, with no notice, goes to the
process groups of half of the revocable instances at once, active servers among them. What is simulated is
the market, which revokes nothing by itself, and the instances, which are fixed shares of this machine's
cores. Rows are made up.

`clocks_lost` is what the recovery reports: rounds that had been over and had to be done again, the most of
any kill. `seconds` is the wall's time from the kill until the survivors work at 95 % of their own rate
again: the first end of a round from which on, for `WINDOW` seconds, rows are finished at 95 % of the rate
that the same survivors keep up afterwards; the median of the rounds. No replacement is there until that is
measured. Replacements are timed apart: from the bid until the job is back at 95 % of its rate before.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import random
import signal
import statistics
import sys
import tempfile
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path

import numpy as np

import tradewind
from tradewind import clock
from tradewind.data.catalogs import aws_catalog
from tradewind.data.recorded_histories import history
from tradewind.data.streams import open_data
from tradewind.errors import Temporary
from tradewind.market.instances import Pool
from tradewind.market.leases import Lease, LeaseId
from tradewind.market.offers import Bid, Terms
from tradewind.market.recorded import RecordedMarket
from tradewind.providers.local import LocalProvider
from tradewind.runtimes.processes import ProcessRuntime
from tradewind.state.control import StateControl
from tradewind.state.link import Patience
from tradewind.state.transport.zeromq import ZeroMQChannel
from tradewind.training.elastic.process_work import ProcessWork
from tradewind.training.elastic.served_state import ServedState
from tradewind.training.elastic.stages import StageRules
from tradewind.training.elastic.work import Restaged
from tradewind.training.job import Job, Learner
from tradewind.training.worker import part_of

START = clock.moment("2020-02-01T00:00:00Z")
KIND = "p2.xlarge"
INSTANCES, PARTS, SHARDS = 6, 12, 6
SHARE = 0.12
"""Of a core, for each instance; all of them and the state's together are less than one core."""
ROWS, FEATURES, BATCH, MODELS = 6_000, 200, 500, 16
SEED = 7
WINDOW = 3.0
SETTLED = 6.0
"""Seconds after the kill from which on the survivors' own rate is taken."""
ALONE = 14.0
"""Seconds for which the survivors are left alone."""


class Rounds:
    """When how many rounds were over, as seen in the state's server; the last of them may go back."""

    def __init__(self, address: str) -> None:
        # it must not stare for seconds at a server that is dead
        self._state = StateControl.at(address, ZeroMQChannel, patience=Patience(0.1, 0.2))
        self._elapsed = clock.stopwatch()
        self.seen: list[tuple[float, int]] = []

    def close(self) -> None:
        """Look no more."""
        self._state.close()

    def now(self) -> float:
        """Seconds since the beginning."""
        return self._elapsed()

    async def watch(self) -> None:
        """Look, again and again, on a line of its own."""
        while True:
            try:
                rounds = (await asyncio.to_thread(self._state.status)).rounds
            except Temporary:
                continue
            if not self.seen or rounds != self.seen[-1][1]:
                self.seen.append((self.now(), rounds))
            await asyncio.sleep(0.02)

    def passed(self, rounds: int) -> bool:
        """Whether more rounds were over at the last look."""
        return self.seen[-1][1] > rounds

    def at(self, moment: float) -> float:
        """Rounds at a moment, in between in proportion."""
        times, rounds = zip(*self.seen, strict=True)
        return float(np.interp(moment, times, rounds))

    def rate(self, first: float, last: float) -> float:
        """Rounds a second between two moments."""
        return (self.at(last) - self.at(first)) / (last - first)

    def back(self, since: float, rate: float) -> float | None:
        """Seconds from `since` until rounds end at 95 % of `rate`; None if that was never seen."""
        for moment, _ in self.seen:
            there = since < moment <= self.seen[-1][0] - WINDOW
            if there and self.rate(moment, moment + WINDOW) >= 0.95 * rate:
                return moment - since
        return None


async def until(true: Callable[[], object], seconds: float = 90.0) -> None:
    """Wait for something; fails if it does not come."""
    async with asyncio.timeout(seconds):
        while not true():
            await asyncio.sleep(0.02)


async def played(folder: Path, rounds: int, quick: bool) -> list[dict[str, float]]:
    """So many kills, one after another, in one run; what each came to."""
    (folder / "prices.csv").write_text(
        "zone,instance_type,time,price\n"
        + "".join(f"us-east-1a,{KIND},{clock.iso(START + at)},0.3\n" for at in (0, 86_400))
    )
    market = RecordedMarket(history(str(folder / "prices.csv")), aws_catalog(), boot=2.0)
    boot = "-m tradewind.runtimes.agent --listen {address} --cpu-share {cpu_share} --warm " + (
        "tradewind.training.rehearsal"
    )
    provider = LocalProvider(
        market,
        boot_command=(sys.executable, *boot.split()),
        directory=folder / "logs",
        cpu_shares={KIND: SHARE},
    )
    rates = [0.01 * number for number in range(1, MODELS + 1)]
    job = Job(
        learner=Learner("LinearLearner", {"optimizer": "sgd", "rate": rates}),
        data={"source": str(folder / "rows.libsvm")},
        epochs=100_000,
        batch=BATCH,
        parts=PARTS,
        seed=SEED,
    )
    data = open_data(**job.data, cache=folder / "cache")
    parts = [part_of(job, data, each) for each in range(PARTS)]
    address = f"ipc://{folder / 'state'}"
    runtime = ProcessRuntime(folder / "logs")
    work = ProcessWork(
        job,
        runtime,
        ServedState(address, folder / "snapshots"),
        address=address,
        arguments={"cache": str(folder / "cache"), "snapshots": str(folder / "snapshots"), "base": None},
        total=float(sum(part.rows_before(part.length or 0) for part in parts)),
        rows_done=lambda done: float(sum(p.rows_before(n) for p, n in zip(parts, done, strict=True))),
        speeds=lambda lease: 1.0,
        rate=1.0,
        startup=1.0,
        snapshot_every=3600.0,
        stages=StageRules(shards=SHARDS, stage2_above=1.0, stage3_above=2.0),
        answers=runtime.status,
    )
    seen = Rounds(address)
    held: dict[LeaseId, Lease] = {}
    chance = random.Random(SEED)
    restaged: list[Restaged] = []

    async def take(count: int, terms: Terms, purpose: str) -> None:
        limit = 0.9 if terms is Terms.SPOT else None
        for lease in await provider.take(Bid(Pool(KIND, "us-east-1a"), terms, count, limit, purpose)):
            work.join(lease)
            if purpose == "work":
                held[lease.id] = lease

    async def hear() -> None:
        while True:
            change = await work.next_change()
            if isinstance(change, Restaged):
                restaged.append(change)

    def serving() -> frozenset[LeaseId]:
        return frozenset(restaged[-1].active) if restaged else frozenset()

    def more(recoveries: int) -> bool:
        return len(work.recoveries) > recoveries

    async def all_at_work() -> None:
        await until(lambda: work.working == held.keys() and len(serving()) == len(held) // 2)

    await provider.open()
    await work.open()
    listening: list[asyncio.Task[None]] = [asyncio.create_task(each()) for each in (hear, seen.watch)]
    found = []
    try:
        await take(1, Terms.ON_DEMAND, "state")
        await take(INSTANCES, Terms.SPOT, "work")
        await all_at_work()
        for _ in range(rounds):
            begun = seen.seen[-1][1]
            await until(partial(seen.passed, begun + 5))
            await asyncio.sleep(WINDOW if quick else SETTLED)
            full = seen.rate(seen.now() - WINDOW, seen.now())
            active = sorted(serving())
            others = sorted(held.keys() - set(active))
            most = INSTANCES // 2
            gone = chance.sample(active, (most + 1) // 2) + chance.sample(others, most // 2)
            recoveries, killed = len(work.recoveries), seen.now()
            for lease in gone:
                group = provider.process_group(lease)
                assert group is not None
                os.killpg(group, signal.SIGKILL)
            for lease in gone:
                del held[lease]
                work.lost(lease)
            await until(partial(more, recoveries))
            recovered = seen.now() - killed
            await asyncio.sleep(ALONE / 2 if quick else ALONE)
            own = seen.rate(killed + (SETTLED / 2 if quick else SETTLED), seen.now())
            back = seen.back(killed, own)
            asked = seen.now()
            await take(len(gone), Terms.SPOT, "work")
            await all_at_work()
            await asyncio.sleep(WINDOW + 3.0)
            replaced = seen.back(asked, full)
            found.append(
                {
                    "clocks_lost": max(lost for _, lost in work.recoveries[recoveries:]),
                    "actives_killed": len(set(gone) & set(active)),
                    "recovered": recovered,
                    "seconds": float("nan") if back is None else back,
                    "replaced": float("nan") if replaced is None else replaced,
                    "full": full,
                    "own": own,
                }
            )
            told = "  ".join(f"{name} {value:.2f}" for name, value in found[-1].items())
            print(f"  {len(found)}: {told}", flush=True)
    finally:
        for each in listening:
            each.cancel()
        await asyncio.gather(*listening, return_exceptions=True)
        await work.close()
        await provider.close()
        seen.close()
    return found


def write_rows(path: Path) -> None:
    """Made-up rows of two classes, dense, in LIBSVM's format."""
    chance = np.random.default_rng(SEED)
    weights = chance.normal(size=FEATURES)
    with path.open("w") as file:
        for _ in range(ROWS):
            row = chance.normal(size=FEATURES).round(2)
            cells = " ".join(f"{column + 1}:{value}" for column, value in enumerate(row))
            file.write(f"{1 if row @ weights > 0 else -1} {cells}\n")


def main() -> None:
    """Play the rounds, print each and the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one kill")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--data", help="not used: the rows are made up, and the market is a steady one")
    options = parser.parse_args()
    rounds = 1 if options.quick else options.rounds
    print(
        f"tradewind {tradewind.__version__}, Python {platform.python_version()}, numpy {np.__version__}, "
        f"{os.cpu_count()} cores of {platform.machine()}, seed {SEED}; {INSTANCES} revocable instances and "
        f"one reliable, each {SHARE} of a core; {PARTS} logical workers, {SHARDS} shards, stage 3"
    )
    with tempfile.TemporaryDirectory(prefix="tw-") as folder:
        write_rows(Path(folder, "rows.libsvm"))
        story: Coroutine[object, object, list[dict[str, float]]] = played(Path(folder), rounds, options.quick)
        found = clock.run(story, start=START)
    figures = {
        "clocks_lost": int(max(each["clocks_lost"] for each in found)),
        "seconds": round(statistics.median(each["seconds"] for each in found), 2),
        "seconds_most": round(max(each["seconds"] for each in found), 2),
        "recovered_seconds": round(statistics.median(each["recovered"] for each in found), 2),
        "replaced_seconds": round(statistics.median(each["replaced"] for each in found), 2),
        "rounds": len(found),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
