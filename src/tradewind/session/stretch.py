"""One stretch of a run, from its start or its resumption to its end or its pause."""

from __future__ import annotations

import asyncio
import contextlib
import math
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import msgspec
from msgspec import Struct

from tradewind import __version__, clock
from tradewind.algorithms.interface import Algorithm, Model
from tradewind.control.advising import Advised
from tradewind.control.journal import Journal
from tradewind.control.records import Sample, header_for
from tradewind.data.model_files.layout import newest_snapshot, write_model_file, write_snapshot
from tradewind.data.prediction_log import RUN_TIME, PredictionLog
from tradewind.data.runs import DONE, FAILED, PAUSED, Run, RunIndex
from tradewind.data.streamed import StreamedData
from tradewind.errors import Misuse, TradewindError, Unaffordable
from tradewind.market.views import View
from tradewind.session.assembly import (
    Material,
    backup_of,
    forecaster_of,
    goal_of,
    job_of,
    material_of,
    modelled_work,
    policy_of,
    stages_of,
)
from tradewind.session.estimation import Estimate, estimated, measure, rows_of, speed_of, usual_rate
from tradewind.session.known_feasibilities import advised, keep_end, weighed
from tradewind.session.known_run_times import INDEX, details_of, workload_of
from tradewind.session.model_cards import card_of, write_card
from tradewind.session.model_folders import MODEL
from tradewind.session.places import Places, market_for, warm_for
from tradewind.session.report.data import EstimateRow, Source
from tradewind.session.report.page import write_page
from tradewind.session.report.reading import JOURNAL, RunResult, Told, report_data
from tradewind.session.spec import TrainSpec, digest
from tradewind.state.client import StateClient
from tradewind.state.engine import Engine
from tradewind.state.server import Server
from tradewind.state.snapshot import Snapshot, snapshot_of
from tradewind.state.transport.inprocess import InProcess
from tradewind.training.elastic import controller
from tradewind.training.elastic.bidding.checkpoint_restart import CheckpointRestart
from tradewind.training.elastic.feasibility import require_feasible
from tradewind.training.elastic.modelled_work import MODEL as MODELLED
from tradewind.training.elastic.process_work import ProcessWork
from tradewind.training.elastic.served_state import ServedState
from tradewind.training.elastic.work import Work
from tradewind.training.in_process import learn_here
from tradewind.training.state_host import check_continues, check_same_data, fresh_state
from tradewind.training.view import Progress, TrainingView
from tradewind.training.worker import part_of

SNAPSHOTS, REPORT, DATA = "snapshots", "report.html", "data.safetensors"
"""What a run's folder holds, beside its journal."""
STEPS = "preparation"
"""The fitted steps that rows go through: a folder of a run, and again of its model for whoever serves it."""
SAMPLE_EVERY = 1.0
"""Seconds of the wall's time between two samples of a run that is not simulated."""
SOURCES = {
    "demo": (
        Source("spot prices, us-east-1, 2020", "stanford-futuredata/training_on_a_dime", "MIT"),
        Source("lives of 177 EC2 p3 spot instances", "uclasystem/bamboo", "MIT"),
    ),
    "aws-2020": (Source("spot prices, 2019-12 to 2020-03", "stanford-futuredata/training_on_a_dime", "MIT"),),
}


class Observer(Protocol):
    """Watches a run as it goes."""

    def update(self, sample: Sample) -> None:
        """The run is at `sample`."""
        ...


class Trained(Struct, frozen=True, kw_only=True):
    """What a run came to."""

    directory: str
    outcome: str
    """`done` or `paused`."""
    cost: float
    """US dollars, this time and before."""
    cost_on_demand: float
    seconds: float
    """Of the market's time."""
    revocations: int
    estimate: Estimate | None
    quality: float | None = None
    metric: str = ""
    model: Any = None
    """The `Model`; None where nothing was learned: a pause, or a simulation."""
    preparation: Any = None
    """The `Preparation` that rows go through before they are given to the model; None where there is none."""

    def report(self, path: str | Path) -> None:
        """Write the run's report, one HTML file."""
        write_page(report_data(Path(self.directory)), Path(path))


