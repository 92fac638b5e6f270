"""`tune`: a whole study, from a spec or a call to the best setting, a store, a journal and a report."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import inspect
import json
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, cast

from msgspec import Struct

from tradewind import __version__, clock
from tradewind.algorithms.interface import Algorithm
from tradewind.control.journal import Journal
from tradewind.control.policy import AnyPolicy
from tradewind.control.records import header_for
from tradewind.data.prediction_log import PredictionLog
from tradewind.data.trial_records import COMPLETED, FAILED, STOPPED, StoredTrial
from tradewind.data.trial_store import TrialStore
from tradewind.errors import Misuse, suggestion
from tradewind.estimates.revocation.forecasters import forecaster
from tradewind.market.recorded import RecordedMarket
from tradewind.session import learner_objective
from tradewind.session.assembly import demand_of
from tradewind.session.known_feasibilities import advised
from tradewind.session.known_run_times import INDEX
from tradewind.session.learner_space import field_of
from tradewind.session.places import Places, market_for, warm_for
from tradewind.session.report.reading import JOURNAL
from tradewind.session.report.study.page import write_study_page
from tradewind.session.report.study.reading import study_data
from tradewind.session.spec import ProviderSpec
from tradewind.session.stretch import Observer, heeding_interrupts
from tradewind.session.train import of_data, without_none
from tradewind.session.tune_spec import (
    RuleSpec,
    TuneSpec,
    learner_arguments,
    make_tune_spec,
)
from tradewind.training.job import learner_of
from tradewind.tuning.attempt import Attempt
from tradewind.tuning.machines import controller
from tradewind.tuning.machines.interface import TuningView
from tradewind.tuning.machines.process_trials import WORKER, ProcessTrials
from tradewind.tuning.machines.trial_worker import PATIENCE, Objective, found, named
from tradewind.tuning.study import Study

MACHINES = {
    "cheapest_step": "tradewind.tuning.machines.cheapest_step:CheapestStep",
    "spottune": "tradewind.tuning.machines.spottune:SpotTune",
    "one_type": "tradewind.tuning.machines.one_type:OneType",
}
"""Rules for machines, by the names that users write."""
STUDY, CHECKPOINTS, REPORT = "study.sqlite", "checkpoints", "report.html"
"""What a study's folder holds, beside its journal."""
_PATIENT = 1.0
"""Seconds of the wall that a record of what came waits for others who write: a study must not stand still."""
_TABLE = frozenset(TuneSpec.__struct_fields__) - {
    "train", "budget", "deadline", "seed", "workers", "provider", "runtime", "out",
}  # fmt: skip


class Tuned(Struct, frozen=True, kw_only=True):
    """What a study came to, this time and before."""

    directory: str
    store: str
    name: str
    outcome: str
    """`done` or `paused`."""
    reason: str
    best: StoredTrial | None
    """None where no trial was completed."""
    metric: str
    trials: int
    completed: int
    stopped: int
    failed: int
    cost: float
    """US dollars, this time, as billed."""
    seconds: float
    """Of the market's time; the wall's where nothing was rented."""
    revocations: int = 0
    moves: int = 0

    fields: dict[str, Any] = {}
    """The best setting as fields of a spec, such as `learner.rate`; empty for a function's."""

    @property
    def setting(self) -> dict[str, Any]:
        """The best one; Misuse where there is none."""
        if self.best is None:
            raise Misuse("no trial is completed", source=self.name, fix="Tune on, or mend what fails.")
        return dict(self.best.setting)

    def report(self, path: str | Path) -> None:
        """Write the study's report, one HTML file."""
        with TrialStore(self.store) as store:
            write_study_page(study_data(store, self.name), Path(path))


