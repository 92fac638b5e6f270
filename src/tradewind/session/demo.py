"""The demo: train through real revocations, set the run beside what else one could have done, and serve it.

Ours runs for real. The same job undisturbed is learned in this process, for its quality. On demand, and
checkpoint and restart, are simulated on the same market from the same moment, at the speed that ours was
measured to have.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from tradewind import __version__, clock
from tradewind.control.journal import Journal
from tradewind.control.policy import AnyPolicy
from tradewind.control.records import header_for
from tradewind.data.model_files.layout import newest_snapshot
from tradewind.providers.simulated import SimulatedProvider
from tradewind.session.assembly import Material, goal_of, job_of, market_of, material_of, modelled_work
from tradewind.session.demo_serving import QUESTIONS, Burst, Served, servable, serve_burst
from tradewind.session.report.data import ComparisonRow
from tradewind.session.report.page import write_page
from tradewind.session.report.reading import JOURNAL, RunResult, report_data
from tradewind.session.spec import PolicySpec, TrainSpec, read_spec
from tradewind.session.stretch import REPORT, SNAPSHOTS, Observer, model_of
from tradewind.session.train import train
from tradewind.state.snapshot import Snapshot, snapshot_of
from tradewind.training.elastic import controller
from tradewind.training.elastic.bidding.checkpoint_restart import CheckpointRestart
from tradewind.training.elastic.bidding.on_demand import OnDemand
from tradewind.training.in_process import learn_here
from tradewind.training.state_host import fresh_state
from tradewind.training.view import Progress, TrainingView

CHECKPOINT = 5.0
"""Seconds of market time that a checkpoint of so small a model takes, for checkpoint and restart."""


class Shown(Struct, frozen=True):
    """What the demo came to."""

    directory: str
    figures: dict[str, Any]
    """revocations, cost, cost_on_demand, cost_checkpoint (US dollars), quality, quality_undisturbed, seconds
    (of the wall's time), and those of `Served`."""
    served: Served | None = None
    """What serving came to; None where there is no model, or what serving takes is not installed."""


def run(
    out: Path,
    console: Observer | None = None,
    changes: Mapping[str, Any] | None = None,
    burst: Burst | None = None,
    said: Callable[[str], None] = lambda text: None,
) -> Shown:
    """Run the demo; its folders are made under `out`. `changes` are fields of its spec to be otherwise,
    `burst` another burst than the usual one; `said` is told what goes on after the training."""
    elapsed = clock.stopwatch()
    serving = servable(said)
    with as_file(files("tradewind.session") / "demo.toml") as path:
        spec = msgspec.structs.replace(read_spec(path, changes), out=str(out))
    ours = train(spec, console=console)
    directory = Path(ours.directory)
    if ours.outcome != "done":
        return Shown(ours.directory, {"outcome": ours.outcome})
    material = material_of(spec, directory / "cache")
    quality, same = _undisturbed(spec, material, directory)
    measured, mttf = _measured(directory)
    on_demand = _simulated(spec, OnDemand(), measured)
    restart = CheckpointRestart(checkpoint=CHECKPOINT, mttf=mttf)
    checkpoint = _simulated(spec, restart, measured)
    rows = (
        _row("tradewind", ours.cost, ours.seconds, ours.quality, ours.revocations, "ran for real"),
        _row("undisturbed", None, None, quality, 0, "ran for real, in one process"),
        _row("on demand", on_demand.cost, on_demand.seconds, None, on_demand.revocations, "simulated"),
        _row(
            "checkpoint and restart",
            checkpoint.cost,
            checkpoint.seconds,
            None,
            checkpoint.revocations,
            "simulated",
        ),
    )
    facts = (
        ("beside the undisturbed run", "parameters equal bit for bit" if same else "parameters differ"),
        (
            "checkpoints",
            f"checkpoint and restart, one every {restart.interval:.0f} s of market time (Young's rule)",
        ),
    )
    _add_to_report(directory, facts, comparison=rows, cost_on_demand=on_demand.cost)
    served = None
    if serving:
        served = serve_burst(directory, _asked_about(material), out, burst, said)
        where = Path(served.directory).name
        _add_to_report(directory, (("then served", f"{served.words}; its report is in {where}"),))
    figures = {
        "revocations": ours.revocations,
        "cost": round(ours.cost, 4),
        "cost_on_demand": round(on_demand.cost, 4),
        "cost_checkpoint": round(checkpoint.cost, 4),
        "quality": ours.quality,
        "quality_undisturbed": quality,
        "bits_equal": same,
        **(served.figures if served is not None else {}),
        "seconds": round(elapsed(), 1),
    }
    return Shown(ours.directory, figures, served)


def _asked_about(material: Material) -> NDArray[np.float32]:
    """(n, d) the first rows of the test data."""
    assert material.test is not None
    found = material.test.rows(0, QUESTIONS).matrix()
    return np.asarray(found.toarray() if isinstance(found, csr_matrix) else found, np.float32)


def _undisturbed(spec: TrainSpec, material: Material, directory: Path) -> tuple[float, bool]:
    """The quality of the job in one process, and whether its parameters equal the run's, bit for bit."""
    job = job_of(spec)
    engine = fresh_state(job, material.algorithm, material.train)
    learn_here(job, material.algorithm, material.train, engine)
    alone = engine.snapshot()
    found = newest_snapshot(directory / SNAPSHOTS)
    assert found is not None and material.test is not None
    model = model_of(material.algorithm, alone)
    return model.score(material.test, "accuracy"), _equal(alone, snapshot_of(*found[1:]))


def _equal(one: Snapshot, other: Snapshot) -> bool:
    return one.arrays.keys() == other.arrays.keys() and all(
        np.array_equal(array, other.arrays[name]) for name, array in one.arrays.items()
    )


def _measured(directory: Path) -> tuple[Progress, float]:
    """The speed that the run was seen to have, and the mean seconds between two of its revocations."""
    with Journal.read(directory / JOURNAL) as journal:
        result: controller.Result = journal.result("run", controller.Result)
    progress = Progress(0.0, result.total, 0.0, result.rate, result.startup)
    return progress, result.seconds / max(1, result.revocations)


def _simulated(spec: TrainSpec, policy: AnyPolicy, measured: Progress) -> controller.Result:
    """The same job under another policy, in virtual time."""
    named = msgspec.structs.replace(spec, policy=PolicySpec(name=policy.name), budget=None, deadline=None)
    market, start = market_of(spec.provider)
    goal = goal_of(named, start)
    work = modelled_work(named, policy, measured)
    with tempfile.TemporaryDirectory(prefix="tw-") as folder:
        header = header_for(policy, TrainingView, version=__version__, start=start)
        with Journal(Path(folder, JOURNAL), header, commit_every=256) as journal:
            main = controller.run(goal, policy, SimulatedProvider(market), work, journal)
            return clock.simulate(main, start=start)


def _row(
    name: str, cost: float | None, seconds: float | None, quality: float | None, revocations: int, how: str
) -> ComparisonRow:
    return ComparisonRow(
        name=name, cost=cost, seconds=seconds, quality=quality, revocations=revocations, how=how
    )


def _add_to_report(directory: Path, facts: tuple[tuple[str, str], ...], **changes: Any) -> None:
    """Put facts, and other changes of its result, into the run's journal, and write its report again."""
    with Journal.read(directory / JOURNAL) as journal:
        header, result = journal.header, journal.result("report", RunResult)
    assert result is not None
    told = msgspec.structs.replace(result, facts=(*result.facts, *facts), **changes)
    with Journal(directory / JOURNAL, header) as journal:
        journal.record_result("report", told)
    write_page(report_data(directory), directory / REPORT)
