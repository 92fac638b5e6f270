"""`train`, `resume`, `learn_on`: what is refused before anything is rented, and what goes on from where."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_specs import HEADER, PRICES, inline, spec_of, write_files, write_rows

from tradewind.algorithms.batch import batch_of
from tradewind.algorithms.linear.learner import LinearLearner
from tradewind.data.model_files.layout import newest_snapshot
from tradewind.data.runs import RunIndex
from tradewind.errors import Misuse, NoCapacity, Unaffordable
from tradewind.providers.local import LocalProvider
from tradewind.providers.simulated import SimulatedProvider
from tradewind.session.train import estimate, learn_on, resume, train


@pytest.fixture
def folder(tmp_path) -> Path:
    """A folder with rows and prices."""
    write_files(tmp_path)
    return tmp_path


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


# a learner and its data, and what comes after


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
