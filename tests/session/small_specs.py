"""A small job, its files, and what it came to: what tests of whole runs begin with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tradewind.data.model_files.layout import newest_snapshot
from tradewind.session.spec import make_spec

HEADER = "zone,instance_type,time,price\n"
PRICES = [
    "us-east-1a,p2.xlarge,2020-02-01T00:00:00Z,0.3",
    "us-east-1a,p2.xlarge,2020-02-02T00:00:00Z,0.31",
    "us-east-1a,p2.xlarge,2020-02-09T00:00:00Z,0.3",
]


def write_rows(path: Path, rows: int = 400, features: int = 12, labels: str = "+1 -1") -> None:
    """A LIBSVM file."""
    kinds = labels.split()
    lines = [
        f"{kinds[(k * 7919) % 5 % len(kinds)]} {1 + k % 5}:1 {6 + k % (features - 6)}:0.5 {features}:{k % 3}"
        for k in range(rows)
    ]
    path.write_text("\n".join(lines) + "\n")


def write_files(folder: Path) -> None:
    """The rows and the prices of `spec_of`."""
    write_rows(folder / "rows.libsvm")
    (folder / "prices.csv").write_text(HEADER + "\n".join(PRICES) + "\n")


def spec_of(folder: Path, **changes: Any) -> Any:
    """A spec on `folder`, with these fields changed."""
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
    """The same in this process."""
    return spec_of(folder, runtime="inline", **changes)


def tables(run: str | Path) -> dict[str, bytes]:
    """The tables in the last snapshot of a run."""
    found = newest_snapshot(Path(run) / "snapshots")
    assert found is not None
    return {name: array.tobytes() for name, array in found[1].items()}