def tune(
    what: TuneSpec | Algorithm | Callable[..., Any] | str,
    data: Any = None,
    *,
    console: Observer | None = None,
    arguments: Mapping[str, Any] | None = None,
    **options: Any,
) -> Tuned:
    """Search for the best setting on machines that come and go; returns when it is done or paused.

    `what` is a spec; a learner, with `data` and the fields of a spec as options; or a function
    `objective(trial)` of one's own, itself or as `module:function` or `file.py:function`, with `arguments`.
    The fields of the table `tune` are options like the others: `tune(LinearLearner(), "adult",
    space={"l2": {"low": 1e-6, "high": 1e-1, "log": True}}, trials=16, stop="race", budget=2.0)`.

    A study of that name in the same folder goes on. Ctrl-C pauses: what runs is checkpointed.
    Misuse before anything is rented; Permanent where it breaks.
    """
    if isinstance(what, TuneSpec):
        if data is not None or options:
            raise Misuse("a spec says everything itself", field="data", fix="Leave the other arguments out.")
        return _Tuning(what, None, console).run()
    table = {name: options.pop(name) for name in sorted(_TABLE & options.keys())}
    if isinstance(what, str) or not hasattr(what, "initialize"):
        spec = make_tune_spec({**options, "tune": table}, source="tune()", of_function=True)
        return _Tuning(spec, named(what, arguments or {}), console).run()
    if isinstance(data, str | Path):
        data = {"path": str(data)}
    if not isinstance(data, dict):
        raise Misuse(
            "trials read their rows by themselves", source="tune()", field="data",
            fix="Give a path, or save the rows to a file.",
        )  # fmt: skip
    learner = learner_of(cast(Algorithm, what))
    data = {**data, **of_data(options)}
    document = {"learner": {"kind": learner.kind, **without_none(learner.arguments)}, "data": data, **options}
    return _Tuning(make_tune_spec({**document, "tune": table}, source="tune()"), None, console).run()


class _Tuning:
    """One drive of a study."""

    def __init__(self, spec: TuneSpec, objective: Objective | None, console: Observer | None) -> None:
        self.spec, self.console = spec, console
        self.directory = (Path(spec.out) / spec.name).absolute()
        self.metric, self.direction = spec.metric, spec.direction
        self.steps = spec.steps or 1
        if objective is None:
            objective = self._of_learner()
        elif not self.direction:
            self.direction = "minimize"
        self.objective = objective

    def run(self) -> Tuned:
        """Do it, and write the report."""
        spec = self.spec
        self.policy = _machines(spec.machines)
        self.directory.mkdir(parents=True, exist_ok=True)
        store = spec.store or str(self.directory / STUDY)
        with TrialStore(store, patience=PATIENCE) as opened:
            study = Study(
                dict(spec.space), name=spec.name, direction=self.direction,
                search=_seeded(spec.search, spec.seed), stop=None if spec.stop is None else spec.stop.spoken,
                steps=self.steps, trials=spec.trials, budget=spec.budget, store=opened,
                about=_about(self.objective),
            )  # fmt: skip
            result = self._here(study) if spec.runtime == "inline" else self._on_leases(study)
            write_study_page(study_data(opened, spec.name, steps=self.steps), self.directory / REPORT)
            return self._told(study, store, result)

    def _of_learner(self) -> Objective:
        """Our own objective, its steps counted and its data read, so that what is wrong is told first."""
        arguments = learner_arguments(self.spec)
        arguments["cache"] = str(self.directory / "cache")
        metric, rows = arguments.pop("metric"), arguments.pop("rows_per_step", None)
        self.steps = learner_objective.steps(**arguments, rows_per_step=rows)
        self.metric, self.direction = learner_objective.judged_by(
            **arguments, metric=metric, direction=self.direction
        )
        if rows is not None:
            arguments["rows_per_step"] = rows
        arguments["metric"] = self.metric
        return Objective("tradewind.session.learner_objective:objective", arguments=arguments)

    def _here(self, study: Study) -> controller.Result:
        """In this process, one trial after the other."""
        elapsed = clock.stopwatch()
        call = found(self.objective)
        reason = "nothing is left to try"

        def objective(trial: Attempt) -> Any:
            return call(trial, **self.objective.arguments)

        try:
            study.run(objective, folder=self.directory / CHECKPOINTS)
        except Misuse:
            if not study.finished:  # else no trial was completed, which the result tells
                raise
        except KeyboardInterrupt:
            reason = controller.ASKED_TO_STOP
        return controller.Result(
            done=study.finished, reason=reason, started=clock.wall(), seconds=elapsed(), cost=0.0, leases=0,
            revocations=0, failures=0, moves=0,
        )  # fmt: skip

    def _on_leases(self, study: Study) -> controller.Result:
        spec = self.spec
        market, begun = market_for(spec.provider, spec.runtime)
        start = self._left_at(begun, market)
        warm = WORKER
        if spec.train is not None:
            warm = f"{WORKER},{learner_objective.__name__},{warm_for(spec.train.learner.kind)}"
        places = Places(spec.provider, spec.runtime, warm, market, self.directory)
        work = ProcessTrials(
            places.runtime(), study, self.objective.name, arguments=self.objective.arguments,
            folder=self.directory / CHECKPOINTS, every=spec.checkpoint_every,
            store=spec.store if spec.store is not None and "://" in spec.store else None,
        )  # fmt: skip
        real, simulated = places.told(start)
        header = header_for(
            self.policy, TuningView, version=__version__, seed=spec.seed, history=spec.provider.history,
            start=start, details={"real": real, "simulated": simulated, "study": spec.name},
        )  # fmt: skip
        goal = controller.Goal(
            demand=demand_of(spec.workers), budget=_left(spec.budget, study),
            deadline=None if spec.deadline is None else begun + spec.deadline,
        )  # fmt: skip
        foreseen = None
        if spec.forecast != "none" and market.history.pools:
            foreseen = forecaster(spec.forecast, market.history, float("inf"))

        log = PredictionLog(Path(spec.out) / INDEX, wait=_PATIENT)
        known = advised(log, market.catalog.types, workload_of(self.objective, spec.provider))

        async def drive() -> controller.Result:
            stop, loop = asyncio.Event(), asyncio.get_running_loop()
            with heeding_interrupts(lambda: loop.call_soon_threadsafe(stop.set)):
                return await controller.run(
                    study, goal, self.policy, places.provider(), work, journal, steps=self.steps, stop=stop,
                    observer=None if self.console is None else self.console.update, forecaster=foreseen,
                    advised=known,
                )  # fmt: skip

        with Journal(self.directory / JOURNAL, header, commit_every=1) as journal:
            return clock.run(drive(), start=start, speed=spec.provider.speed)

    def _left_at(self, begun: float, market: RecordedMarket) -> float:
        """The market's moment at which the study was left; its begin for a new one."""
        if not (self.directory / JOURNAL).exists() or self.spec.provider.kind == "ray":
            return begun
        with Journal.read(self.directory / JOURNAL) as journal:
            left = max(begun, journal.summary().last)
        if left >= market.history.end:
            raise Misuse("the recorded market ends before that", field="provider.start", fix="Begin earlier.")
        return left

    def _told(self, study: Study, store: str, result: controller.Result) -> Tuned:
        trials = study.trials
        count = {state: sum(each.state == state for each in trials) for state in (COMPLETED, STOPPED, FAILED)}
        best = None
        if count[COMPLETED]:
            with contextlib.suppress(Misuse):  # all of them ended with no finite number
                best = study.best
        return Tuned(
            directory=str(self.directory), store=store, name=study.name,
            outcome="done" if result.done else "paused", reason=result.reason, best=best,
            metric=self.metric, trials=len(trials), completed=count[COMPLETED], stopped=count[STOPPED],
            failed=count[FAILED], cost=result.cost, seconds=result.seconds,
            revocations=result.revocations, moves=result.moves, fields=self._fields(best),
        )  # fmt: skip

    def _fields(self, best: StoredTrial | None) -> dict[str, Any]:
        if best is None or self.spec.train is None:
            return {}
        learner = self.spec.train.learner
        return {field_of(name, learner): value for name, value in best.setting.items()}


