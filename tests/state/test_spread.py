from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tradewind.state.partition import routing_of
from tradewind.state.spread import Spread
from tradewind.state.table import layout_of


@st.composite
def spreads(draw: st.DrawFn) -> Spread:
    """Any number of servers over any partitions; some may own none."""
    partitions, servers = draw(st.integers(1, 12)), draw(st.integers(1, 5))
    owners = draw(st.lists(st.integers(0, servers - 1), min_size=partitions, max_size=partitions))
    owned = [[p for p, owner in enumerate(owners) if owner == server] for server in range(servers)]
    return Spread(routing_of(owned, partitions, 0), servers)


@given(spread=spreads(), rows=st.integers(0, 60))
def test_the_shares_of_a_whole_table_come_together_again(spread, rows):
    table = np.arange(rows * 2.0).reshape(rows, 2)
    layout, first = layout_of("w", table, "add")
    answers = [spread.share(first, server) for server in range(spread.servers)]
    assert sum(map(len, answers)) == rows
    found = spread.gathered(layout, None, spread.masks(layout, None), answers)
    assert found.flags.writeable
    assert np.array_equal(found, table)


@settings(deadline=None)  # the first call compiles
@given(spread=spreads(), chosen=st.lists(st.integers(0, 49), unique=True), sparse=st.booleans())
def test_rows_come_in_the_order_asked_and_each_from_one_server(spread, chosen, sparse):
    table = np.arange(100.0).reshape(50, 2)
    layout, _ = layout_of("w", np.zeros(2), "add", sparse=50) if sparse else layout_of("w", table, "add")
    rows = np.array(chosen, np.int64)
    masks = spread.masks(layout, rows)
    asked = [rows if mask is None else rows[mask] for mask in masks]
    assert sorted(np.concatenate(asked).tolist()) == sorted(chosen)
    answers = [table[each] if len(each) else np.empty(0) for each in asked]
    assert np.array_equal(spread.gathered(layout, rows, masks, answers), table[rows])


def test_what_one_server_gave_to_read_only_may_be_written_to():
    layout, first = layout_of("w", np.zeros((3, 1)), "add")
    first.flags.writeable = False
    spread = Spread(routing_of([[0]], 1, 0), 1)
    spread.gathered(layout, None, [None], [first])[0] = 1.0
    assert first[0] == 0.0
