from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradewind.errors import Misuse
from tradewind.state.partition import (
    PARTITIONS,
    Routing,
    even_routing,
    partitions_of,
    range_bounds,
    routing_of,
    share_of,
)


@given(rows=st.integers(0, 500), partitions=st.integers(1, 40))
def test_ranges_cover_every_row_once_and_evenly(rows, partitions):
    bounds = range_bounds(rows, partitions)
    sizes = np.diff(bounds)
    assert bounds[0] == 0 and bounds[-1] == rows
    assert sizes.min() >= 0 and sizes.max() - sizes.min() <= 1
    found = partitions_of(np.arange(rows), rows, partitions, sparse=False)
    assert found.tolist() == np.repeat(np.arange(partitions), sizes).tolist()


def test_hashes_spread_neighbours_evenly_and_never_change():
    found = partitions_of(np.arange(64_000), 2**40, 32, sparse=True)
    counts = np.bincount(found, minlength=32)
    assert counts.min() > 1800 and counts.max() < 2200
    # written down once: a snapshot of today must be routed the same by every later version
    rows = [0, 1, 2, 10**12]
    assert partitions_of(np.array(rows), 2**41, 32, sparse=True).tolist() == [mixed(row) % 32 for row in rows]


def mixed(x: int) -> int:
    """The finaliser of splitmix64, in whole numbers."""
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB % 2**64
    return x ^ (x >> 31)


@pytest.mark.parametrize("servers", [1, 2, 3, 32])
def test_servers_share_the_partitions(servers):
    routing = even_routing(servers)
    owned = [routing.owned(server) for server in range(servers)]
    assert sorted(sum(owned, ())) == list(range(32))
    assert max(map(len, owned)) - min(map(len, owned)) <= 1
    assert routing.servers == servers


@pytest.mark.parametrize("servers", [0, 33])
def test_too_many_servers_are_misuse(servers):
    with pytest.raises(Misuse, match="servers"):
        even_routing(servers)


def test_a_routing_is_a_value():
    assert Routing(1, (0, 1)) == Routing(1, (0, 1)) != Routing(2, (0, 1))


@pytest.mark.parametrize("servers", [1, 3, 7])
def test_shares_of_all_servers_are_the_whole(servers):
    whole = np.arange(2 * 45).reshape(45, 2)
    routing = even_routing(servers)
    shares = [share_of(whole, PARTITIONS, routing.owned(server)) for server in range(servers)]
    assert np.array_equal(np.concatenate(shares), whole)
    assert routing_of([routing.owned(server) for server in range(servers)], PARTITIONS, 0) == routing
    assert len(share_of(whole, PARTITIONS, ())) == 0


def test_a_partition_that_nobody_owns_is_misuse():
    with pytest.raises(Misuse, match="partitions"):
        routing_of([range(31)], PARTITIONS, 0)
