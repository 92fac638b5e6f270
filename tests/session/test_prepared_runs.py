"""Runs on rows that are made ready: text, gaps, scaling, a split; what is kept, and what follows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import interrupting_learner
import numpy as np
import pytest
from sklearn.preprocessing import StandardScaler
from small_specs import HEADER, PRICES, tables

import tradewind
from tradewind.algorithms.linear.learner import LinearLearner
from tradewind.data import preparation
from tradewind.data.preparation import Preparation
from tradewind.data.runs import RunIndex
from tradewind.data.splitting import Split
from tradewind.data.streams import open_data
from tradewind.errors import Misuse
from tradewind.providers.local import LocalProvider
from tradewind.session.model_cards import read_card
from tradewind.session.spec import make_spec, read_spec
from tradewind.session.train import estimate, learn_on, resume, train

CITIES = ("Rome", "Oslo", "Bonn", "", "Nice")
STEPS = [
    {"step": "ColumnScaler", "columns": ["age", "income"]},
    {"step": "FeatureHashing", "columns": ["city"], "buckets": 32},
]
DATA = {
    "label": "rich",
    "columns": ["age", "income", "city"],
    "categories": ["city"],
    "missing": "mean",
    "split": {"test": 0.3, "key": "user"},
    "prepare": STEPS,
}
TOML = """
learner = { kind = "LinearLearner", loss = "logistic", normalize_data = false }
epochs = 10
batch = 20
parts = 4
runtime = "inline"

