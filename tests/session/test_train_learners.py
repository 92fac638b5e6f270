"""Every learner of the catalogue is a whole job: data from files, a run, a model, a quality, a card."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_matrix

import tradewind
from tradewind.algorithms.batch import Batch
from tradewind.algorithms.catalogue import LEARNERS, MODELS, resolved
from tradewind.cli import main as command_line
from tradewind.data.model_files.layout import newest_snapshot
from tradewind.data.runs import RunIndex
from tradewind.data.streams import open_data
from tradewind.errors import Misuse
from tradewind.session.assembly import job_of, material_of
from tradewind.session.model_cards import CARD, PAGE
from tradewind.session.spec import read_spec
from tradewind.session.stretch import MODEL, SNAPSHOTS, Trained
from tradewind.session.train import train
from tradewind.training.in_process import learn_here
from tradewind.training.state_host import fresh_state

CHANCE = np.random.default_rng(8)
X = CHANCE.normal(size=(120, 5)).astype(np.float32)
VALUES = (X @ np.arange(5.0) + 0.1 * CHANCE.normal(size=120)).round(3)
KINDS = np.digitize(VALUES, [-2.0, 2.0]).astype(float)
COUNTS = CHANCE.poisson(1.5, size=(120, 9)).astype(np.float32)
PAIRS = np.stack([np.arange(120) % 8, np.arange(120) % 7], axis=1).astype(np.float64)
ONES = csr_matrix(
    (np.ones(240, np.float32), (PAIRS + np.array([0, 8])).astype(int).ravel(), np.arange(0, 241, 2)),
    shape=(120, 15),
)


def series(folder: Path) -> Path:
    """Daily series of a weekly cycle, with gaps, one of them too short to learn from."""
    lines = []
    for number in range(13):
        steps = 5 if number == 12 else 30
        target = [round(9 + number + 3 * math.sin(math.tau * (t + number) / 7), 3) for t in range(steps)]
        lines.append({"start": "2026-03-02", "target": [*target[:3], None, *target[4:]], "cat": number % 2})
    path = folder / "sales.jsonl"
    path.write_text("".join(json.dumps(each) + "\n" for each in lines))
    return path


def rows(*given: Any, gaps: bool = False) -> Callable[[Path], Path]:
    """Rows in memory, as a saved file."""

    def saved(folder: Path) -> Path:
        path = folder / "rows.safetensors"
        data = open_data(given if len(given) > 1 else given[0], missing="keep" if gaps else "refuse")
        data.save(path)
        return path

    return saved


TINY: Mapping[str, tuple[Mapping[str, Any], Callable[[Path], Path]]] = {
    "LinearLearner": ({"loss": "logistic"}, rows(X, VALUES > 0)),
    "LinearSVM": ({}, rows(X, KINDS)),
    "MultinomialLogisticRegression": ({}, rows(X, KINDS)),
    "FactorizationMachineClassifier": ({"num_factors": 2}, rows(ONES, VALUES > 0)),
    "FactorizationMachineRegressor": ({"num_factors": 2}, rows(ONES, VALUES)),
    "MatrixFactorization": ({"factors": 2}, rows(PAIRS, VALUES)),
    "RandomForestClassifier": ({"n_estimators": 8, "trees_per_batch": 2}, rows(X, KINDS)),
    "RandomForestRegressor": ({"n_estimators": 8, "trees_per_batch": 2}, rows(X, VALUES)),
    "KNeighborsClassifier": ({"k": 3}, rows(X, KINDS)),
    "KNeighborsRegressor": ({"k": 3}, rows(X, VALUES)),
    "KMeans": ({"k": 3}, rows(X)),
    "PCA": ({"num_components": 2}, rows(X)),
    "LatentDirichletAllocation": ({"topics": 3}, rows(COUNTS)),
    "NeuralTopicModel": ({"topics": 3, "encoder_layers": [6]}, rows(COUNTS)),
    "DeepAR": (
        {"time_freq": "D", "prediction_length": 6, "lags": [1, 7], "num_cells": 4, "num_eval_samples": 9},
        series,
    ),
    "TorchLearner": (
        {"network": "torch.nn:Linear", "arguments": {"in_features": 5, "out_features": 3}}, rows(X, KINDS),
    ),
    "PartialFitLearner": ({"estimator": "sklearn.naive_bayes:MultinomialNB"}, rows(COUNTS, KINDS)),
    "ColumnScaler": ({"mode": "min_max"}, rows(X)),
    "Imputer": ({}, rows(np.where(X > 1, np.nan, X), gaps=True)),
    "FeatureHashing": ({"columns": [1, 3], "buckets": 4}, rows(np.round(X))),
}  # fmt: skip
"""The smallest sensible data set of each learner, and its arguments."""


def test_every_learner_has_its_data_here() -> None:
    assert set(TINY) == set(LEARNERS)


@pytest.mark.parametrize("name", LEARNERS)
def test_a_learner_is_a_whole_job(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments, write = TINY[name]
    path = str(write(tmp_path))
    done = tradewind.train(
        resolved(LEARNERS[name])(**arguments), {"path": path, "test": path}, runtime="inline", epochs=2,
        batch=20, parts=4, seed=5, out=str(tmp_path / "runs"), name=name.lower(),
    )  # fmt: skip
    assert done.outcome == "done" and RunIndex(tmp_path / "runs").find(done.directory).state == "done"
    assert done.metric == done.model.metric and done.quality is not None and math.isfinite(done.quality)
    held = open_data(path).head(200)
    model = tradewind.load(done.directory)
    assert model.header()["kind"] in MODELS and type(model) is type(done.model)
    within = 1e-5 if name == "TorchLearner" else 0.0  # one is torch's, the other its operators in numpy
    assert np.allclose(plain(model, held), plain(done.model, held), rtol=within, atol=within, equal_nan=True)
    assert model.score(held, model.metric) == pytest.approx(done.quality, rel=1e-6)
    card = json.loads((Path(done.directory) / MODEL / CARD).read_text())
    assert card["model_details"]["learner"] == name
    assert card["quantitative_analyses"] == {done.metric: done.quality}
    assert card["training_data"]["rows"] == len(held)
    assert command_line.main(["card", done.directory]) == 0
    assert capsys.readouterr().out == (Path(done.directory) / MODEL / PAGE).read_text()


def plain(model: Any, batch: Batch) -> np.ndarray:
    found = model.evaluate(batch)
    return np.asarray(found.toarray() if hasattr(found, "toarray") else found)


def test_a_test_file_may_tell_longer_histories_where_there_is_room(tmp_path: Path) -> None:
    path, later = series(tmp_path), tmp_path / "later.jsonl"
    told = [json.loads(line) for line in path.read_text().splitlines()]
    later.write_text("".join(json.dumps({**each, "target": each["target"] * 2}) + "\n" for each in told))
    learner = resolved(LEARNERS["DeepAR"])(**TINY["DeepAR"][0])
    room = {"features": 60 + 1 + 5}
    options: dict[str, Any] = {"runtime": "inline", "batch": 5, "out": str(tmp_path / "runs")}
    done = train(learner, {"path": str(path), "test": str(later), **room}, **options)
    assert done.quality is not None and math.isfinite(done.quality)
    with pytest.raises(Misuse, match="60 steps do not fit in 30"):
        train(learner, {"path": str(path), "test": str(later)}, **options)


# real processes, real revocations

LIVELY = {"provider.start": "2020-02-01T03:48:00Z"}
"""The demo's market shortly before machines are taken away."""


