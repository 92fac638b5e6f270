"""Clusters with hyper-parameters: how much search it takes to come within 5 % on Lynceus's TensorFlow jobs.

    make bench NAME=advice/lynceus
    make bench NAME=advice/lynceus ARGS="--quick --data DIR"

Training of two networks on 384 combinations of a cluster and hyper-parameters, recorded by Casimiro and
others, until an accuracy of .85 or ten minutes, which count as timed out. The corpus of one network is the
other. See `searches` for what is simulated, `peers` for how Optuna is asked.

`cost_to_within5_*`: the search cost, in runs on the optimum, after which the recommendation stays within 5 %
of the optimum, where all go on to 50 probes; the 90th centile is what must be spent for nine searches in ten
to be there. `found`: the share that ever was. `within5`, `stop_probes`, `search_cost`: where the advisor ends
by itself, told that a hundred runs are to come (Optuna never does, and is taken at ten). The best named
advisor is that of the others with the least `cost_to_within5_p90`; ours is set beside it, by that and by the
mean cost of the search to its own end.
"""

from __future__ import annotations

from pathlib import Path

from reaching_tables import main

FILES = tuple(Path("lynceus", name) for name in ("t2_cnn_intermediate_values.csv", "t2_rnn.csv"))

if __name__ == "__main__":
    main("advice/lynceus", __doc__, FILES, most=50, few=12, limit=600.0)
