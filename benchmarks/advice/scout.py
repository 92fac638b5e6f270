"""Which cluster: the cost of what is recommended on Scout's multi-node runs after 6 and 10 probes.

    make bench NAME=advice/scout
    make bench NAME=advice/scout ARGS="--quick --data DIR"

Hadoop and Spark workloads on 69 clusters of AWS, recorded by Hsu and others, a run each; list prices of
us-east-1 from the package's catalogue. See `searches` for what is simulated and for corpora, `peers` for how
Optuna is asked.

`nc6_median`, `nc10_median`, `nc10_p90`: the recommendation's cost over the optimum after so many probes, over
workloads and seeds, where all go on to ten (those that go by one run, such as best_single, keep theirs).
`equal6`, `equal10`: the same, at the search cost that ours had come to after 6 and 10 probes, others being
given up to 20; `ours_less_equal*`: the mean of our cost less that, between its bounds. `search_cost`,
`stop_probes` and `stop_nc`: where the advisor itself ends, in runs on the optimum; Optuna never ends and is
taken at ten. Intervals, 95 %, are by bootstrap over workloads.
"""

from __future__ import annotations

from pathlib import Path

from cluster_tables import main

if __name__ == "__main__":
    main("advice/scout", __doc__, (Path("scout-multi-node.csv"),))
