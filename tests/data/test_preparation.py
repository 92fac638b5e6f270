"""Rows made ready on their way: steps, what they were fitted on, files, jobs, streams."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tradewind.algorithms.feature_hashing import FeatureHashing
from tradewind.algorithms.imputer import Imputer
from tradewind.algorithms.linear.learner import LinearLearner
from tradewind.algorithms.scaler import ColumnScaler
from tradewind.data.preparation import Preparation, PreparedRows, PreparedStream, check_plans, fitted
from tradewind.data.streams import open_data
from tradewind.errors import Misuse
from tradewind.session.stretch import model_of
from tradewind.training.in_process import learn_here
from tradewind.training.job import Job, learner_of
from tradewind.training.state_host import fresh_state


def rows(n: int = 300, gaps: bool = True) -> tuple[Any, Any]:
    chance = np.random.default_rng(0)
    x = np.c_[chance.normal(50, 9, n), chance.normal(-3, 0.1, n), chance.integers(0, 20, n)]
    y = (x[:, 0] > 50).astype(float)
    if gaps:
        x[chance.random(n) < 0.2, 1] = np.nan
    return x, y


def test_steps_are_fitted_one_on_the_other() -> None:
    """Beside scikit-learn's pipeline, with the means filled in before the deviations are taken."""
    x, y = rows()
    data = open_data(x, y, missing="keep", prepare=["Imputer", "ColumnScaler"])
    wanted = make_pipeline(SimpleImputer(), StandardScaler()).fit_transform(x)
    assert isinstance(data, PreparedRows)
    assert data.head(1000).dense == pytest.approx(wanted, abs=1e-12)
    assert np.array_equal(data.whole().labels, y)
    parts = [batch for worker in range(3) for batch in data.part(worker, 3, 50, 2, 7).batches()]
    assert sum(len(batch) for batch in parts) == 600 and not any(np.isnan(b.dense).any() for b in parts)
    part = data.part(1, 3, 50, 2, 7)
    again = list(part.batches(1))
    assert np.array_equal(again[0].dense, list(part.batches())[1].dense)
    assert part.length == len(again) + 1 and part.rows_before(1) == 50
    assert [batch.epoch for batch in part.batches()] == [0, 0, 1, 1]


def test_the_mean_is_a_way_to_open_data() -> None:
    x, y = rows()
    data = open_data(x, y, missing="mean")
    assert data.head(1000).dense == pytest.approx(SimpleImputer().fit_transform(x), rel=1e-12)
    scaled = open_data(x, y, missing="mean", prepare=["ColumnScaler"])
    assert [step["kind"] for step in scaled.preparation.header()["steps"]] == ["FillModel", "ScalerModel"]


def test_hashing_makes_rows_sparse_and_keeps_the_others() -> None:
    x, y = rows(gaps=False)
    data = open_data(x, y, prepare=[{"step": "FeatureHashing", "columns": [2], "buckets": 8}])
    assert data.schema.sparse and data.schema.features == 10 == data.head(1).features
    wanted = FeatureHashing([2], buckets=8).fit_transform(x)
    assert (data.whole().matrix() != wanted).nnz == 0
    assert np.allclose(data.whole().matrix()[:, :2].toarray(), x[:, :2], rtol=1e-6)
    plans = [{"step": "FeatureHashing", "columns": [2], "buckets": 8}, {"step": "ColumnScaler"}]
    scaled = open_data(x, y, prepare=plans)
    stored = scaled.whole().matrix()[:, 0].toarray()[:, 0]
    assert scaled.schema.sparse and stored == pytest.approx(
        (x[:, 0] - x[:, 0].mean()) / x[:, 0].std(), abs=1e-5
    )


def test_a_test_set_is_prepared_as_the_training_set_was() -> None:
    x, y = rows()
    train = open_data(x[:200], y[:200], missing="keep", prepare=["Imputer", "ColumnScaler"])
    test = open_data(x[200:], y[200:], missing="keep", prepare=train.preparation)
    pipeline = make_pipeline(SimpleImputer(), StandardScaler()).fit(x[:200])
    assert test.whole().dense == pytest.approx(pipeline.transform(x[200:]), abs=1e-12)
    with pytest.raises(Misuse, match="2 features"):
        open_data(x[:, :2], y, missing="keep", prepare=train.preparation)
    with pytest.raises(Misuse, match="missing='keep'"):
        open_data(x, y, missing="mean", prepare=train.preparation)


