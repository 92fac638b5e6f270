"""The controller on a recorded market, in virtual time: real prices' shapes, a model of the work."""

import asyncio
from decimal import Decimal

import pytest

from tradewind import clock
from tradewind.control.journal import Journal
from tradewind.control.records import header_for
from tradewind.control.replay import replay
from tradewind.data.catalogs import aws_catalog
from tradewind.errors import NoCapacity, Permanent, Temporary, Unaffordable
from tradewind.market.decisions import Decision
from tradewind.market.demands import Demand
from tradewind.market.histories import MarketHistory, PriceHistory
from tradewind.market.instances import Pool
from tradewind.market.leases import Ending
from tradewind.market.news import Ended, Warned
from tradewind.market.recorded import RecordedMarket
from tradewind.market.resources import Resources
from tradewind.providers.simulated import SimulatedProvider
from tradewind.training.elastic import controller
from tradewind.training.elastic.bidding.cheapest_spot import CheapestSpot
from tradewind.training.elastic.bidding.checkpoint_restart import CheckpointRestart
from tradewind.training.elastic.bidding.on_demand import OnDemand
from tradewind.training.elastic.modelled_work import ModelledWork
from tradewind.training.elastic.work import Broken, Stranded
from tradewind.training.view import Goal, TrainingView

START = clock.moment("2015-06-01T00:00:00Z")
HOUR = 3600.0
A, B = Pool("c3.xlarge", "us-east-1a"), Pool("c3.xlarge", "us-east-1b")
ASK = 0.21
"""What a c3.xlarge costs on demand."""


def market(changes, notice=120.0):
    """A market of the price changes given by pool, as hours since the start."""
    prices = {
        pool: PriceHistory(
            pool,
            [START - HOUR, *(START + hours * HOUR for hours, _ in steps)],
            [steps[0][1], *(price for _, price in steps)],
            end=START + 1000 * HOUR,
        )
        for pool, steps in changes.items()
    }
    return RecordedMarket(MarketHistory("made up", prices, notice=notice), aws_catalog(), boot=0.0)


CALM = {A: [(0, 0.03)], B: [(0, 0.04)]}
SPIKE = {A: [(0, 0.03), (2.5, 0.5), (4, 0.03)], B: [(0, 0.04)]}


def goal(count=2, deadline=None, budget=None, servers=1):
    return Goal(
        workers=Demand(resources=Resources(vcpus=4), count=count),
        state=Demand(resources=Resources(vcpus=1), count=servers),
        deadline=deadline,
        budget=budget,
    )


def work(hours=5.0, startup=300.0, cls=ModelledWork, **options):
    """Work for two c3.xlarge (four vCPUs each) and so many hours."""
    return cls(hours * HOUR * 8, 1.0, startup=startup, **options)


class Run:
    """A run in virtual time, with what is left of it."""

    def __init__(self, folder, market, policy=None, work_=None, goal_=None, provider=None, **options):
        self.policy = policy or CheapestSpot()
        self.provider = provider or SimulatedProvider(market)
        self.work = work_ or work()
        self.path = folder / "journal.sqlite"
        self.path.unlink(missing_ok=True)
        self.samples = []
        self.goal, self.options = goal_ or goal(), options
        self.result = self.problem = None
        with Journal(
            self.path, header_for(self.policy, TrainingView, start=START), commit_every=100
        ) as journal:
            try:
                self.result = clock.simulate(self.main(journal), start=START)
            except Exception as problem:
                self.problem = problem
            self.digest = journal.digest
        with Journal.read(self.path) as reading:
            self.entries = list(reading.entries())
            self.news = [news for _, news in reading.news()]
            self.invoice = reading.invoice()
            self.notes = reading.notes()

    async def main(self, journal):
        try:
            return await controller.run(
                self.goal,
                self.policy,
                self.provider,
                self.work,
                journal,
                observer=self.samples.append,
                **self.options,
            )
        finally:
            self.left = await self.provider.leases()

    @property
    def endings(self):
        return [each.ending for each in self.news if isinstance(each, Ended)]

    def reasons(self):
        return [(round((entry.moment - START) / 60), entry.decision.reason) for entry in self.entries]


