"""What docs/preparation.md shows is run as it stands there, but for where the job runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tradewind.data.streams import open_data

PAGE = (Path(__file__).parents[2] / "docs" / "preparation.md").read_text(encoding="utf-8")
BLOCKS = [block.split("```")[0] for block in PAGE.split("```python\n")[1:]]


def write_people(path: Path) -> None:
    chance = np.random.default_rng(2)
    lines = ["user,age,income,city,rich"]
    for row in range(300):
        income, city = chance.normal(4000, 900), chance.choice(["Rome", "Oslo", ""])
        told = "" if row % 9 == 0 else f"{income:.0f}"
        lines.append(
            f"u{row % 70},{chance.integers(18, 80)},{told},{city},{'yes' if income > 4000 else 'no'}"
        )
    path.write_text("\n".join(lines) + "\n")


def test_the_pages_code_does_what_it_says(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_people(tmp_path / "people.csv")
    job, alone, numpy_alone = BLOCKS
    known: dict[str, Any] = {}
    exec(alone, known)
    train, test = known["train"], known["test"]
    assert train.rows + test.rows == 300 and train.schema.features == 2 + 1024 == test.schema.features
    raw = open_data(
        "people.csv", label="rich", features=["age", "income"], missing="keep",
        split={"test": 0.2, "side": "test", "key": "user"},
    )  # fmt: skip
    # the page's numpy, with gaps filled and columns scaled as the steps' header says
    known["x"] = np.c_[raw.whole().dense, np.zeros(raw.rows)]
    exec(numpy_alone, known)
    assert np.array_equal(test.whole().matrix()[:, :2].toarray(), known["x"][:, :2].astype(np.float32))
    here = job.replace('"people.csv",', '"people.csv", runtime="inline",', 1)
    known["batch"] = open_data(
        "people.csv", label="rich", features=["age", "income", "city"], categories=["city"], missing="keep"
    ).whole()
    exec(here, known)
    run = known["run"]
    held = open_data(
        "people.csv", label="rich", features=["age", "income", "city"], categories=["city"], missing="keep",
        split={"test": 0.2, "side": "test", "key": "user"},
        prepare=Path(run.directory) / "model" / "preparation",
    )  # fmt: skip
    assert run.quality == run.model.score(held.whole(), run.metric) and held.rows == test.rows
