"""What a run would take and cost, from a few batches measured on this machine and the prices seen so far."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
from msgspec import Struct

from tradewind import clock
from tradewind.algorithms.batch import Batch
from tradewind.algorithms.interface import Algorithm
from tradewind.control.policy import AnyPolicy
from tradewind.data.interface import DataSet, Part
from tradewind.data.stored import StoredData
from tradewind.data.streamed import StreamedData
from tradewind.errors import NoCapacity
from tradewind.estimates.run_time import (
    Interval,
    cost,
    price_range,
    run_time,
    seconds_per_row,
    synchronous_efficiency,
)
from tradewind.market.offers import Offer, Terms
from tradewind.market.recorded import RecordedMarket
from tradewind.session.past_runs import past_runs
from tradewind.session.spec import TrainSpec
from tradewind.state.server import Server, serve
from tradewind.state.transport.zeromq import ZeroMQChannel, ZeroMQListener
from tradewind.training.elastic.bidding.candidates import Candidate, candidates, fits, spread
from tradewind.training.elastic.bidding.checkpoint_restart import CheckpointRestart
from tradewind.training.job import Job
from tradewind.training.state_host import fresh_state
from tradewind.training.view import Goal, Progress
from tradewind.training.worker import Leaving, learn, part_of

MEASURED = 0.5
"""Seconds of the wall's time that batches are measured for."""
WARM_UP = 3
"""Batches that are not counted: compilation, and first touches of memory."""
LOOKBACK = 7 * 86_400.0
"""Seconds of price history that the interval of a cost is drawn from."""


class Estimate(Struct, frozen=True, kw_only=True):
    """What a run would take and cost; bounds that hold nine times in ten.

    Where the recorded past is long enough, revocations and waiting are reckoned with; otherwise only if
    nothing is revoked.
    """

    seconds: Interval
    """Of the market's time, from the first bid to the model."""
    cost: Interval
    """US dollars where the policy would begin."""
    on_demand_cost: Interval
    """US dollars with as many workers on demand."""
    rows_per_second: Interval
    """That one core of this machine reads."""
    plan: str
    """Where the workers would begin, in words."""
    past_runs: int = 0
    """How many simulated runs of the recorded past time and cost are drawn from; 0 where it is too short."""
    revocations: float = 0.0
    """That those had, on average."""
    machines: dict[str, int] = {}
    """How many instances of which type it would begin with."""
    by_earlier_runs: bool = False
    """Whether time and cost go by what earlier runs of the same took."""
    feasible: float | None = None
    """The probability that it ends whole, by earlier runs of the same; None where none of them ended. Where
    it is low, `plan` says so."""


class Speed(Struct, frozen=True):
    """How fast an instance is, for a provider that lends shares of this machine or only books instances."""

    row_seconds: Interval
    """Seconds of the wall's time that a row takes on one core of this machine."""
    cores: dict[str, float] = {}
    """Cores of this machine that an instance of a type is; unnamed types are one, if `speed` is set."""
    speed: float | None = None
    """Market seconds in a wall's second; None where each vCPU counts as a core and time is not compressed."""

    def of(self, offer: Offer) -> float:
        """How many times as fast as one core an instance is, in the market's time."""
        if self.speed is None:
            return offer.type.resources.vcpus
        return self.cores.get(offer.type.name, 1.0) / self.speed

    def rate(self, offer: Offer) -> float:
        """Rows a vCPU-second of the market's time."""
        return self.of(offer) / offer.type.resources.vcpus / self.row_seconds.expected


class _Timed:
    """A part that notes how long each of its batches took, and ends after a while."""

    def __init__(self, part: Part, limit: float) -> None:
        self._part, self._limit = part, limit
        self.length = part.length
        self.seconds: list[float] = []
        self.rows: list[int] = []

    def batches(self, start: int = 0) -> Iterator[Batch]:
        total = clock.stopwatch()
        lap = clock.stopwatch()
        for number, batch in enumerate(self._part.batches(start)):
            rows = len(batch)
            lap = clock.stopwatch()
            yield batch
            if number >= WARM_UP:
                self.seconds.append(lap())
                self.rows.append(rows)
            if total() > self._limit and len(self.seconds) >= 2:
                raise Leaving

    def rows_before(self, index: int) -> int:
        return self._part.rows_before(index)


