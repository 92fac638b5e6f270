"""A finished model's card tells what it is, what it was made of, how good it is, and what that cost."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_specs import inline, spec_of, write_files, write_rows

from tradewind import __version__, clock
from tradewind.data.model_files.layout import arrays_digest
from tradewind.data.runs import RunIndex
from tradewind.data.streams import open_data
from tradewind.errors import Corrupt, Misuse
from tradewind.session.assembly import material_of
from tradewind.session.model_cards import CARD, FREE, PAGE, card_of, filled, page_of, read_card, write_card
from tradewind.session.models import load
from tradewind.session.report.data import Source
from tradewind.session.train import train

DATE = 1_600_000_000.0


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> tuple[Any, Path]:
    """A spec, and the folder of its finished run."""
    folder = tmp_path_factory.mktemp("run")
    write_files(folder)
    write_rows(folder / "test.libsvm", rows=60)
    data = {"path": str(folder / "rows.libsvm"), "test": str(folder / "test.libsvm")}
    trained = train(inline(folder, data=data, seed=7))
    return spec_of(folder, data=data, seed=7), Path(trained.directory)


def card(made: tuple[Any, Path], spec: Any = None, **changes: Any) -> dict[str, Any]:
    spec, directory = made[0] if spec is None else spec, made[1]
    material = material_of(spec, None)
    run = RunIndex(directory.parent).find(str(directory))
    told = {
        "spec": spec,
        "run": RunIndex(directory.parent).update(run.id, ended=DATE),
        "algorithm": material.algorithm,
        "model": load(directory),
        "directory": directory / "model",
        "train": material.train,
        "test": open_data(spec.data.test, features=12),
        "metrics": {"accuracy": 0.75},
        "cost": 1.25,
        "cost_on_demand": 4.0,
        "seconds": 5400.0,
        "revocations": 3,
        "real": ("The learning was real.",),
        "simulated": ("Prices and revocations were recorded ones.",),
        "sources": (Source("spot prices", "somebody", "MIT"),),
    }
    return card_of(**{**told, **changes})


def test_it_tells_everything(made) -> None:
    spec, directory = made
    told = card(made)
    details = told["model_details"]
    assert (details["kind"], details["learner"]) == ("LinearModel", "LinearLearner")
    assert details["settings"]["loss"] == "logistic" and details["settings"]["l2"] == 0.0
    assert details["code"]["tradewind"] == __version__ and details["date"] == clock.iso(DATE)
    assert details["digest"] == arrays_digest(load(directory).arrays())
    content = (directory / "model" / "model.safetensors").read_bytes()
    stated = details["files"]["model.safetensors"]
    assert stated == {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    train, test = open_data(spec.data.path), open_data(spec.data.test, features=12)
    for section, data in (("training_data", train), ("evaluation_data", test)):
        assert told[section]["digest"] == data.digest() and told[section]["rows"] == data.rows
        assert told[section]["features"] == 12 and told[section]["sparse"] is True
    assert train.digest() != test.digest()
    assert told["training_data"]["epochs"] == 3 and told["training_data"]["consistency"] == spec.consistency
    assert told["quantitative_analyses"] == {"accuracy": 0.75}
    ran = told["training_run"]
    assert (ran["cost"], ran["cost_on_demand"], ran["seconds"], ran["revocations"]) == (1.25, 4.0, 5400.0, 3)
    assert (ran["seed"], ran["policy"], ran["provider"]) == (7, "cheapest_spot", "local")
    assert ran["real"] == ["The learning was real."] and ran["sources"][0]["licence"] == "MIT"
    for section, place in FREE.values():
        assert told[section][place] == ""


def test_it_is_the_same_whenever_it_is_asked(made) -> None:
    assert card(made) == card(made)


def test_what_was_not_measured_is_said(made) -> None:
    told = card(made, test=None, metrics=None)
    assert told["evaluation_data"] is None and told["quantitative_analyses"] == {}
    assert "no rows" in told["caveats_and_recommendations"]["known"][0]
    page = page_of(told)
    assert "No rows were held out" in page and "None was measured." in page
    assert card(made, metrics={"r2": float("nan")})["quantitative_analyses"] == {"r2": None}


def test_a_run_in_this_process_rented_nothing(made) -> None:
    spec, directory = made
    here = inline(directory.parents[1], data={"path": spec.data.path, "test": spec.data.test})
    told = card(made, spec=here, real=(), simulated=(), cost=0.0, cost_on_demand=None)
    ran = told["training_run"]
    assert ran["policy"] is ran["market"] is ran["provider"] is ran["cost_on_demand"] is None
    assert "nothing was rented" in ran["real"][0] and ran["cost"] == 0.0
    assert "- time: 1h30m\n" in page_of(told)


def test_rows_that_passed_once_are_told_as_such(made) -> None:
    batches = iter([(np.eye(12), np.arange(12.0))])
    told = card(made, train=open_data(batches))
    assert told["training_data"]["rows"] is None
    assert any("passed once" in each for each in told["caveats_and_recommendations"]["known"])


@pytest.fixture
def folder(made, tmp_path) -> Path:
    """A model's folder with its card."""
    for each in (made[1] / "model").iterdir():
        (tmp_path / each.name).write_bytes(each.read_bytes())
    write_card(tmp_path, card(made))
    return tmp_path


def test_it_is_kept_beside_the_model_for_machines_and_people(made, folder) -> None:
    assert read_card(folder) == card(made)
    page = (folder / PAGE).read_text()
    for said in (
        "# Model card: small", "## Model details", "## Intended use", "## Ethical considerations",
        "- cost: $1.25", "- cost on demand: $4.00",
        "- time: 1h30m of the market's time", "- accuracy: 0.75", "(nobody has said yet)",
        "- real: The learning was real.", "- simulated: Prices and revocations were recorded ones.",
    ):  # fmt: skip
        assert said in page, said
    assert load(folder).metric == "accuracy"


def test_what_no_machine_knows_is_filled_in(folder) -> None:
    before = read_card(folder)
    told = filled(before, {"licence": "Apache-2.0", "intended_use": "None whatever."})
    write_card(folder, told)
    assert read_card(folder)["model_details"]["licence"] == "Apache-2.0"
    assert "- primary: None whatever." in (folder / PAGE).read_text()
    assert before["model_details"]["licence"] == ""
    with pytest.raises(Misuse, match="Did you mean 'licence'"):
        filled(before, {"license": "MIT"})


def test_a_card_of_other_files_is_refused(folder) -> None:
    (folder / "model.json").write_text("{}")
    with pytest.raises(Corrupt, match=r"model\.json is not the file"):
        read_card(folder)


def test_what_is_no_card_is_refused(folder, tmp_path) -> None:
    with pytest.raises(Misuse, match="no model card here"):
        read_card(folder / "nowhere")
    for content in ("{", "[]", "{}", json.dumps({"model_details": {"files": {}}})):
        (folder / CARD).write_text(content)
        with pytest.raises(Corrupt, match=r"card\.json"):
            read_card(folder)
