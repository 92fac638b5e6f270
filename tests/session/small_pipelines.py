"""A small pipeline in a file: a search, a training in this process, an audit, and a server where asked.

The packages that its audit looks at are none, which is quick.
"""

from __future__ import annotations

from pathlib import Path

from small_specs import write_files

TRAIN = """
name = "small"
epochs = 2
batch = 20
parts = 4
runtime = "inline"
[learner]
kind = "LinearLearner"
loss = "logistic"
[data]
path = "rows.libsvm"
split = {test = 0.2}
[workers]
count = 2
instance_types = ["p2.xlarge"]
[provider]
kind = "local"
history = "prices.csv"
"""
AUDIT = """
[audit]
environment = "packages"
"""
TUNE = """
[tune]
trials = 2
search = "grid"
[tune.space]
l2 = [1e-6, 1e-2]
"""
SERVE = """
[serve]
slo = "p99<500ms"
port = 0
grpc_port = -1
"""


def write_pipeline(folder: Path, *tables: str) -> Path:
    """The file of a pipeline with these tables besides, and the rows and prices that it names."""
    write_files(folder)
    (folder / "packages").mkdir(exist_ok=True)
    where = folder / "pipeline.toml"
    where.write_text(
        f'out = "{folder / "runs"}"\n'
        + TRAIN
        + "".join((*tables, "" if any("[audit]" in each for each in tables) else AUDIT))
    )
    return where