def test_it_is_saved_in_an_open_layout(tmp_path) -> None:
    x, y = rows()
    data = open_data(x, y, missing="keep", prepare=[Imputer(), FeatureHashing([2], 8), ColumnScaler()])
    data.preparation.save(tmp_path)
    again = open_data(x, y, missing="keep", prepare=str(tmp_path))
    assert (again.whole().matrix() != data.whole().matrix()).nnz == 0
    assert again.digest() == data.digest()
    header = json.loads((tmp_path / "model.json").read_text())["header"]
    assert [step["kind"] for step in header["steps"]] == ["FillModel", "HashingModel", "ScalerModel"]
    assert Preparation.load(tmp_path).arrays()["0.fill"] == pytest.approx(np.nanmean(x, axis=0))
    with pytest.raises(Misuse, match="no preparation"):
        Preparation.of({}, {"kind": "LinearModel"})


def test_the_digest_tells_data_and_steps_apart() -> None:
    x, y = rows(gaps=False)
    plain = open_data(x, y)
    scaled, other = (
        open_data(x, y, prepare=[{"step": "ColumnScaler", "mode": "normal"}]),
        open_data(x, y, prepare=[ColumnScaler("min_max")]),
    )
    changed = open_data(x * 2, y, prepare=["ColumnScaler"])
    assert len({data.digest() for data in (plain, scaled, other, changed)}) == 4
    assert open_data(x, y, prepare=["ColumnScaler"]).digest() == scaled.digest()
    named = {"step": "ColumnScaler", "mode": "min_max"}
    assert open_data(x, y, prepare=[named]).digest() == other.digest()


def test_a_job_reads_prepared_rows() -> None:
    """Bulk-synchronous: the same bits as from rows that were prepared before they were opened."""
    x, y = rows()
    data = open_data(x, y, missing="mean", prepare=["ColumnScaler"])
    ready = open_data(data.whole())
    learner = LinearLearner(loss="logistic", normalize_data=False)
    job = Job(learner=learner_of(learner), data={}, parts=4, batch=20, epochs=2)
    arrays = []
    for each in (data, ready):
        engine = fresh_state(job, learner, each)
        learn_here(job, learner, each, engine)
        arrays.append(model_of(learner, engine.snapshot()).arrays())
    assert all(np.array_equal(arrays[0][name], arrays[1][name]) for name in arrays[0])


def test_steps_fitted_over_the_engine_are_the_same_steps() -> None:
    x, y = rows(gaps=False)
    learner, data = ColumnScaler("min_max"), open_data(x, y)
    job = Job(learner=learner_of(learner), data={}, parts=4, batch=20)
    engine = fresh_state(job, learner, data)
    learn_here(job, learner, data, engine)
    done = Preparation([model_of(learner, engine.snapshot())])
    alone = fitted([learner], data)
    assert open_data(x, y, prepare=done).digest() == open_data(x, y, prepare=alone).digest()


def test_what_was_fitted_is_kept_for_the_next_process(tmp_path, monkeypatch) -> None:
    x, y = rows()
    plans = [{"step": "Imputer"}, {"step": "ColumnScaler"}]
    first = open_data(x, y, missing="keep", prepare=plans, cache=tmp_path)
    (kept,) = tmp_path.glob("preparation-*")
    monkeypatch.setattr(ColumnScaler, "update", None)  # a second fit would fail
    again = open_data(x, y, missing="keep", prepare=plans, cache=tmp_path)
    assert again.digest() == first.digest()
    monkeypatch.undo()
    (kept / "model.safetensors").write_bytes(b"cut off")
    assert open_data(x, y, missing="keep", prepare=plans, cache=tmp_path).digest() == first.digest()
    other = open_data(x * 2, y, missing="keep", prepare=plans, cache=tmp_path)
    assert other.digest() != first.digest() and len(list(tmp_path.glob("preparation-*"))) == 2


