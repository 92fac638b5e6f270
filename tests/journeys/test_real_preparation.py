"""A run on real leases whose rows are made ready: fitted once, read alike by every process."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from real_runs import Mishaps, kill, learned, small_spec, train_slowly, undisturbed

from tradewind.data.preparation import Preparation

CITIES = ("Rome", "Oslo", "Bonn", "")


def write_people(path: Path, rows: int = 1600) -> None:
    """Text, gaps, and columns of unlike size."""
    chance = np.random.default_rng(5)
    lines = ["user,city,income,age,rich"]
    for _ in range(rows):
        income, city = chance.normal(4000, 900), chance.choice(CITIES)
        rich = "yes" if income - 4000 + 900 * (city == "Oslo") > 0 else "no"
        told = "NA" if chance.random() < 0.1 else f"{income:.0f}"
        lines.append(f"u{chance.integers(300)},{city},{told},{chance.integers(18, 80)},{rich}")
    path.write_text("\n".join(lines) + "\n")


def test_every_process_reads_rows_through_the_steps_that_were_fitted_once(folder) -> None:
    """A worker is killed with its lease, another takes its place: the bits of an undisturbed job."""
    write_people(folder / "people.csv")
    data = {
        "path": str(folder / "people.csv"), "label": "rich", "columns": ["city", "income", "age"],
        "categories": ["city"], "missing": "mean", "split": {"test": 0.2, "key": "user"},
        "prepare": [
            {"step": "ColumnScaler", "columns": ["income", "age"]},
            {"step": "FeatureHashing", "columns": ["city"], "buckets": 16},
        ],
    }  # fmt: skip
    spec = small_spec(folder, data=data, epochs=10)
    expected = undisturbed(spec)
    mishaps = [lambda run: kill(run, "worker", group=True)]
    done = train_slowly(folder, spec, watching := Mishaps(folder, mishaps, rounds=1))
    run = Path(done.directory)
    assert done.outcome == "done" and not watching.left and learned(run) == expected
    kept = Preparation.load(run / "model" / "preparation")
    assert kept.digest() == Preparation.load(run / "preparation").digest() == done.preparation.digest()
    assert done.metric == "accuracy" and done.quality > 0.8