class Stretch:
    """One stretch of a run.

    `record` is its line in the record of runs, `base` the snapshots of an earlier run to learn on from, `at`
    the market's moment at which it was left and `done` the rows read by then, `stream` data that passes once.
    """

    def __init__(
        self,
        spec: TrainSpec,
        directory: Path,
        index: RunIndex,
        console: Observer | None,
        *,
        record: Run | None = None,
        base: Path | None = None,
        at: float | None = None,
        done: float = 0.0,
        stream: StreamedData | None = None,
    ) -> None:
        self.spec, self.directory, self.index, self.console = spec, directory, index, console
        self.record = record
        self.base, self.at, self.done, self.stream = base, at, done, stream
        self.log = PredictionLog(index.root / INDEX)
        self.prediction: int | None = None
        self.advised: Advised | None = None
        self.elapsed = clock.stopwatch()
        self.material: Material | None = None
        self.estimate: Estimate | None = None

    def check(self) -> None:
        """Open and check everything that can be wrong; raises before anything is rented."""
        if self.material is not None:
            return
        spec = self.spec
        self.policy = policy_of(spec)
        steps = self.directory / STEPS
        base = None if self.base is None else self.base.parent / STEPS
        known = next((each for each in (steps, base) if each is not None and each.is_dir()), None)
        self.material = material_of(spec, self.directory / "cache", self.stream, known)
        if self.material.preparation is not None and known != steps:
            self.material.preparation.save(steps)  # once, for every process and every stretch of the run
        self.job = job_of(spec, None if self.material.preparation is None else steps)
        self._check_state()
        self.backup = backup_of(spec.state, self.directory)
        if spec.runtime == "inline":
            return
        self.market, begun = market_for(spec.provider, spec.runtime)
        warm = warm_for(spec.learner.kind)
        self.places = Places(spec.provider, spec.runtime, warm, self.market, self.directory.absolute())
        self.start = begun if self.at is None else self.at
        if self.start >= self.market.history.end:
            raise Misuse("the recorded market ends before that", field="provider.start", fix="Begin earlier.")
        goal = goal_of(spec, begun)
        spent = (self.record.cost or 0.0) if self.record is not None else 0.0
        if goal.budget is not None and spent:
            if spent >= goal.budget:
                raise Unaffordable(
                    f"{spent:.2f} USD are spent of a budget of {goal.budget:.2f}: raise the budget"
                )
            goal = msgspec.structs.replace(goal, budget=goal.budget - spent)
        if self.places.real and self.policy.name == CheckpointRestart.name:
            raise Misuse(
                "checkpoint_restart is a baseline without servers, which is simulated only",
                field="policy",
                fix='Set provider = "simulated", or choose cheapest_spot or on_demand.',
            )
        self.spent, self.goal = spent, goal
        row_seconds = measure(self.job, self.material.algorithm, self.material.train, spec.workers.count)
        self.speed = speed_of(spec, row_seconds)
        rows = rows_of(self.job, self.material.train)
        offers = self.market.offers(self.start)
        rate = usual_rate(self.speed, self.market, goal, self.start)
        self.progress = Progress(self.done, rows, self.done, rate, self.market.boot)
        require_feasible(TrainingView(View(self.start, offers, ()), self.progress, goal))
        told = estimated(spec, self.policy, self.market, goal, self.start, self.speed, self.progress)
        if self.places.real:
            about = workload_of(spec, self.material.train)
            self.advised = advised(self.log, self.market.catalog.types, about)
            told = weighed(told, self.advised, rows - self.done)
        self.estimate = told

    def _check_state(self) -> None:
        """What is learned on from must fit the data; a fresh state must be possible at all."""
        assert self.material is not None
        train = self.material.train
        config = {"features": train.schema.features, "learner": msgspec.to_builtins(self.job.learner)}
        for folder in (self.directory / SNAPSHOTS, self.base):
            found = None if folder is None else newest_snapshot(folder)
            if found is not None:
                snapshot = snapshot_of(*found[1:])
                check_continues(snapshot, config, train.name)
                if folder == self.directory / SNAPSHOTS:
                    check_same_data(snapshot, train)
                self.stages = stages_of(self.spec.state, snapshot, resumed=folder != self.base)
                return
        fresh = fresh_state(self.job, self.material.algorithm, train)
        self.stages = stages_of(self.spec.state, fresh.snapshot())

    def run(self) -> Trained:
        """Do it; the record of runs tells how it ended, whatever happens."""
        assert self.record is not None
        try:
            self.check()
            trained = self._run_here() if self.spec.runtime == "inline" else self._run_on_leases()
        except BaseException as problem:
            known = isinstance(problem, TradewindError | KeyboardInterrupt)
            reason = str(problem) if known else f"{type(problem).__name__}: {problem}"
            with contextlib.suppress(TradewindError):
                self._keep_end(reason)
                self.index.update(self.record.id, state=FAILED, reason=reason)
            raise
        return trained

    def _keep_end(self, failed: str) -> None:
        if self.prediction is not None and self.estimate is not None and self.advised is not None:
            keep_end(self.advised, self.estimate, self.progress.total - self.done, failed)

    # in this process

    def _run_here(self) -> Trained:
        assert self.material is not None
        algorithm, data = self.material.algorithm, self.material.train
        earlier = newest_snapshot(self.directory / SNAPSHOTS)
        base = None if self.base is None else newest_snapshot(self.base)
        if earlier is not None:
            engine = Engine.restore(snapshot_of(*earlier[1:]))
        else:
            engine = fresh_state(self.job, algorithm, data, None if base is None else snapshot_of(*base[1:]))
        stop = threading.Event()
        with heeding_interrupts(stop.set):
            learn_here(self.job, algorithm, data, engine, stop.is_set)
        self._keep(engine.snapshot())
        seconds = self.elapsed()
        state = DONE if engine.finished else PAUSED
        model, quality, metric = self._finish(engine.snapshot()) if engine.finished else (None, None, "")
        assert self.record is not None
        told: dict[str, Any] = {} if quality is None else {"quality": quality, "metric": metric}
        self.index.update(self.record.id, state=state, cost=0.0, seconds=seconds, **told)
        self._write_card(model, quality, metric, seconds=seconds)
        return Trained(
            directory=str(self.directory),
            outcome=state,
            cost=0.0,
            cost_on_demand=0.0,
            seconds=seconds,
            revocations=0,
            estimate=None,
            quality=quality,
            metric=metric,
            model=model,
            preparation=self.material.preparation,
        )

    def _keep(self, snapshot: Snapshot) -> None:
        write_snapshot(self.directory / SNAPSHOTS, sum(snapshot.positions()), *snapshot.plain())

    # on leases

    def _run_on_leases(self) -> Trained:
        assert self.record is not None and self.estimate is not None
        spec, told = self.spec, self._told()
        real = self.places.real
        header = header_for(
            self.policy,
            TrainingView,
            version=__version__,
            spec=digest(spec),
            seed=spec.seed,
            history=spec.provider.history,
            start=self.start,
            world="" if real else MODELLED,
            details=msgspec.to_builtins(told),
        )
        self.index.update(
            self.record.id,
            estimate_cost=self.estimate.cost.expected,
            estimate_seconds=self.estimate.seconds.expected,
        )
        if real:
            assert self.advised is not None
            about = details_of(self.estimate, self.progress.total - self.done)
            self.prediction = self.log.predict(RUN_TIME, self.advised.workload, self.estimate.seconds, about)
        with (
            tempfile.TemporaryDirectory(prefix="tw-") as sockets,
            Journal(self.directory / JOURNAL, header, commit_every=1 if real else 256) as journal,
        ):
            try:
                if real:
                    main = self._drive(Path(sockets), journal)
                    result = clock.run(main, start=self.start, speed=spec.provider.speed)
                else:
                    result = clock.simulate(self._drive(Path(sockets), journal), start=self.start)
            except Exception as problem:
                journal.record_result("report", RunResult(outcome=FAILED, reason=str(problem)))
                raise
            trained = self._told_end(result, journal, real)
        page = report_data(self.directory)
        write_page(page, self.directory / REPORT)
        self._write_card(
            trained.model, trained.quality, trained.metric, cost=trained.cost,
            cost_on_demand=page.cost_on_demand, seconds=trained.seconds, revocations=page.revocations,
            real=page.real, simulated=page.simulated, sources=page.sources,
        )  # fmt: skip
        return trained

    async def _drive(self, sockets: Path, journal: Journal) -> controller.Result:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        real = self.places.real
        with (
            heeding_interrupts(lambda: loop.call_soon_threadsafe(stop.set))
            if real
            else contextlib.nullcontext()
        ):
            return await controller.run(
                self.goal,
                self.policy,
                self.places.provider(),
                self._work(sockets),
                journal,
                stop=stop,
                observer=None if self.console is None else self.console.update,
                sample_every=SAMPLE_EVERY * clock.speed() if real else None,
                forecaster=forecaster_of(self.spec, self.policy, self.market, math.inf),
            )

    def _work(self, sockets: Path) -> Work:
        assert self.material is not None
        job, train = self.job, self.material.train
        if not self.places.real:
            return modelled_work(self.spec, self.policy, self.progress)
        parts = [part_of(job, train, each) for each in range(job.parts)]
        snapshots = self.directory.absolute() / SNAPSHOTS
        address = self.places.address(sockets)

        def rows_done(clocks: tuple[int, ...]) -> float:
            return float(sum(part.rows_before(done) for part, done in zip(parts, clocks, strict=True)))

        runtime = self.places.runtime()
        return ProcessWork(
            job,
            runtime,
            ServedState(address, snapshots, self.backup),
            address=address,
            arguments={
                "cache": str(self.directory.absolute() / "cache"),
                "snapshots": str(snapshots),
                "backup": self.backup,
                "base": None if self.base is None else str(self.base.absolute()),
            },
            total=self.progress.total,
            rows_done=rows_done,
            speeds=self.places.speed_of,
            rate=self.progress.rate,
            startup=self.progress.startup,
            snapshot_every=self.spec.snapshot_every,
            stages=self.stages,
            answers=runtime.status,
        )

    # what is told

    def _told(self) -> Told:
        spec = self.spec
        real, simulated = self.places.told(self.start)
        return Told(
            title=spec.name,
            facts=(("learner", spec.learner.kind), ("data", spec.data.path)),
            real=real,
            simulated=simulated,
            sources=SOURCES.get(spec.provider.history, ()),
        )

    def _told_end(self, result: controller.Result, journal: Journal, real: bool) -> Trained:
        assert self.record is not None and self.estimate is not None and self.material is not None
        model: Model | None = None
        quality, metric = None, ""
        if result.done and real:
            found = newest_snapshot(self.directory / SNAPSHOTS)
            assert found is not None
            model, quality, metric = self._finish(snapshot_of(*found[1:]))
        cost, seconds = self.spent + result.cost, result.seconds + (self.record.seconds or 0.0)
        on_demand = result.on_demand_cost
        estimates = [
            _row("time", "seconds", self.estimate.seconds, result.seconds if result.done else None),
            _row("cost", "dollars", self.estimate.cost, result.cost if result.done else None),
        ]
        state = DONE if result.done else PAUSED
        journal.record_result(
            "report",
            RunResult(
                outcome=state,
                reason=result.reason,
                wall_seconds=self.elapsed(),
                quality=quality,
                quality_name=metric,
                cost_on_demand=on_demand,
                estimates=tuple(estimates),
            ),
        )
        if self.prediction is not None and result.done:
            self.log.came(self.prediction, result.seconds)
            self._keep_end("")
        told: dict[str, Any] = {} if quality is None else {"quality": quality, "metric": metric}
        self.index.update(
            self.record.id,
            state=state,
            reason=result.reason,
            cost=cost,
            cost_on_demand=on_demand,
            seconds=seconds,
            **told,
        )
        return Trained(
            directory=str(self.directory),
            outcome=state,
            cost=cost,
            cost_on_demand=on_demand,
            seconds=seconds,
            revocations=result.revocations,
            estimate=self.estimate,
            quality=quality,
            metric=metric,
            model=model,
            preparation=self.material.preparation,
        )

    def _finish(self, snapshot: Snapshot) -> tuple[Model, float | None, str]:
        """The model of a finished state, kept in the run's folder and scored on the test rows."""
        assert self.material is not None
        config: dict[str, Any] = {}
        if self.material.validation is not None:
            config["validation"] = self.material.validation
        model = model_of(self.material.algorithm, snapshot, **config)
        write_model_file(self.directory / MODEL, model.arrays(), model.header())
        if self.material.preparation is not None:
            self.material.preparation.save(self.directory / MODEL / STEPS)
        if self.material.test is None:
            return model, None, ""
        return model, float(model.score(self.material.test, model.metric)), model.metric

    def _write_card(self, model: Model | None, quality: float | None, metric: str, **came_to: Any) -> None:
        """Keep the card of a finished run's model beside it."""
        if model is None:
            return
        assert self.material is not None and self.record is not None
        card = card_of(
            spec=self.spec, run=self.index.get(self.record.id), algorithm=self.material.algorithm,
            model=model, directory=self.directory / MODEL, train=self.material.train,
            test=self.material.held, metrics={} if quality is None else {metric: quality}, **came_to,
        )  # fmt: skip
        write_card(self.directory / MODEL, card)


def model_of(algorithm: Algorithm, snapshot: Snapshot, **config: Any) -> Model:
    """The model that `algorithm` makes of a state at rest."""
    reader = StateClient([InProcess(Server(Engine.restore(snapshot))).channel()])
    return algorithm.finalize(reader, **config)


def _row(what: str, unit: str, interval: Any, actual: float | None) -> EstimateRow:
    return EstimateRow(what, unit, interval.low, interval.expected, interval.high, actual)


@contextlib.contextmanager
def heeding_interrupts(stop: Callable[[], object]) -> Iterator[None]:
    """Ctrl-C and SIGTERM ask to stop, once; a second one interrupts as ever."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ask(number: int, frame: Any) -> None:
        signal.signal(number, before[signal.Signals(number)])
        stop()

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, ask)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