@pytest.mark.parametrize("reopens", [True, False])
def test_streams_are_prepared_as_they_come_by(reopens) -> None:
    x, y = rows()

    def items() -> Any:
        yield from ((x[at : at + 37], y[at : at + 37]) for at in range(0, len(x), 37))

    done = fitted(["Imputer", "ColumnScaler"], open_data(x, y, missing="keep"))
    if reopens:
        data = open_data(items, missing="keep", prepare=["Imputer", "ColumnScaler"])
    else:
        data = open_data(items(), missing="keep", prepare=done)
    assert isinstance(data, PreparedStream) and data.reopens == reopens
    found = np.vstack([batch.dense for batch in data.part(0, 1, 50).batches()])
    assert found == pytest.approx(done.apply(open_data(x, y, missing="keep").whole()).dense, abs=1e-9)


def test_a_stream_that_passes_once_cannot_be_fitted_on() -> None:
    x, y = rows(gaps=False)
    with pytest.raises(Misuse, match=r"prepare\[1\].*passes once"):
        open_data(iter([(x, y)]), prepare=[FeatureHashing([0], 4), "ColumnScaler"])
    hashed = open_data(iter([(x, y)]), prepare=[FeatureHashing([0], 4)])
    assert next(iter(hashed.part(0, 1, 50).batches())).features == 6


def test_columns_are_named(tmp_path: Path) -> None:
    path = tmp_path / "cities.csv"
    path.write_text("city,size,label\nRome,3,1\nOslo,,0\n,2,1\nRome,4,0\n")
    plans = [{"step": "FeatureHashing", "columns": ["city"], "buckets": 50}]
    data = open_data(path, categories=["city"], missing="mean", prepare=plans)
    found = data.whole().matrix().toarray()
    assert found[:, 0].tolist() == [3, 3, 2, 4], "the mean of the others"
    assert np.array_equal(found[0, 1:], found[3, 1:]) and not np.array_equal(found[0, 1:], found[1, 1:])
    with pytest.raises(Misuse, match="Did you mean 'city'"):
        open_data(path, categories=["city"], missing="keep", prepare=[{**plans[0], "columns": ["cities"]}])


def test_what_is_no_step() -> None:
    x, y = rows(gaps=False)
    for plan, what in (
        ("ColumnScalr", "Did you mean 'ColumnScaler'"),
        ({"step": "LinearLearner"}, "is no step"),
        ({"step": "ColumnScaler", "hgh": 3}, "Did you mean 'high'"),
        ({"step": "ColumnScaler", "low": "x"}, "low"),
        (StandardScaler(), "StandardScaler is no step"),
        ({"step": "FeatureHashing", "columns": [9]}, "no column 9"),
        ({"step": "FeatureHashing", "columns": ["a"]}, "no names"),
    ):
        with pytest.raises(Misuse, match=what):
            open_data(x, y, prepare=[plan])


def test_plans_are_checked_before_there_are_rows() -> None:
    check_plans(["Imputer", {"step": "FeatureHashing", "columns": ["a", "b"], "buckets": 4}, "PCA"], "spec")
    for plan, field in (
        ("ColumnScalr", "data.prepare[1].step"),
        ({"step": "ColumnScaler", "hgh": 3}, "data.prepare[1].hgh"),
        ({"step": "ColumnScaler", "low": "x"}, "data.prepare[1].low"),
    ):
        with pytest.raises(Misuse) as told:
            check_plans(["Imputer", plan], "people.toml", "data.prepare")
        assert told.value.field == field and told.value.source == "people.toml" and told.value.fix


def test_applying_fitted_steps_loads_no_scikit_learn(tmp_path) -> None:
    """An instance boots without it: a second of each worker's life."""
    x, y = rows()
    plans = ["Imputer", "ColumnScaler", {"step": "FeatureHashing", "columns": [2], "buckets": 8}]
    open_data(x, y, missing="keep", prepare=plans).preparation.save(tmp_path / "steps")
    np.savetxt(tmp_path / "rows.csv", np.c_[x, y], delimiter=",")
    code = f"""
import sys
from tradewind.data.streams import open_data
folder = {str(tmp_path)!r}
data = open_data(folder + "/rows.csv", label=-1, missing="keep", prepare=folder + "/steps")
print(next(data.part(0, 1, 300).batches()).features, "sklearn" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["10", "False"]