def killed(out: Path, learner: dict[str, Any], **changes: Any) -> tuple[Trained, dict[str, bytes]]:
    """The demo's job with another learner, and the state of the same job that nothing happened to."""
    with as_file(files("tradewind.session") / "demo.toml") as path:
        spec = read_spec(path, {**LIVELY, "learner": learner, "out": str(out), **changes})
    job, material = job_of(spec), material_of(spec, out / "cache")
    engine = fresh_state(job, material.algorithm, material.train)
    learn_here(job, material.algorithm, material.train, engine)
    return train(spec), {name: array.tobytes() for name, array in engine.snapshot().arrays.items()}


@pytest.mark.parametrize(
    ("learner", "epochs"),
    [
        ({"kind": "KMeans", "k": 10}, 10),
        ({"kind": "FactorizationMachineClassifier", "num_factors": 4}, 10),
    ],
    ids=lambda each: each["kind"] if isinstance(each, dict) else "",
)
def test_killed_processes_leave_no_trace_in_what_is_learned(
    learner: dict[str, Any], epochs: int, tmp_path: Path
) -> None:
    done, alone = killed(tmp_path, learner, epochs=epochs)
    assert done.outcome == "done" and done.revocations >= 1 and done.cost > 0
    found = newest_snapshot(Path(done.directory) / SNAPSHOTS)
    assert found is not None and {name: array.tobytes() for name, array in found[1].items()} == alone
    assert done.quality is not None and math.isfinite(done.quality)