def measure(job: Job, algorithm: Algorithm, data: DataSet, workers: int) -> Interval:
    """Seconds that a row takes on one core, measured over real batches with the state in another thread.

    Bulk-synchronous, the rounds of `workers` instances wait for the slowest; the lower bound is that they do
    not. The state that this learns is thrown away. Small data is read again until there is enough to measure.
    """
    alone = msgspec.structs.replace(job, parts=1, epochs=job.epochs + WARM_UP + 10)
    timed = _Timed(part_of(alone, data, 0), MEASURED)
    with TemporaryDirectory(prefix="tw-") as folder:
        listener = ZeroMQListener(f"ipc://{Path(folder, 'measure')}")
        over = threading.Event()
        server = Server(fresh_state(alone, algorithm, data))
        thread = threading.Thread(target=serve, args=(server, listener), kwargs={"stop": over.is_set})
        thread.start()
        try:
            learn(algorithm, timed, 0, ZeroMQChannel(listener.address))
        finally:
            over.set()
            thread.join()
            listener.close()
    alone_seconds = seconds_per_row(timed.seconds, timed.rows)
    if job.consistency != "bulk_synchronous" or workers < 2:
        return alone_seconds
    efficiency = synchronous_efficiency(timed.seconds, workers, -(-job.parts // workers))
    return Interval(alone_seconds.low, alone_seconds.expected / efficiency, alone_seconds.high / efficiency)


def estimate_of(
    market: RecordedMarket,
    goal: Goal,
    now: float,
    speed: Speed,
    rows: float,
    *,
    revocable: bool,
    servers: bool,
) -> Estimate:
    """The estimate at a moment of the market, which sees nothing after it.

    `revocable` says whether the policy would rent spot, `servers` whether the state has a lease of its own.
    NoCapacity where nothing fits.
    """
    offers = market.offers(now)
    steady = candidates(offers, goal, Terms.ON_DEMAND)
    spot = candidates(offers, goal, Terms.SPOT) if revocable else []
    cheap = [each for each in spot if not steady or each.unit < steady[0].unit]
    chosen = spread([*cheap, *steady], goal.workers.count, goal.vcpus)
    host = min(
        (each.price.per_hour for each in offers if not each.terms.revocable and fits(each, goal.state)),
        default=None,
    )
    if not chosen or (servers and host is None):
        raise NoCapacity(
            f"nothing on offer at {clock.iso(now)} fits the {'workers' if not chosen else 'state'}: "
            "ask for less, or begin at another moment"
        )
    state = host if servers and host is not None else 0.0
    seconds = _seconds(chosen, speed, rows)
    told = Estimate(
        seconds=seconds,
        cost=cost(seconds, _hourly(chosen, market, now, state)),
        on_demand_cost=Interval(0.0, 0.0, 0.0),
        rows_per_second=Interval(
            1 / speed.row_seconds.high, 1 / speed.row_seconds.expected, 1 / speed.row_seconds.low
        ),
        plan=" and ".join(
            f"{count} x {each.offer.pool} {each.offer.terms.replace('_', ' ')}"
            f" at {each.offer.price.per_hour:.4f} USD an hour"
            for each, count in chosen
        ),
        machines=_by_type(chosen),
    )
    reliable = spread(steady, goal.workers.count, goal.vcpus)
    if not reliable:
        return told
    dear = cost(_seconds(reliable, speed, rows), _hourly(reliable, market, now, state))
    return msgspec.structs.replace(told, on_demand_cost=dear)


def rows_of(job: Job, train: StoredData | StreamedData) -> float:
    """The rows that a job reads over all its epochs."""
    assert train.rows is not None  # only stored data is learned from on leases
    return float(train.rows * job.epochs)


def speed_of(spec: TrainSpec, row_seconds: Interval) -> Speed:
    """How fast the instances of a spec's provider are."""
    if spec.provider.kind == "simulated":
        return Speed(row_seconds)
    return Speed(row_seconds, spec.provider.cpu_shares, spec.provider.speed)


def usual_rate(speed: Speed, market: RecordedMarket, goal: Goal, now: float) -> float:
    """Rows a vCPU-second of the market's time, of the middle one of the offers that fit; 0 if none does."""
    rates = sorted(speed.rate(offer) for offer in market.offers(now) if fits(offer, goal.workers))
    return rates[len(rates) // 2] if rates else 0.0


def estimated(
    spec: TrainSpec,
    policy: AnyPolicy,
    market: RecordedMarket,
    goal: Goal,
    now: float,
    speed: Speed,
    progress: Progress,
) -> Estimate:
    """The estimate of a spec at a moment of its market, from where `progress` stands."""
    plain = estimate_of(
        market,
        goal,
        now,
        speed,
        max(0.0, progress.total - progress.done),
        revocable=spec.policy.name != "on_demand",
        servers=spec.policy.name != CheckpointRestart.name,
    )
    if spec.provider.kind == "ray":
        return plain  # one's own nodes: there is no market whose past would say anything
    allowed = 0.0 if goal.deadline is None else goal.deadline - now
    span = max(2 * plain.seconds.high, 1.1 * allowed)
    past = past_runs(spec, policy, market, goal, now, progress, span)
    if past is None:
        return plain
    # How fast this machine is remains as unsure as it was measured.
    row = speed.row_seconds
    slack = Interval(row.low / row.expected, 1.0, row.high / row.expected)
    return msgspec.structs.replace(
        plain,
        seconds=past.seconds.times(slack),
        cost=past.cost.times(slack),
        past_runs=past.runs,
        revocations=past.revocations,
    )


def _seconds(chosen: list[tuple[Candidate, int]], speed: Speed, rows: float) -> Interval:
    together = sum(speed.of(each.offer) * count for each, count in chosen)
    wait = max(each.offer.wait for each, _ in chosen)
    # An instance is seldom sooner there than is said, and may take twice as long on a busy machine.
    return run_time(rows, speed.row_seconds, together) + Interval(0.8 * wait, wait, 2 * wait)


def _by_type(chosen: list[tuple[Candidate, int]]) -> dict[str, int]:
    found: dict[str, int] = {}
    for each, count in chosen:
        found[each.offer.type.name] = found.get(each.offer.type.name, 0) + count
    return found


def _hourly(
    chosen: list[tuple[Candidate, int]], market: RecordedMarket, now: float, state: float
) -> Interval:
    total = Interval(state, state, state)
    for each, count in chosen:
        price = each.offer.price.per_hour
        seen = [price]
        if each.offer.terms is Terms.SPOT:
            history = market.history.price(each.offer.pool)
            seen = [*history.window(max(now - LOOKBACK, history.start), now).prices, price]
        total = total + price_range(seen).scaled(count)
    return total
