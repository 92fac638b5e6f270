from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tradewind.errors import Corrupt, Misuse
from tradewind.state.consistency import Asynchronous, BulkSynchronous
from tradewind.state.engine import Engine
from tradewind.state.partition import even_routing, partitions_of
from tradewind.state.snapshot import Snapshot, merged, parted, snapshot_of
from tradewind.state.stamp import Stamp
from tradewind.state.table import layout_of
from tradewind.state.workers import Update


def worked(mode, seed, until, engine=None, servers=1):
    """Engines of a job, driven by hand from wherever they stand up to clock `until`."""
    engines = engine or []
    if not engines:
        routing = even_routing(servers)
        for server in range(servers):
            each = Engine(2, mode, owned=routing.owned(server))
            for key, first, aggregate, options in (
                ("dense", np.zeros((40, 3), np.float32), "adam", {}),
                ("counts", np.zeros(7, np.int64), "add", {}),
                ("far", np.ones(2), "adagrad", {"sparse": 10**9}),
            ):
                layout, rows = layout_of(key, first, aggregate, **options)
                each.create(layout, each.share_of(layout, rows))
            engines.append(each)
    start = [max(each.host(worker).clock for each in engines) for worker in range(2)]
    for clock in range(min(start), until):
        for worker in range(2):
            rng = np.random.default_rng([seed, worker, clock])
            far = np.sort(rng.choice(500, 9, replace=False)) * 1_000_003
            deltas = (
                (
                    "dense",
                    np.sort(rng.choice(40, 6, replace=False)),
                    rng.normal(size=(6, 3)).astype(np.float32),
                ),
                ("counts", np.arange(7), np.ones((7, 1), np.int64)),
                ("far", far, rng.normal(size=(9, 2))),
            )
            for each in engines:
                for sequence, (key, rows, delta) in enumerate(deltas):
                    mine = np.array([each.table(key)._mine[p] for p in _partitions(each, key, rows)])
                    updates = [Update(key, delta[mine], rows[mine])] if mine.any() else []
                    each.push(Stamp(worker, each.epoch, clock, sequence), updates)
                each.arrive(worker, clock, 3)
    return engines


def _partitions(engine, key, rows):
    layout = engine.table(key).layout
    return partitions_of(rows, layout.rows, engine.partitions, layout.sparse)


def same(one: Snapshot, other: Snapshot) -> bool:
    return one.arrays.keys() == other.arrays.keys() and all(
        one.arrays[name].tobytes() == other.arrays[name].tobytes() for name in one.arrays
    )


@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 999),
    mode=st.sampled_from([BulkSynchronous(), Asynchronous()]),
    cut=st.integers(0, 5),
    servers=st.integers(1, 3),
    later=st.integers(1, 3),
)
def test_a_snapshot_goes_on_as_if_nothing_had_been_on_any_number_of_servers(seed, mode, cut, servers, later):
    whole = merged([each.snapshot() for each in worked(mode, seed, 6)])
    half = merged([each.snapshot() for each in worked(mode, seed, cut, servers=servers)])
    kept = snapshot_of(*half.plain())
    assert kept.positions() == (cut, cut)
    restored = [Engine.restore(part) for part in parted(kept, even_routing(later))]
    assert {each.epoch for each in restored} == {1}
    gone_on = worked(mode, seed, 6, restored)
    assert same(whole, merged([each.snapshot() for each in gone_on]))


def test_a_snapshot_in_the_middle_of_a_round_is_that_of_the_last():
    (engine,) = worked(BulkSynchronous(), 1, 2)
    before = engine.snapshot()
    engine.push(Stamp(0, 0, 2, 0), [Update("counts", np.ones((7, 1), np.int64), np.arange(7))])
    engine.arrive(0, 2, 1)
    engine.leave(0)
    after = engine.snapshot()
    assert same(before, after) and after.positions() == (2, 2)
    assert not after.header.workers[0].left  # its last batch is not in: it has to be done again


def test_fresh_positions_learn_on_with_new_data():
    (engine,) = worked(Asynchronous(), 1, 3)
    fresh = Engine.restore(engine.snapshot(), fresh=True)
    assert fresh.host(0).clock == 0
    assert fresh.pull(None, "counts").sum() == 3 * 2 * 7


def test_a_broken_snapshot_is_told():
    arrays, header = worked(BulkSynchronous(), 1, 2)[0].snapshot().plain()
    with pytest.raises(Corrupt, match="lacks"):
        snapshot_of({name: each for name, each in arrays.items() if name != "dense/values"}, header)
    with pytest.raises(Corrupt, match="dense"):
        snapshot_of({**arrays, "dense/values": arrays["dense/values"][:-1]}, header)
    with pytest.raises(Corrupt, match="no snapshot"):
        snapshot_of(arrays, {"version": 1})
    with pytest.raises(Misuse, match="newer"):
        snapshot_of(arrays, {**header, "version": 99})
    engines = worked(BulkSynchronous(), 1, 2, servers=2)
    first = engines[0].snapshot()
    with pytest.raises(Misuse, match="missing"):
        merged([first])