def test_a_calm_market_is_cheaper_than_on_demand_and_adds_up(tmp_path):
    run = Run(tmp_path, market(CALM))
    result = run.result
    assert result.done and not result.paused and result.reason == "all the work is done"
    assert result.seconds == pytest.approx(5 * HOUR + 300)
    assert (result.leases, result.revocations, result.failures) == (3, 0, 0)
    # Six started hours of two spot instances and of the cheapest server on demand.
    server = run.entries[0].decision.actions[0].bid
    price = aws_catalog().on_demand(server.pool.instance_type, "us-east-1")
    assert result.cost == pytest.approx(6 * (2 * 0.03 + price))
    assert run.invoice.total == pytest.approx(Decimal(result.cost))
    assert result.on_demand_cost == pytest.approx((2 * ASK + price) * (5 * HOUR + 300) / HOUR)
    assert run.left == () and run.endings == [Ending.RELEASED] * 3
    assert result.units == result.total and run.samples[-1].done == result.total
    assert result.expected.seconds == pytest.approx(result.seconds)


def test_every_run_decides_alike_and_its_journal_decides_again(tmp_path):
    first, second = Run(tmp_path, market(SPIKE)), Run(tmp_path, market(SPIKE))
    assert first.digest == second.digest
    again = replay(second.path)
    assert again.decisions == len(second.entries) > 3


def test_a_revocation_is_answered_at_the_notice(tmp_path):
    run = Run(tmp_path, market(SPIKE))
    assert run.result.done and run.result.revocations == 2
    assert [each.revocation.due - START for each in run.news if isinstance(each, Warned)] == [2.5 * HOUR] * 2
    moves = [(minute, text) for minute, text in run.reasons() if "us-east-1b on spot" in text]
    assert [minute for minute, _ in moves] == [148]  # two minutes before
    # The start-up of five minutes overlaps the notice of two.
    assert run.result.seconds == pytest.approx(5 * HOUR + 300 + 180)
    # The provider cut the third hour of the first two short: it is free.
    refunded = [charge for charge in run.invoice.charges if charge.pool == A and charge.amount == 0]
    assert len(refunded) == 2


def test_all_markets_revoked_at_once(tmp_path):
    both = {A: [(0, 0.03), (2.5, 0.5), (4, 0.03)], B: [(0, 0.04), (2.5, 0.5), (4, 0.04)]}
    run = Run(tmp_path, market(both))
    assert run.result.done and run.left == ()
    texts = " ".join(text for _, text in run.reasons())
    assert "on demand" in texts
    # At 4 h the pools come back, and the workers go back to them.
    back = [
        minute
        for minute, text in run.reasons()
        if minute >= 240 and "go to c3.xlarge@us-east-1a on spot" in text
    ]
    assert back[:1] == [240]


def test_a_revocation_during_start_up(tmp_path):
    early = {A: [(0, 0.03), (0.05, 0.5), (1, 0.03)], B: [(0, 0.04)]}
    run = Run(tmp_path, market(early))
    assert run.result.done and run.result.revocations == 2 and run.work.losses == 0


@pytest.mark.parametrize("notice", [0.0, 5.0])
def test_a_notice_shorter_than_a_clock(tmp_path, notice):
    run = Run(tmp_path, market(SPIKE, notice=notice), work_=work(clock_seconds=30.0))
    assert run.result.done and run.result.revocations == 2
    # At most the clock in flight: 30 seconds of eight vCPUs.
    assert 0 < run.work.redone <= 30 * 8 + 1e-6


def test_a_price_that_jumps_every_few_minutes_is_survived(tmp_path):
    wild = {
        A: [(at / 10, 0.5 if at % 3 == 0 else 0.03) for at in range(1, 200)],
        B: [(at / 10 + 0.02, 0.5 if at % 4 == 0 else 0.04) for at in range(1, 200)],
    }
    run = Run(
        tmp_path,
        market({pool: [(0, 0.03), *steps] for pool, steps in wild.items()}),
        work_=work(startup=30.0),
    )
    assert run.result.done and run.left == () and run.result.revocations > 20
    assert replay(run.path).decisions == len(run.entries)


