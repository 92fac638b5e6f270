"""`run`: a pipeline from its spec to a model that answers; a kill costs no step that was finished.

What is left of the deadline and of the budget after the search is the training's. What training alone would
take at most, by its estimate, is kept back from the search.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from tradewind import clock
from tradewind.data.runs import CRASHED, DONE, PAUSED, RUNNING, RunIndex
from tradewind.data.trial_store import TrialStore
from tradewind.errors import Permanent, Unaffordable
from tradewind.serving.objective import objective
from tradewind.serving.server.engine import Options
from tradewind.serving.server.front import Address
from tradewind.serving.server.http.authentication import check_exposure
from tradewind.serving.server.http.connection import parser_module
from tradewind.session.audit.exclusive import alone_in
from tradewind.session.model_folders import model_folder
from tradewind.session.pipeline.deployable import PASSED, audit_deployable
from tradewind.session.pipeline.record import (
    PipelineRecord,
    ServedStep,
    TrainedStep,
    TunedStep,
    begun,
    write_record,
)
from tradewind.session.pipeline.spec import PipelineSpec, ServeTable, read_pipeline_spec
from tradewind.session.rented_serving import serve_rented
from tradewind.session.serve import Listening, serve
from tradewind.session.spec import TrainSpec, spec_bytes
from tradewind.session.stretch import Observer, Trained
from tradewind.session.train import estimate, resume, train
from tradewind.session.tune import tune
from tradewind.tuning.machines.controller import ASKED_TO_STOP

TOKEN = "TRADEWIND_TOKEN"
"""The variable of the environment that holds what callers must show beyond loopback."""


class Ran(Struct, frozen=True):
    """How far a pipeline came."""

    outcome: str
    """`done`, `paused`, or `refused` where the audit stopped it."""
    home: str
    """Its folder."""
    steps: tuple[str, ...]
    record: PipelineRecord

    @property
    def cost(self) -> float:
        """US dollars of the search and the training so far."""
        tuned, trained = self.record.tuned, self.record.trained
        return (
            self.record.spent
            + (tuned.cost if tuned is not None else 0.0)
            + (trained.cost if trained is not None else 0.0)
        )


Watching = Callable[[str], contextlib.AbstractContextManager[Observer | None]]
"""From the name of a step that takes long to what watches it."""


@contextlib.contextmanager
def _unwatched(step: str) -> Iterator[None]:
    yield None


def run(
    what: PipelineSpec | str | os.PathLike[str],
    *,
    changes: Mapping[str, Any] | None = None,
    watching: Watching = _unwatched,
    said: Callable[[str, PipelineRecord], None] = lambda step, record: None,
    ready: Callable[[Listening], None] = lambda listening: None,
) -> Ran:
    """Go through the steps that a spec has, from the first that is not finished; serve until told to stop.

    `what` is a spec or the path of a TOML file, with `changes` (dotted field to value). `watching` gives the
    observer of a search or a training; `said` is told each step that is finished, also those that were
    before; `ready` that the model answers. Ctrl-C pauses a search or a training, and ends serving once what
    is in flight is answered. The audit is made anew each time, right before the model is served.

    Raises Misuse, Unaffordable or NoCapacity before anything is rented, and whatever a step raises; what was
    finished before is kept.
    """
    spec = what if isinstance(what, PipelineSpec) else read_pipeline_spec(what, changes)
    if spec.serve is not None:
        parser_module()  # MissingExtra before anything is rented
        check_exposure(spec.serve.host, os.environ.get(TOKEN))
    spec.home.mkdir(parents=True, exist_ok=True)
    with alone_in(spec.home):
        return _Pipeline(spec, watching, said, ready).run()


class _Pipeline:
    """One attempt."""

    def __init__(
        self,
        spec: PipelineSpec,
        watching: Watching,
        said: Callable[[str, PipelineRecord], None],
        ready: Callable[[Listening], None],
    ) -> None:
        self.spec, self.watching, self.said, self.ready = spec, watching, said, ready
        self.record = begun(spec.home, spec.digest, clock.wall())

    def run(self) -> Ran:
        spec = self.spec
        if spec.tune is not None and not self._tuned():
            return self._ran(PAUSED)
        if not self._trained():
            return self._ran(PAUSED)
        assert self.record.trained is not None
        model = model_folder(self.record.trained.directory)
        self._keep("audit", audited=audit_deployable(model, spec.audit))
        assert self.record.audited is not None
        if self.record.audited.verdict != PASSED:
            return self._ran("refused")
        if spec.serve is not None:
            self._served(spec.serve)
        return self._ran(DONE)

    def _ran(self, outcome: str) -> Ran:
        return Ran(outcome, str(self.spec.home), self.spec.steps, self.record)

    def _keep(self, step: str, **new: Any) -> None:
        self.record = write_record(self.spec.home, replace(self.record, **new))
        self.said(step, self.record)

    def _tuned(self) -> bool:
        """Whether the search is finished."""
        if self.record.tuned is not None:
            self.said("tune", self.record)
            return True
        assert self.spec.tune is not None
        asked = replace(self.spec.tune, name=f"{self.spec.train.name}-study", **self._kept_back())
        with self.watching("tune") as observer:
            found = tune(asked, console=observer)
        with TrialStore(found.store) as store:
            cost = sum(each.dollars for each in store.trials(found.name).all())
        seconds = self.record.searched + found.seconds
        if found.outcome != DONE and found.reason == ASKED_TO_STOP:
            paused = replace(self.record, spent=cost, searched=seconds)
            self.record = write_record(self.spec.home, paused)
            return False
        # A search whose money or time is over has searched: the best so far is trained.
        if found.best is None:
            raise Permanent(
                f"{found.directory}: no trial was completed, so there is no setting to train with"
            )
        tuned = TunedStep(found.directory, found.trials, cost, seconds, found.fields)
        self._keep("tune", tuned=tuned, spent=0.0, searched=0.0)
        return True

    def _kept_back(self) -> dict[str, float]:
        """The budget and the deadline of the search: what training would take at most is not its."""
        train = self.spec.train
        if train.budget is None and train.deadline is None:
            return {}
        told = estimate(train)
        limits = {}
        if train.budget is not None:
            limits["budget"] = train.budget - told.cost.high
        if train.deadline is not None:
            limits["deadline"] = train.deadline - told.seconds.high
        for field, left in limits.items():
            if left <= 0:
                raise Unaffordable(
                    f"{self.spec.source}: {field}: training alone may take all of it, and nothing is left to "
                    f"search with; raise it, or leave the table tune out"
                )
        return limits

    def _trained(self) -> bool:
        """Whether the training is finished."""
        if self.record.trained is not None:
            self.said("train", self.record)
            return True
        spec = self._training()
        with self.watching("train") as observer:
            found = self._earlier(spec, observer) or train(spec, console=observer)
        if found.outcome != DONE:
            return False
        done = TrainedStep(found.directory, found.cost, found.seconds, found.quality, found.metric)
        self._keep("train", trained=done)
        return True

    def _training(self) -> TrainSpec:
        """What is trained: with the best setting, for what the search left."""
        tuned = self.record.tuned
        if tuned is None:
            return self.spec.train
        spec = self.spec.training(tuned.fields)
        if spec.budget is not None:
            spec = replace(spec, budget=spec.budget - tuned.cost)
        if spec.deadline is not None:
            spec = replace(spec, deadline=spec.deadline - tuned.seconds)
        return spec

    def _earlier(self, spec: TrainSpec, observer: Observer | None) -> Trained | None:
        """The training that an earlier attempt began: gone on with, or as it ended; None where none did."""
        index = RunIndex(spec.out)
        same = spec_bytes(spec).decode()
        for each in index.list():
            if each.spec != same or each.started < self.record.began:
                continue
            if each.state == DONE:
                return Trained(
                    directory=each.directory, outcome=DONE, cost=each.cost or 0.0,
                    cost_on_demand=each.cost_on_demand or 0.0, seconds=each.seconds or 0.0, revocations=0,
                    estimate=None, quality=each.quality, metric=each.metric,
                )  # fmt: skip
            if each.state in (PAUSED, CRASHED, RUNNING):  # one that another process drives is refused
                return resume(each.directory, console=observer)
        return None

    def _served(self, asked: ServeTable) -> None:
        """Serve until told to stop."""
        assert self.record.trained is not None
        name = asked.name or self.spec.train.name
        began = clock.wall()

        def ready(listening: Listening) -> None:
            self._keep("serve", served=ServedStep(listening.http, began))
            self.ready(listening)

        options = Options(objective=objective(asked.slo) if asked.slo else None, max_batch=asked.max_batch)
        run = self.record.trained.directory
        directory = ""
        if asked.policy:
            rented = serve_rented(
                run, slo=asked.slo, name=name, address=_address(asked), options=options, ready=ready,
                renting={"provider": self.spec.train.provider, "policy": asked.policy, "least": asked.least,
                         "out": self.spec.train.out},
            )  # fmt: skip
            drained, directory = rented.drained, rented.directory
        else:
            drained = serve(run, name=name, address=_address(asked), options=options, ready=ready)
        served = self.record.served
        assert served is not None
        self._keep("served", served=replace(served, drained=drained, directory=directory))


def _address(asked: ServeTable) -> Address:
    return Address(
        host=asked.host, http_port=asked.port, grpc_port=None if asked.grpc_port < 0 else asked.grpc_port,
        token=os.environ.get(TOKEN),
    )  # fmt: skip
