"""The whole idea in one file: a policy, a recorded market, one loop, and the same decisions every time.

A job needs four machines for six hours. The policy below rents the cheapest spot pool and moves on when a
lease is taken away. It is run over real prices and real lives of machines of 2020, in virtual time.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from tradewind import clock
from tradewind.control.journal import Journal
from tradewind.control.loop import Outcome, drive
from tradewind.control.records import header_for
from tradewind.control.replay import replay
from tradewind.data.catalogs import aws_catalog
from tradewind.data.recorded_histories import DEMO_START, history
from tradewind.market.decisions import Decision, Release, Take
from tradewind.market.news import Ended
from tradewind.market.offers import Bid, Terms
from tradewind.market.recorded import RecordedMarket
from tradewind.market.views import View
from tradewind.providers.simulated import SimulatedProvider

HOURS, MACHINES = 6.0, 4


# 1. A policy is a pure function: all it may know is in the view, all it remembers is in the memory.
class Cheapest:
    """Four machines in whichever spot pool is cheapest now."""

    name = "cheapest"

    def recall(self) -> None:
        """It remembers nothing."""

    def decide(self, view: View, memory: None) -> tuple[Decision, None]:
        """Replace what is missing from the cheapest pool that has room."""
        missing = MACHINES - len(view.leases)
        spot = [offer for offer in view.offers if offer.terms is Terms.SPOT]
        if missing <= 0 or not spot:
            return Decision((), "all four run", view.now + 3600), None
        best = min(spot, key=lambda offer: (offer.price.per_hour, offer.zone))
        reason = f"{missing} missing; {best.pool} asks {best.price.per_hour:.4f} USD an hour"
        return Decision((Take(Bid(best.pool, Terms.SPOT, count=missing)),), reason, view.now + 600), None


# 2. A world is what the policy looks at and acts on. Here: a provider, and a job that is over after a while.
class Renting:
    """The job's market, seen and acted on through a provider."""

    def __init__(self, provider: SimulatedProvider, until: float) -> None:
        self.provider, self.until, self.revoked = provider, until, 0

    async def observe(self) -> View | None:
        """The market now; None once the job is over."""
        if clock.now() >= self.until:
            return None
        offers, leases = await self.provider.offers(), await self.provider.leases()
        return View(clock.now(), offers, leases, await self.provider.revocations())

    async def perform(self, decision: Decision) -> tuple[Outcome, ...]:
        """Take and release what the decision says."""
        outcomes = []
        for action in decision.actions:
            match action:
                case Take(bid):
                    granted = await self.provider.take(bid)
                    outcomes.append(Outcome(tuple(lease.id for lease in granted)))
                case Release(lease):
                    await self.provider.release(lease)
                    outcomes.append(Outcome())
        return tuple(outcomes)

    async def news(self, decision: Decision) -> None:
        """Wait for news, or until the policy wants to be asked again."""
        for news in await self.provider.next_news(min(decision.wake_at, self.until), decision.watch):
            self.revoked += isinstance(news, Ended) and news.ending == "revoked"


# 3. The loop is the same in every world: here in virtual time, elsewhere on real machines.
async def main(market: RecordedMarket, journal: Path) -> None:
    """Run the job once and print what came of it."""
    provider, policy = SimulatedProvider(market), Cheapest()
    await provider.open()
    world = Renting(provider, clock.now() + HOURS * 3600)
    with Journal(journal, header_for(policy, View), commit_every=100) as record:
        await drive(policy, world, record)
        rows, digest = record.rows, record.digest
    bill = (await provider.invoice()).total
    await provider.close()
    print(f"{rows} decisions, {world.revoked} revocations, {bill:.2f} USD (simulated), digest {digest}")


if __name__ == "__main__":
    market = RecordedMarket(history("demo"), aws_catalog(), boot=60.0)
    with tempfile.TemporaryDirectory() as folder:
        for run in ("first", "second"):
            clock.simulate(main(market, Path(folder, f"{run}.sqlite")), start=DEMO_START)
        # 4. What was decided can be decided again, from the journal alone.
        known = {f"{Cheapest.__module__}:{Cheapest.__qualname__}": Cheapest}
        result = replay(Path(folder, "first.sqlite"), known)
        print(f"replayed: {result.decisions} decisions, all the same")
