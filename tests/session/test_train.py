"""`train`, `resume`, `learn_on`: what is refused before anything is rented, and what goes on from where."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import interrupting_learner
import numpy as np
import pytest

from tradewind.algorithms.batch import batch_of
from tradewind.algorithms.linear.learner import LinearLearner
from tradewind.data.model_files import newest_snapshot
from tradewind.data.runs import DONE, PAUSED, RunIndex
from tradewind.data.streams import open_data
from tradewind.errors import Misuse, NoCapacity, Unaffordable
from tradewind.providers.local import LocalProvider
from tradewind.providers.simulated import SimulatedProvider
from tradewind.session.spec import make_spec
from tradewind.session.train import estimate, learn_on, resume, train

HEADER = "zone,instance_type,time,price\n"
PRICES = [
    "us-east-1a,p2.xlarge,2020-02-01T00:00:00Z,0.3",
    "us-east-1a,p2.xlarge,2020-02-02T00:00:00Z,0.31",
    "us-east-1a,p2.xlarge,2020-02-09T00:00:00Z,0.3",
]


def write_rows(path: Path, rows: int = 400, features: int = 12, labels: str = "+1 -1") -> None:
    kinds = labels.split()
    lines = [
        f"{kinds[(k * 7919) % 5 % len(kinds)]} {1 + k % 5}:1 {6 + k % (features - 6)}:0.5 {features}:{k % 3}"
        for k in range(rows)
    ]
    path.write_text("\n".join(lines) + "\n")


@pytest.fixture
def folder(tmp_path) -> Path:
    """A folder with rows and prices."""
    write_rows(tmp_path / "rows.libsvm")
    (tmp_path / "prices.csv").write_text(HEADER + "\n".join(PRICES) + "\n")
    return tmp_path


def spec_of(folder: Path, **changes: Any) -> Any:
    document = {
        "name": "small",
        "learner": {"kind": "LinearLearner", "loss": "logistic"},
        "data": {"path": str(folder / "rows.libsvm")},
        "epochs": 3,
        "batch": 20,
        "parts": 4,
        "workers": {"count": 2, "instance_types": ["p2.xlarge"]},
        "provider": {"kind": "local", "history": str(folder / "prices.csv")},
        "out": str(folder / "runs"),
    }
    return make_spec({**document, **changes})


def inline(folder: Path, **changes: Any) -> Any:
    return spec_of(folder, runtime="inline", **changes)


def tables(run: str | Path) -> dict[str, bytes]:
    found = newest_snapshot(Path(run) / "snapshots")
    assert found is not None
    return {name: array.tobytes() for name, array in found[1].items()}


# what is refused, before anything is rented


def prices(*lines: str) -> dict[str, str]:
    return {"prices.csv": HEADER + "\n".join(lines) + "\n"}


ROWS = "+1 1:1 12:1\n-1 2:1\n+1 3:1\n-1 4:1\n"
REFUSED = {
    "a budget below the cheapest possible cost": ({"budget": 1e-7}, {}, Unaffordable, "budget"),
    "an impossible deadline": ({"deadline": "1s"}, {}, Unaffordable, "deadline"),
    "no capacity anywhere": ({"workers": {"count": 1, "vcpus": 5000}}, {}, NoCapacity, "5000 vCPUs"),
    "no room for the state": ({"state": {"memory_gib": 1e6}}, {}, NoCapacity, "servers"),
    "an unknown zone": ({"workers": {"count": 1, "zones": ["xx-west-9z"]}}, {}, NoCapacity, "xx-west-9z"),
    "an unknown policy": ({"policy": "cheapest_spto"}, {}, Misuse, "cheapest_spot"),
    "an unknown history": (
        {"provider": {"kind": "local", "history": "aws-2002"}},
        {},
        Misuse,
        "aws-2020",
    ),
    "a moment that is not recorded": (
        {"provider": {"kind": "local", "start": "2031-01-01T00:00:00Z"}},
        {},
        Misuse,
        "provider.start",
    ),
    "a misspelt argument": ({"learner": {"kind": "LinearLearner", "los": "hinge"}}, {}, Misuse, "'loss'"),
    "absent data": ({"data": {"path": "rows.libsvn"}}, {}, Misuse, "rows.libsvn"),
    "a number that is none": ({}, {"rows.libsvm": ROWS + "+1 2:nan\n"}, Misuse, "line 5"),
    "labels of a wrong kind": ({}, {"rows.libsvm": ROWS + "7 2:1\n"}, Misuse, "label"),
    "labels that are words": ({}, {"rows.libsvm": ROWS + "cat 2:1\n"}, Misuse, "line 5"),
    "other columns than stated": (
        {"data": {"path": "rows.libsvm", "features": 5}},
        {"rows.libsvm": ROWS},
        Misuse,
        "features",
    ),
    "other columns in the test rows": (
        {"data": {"path": "rows.libsvm", "test": "test.libsvm"}},
        {"test.libsvm": "+1 99:1\n"},
        Misuse,
        "test",
    ),
    "prices out of order": ({}, prices(PRICES[1], PRICES[0], PRICES[2]), Misuse, "prices.csv, line 3"),
    "a corrupt price": ({}, prices(PRICES[0], PRICES[1][:-4] + "free"), Misuse, "prices.csv, line 3"),
    "prices cut off": ({}, prices(PRICES[0], PRICES[1][:20]), Misuse, "prices.csv, line 3"),
}


@pytest.mark.parametrize("kind", ["local", "simulated"])
@pytest.mark.parametrize("what", REFUSED)
def test_what_is_wrong_is_one_clear_error_before_any_lease(folder, monkeypatch, what, kind) -> None:
    changes, files, error, words = REFUSED[what]
    for name, content in files.items():
        (folder / name).write_text(content)
    changes = {name: dict(value) if isinstance(value, dict) else value for name, value in changes.items()}
    if "data" in changes:
        for field in {"path", "test"} & changes["data"].keys():
            changes["data"][field] = str(folder / changes["data"][field])
    provider = {"kind": kind, "history": str(folder / "prices.csv"), **changes.pop("provider", {})}
    provider["kind"] = kind
    rented: list[Any] = []
    for provided in (LocalProvider, SimulatedProvider):
        monkeypatch.setattr(provided, "take", lambda self, bid: rented.append(bid))
    with pytest.raises(error) as told:
        train(spec_of(folder, provider=provider, **changes))
    assert words in str(told.value) and "\n" not in str(told.value)
    assert not rented
    left = [each.name for each in (folder / "runs").glob("*") if each.is_dir()]
    assert not left and not RunIndex(folder / "runs").list()


def test_a_misspelt_key_of_a_spec_is_told_with_the_right_one(folder) -> None:
    with pytest.raises(Misuse, match="'epochs'"):
        spec_of(folder, epochss=4)
    with pytest.raises(Misuse, match="'count'"):
        spec_of(folder, workers={"cuont": 4})
    assert not (folder / "runs").exists()


# in this process


def test_inline_from_a_spec_to_a_model(folder) -> None:
    write_rows(folder / "test.libsvm", rows=100)
    data = {"path": str(folder / "rows.libsvm"), "test": str(folder / "test.libsvm")}
    done = train(inline(folder, data=data))
    assert done.outcome == "done" and done.cost == 0 and done.metric == "accuracy"
    assert done.quality == pytest.approx(done.model.score(_rows(folder / "test.libsvm"), "accuracy"))
    (record,) = RunIndex(folder / "runs").list()
    assert record.state == DONE and record.quality == done.quality
    assert (Path(done.directory) / "model" / "model.safetensors").exists()


def _rows(path: Path) -> Any:
    return open_data(str(path), features=12).whole()


def test_inline_from_a_learner_and_arrays(tmp_path) -> None:
    chance = np.random.default_rng(4)
    x = chance.normal(size=(200, 3)).astype(np.float32)
    y = (x[:, 0] > 0).astype(float)
    done = train(
        LinearLearner(loss="logistic"),
        (x, y),
        runtime="inline",
        epochs=5,
        batch=10,
        out=str(tmp_path / "runs"),
    )
    assert done.outcome == "done" and (done.model.predict(batch_of(x)) == y).mean() > 0.9


@pytest.mark.parametrize("batch", [1, 7, 30])
def test_ctrl_c_pauses_and_resume_goes_on_bit_for_bit(folder, batch) -> None:
    assert threading.current_thread() is threading.main_thread()
    learner = {"kind": "interrupting_learner:InterruptingLearner"}
    whole = train(inline(folder, learner=learner, name="whole"))
    interrupting_learner.interrupt(batch)
    paused = train(inline(folder, learner=learner))
    assert paused.outcome == "paused" and paused.model is None
    assert RunIndex(folder / "runs").find(paused.directory).state == PAUSED
    assert tables(paused.directory) != tables(whole.directory)
    done = resume(paused.directory)
    assert done.outcome == "done" and done.model is not None
    assert tables(done.directory) == tables(whole.directory)
    with pytest.raises(Misuse, match="learn_on"):
        resume(done.directory)


def paused_run(folder: Path) -> Path:
    interrupting_learner.interrupt(5)
    done = train(inline(folder, learner={"kind": "interrupting_learner:InterruptingLearner"}))
    assert done.outcome == "paused"
    return Path(done.directory)


def test_resume_with_another_number_of_features(folder) -> None:
    run = paused_run(folder)
    before = tables(run)
    write_rows(folder / "rows.libsvm", features=13)
    with pytest.raises(Misuse, match="13 features, but the state was learned from 12"):
        resume(run)
    assert tables(run) == before
    write_rows(folder / "rows.libsvm")
    assert resume(run).outcome == "done", "what is mended goes on"


def test_resume_with_a_corrupt_file(folder) -> None:
    run = paused_run(folder)
    content = (folder / "rows.libsvm").read_text()
    (folder / "rows.libsvm").write_text(content[:1000] + " 3:oops\n" + content[1000:])
    with pytest.raises(Misuse, match=r"rows\.libsvm"):
        resume(run)
    (folder / "rows.libsvm").write_text(content)
    assert resume(run).outcome == "done"


def test_resume_of_nothing(tmp_path) -> None:
    with pytest.raises(Misuse, match="no run here"):
        resume(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


def test_learn_on_new_data(folder) -> None:
    first = train(inline(folder))
    write_rows(folder / "more.libsvm", rows=120)
    more = learn_on(first.directory, str(folder / "more.libsvm"), parts=3, epochs=1)
    assert more.outcome == "done" and more.directory != first.directory
    found = newest_snapshot(Path(more.directory) / "snapshots")
    assert found is not None
    assert found[1]["progress/values"].ravel()[1] == 3 * 400 + 120


def test_learn_on_other_features_leaves_nothing(folder) -> None:
    first = train(inline(folder))
    write_rows(folder / "more.libsvm", rows=120, features=14)
    with pytest.raises(Misuse, match="14 features"):
        learn_on(first.directory, str(folder / "more.libsvm"))
    assert len(RunIndex(folder / "runs").list()) == 1
    assert len([each for each in (folder / "runs").iterdir() if each.is_dir() and not each.is_symlink()]) == 1


def test_an_estimate_rents_nothing_and_leaves_nothing(folder) -> None:
    told = estimate(spec_of(folder))
    assert 0 < told.seconds.low <= told.seconds.expected <= told.seconds.high
    assert 0 < told.cost.low <= told.cost.expected <= told.cost.high
    assert told.on_demand_cost.expected > told.cost.expected
    assert "p2.xlarge" in told.plan and "spot" in told.plan
    assert not (folder / "runs").exists()