[data]
path = "people.csv"
label = "rich"
columns = ["age", "income", "city"]
categories = ["city"]
missing = "mean"
split = { test = 0.3, key = "user" }
prepare = [
    { step = "ColumnScaler", columns = ["age", "income"] },
    { step = "FeatureHashing", columns = ["city"], buckets = 32 },
]
"""


def write_people(path: Path, rows: int = 400, seed: int = 0, shift: float = 0.0) -> None:
    """Who is rich goes by income and city; a tenth of the incomes is missing, users have several rows."""
    chance = np.random.default_rng(seed)
    lines = ["user,age,city,income,rich"]
    for _ in range(rows):
        income, city = chance.normal(4000 + shift, 900), chance.choice(CITIES)
        rich = "yes" if income - 4000 - shift + 900 * (city == "Oslo") > 0 else "no"
        told = "NA" if chance.random() < 0.1 else f"{income:.0f}"
        lines.append(f"u{chance.integers(80)},{chance.integers(18, 80)},{city},{told},{rich}")
    path.write_text("\n".join(lines) + "\n")


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """A folder with people and prices, where the test stands."""
    write_people(tmp_path / "people.csv")
    (tmp_path / "prices.csv").write_text(HEADER + "\n".join(PRICES) + "\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def learner() -> LinearLearner:
    return LinearLearner(loss="logistic", normalize_data=False)


HERE = {"runtime": "inline", "epochs": 10, "batch": 20, "parts": 4}


def rows_of(path: Path, side: str, **more: Any) -> Any:
    """One side of the people in a file, their gaps as NaN."""
    return open_data(
        path, label="rich", features=["age", "income", "city"], categories=["city"], missing="keep",
        split={"test": 0.3, "key": "user", "side": side}, **more,
    )  # fmt: skip


def test_one_file_gives_both_sides_made_ready(folder) -> None:
    done = tradewind.train(learner(), "people.csv", **DATA, **HERE)
    raw, held = rows_of(folder / "people.csv", "train"), rows_of(folder / "people.csv", "test")
    assert raw.rows + held.rows == 400 and 60 < held.rows < 180
    # the steps, as numpy and scikit-learn find them on the training rows alone
    x = raw.whole().dense
    filled = np.where(np.isnan(x), np.nanmean(x, axis=0), x)
    scaled = StandardScaler().fit_transform(filled[:, :2])
    ready = done.preparation.apply(raw.whole())
    assert ready.matrix()[:, :2].toarray() == pytest.approx(scaled, abs=1e-6)
    assert ready.features == 34 == done.model.header()["features"]
    # the quality is that of the held-back users, whose rows go through those steps
    batch = done.preparation.apply(held.whole())
    assert done.metric == "accuracy" and done.quality == done.model.score(batch, "accuracy") > 0.85
    # what is kept beside the model is the same, and prepares rows alike when they are opened
    kept = Path(done.directory) / "model" / "preparation"
    again = Preparation.load(kept)
    assert again.digest() == done.preparation.digest()
    served = rows_of(folder / "people.csv", "test", prepare=kept)
    assert (served.whole().matrix() != batch.matrix()).nnz == 0
    card = read_card(Path(done.directory) / "model")
    assert card["training_data"]["rows"] == raw.rows and card["evaluation_data"]["rows"] == held.rows
    assert card["training_data"]["digest"] != raw.digest(), "of the rows and the steps"
    assert "preparation/model.safetensors" in card["model_details"]["files"]


def test_a_toml_spec_does_the_same(folder) -> None:
    (folder / "people.toml").write_text(TOML)
    by_spec = train(read_spec(folder / "people.toml"))
    by_call = tradewind.train(learner(), "people.csv", **DATA, **HERE)
    assert tables(by_spec.directory) == tables(by_call.directory) and by_spec.quality == by_call.quality
    other = train(read_spec(folder / "people.toml", {"data.split.test": 0.5, "data.split.seed": 9}))
    assert tables(other.directory) != tables(by_spec.directory)


def test_test_and_validation_files_go_through_the_same_steps(folder) -> None:
    """The steps are those of the training rows, though incomes are otherwise in the others."""
    write_people(folder / "test.csv", 150, seed=1, shift=500.0)
    write_people(folder / "validation.csv", 150, seed=2)
    data = {**DATA, "split": None, "test": "test.csv", "validation": "validation.csv"}
    done = tradewind.train(learner(), "people.csv", **data, **HERE)
    options = {"label": "rich", "features": ["age", "income", "city"], "categories": ["city"]}
    test = open_data("test.csv", **options, missing="keep")
    assert done.quality == done.model.score(done.preparation.apply(test.whole()), "accuracy")
    own = open_data("test.csv", **options, missing="mean", prepare=STEPS)
    assert own.preparation.digest() != done.preparation.digest()
    (folder / "test.csv").write_text("user,age,city,income,rich\nu,20,Rome,1000,perhaps\n")
    with pytest.raises(Misuse, match=r"test\.csv: line 2: label: 'perhaps' is not among the classes"):
        tradewind.train(learner(), "people.csv", **data, **HERE)


def test_a_run_goes_on_with_the_steps_that_it_began_with(folder, monkeypatch) -> None:
    """Interrupted, then resumed: the same bits as never interrupted; the steps are not fitted again."""
    spec = make_spec({
        "learner": "interrupting_learner:InterruptingLearner", "data": {"path": "people.csv", **DATA}, **HERE
    })  # fmt: skip
    whole = train(spec)
    interrupting_learner.interrupt(10)
    paused = train(spec)
    assert paused.outcome == "paused" and not (Path(paused.directory) / "model").exists()
    monkeypatch.setattr(preparation, "fitted", None)  # a second fit would fail
    done = resume(paused.directory)
    assert done.outcome == "done" and tables(done.directory) == tables(whole.directory)
    assert done.preparation.digest() == whole.preparation.digest() and done.quality == whole.quality


def test_learning_on_keeps_the_steps_and_refuses_others(folder) -> None:
    first = tradewind.train(learner(), "people.csv", **DATA, **HERE)
    write_people(folder / "more.csv", 200, seed=5, shift=300.0)
    more = learn_on(first.directory, "more.csv", epochs=1)
    assert more.preparation.digest() == first.preparation.digest()
    held = more.preparation.apply(rows_of(folder / "more.csv", "test").whole())
    assert more.quality == more.model.score(held, "accuracy")
    with pytest.raises(Misuse, match=r"data\.prepare: the rows of that run were prepared otherwise"):
        learn_on(first.directory, "more.csv", prepare=["Imputer"])
    plain = tradewind.train(learner(), "people.csv", label="rich", columns=["age"], **HERE)
    with pytest.raises(Misuse, match=r"data\.prepare"):
        learn_on(plain.directory, "more.csv", prepare=["ColumnScaler"])
    beside = learn_on(first.directory, "more.csv", test="people.csv", epochs=1)
    assert beside.quality is not None, "a test file takes the place of the split"


def test_arrays_and_streams_are_made_ready_too(tmp_path) -> None:
    chance = np.random.default_rng(4)
    x = chance.normal(50, 9, size=(300, 3))
    y = (x[:, 0] > 50).astype(float)
    x[::7, 1] = np.nan
    options = {"missing": "mean", "prepare": ["ColumnScaler"], "split": {"test": 0.25}}
    more = {**HERE, "out": str(tmp_path)}
    whole = tradewind.train(learner(), (x, y), **options, **more)
    side = Split(test=0.25, side="test").mask(open_data(x, y, missing="keep").whole())
    wanted = whole.preparation.apply(open_data(x[side], y[side], missing="keep").whole())
    assert whole.quality == whole.model.score(wanted, "accuracy") > 0.8

    def opened() -> Any:
        return ((x[at : at + 50], y[at : at + 50]) for at in range(0, 300, 50))

    once = {**more, "epochs": 1}
    streamed = tradewind.train(learner(), opened, **options, **once)
    assert np.array_equal(streamed.preparation.arrays()["0.fill"], whole.preparation.arrays()["0.fill"])
    assert streamed.quality is not None
    with pytest.raises(Misuse, match=r"data\.split.*cannot hold rows back"):
        tradewind.train(learner(), opened(), missing="keep", split={"test": 0.25}, **once)
    with pytest.raises(Misuse, match=r"data\.categories: goes with files"):
        tradewind.train(learner(), (x, y), categories=["a"], **more)
    folder = Path(whole.directory) / "preparation"
    passing = tradewind.train(learner(), opened(), missing="keep", prepare=str(folder), **once)
    assert passing.preparation.digest() == whole.preparation.digest(), "fitted before, so it may pass once"


def test_text_names_users_and_items(folder) -> None:
    """A category is a whole number below 2**53, which is what numbers users and items may be."""
    chance = np.random.default_rng(3)
    users, items = chance.integers(0, 30, 900), chance.integers(0, 20, 900)
    stars = np.clip(3 + chance.normal(size=30)[users] + chance.normal(size=20)[items], 1, 5).round(2)
    lines = [f"u{user},film {item},{star}" for user, item, star in zip(users, items, stars, strict=True)]
    (folder / "stars.csv").write_text("\n".join(["user,film,stars", *lines]) + "\n")
    done = tradewind.train(
        tradewind.MatrixFactorization(4), "stars.csv", label="stars", categories=["user", "film"],
        split={"test": 0.2}, **{**HERE, "epochs": 20},
    )  # fmt: skip
    assert done.metric == "rmse" and done.quality < 0.6 * stars.std()
    assert len(done.model.user_ids) == 30 and len(done.model.item_ids) == 20


REFUSED = {
    "a gap": ({"missing": "refuse"}, r"people\.csv: line \d+: column 'income'"),
    "a column of text": ({"categories": []}, r"people\.csv: line 2: column 'city'"),
    "a category that is no column": ({"categories": ["town"]}, "categories: there is no column 'town'"),
    "a column to learn from that is not there": ({"columns": ["agee"]}, "Did you mean 'age'"),
    "a key that is not there": ({"split": {"test": 0.3, "key": "usr"}}, r"split\.key: .*Did you mean 'user'"),
    "a split that holds nothing back": (
        {"split": {"test": 1e-6, "key": "user"}},
        "none of the rows is on the side test",
    ),
    "a step that is none": ({"prepare": ["ColumnScalr"]}, r"data\.prepare\[0\]\.step: .*'ColumnScaler'"),
    "a step for no column": (
        {"prepare": [{"step": "ColumnScaler", "columns": ["towns"]}]},
        r"prepare\[1\]\.columns: there is no column 'towns'",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_wrong_is_one_clear_error_before_any_lease(folder, monkeypatch, what) -> None:
    changes, words = REFUSED[what]
    rented: list[Any] = []
    monkeypatch.setattr(LocalProvider, "take", lambda self, bid: rented.append(bid))
    provider = {"kind": "local", "history": str(folder / "prices.csv")}
    with pytest.raises(Misuse, match=words) as told:
        train(learner(), "people.csv", **{**DATA, **changes}, provider=provider)
    assert "\n" not in str(told.value) and not rented
    assert not list((folder / "runs").glob("train-*")) and not RunIndex(folder / "runs").list()


def test_an_estimate_reads_prepared_rows(folder) -> None:
    spec = make_spec({
        "learner": "LinearLearner", "data": {"path": "people.csv", **DATA},
        "provider": {"kind": "local", "history": str(folder / "prices.csv")},
    })  # fmt: skip
    assert estimate(spec).cost.expected > 0
    assert not (folder / "runs").exists()
