"""Which cluster and disks: the cost of what is recommended on CherryPick's runs after 6 and 10 probes.

    make bench NAME=advice/cherrypick_runs
    make bench NAME=advice/cherrypick_runs ARGS="--quick --data DIR"

K-means, Spark regression and TPC-H on 47 to 59 of 68 clusters of AWS, recorded, a run each, prices with them.
The corpus of each is the other two, where they were run on the same clusters. Columns as in `advice/scout`.
"""

from __future__ import annotations

from pathlib import Path

from cluster_tables import main

FILES = tuple(Path("cherrypick", f"CP_{name}.csv") for name in ("kmeans", "spark", "tpch"))

if __name__ == "__main__":
    main("advice/cherrypick_runs", __doc__, FILES)
