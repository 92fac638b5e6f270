"""Studies on markets made of a few lines, in virtual time."""

import asyncio

import numpy as np

from tradewind import clock
from tradewind.control.journal import Journal
from tradewind.control.records import header_for
from tradewind.market.catalog import Catalog, ListPrice
from tradewind.market.demands import Demand
from tradewind.market.histories import CapacityHistory, MarketHistory, PriceHistory
from tradewind.market.instances import InstanceType, Pool
from tradewind.market.news import Ended, Warned
from tradewind.market.recorded import RecordedMarket
from tradewind.market.resources import Resources
from tradewind.providers.simulated import SimulatedProvider
from tradewind.tuning.machines import controller
from tradewind.tuning.machines.cheapest_step import CheapestStep
from tradewind.tuning.machines.interface import TuningView
from tradewind.tuning.machines.modelled_trials import ModelledTrials
from tradewind.tuning.study import Study

START = clock.moment("2020-01-01T00:00:00Z")
DAY = 86_400.0
SMALL, BIG = Pool("t9.small", "xx-north-1a"), Pool("t9.big", "xx-north-1a")
OTHER = Pool("t9.small", "xx-north-1b")
"""One vCPU for 0.10 an hour on demand, and eight for 0.80."""
SPACE = {"x": {"low": -1.0, "high": 1.0}}
CATALOG = Catalog(
    "made up",
    [
        ListPrice(InstanceType(name, Resources(vcpus=vcpus)), "xx-north-1", price, "2020-01-01", "made up")
        for name, vcpus, price in (("t9.small", 1, 0.1), ("t9.big", 8, 0.8))
    ],
)


def market(prices=None, lives=None, notice=120.0, boot=60.0, on_demand=(), days=2):
    """A market with price changes (second, US dollars an hour) and lives of slots (start, end) by pool."""
    prices = prices or {SMALL: [(0, 0.03)]}
    end = START + days * DAY
    histories = {
        pool: PriceHistory(pool, [START + at for at, _ in steps], [price for _, price in steps], end=end)
        for pool, steps in prices.items()
    }
    capacities = {
        pool: CapacityHistory.from_lifetimes(
            pool,
            [(str(at), START + begin, START + stop) for at, (begin, stop) in enumerate(slots)],
            start=START,
            end=end,
        )
        for pool, slots in (lives or {}).items()
    }
    history = MarketHistory("made up", histories, capacities, notice=notice)
    return RecordedMarket(history, CATALOG, boot=boot, on_demand=on_demand)


def curve_of(steps):
    """A falling curve that ends the lower the nearer x is to 0."""
    return lambda setting: [setting["x"] ** 2 + 1 / step for step in range(1, steps + 1)]


def on_vcpus(seconds):
    """Steps that take so long on one vCPU."""
    vcpus = {each.name: each.resources.vcpus for each in CATALOG.types}
    return lambda setting, kind: seconds / vcpus[kind]


class Run:
    """A study on a simulated market, run to its end, with what is left of it."""

    def __init__(
        self, market, study=None, *, policy=None, steps=20, seconds=60.0, count=2, trials=3, path=None,
        budget=None, deadline=None, provider=None, work=ModelledTrials, resources=None, meanwhile=None,
        stop=None, forecaster=None, advised=None, **options,
    ):  # fmt: skip
        self.study = study or Study(SPACE, trials=trials)
        self.policy = policy or CheapestStep()
        self.provider = provider or SimulatedProvider(market)
        self.work = work(self.study, curve_of(steps), on_vcpus(seconds), **options)
        self.goal = controller.Goal(
            demand=Demand(resources=resources or Resources(vcpus=1), count=count),
            budget=budget,
            deadline=deadline,
        )
        self._result = self.problem = None
        self.news, self.samples, self.views = [], [], []
        self._given = {
            "steps": steps,
            "forecaster": forecaster,
            "observer": self.samples.append,
            "advised": advised,
        }
        self._journal, self._meanwhile, self._stops = None, meanwhile, stop
        if path is None:
            self._simulate()
            return
        with Journal(path, header_for(self.policy, TuningView), commit_every=100) as self._journal:
            self._simulate()
            self.digest = self._journal.digest

    def _simulate(self):
        try:
            self._result = clock.simulate(self._main(), start=START)
        except Exception as problem:
            self.problem = problem

    async def _main(self):
        stop = asyncio.Event() if self._stops is not None else None
        beside = []
        if self._stops is not None:
            beside.append(asyncio.create_task(_later(self._stops, stop.set)))
        if self._meanwhile is not None:
            beside.append(asyncio.create_task(self._meanwhile(self)))
        try:
            return await controller.run(
                self.study, self.goal, self.policy, self.provider, self.work, self, stop=stop, **self._given
            )
        finally:
            for each in beside:
                each.cancel()
            self.left = await self.provider.leases()
            self.invoice = await self.provider.invoice()
            self.ended = clock.now()

    # a record that keeps what tests ask for, and hands all to the journal

    def record(self, view, memory, decision, recalled):
        self.views.append((view, decision))
        if self._journal is not None:
            self._journal.record(view, memory, decision, recalled)

    def record_news(self, moment, news):
        self.news.append((moment, news))
        if self._journal is not None:
            self._journal.record_news(moment, news)

    def __getattr__(self, name):
        if name not in ("record_outcomes", "record_sample", "record_invoice", "record_result", "note"):
            raise AttributeError(name)
        return (lambda *_: None) if self._journal is None else getattr(self._journal, name)

    @property
    def result(self):
        """What it came to; where it came to nothing, the problem is raised."""
        if self._result is None and self.problem is not None:
            raise self.problem
        return self._result

    @property
    def warned(self):
        return [news.revocation for _, news in self.news if isinstance(news, Warned)]

    @property
    def endings(self):
        return [str(news.ending) for _, news in self.news if isinstance(news, Ended)]

    def of(self, kind):
        """The events of a kind in the study's history."""
        return [event for event in self.study.store.history(self.study.name) if event.kind == kind]

    def whole(self, steps=20):
        """Whether every trial is completed with its whole curve, each value as it is without revocations."""
        curve = curve_of(steps)
        return all(
            each.state == "completed"
            and each.steps == tuple(range(1, steps + 1))
            and np.array_equal(each.values, curve(each.setting))
            and each.final == curve(each.setting)[-1]
            for each in self.study.trials
        )


async def _later(moment, call):
    await clock.sleep_until(START + moment)
    call()