def test_the_deadline_is_met_when_spot_fails(tmp_path):
    gone = {A: [(0, 0.03), *((1 + at / 4, 0.5 if at % 2 == 0 else 0.03) for at in range(60))]}
    deadline = START + 6 * HOUR
    run = Run(tmp_path, market(gone), goal_=goal(deadline=deadline), work_=work(startup=840.0))
    assert run.result.done and START + run.result.seconds <= deadline
    assert any("The deadline leaves" in text for _, text in run.reasons())


def test_what_cannot_be_met_is_refused_before_any_lease(tmp_path):
    for wanted, kind, text in (
        (goal(deadline=START + HOUR), Unaffordable, "deadline of"),
        (goal(budget=0.1), Unaffordable, "budget of"),
        (
            Goal(Demand(resources=Resources(vcpus=400)), Demand(resources=Resources(vcpus=1))),
            NoCapacity,
            "400 vCPUs",
        ),
    ):
        run = Run(tmp_path, market(CALM), goal_=wanted)
        assert isinstance(run.problem, kind) and text in str(run.problem)
        assert run.entries == [] and run.news == [] and run.invoice.charges == ()


def test_a_budget_that_runs_out_pauses_with_a_snapshot(tmp_path):
    dear = {A: [(0, 0.03), (1.5, 0.2)], B: [(0, 0.2)]}
    run = Run(tmp_path, market(dear), goal_=goal(budget=1.6))
    result = run.result
    assert result.paused and not result.done and "budget of 1.6000 USD" in result.reason
    assert 0 < result.units < result.total and run.left == ()
    assert run.work.progress().saved == run.work.progress().done
    # By the hour a budget may be exceeded by an hour's price, never by more.
    assert 1.6 - 0.02 <= result.cost <= 1.6 + 2 * 0.2 + ASK


def test_asked_to_stop_it_pauses(tmp_path):
    async def main(journal, provider, job):
        stop = asyncio.Event()
        running = asyncio.create_task(
            controller.run(goal(), CheapestSpot(), provider, job, journal, stop=stop, sample_every=600.0)
        )
        await clock.sleep_until(START + 2 * HOUR)
        stop.set()
        result = await running
        return result, clock.now(), await provider.leases()

    job = work()
    with Journal(tmp_path / "j", header_for(CheapestSpot(), TrainingView)) as journal:
        result, ended, left = clock.simulate(main(journal, SimulatedProvider(market(CALM)), job), start=START)
    assert result.paused and result.reason == "it was asked to stop" and left == ()
    assert ended == START + 2 * HOUR
    assert result.units == pytest.approx(8 * (2 * HOUR - 300)) == pytest.approx(job.progress().saved)
    with Journal.read(tmp_path / "j") as reading:
        assert len(reading.samples()) >= 12


def test_cancelled_it_pauses_and_releases(tmp_path):
    async def main(journal, provider, job):
        running = asyncio.create_task(controller.run(goal(), CheapestSpot(), provider, job, journal))
        await clock.sleep_until(START + 2 * HOUR)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        return await provider.leases()

    job = work()
    with Journal(tmp_path / "j", header_for(CheapestSpot(), TrainingView)) as journal:
        assert clock.simulate(main(journal, SimulatedProvider(market(CALM)), job), start=START) == ()
    assert job.progress().saved == pytest.approx(8 * (2 * HOUR - 300))
    with Journal.read(tmp_path / "j") as reading:
        assert reading.invoice().total > 0


class Raises(CheapestSpot):
    name = "raises"

    def decide(self, view, memory):
        if view.progress.done > 0:
            raise ZeroDivisionError("a bug")
        return super().decide(view, memory)


def test_a_policy_that_raises_leaves_nothing_rented(tmp_path):
    provider, job = SimulatedProvider(market(SPIKE)), work()

    async def main(journal):
        with pytest.raises(ZeroDivisionError) as caught:
            await controller.run(goal(), Raises(), provider, job, journal)
        assert await provider.leases() == ()
        return caught.value.__notes__

    with Journal(tmp_path / "j", header_for(Raises(), TrainingView)) as journal:
        notes = clock.simulate(main(journal), start=START)
    assert notes[0].startswith("policy raises was deciding")
    assert job.progress().saved == job.progress().done > 0
    with Journal.read(tmp_path / "j") as reading:
        assert reading.invoice().total > 0


