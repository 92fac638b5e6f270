"""The spec of docs/pipeline.md is one that every verb it names reads."""

from __future__ import annotations

import re
from pathlib import Path

from tradewind.session.pipeline.spec import read_pipeline_spec
from tradewind.session.spec import read_spec
from tradewind.session.tune_spec import read_tune_spec

PAGE = Path(__file__).parents[2] / "docs" / "pipeline.md"


def test_the_spec_of_the_page_is_right(tmp_path) -> None:
    found = re.search(r"```toml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert found is not None
    path = tmp_path / "adult.toml"
    path.write_text(found[1])
    spec = read_pipeline_spec(path)
    assert spec.steps == ("tune", "train", "audit", "serve") and spec.train.budget == 5.0
    assert read_tune_spec(path).trials == 8 and read_spec(path).epochs == 20
