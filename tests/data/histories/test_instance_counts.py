from __future__ import annotations

import gzip
import json
from itertools import pairwise

import pytest

from tradewind.clock import moment
from tradewind.data.recorded_histories import history
from tradewind.errors import Misuse
from tradewind.market.instances import Pool

POOL = Pool("p2.xlarge", "us-east-1a")


TRACES = [
    ("availability_16-node_aws-08-27-2023_us-east-2b_v100_1.json.gz", "p3.2xlarge@us-east-2b", "2023-08-27"),
    ("availability_1-node_aws-02-15-2023_us-west-2a_v100_1.json.gz", "p3.2xlarge@us-west-2a", "2023-02-15"),
    ("preemption_1-node_aws-04-19-2023_us-east-1b_intel_64.json.gz", "m6i.16xlarge@us-east-1b", "2023-04-19"),
    ("preemption_1-node_aws-04-22-2023_us-east-1f_v100_1.json.gz", "p3.2xlarge@us-east-1f", "2023-04-22"),
]


@pytest.mark.parametrize(("name", "pool", "day"), TRACES)
def test_counts_of_instances(bench_data, name, pool, day):
    path = bench_data(f"availability/{name}")
    with gzip.open(path) as file:
        document = json.load(file)
    gap, counts = document["metadata"]["gap_seconds"], document["data"]
    market = history(path)
    assert [str(each) for each in market.pools] == [pool]
    capacity = market.capacities[market.pools[0]]
    assert capacity.start == moment(day)
    assert capacity.end == capacity.start + gap * len(counts)
    for k in range(0, len(counts), 37):
        for within in (0.0, gap / 2):
            assert capacity.available(capacity.start + gap * k + within) == counts[k]
    changes = sum(a != b for a, b in pairwise(counts))
    assert len(capacity.changes) == changes + 1
    if "prices" in document:
        price = market.price(market.pools[0])
        for k in range(0, len(counts), 97):
            assert price.at(capacity.start + gap * k) == document["prices"][k]
    else:
        assert not market.prices


@pytest.mark.parametrize("name", ["availability_1-node_aws-13-45-2023_us-east-1a_v100_1.json", "counts.json"])
def test_counts_that_do_not_say_where_and_when(tmp_path, name):
    path = tmp_path / name
    path.write_text('{"metadata": {"gap_seconds": 60}, "data": [1, 2]}')
    with pytest.raises(Misuse):
        history(path)
    market = history(path, pools=[POOL], start=500.0)
    assert market.capacities[POOL].available(560.0) == 2
    with pytest.raises(Misuse, match="2 pools"):
        history(path, pools=[POOL, Pool("p2.xlarge", "us-east-1b")], start=500.0)


def test_an_unknown_kind_is_refused(tmp_path):
    path = tmp_path / "availability_1-node_aws-02-15-2023_us-east-1a_tpu_1.json"
    path.write_text('{"metadata": {"gap_seconds": 60}, "data": [1, 2]}')
    with pytest.raises(Misuse, match="unknown kind tpu_1"):
        history(path)
    assert history(path, pools=[POOL]).capacities[POOL].start == moment("2023-02-15")
