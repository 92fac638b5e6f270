"""Which provider, machine and how many: how much search it takes to come within 5 % on IBM's table.

    make bench NAME=advice/multicloud
    make bench NAME=advice/multicloud ARGS="--quick --data DIR"

Dask workloads on up to 82 clusters of three anonymous providers, recorded by Lazuka and others, prices with
them; workloads that ran nowhere are left out. Programs are the algorithms: the corpus of one has no run of it
on any data set. See `searches` for what is simulated, `peers` for how Optuna is asked.

`cost_to_within5_*`: the search cost, in runs on the optimum, after which the recommendation stays within 5 %
of the optimum, where all go on to 30 probes; the 90th centile is what must be spent for nine searches in ten
to be there. `found`: the share that ever was. `within5`, `stop_probes`, `search_cost`: where the advisor ends
by itself, told that a hundred runs are to come (Optuna never does, and is taken at ten). The best named
advisor is that of the others with the least `cost_to_within5_p90`; ours is set beside it, by that and by the
mean cost of the search to its own end.
"""

from __future__ import annotations

from pathlib import Path

from reaching_tables import main

if __name__ == "__main__":
    main("advice/multicloud", __doc__, (Path("ibm-multi-cloud.csv"),), most=30, few=10)
