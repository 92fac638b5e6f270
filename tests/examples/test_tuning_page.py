"""The blocks of docs/tuning.md run in their order, and its tables name every rule and field there is."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tradewind.session.spec_documents import schema
from tradewind.session.tune import MACHINES
from tradewind.session.tune_spec import make_tune_spec
from tradewind.tuning.rules import SEARCHERS, STOPPERS

PAGE = (Path(__file__).parents[2] / "docs" / "tuning.md").read_text(encoding="utf-8")


def test_every_block_of_python_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len(blocks) == 5
    for number, block in enumerate(blocks):
        exec(compile(block, f"docs/tuning.md, block {number}", "exec"), names)
    assert abs(names["best"].setting["x"]) < 0.1
    assert len(names["study"].trials) == 16 and names["grid"].size == 4
    assert names["search"].best_score_ > 0.8


def test_the_spec_is_one() -> None:
    (block,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    spec = make_tune_spec(tomllib.loads(block))
    assert spec.trials == 16 and spec.budget == 2.0 and spec.stop is not None


def test_every_rule_and_every_field_is_told() -> None:
    for name in (*SEARCHERS, *STOPPERS, *MACHINES):
        assert f"`{name}`" in PAGE, name
    for field in schema("tune")["properties"]["tune"]["properties"]:
        assert f"`tune.{field}`" in PAGE, field