def _machines(rule: RuleSpec) -> AnyPolicy:
    if rule.name not in MACHINES:
        raise Misuse(
            f"{rule.name!r} is no rule", field="tune.machines", fix=suggestion(rule.name, MACHINES)
        )  # fmt: skip
    module, _, name = MACHINES[rule.name].partition(":")
    kind = getattr(import_module(module), name)
    for option in rule.options:
        known = list(inspect.signature(kind).parameters)
        if option not in known:
            raise Misuse("is no option of it", source=rule.name, field=option, fix=suggestion(option, known))
    found: AnyPolicy = kind(**rule.options)
    return found


def _seeded(rule: RuleSpec, seed: int) -> dict[str, Any]:
    """A rule of search, with the spec's seed where it draws and says nothing of its own."""
    return rule.spoken if rule.name == "grid" else {"seed": seed, **rule.spoken}


def _left(budget: float | None, study: Study) -> float | None:
    """Of a budget for the whole study, with what its trials have cost before."""
    return None if budget is None else max(0.0, budget - study.dollars)


def workload_of(objective: Objective, provider: ProviderSpec) -> str:
    """What counts as the same steps: what is called, with what, on machines that are equally fast."""
    told = [_about(objective), provider.kind, provider.speed, provider.cpu_shares]
    text = json.dumps(told, sort_keys=True, default=str).encode()
    return f"tuning {hashlib.blake2b(text, digest_size=8).hexdigest()}"


def _about(objective: Objective) -> dict[str, Any]:
    """What a study must go on with: what is called, and how; where parsed files are kept does not matter."""
    arguments = {name: value for name, value in objective.arguments.items() if name != "cache"}
    return {"objective": objective.name, "arguments": arguments}