class Stumbles(ModelledWork):
    """The first `times` workers' tasks fail a minute after they were started."""

    times = 3

    def join(self, lease):
        super().join(lease)
        if lease.purpose == "work" and self.times > 0:
            self.times -= 1

            async def strand():
                await clock.sleep_until(clock.now() + 60)
                self._told.append(Stranded(lease.id, "the task raised ValueError"))
                self._wake()

            self.tasks = [*getattr(self, "tasks", []), asyncio.ensure_future(strand())]


class StumblesForEver(Stumbles):
    times = 10**6


def test_a_lease_whose_task_failed_is_replaced(tmp_path):
    run = Run(tmp_path, market(CALM), work_=work(cls=Stumbles))
    assert run.result.done and run.result.failures == 3 and run.result.leases == 6
    assert len(run.notes) == 3 and "ValueError" in run.notes[0]
    assert run.left == ()


def test_failures_without_progress_end_the_job(tmp_path):
    run = Run(tmp_path, market(CALM), work_=work(cls=StumblesForEver))
    assert isinstance(run.problem, Permanent)
    assert f"{controller.PATIENCE} leases failed" in str(run.problem) and "ValueError" in str(run.problem)
    assert run.left == () and run.invoice.total > 0


class Breaks(ModelledWork):
    def join(self, lease):
        super().join(lease)
        self._told.append(Broken("labels of another kind"))
        self._wake()


def test_work_that_is_broken_ends_the_job(tmp_path):
    run = Run(tmp_path, market(CALM), work_=work(cls=Breaks))
    assert isinstance(run.problem, Permanent) and "labels of another kind" in str(run.problem)
    assert run.left == ()


class Busy(SimulatedProvider):
    """Refuses the first few bids for a moment."""

    refusals = 3

    async def take(self, bid):
        if self.refusals:
            self.refusals -= 1
            raise Temporary("request limit exceeded", delay=7.0)
        return await super().take(bid)


def test_a_refusal_for_the_moment_is_tried_again(tmp_path):
    run = Run(tmp_path, market(CALM), provider=Busy(market(CALM)))
    assert run.result.done
    assert [outcome.problem for outcome in run.entries[0].outcomes] == ["request limit exceeded"] * 2
    assert run.entries[1].moment == START + 7


def test_checkpoint_restart_pays_for_what_it_loses(tmp_path):
    policy = CheckpointRestart(checkpoint=60.0, mttf=4 * HOUR)

    def rigid():
        return work(mode="checkpoints", workers=2, snapshot_every=policy.interval, snapshot_seconds=60.0)

    calm = Run(tmp_path, market(CALM), policy=policy, work_=rigid(), goal_=goal(servers=0))
    spike = Run(tmp_path, market(SPIKE), policy=policy, work_=rigid(), goal_=goal(servers=0))
    elastic = Run(tmp_path, market(SPIKE))
    assert calm.result.done and spike.result.done
    assert spike.work.redone > 0 == calm.work.redone
    assert calm.result.seconds > 5 * HOUR + 300  # the checkpoints
    assert spike.result.seconds > elastic.result.seconds


def test_on_demand_is_never_revoked(tmp_path):
    run = Run(tmp_path, market(SPIKE), policy=OnDemand())
    assert run.result.done and run.result.revocations == 0 and run.result.leases == 3
    assert run.result.cost >= run.result.on_demand_cost


class Silent(CheapestSpot):
    name = "silent"

    def decide(self, view, memory):
        return Decision((), "Nothing.", view.market.now + 600), memory


def test_samples_are_taken_between_decisions(tmp_path):
    # A policy that rents nothing would wait for ever: a stop ends it.
    async def main(journal, provider):
        stop = asyncio.Event()
        asyncio.get_running_loop().call_later(HOUR - 1, stop.set)
        return await controller.run(goal(), Silent(), provider, work(), journal, stop=stop, sample_every=60.0)

    with Journal(tmp_path / "j", header_for(Silent(), TrainingView), commit_every=50) as journal:
        result = clock.simulate(main(journal, SimulatedProvider(market(CALM))), start=START)
    assert result.paused and result.cost == 0 and result.units == 0
    with Journal.read(tmp_path / "j") as reading:
        assert len(reading.samples()) >= 60
        assert [entry.moment - START for entry in reading.entries()] == [600.0 * at for at in range(6)]
