"""What docs/your-own-model.md shows is run as it stands, over a user's package and files."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tradewind.algorithms.deep.gradients import OPTIMIZERS
from tradewind.algorithms.deep.torch_learner import TorchLearner
from tradewind.algorithms.deep.torch_model import INPUTS, LABELS
from tradewind.algorithms.partial_fit_merging import KNOWN, REFUSED
from tradewind.training.job import Learner, build_algorithm

PAGE = (Path(__file__).parents[2] / "docs" / "your-own-model.md").read_text(encoding="utf-8")
NETWORK = """
from torch import nn


class Net(nn.Module):
    def __init__(self, features, classes, hidden=64):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(features, hidden), nn.ReLU(), nn.Linear(hidden, classes))

    def forward(self, x):
        return self.layers(x)
"""
HERE = """
import functools
import numpy as np
import tradewind as tw

tw.train = functools.partial(tw.train, runtime="inline", batch=30)
X = np.loadtxt("rows.csv", delimiter=",", skiprows=1)[:, :4]
"""
"""Before each block: the run stays in this process, and the rows that the page speaks of."""


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's: a package that can be imported, and rows."""
    where: Path = tmp_path_factory.mktemp("users")
    (where / "my_package").mkdir()
    (where / "my_package" / "__init__.py").write_text("")
    (where / "my_package" / "model.py").write_text(NETWORK)
    chance = np.random.default_rng(0)
    y = chance.integers(2, size=240)
    x = chance.normal(size=(240, 4)) + 2 * np.eye(4)[y]
    lines = [",".join(f"{cell:.4g}" for cell in (*row, label)) for row, label in zip(x, y, strict=True)]
    (where / "rows.csv").write_text("a,b,c,d,label\n" + "\n".join(lines) + "\n")
    return where


def test_every_block_of_python_runs(folder: Path) -> None:
    network, estimator = blocks("python")
    script = folder / "page.py"
    script.write_text(
        HERE
        + network
        + "assert type(net).__name__ == 'Net' and net.layers[0].out_features == 128\n"
        + estimator
        + "assert run.outcome == 'done' and (run.model.estimator.predict(X) == run.model.predict(X)).all()\n"
    )
    ran = subprocess.run(
        [sys.executable, script], cwd=folder, capture_output=True, text=True, check=False, timeout=100
    )
    assert ran.returncode == 0, ran.stderr


def test_the_spec_is_of_the_learner_that_python_makes(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.syspath_prepend(folder)
    (block,) = blocks("toml")
    table: dict[str, Any] = tomllib.loads(block)["learner"]
    learner = build_algorithm(Learner(table.pop("kind"), table))
    assert isinstance(learner, TorchLearner)
    learner.check()
    same = TorchLearner("my_package.model:Net", arguments={"hidden": 128}, loss="cross_entropy")
    assert learner.parameters() == same.parameters()


def test_what_the_page_lists_is_what_there_is() -> None:
    for name in (*LABELS, *INPUTS, "optimizer", "rate", "clip", "weight_decay", "shape", "arguments"):
        assert f"`{name}`" in PAGE, name
    for home in KNOWN:
        name = home.partition(":")[2]
        assert re.sub("(Classifier|Regressor)$", "", name) in PAGE, name
    named = set(re.findall(r"\b[A-Z]\w+\b", PAGE))
    assert {"MLPClassifier", "MLPRegressor", "MiniBatchKMeans", "IncrementalPCA"} <= named & REFUSED.keys()
    assert "sgd" in OPTIMIZERS and "`sgd`" in PAGE
