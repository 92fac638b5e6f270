"""The blocks of docs/forecasting.md run in their order, and its tables name everything there is."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tradewind.algorithms.deep.deepar import DeepAR
from tradewind.algorithms.deep.deepar_calendar import FEATURES
from tradewind.algorithms.deep.deepar_sampling import PARAMETERS_OF
from tradewind.algorithms.series import series_of

PAGE = (Path(__file__).parents[2] / "docs" / "forecasting.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The names that the blocks leave behind."""
    names: dict[str, Any] = {}
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len(blocks) == 3
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("page"))
        for number, block in enumerate(blocks):
            exec(compile(block, f"docs/forecasting.md, block {number}", "exec"), names)
    return names


def test_forecasts_are_quantiles_that_rise(made: dict[str, Any]) -> None:
    assert made["forecasts"].shape == (20, 24, 9) and made["paths"].shape == (20, 100, 24)
    assert made["bands"].shape == (20, 24, 2) and made["new"].shape == (1, 24, 9)
    for each in (made["forecasts"], made["bands"], made["new"]):
        assert np.isfinite(each).all() and (np.diff(each, axis=2) >= 0).all()
    assert 0 < made["backtest"] < 20


def test_the_run_is_done_and_its_model_opens(made: dict[str, Any]) -> None:
    run, rows = made["run"], made["rows"]
    assert run.outcome == "done" and run.metric == "mean_weighted_quantile_loss" and 0 < run.quality < 1
    assert np.array_equal(made["model"].evaluate(rows), run.model.evaluate(rows))


def test_every_argument_and_choice_is_told() -> None:
    for name in (*inspect.signature(DeepAR).parameters, *PARAMETERS_OF, *FEATURES):
        assert f"`{name}`" in PAGE, name


def test_the_usual_values_are_those_of_the_constructor() -> None:
    usual = {name: each.default for name, each in inspect.signature(DeepAR).parameters.items()}
    rows = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|.*\| ([^|]+) \|$", PAGE, re.MULTILINE)
    told = {", ".join(re.findall(r"\w+", names)): values for names, values in rows}
    for names, values in (
        ("num_layers, num_cells, dropout", "2, 40, 0.1"),
        ("batch_size, windows_per_series", "32, 4"),
        ("averaging", "0.99"),
        ("optimizer, rate, clip, weight_decay, epochs, seed", "`adam`, 0.001, 10, 0, 100, 0"),
    ):
        assert told[names] == values
        stated = [each.strip("` ") for each in values.split(",")]
        for name, value in zip(names.split(", "), stated, strict=True):
            assert usual[name] == (value if name == "optimizer" else float(value)), name


def test_every_field_of_a_series_is_told() -> None:
    found = series_of({"start": "2026-01-01", "target": [1], "cat": [0], "dynamic_feat": [[1, 2]]})
    assert found.categories == (0,)
    assert re.findall(r"^\| `(\w+)` \|", PAGE.split("## Options")[0], re.MULTILINE) == [
        "start", "target", "cat", "dynamic_feat",
    ]  # fmt: skip
