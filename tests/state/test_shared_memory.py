import multiprocessing
import os
import signal
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tradewind.algorithms.aggregation import AGGREGATIONS
from tradewind.errors import Misuse, Temporary
from tradewind.state.shared_memory import InPlaceState, SequencedState, restore_tables
from tradewind.state.shared_tables import SharedTable, SharedTables
from tradewind.state.table import Table, layout_of

SPAWN = multiprocessing.get_context("spawn")


@pytest.fixture
def sequenced(tmp_path):
    with SharedTables.create(workers=3, sequenced=True, partitions=3, directory=tmp_path) as tables:
        yield tables


def test_the_streaming_median_in_both_modes(tmp_path):
    """Liberty et al., SIGMOD 2020, section 3: n and the median, two workers."""
    data = np.random.default_rng(0).normal(5.0, 1.0, 4000)

    def update(state, batches):
        for batch in batches:
            median, n = state.pull("median"), state.pull("n")
            step = float(np.where(batch > median, 1, -1).sum())
            state.push("n", float(len(batch)))
            state.push("median", step / np.sqrt(n + len(batch)))

    for mode, workers in ((SequencedState, (0, 1)), (InPlaceState, (None, None))):
        with SharedTables.create(workers=2, sequenced=mode is SequencedState, directory=tmp_path) as tables:
            states = [mode(tables, worker) if worker is not None else mode(tables) for worker in workers]
            states[0].initialize("median", 0.0)
            states[0].initialize("n", 0.0)
            for start in range(0, 4000, 20):
                update(states[start // 20 % 2], [data[start : start + 20]])
            assert states[1].pull("n") == 4000
            assert abs(states[1].pull("median") - np.median(data)) < 0.2


pushes = st.lists(
    st.tuples(
        st.integers(0, 1),
        st.none() | st.lists(st.integers(0, 6), unique=True, max_size=7),
        st.integers(0, 2**31),
    ),
    max_size=8,
)


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(sorted(AGGREGATIONS)), pushes, st.sampled_from(["float32", "float64"]), st.integers(1, 9)
)
def test_pushes_come_to_what_a_servers_table_comes_to(
    tmp_path_factory, aggregate, given_pushes, dtype, partitions
):
    """The record and the second array change nothing: bit for bit as `state.table.Table` takes pushes in."""
    first = np.random.default_rng(1).normal(size=(7, 2)).astype(dtype)
    layout, rows = layout_of("w", first, aggregate)
    wanted = Table(layout, rows, 1, [0])
    root = tmp_path_factory.mktemp("s")
    with SharedTables.create(workers=2, sequenced=True, partitions=partitions, directory=root) as tables:
        states = [SequencedState(tables, worker) for worker in range(2)]
        states[0].initialize("w", first, aggregate=aggregate)
        for worker, places, seed in given_pushes:
            chosen = None if places is None else np.array(places, np.int64)
            count = 7 if chosen is None else len(chosen)
            delta = np.random.default_rng(seed).normal(size=(count, 2)).astype(dtype)
            states[worker].push("w", delta, chosen)
            wanted.take_in(chosen, delta)
        np.testing.assert_array_equal(states[0].pull("w"), wanted.values)
        some = np.array([6, 0, 3])
        np.testing.assert_array_equal(states[1].pull("w", some), wanted.values[some])
        out = np.empty_like(first)
        states[1].pull("w", out=out)
        np.testing.assert_array_equal(out, wanted.values)


class Killed(BaseException):
    """Stands in for the process's end at a point of a push."""


POINTS = ("prepared", "committed", "finish 0", "finish 1", "finish 2", "done")


def push_killed_at(state, point, monkeypatch, *arguments):
    """Push, and stop for good at a point; what is in shared memory is as a kill would leave it."""
    with monkeypatch.context() as patch:
        commit, finish = SequencedState._commit, SharedTable.finish

        def committing(self, table, partition, order, whole):
            if point == "prepared":
                raise Killed
            commit(self, table, partition, order, whole)
            if point == "committed":
                raise Killed

        def finishing(self, partition):
            if point.startswith("finish"):
                # only some of the stores of `finish` have happened
                kept = self.control[partition].copy()
                finish(self, partition)
                after = self.control[partition].copy()
                self.control[partition] = kept
                words = [np.flatnonzero(kept != after)][0][: int(point[-1])]
                words = words[words > 0]
                self.control[partition, words] = after[words]
                raise Killed
            finish(self, partition)
            if point == "done":
                raise Killed

        patch.setattr(SequencedState, "_commit", committing)
        patch.setattr(SharedTable, "finish", finishing)
        with pytest.raises(Killed):
            state.push(*arguments)


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("rows", [None, [0, 3, 8, 5]])
def test_a_kill_at_any_point_of_a_push_loses_and_doubles_nothing(tmp_path, point, rows, monkeypatch):
    tables = SharedTables.create(workers=2, sequenced=True, partitions=3, directory=tmp_path)
    first = SequencedState(tables, 0)
    first.initialize("w", np.zeros(9), aggregate="add")
    chosen = None if rows is None else np.array(rows)
    delta = np.arange(1.0, 10.0) if rows is None else np.arange(1.0, 5.0)
    first.next_batch()
    first.push("w", np.full(9, 100.0))
    push_killed_at(first, point, monkeypatch, "w", delta, chosen)
    path = tables.path
    other = SequencedState(SharedTables.attach(path), 1)
    other.push("w", np.full(9, 1000.0))  # somebody else meets what was left
    again = SequencedState.__new__(SequencedState)
    again.__dict__.update(first.__dict__)
    again._sequence, again._drawn = 0, False
    again.next_batch()
    again.push("w", np.full(9, 100.0))
    again.push("w", delta, chosen)
    wanted = np.full(9, 1100.0)
    wanted[slice(None) if rows is None else rows] += delta
    np.testing.assert_array_equal(other.pull("w"), wanted)
    assert again.dropped() >= 3
    other.tables.close()
    tables.close()


def _plan(worker):
    chance = np.random.default_rng(worker)
    return [np.sort(chance.choice(400, 90, replace=False)) for _ in range(3000)]


def _count(path, worker):
    tables = SharedTables.attach(path)
    state = SequencedState(tables, worker)
    for rows in state.draw(_plan(worker)[state.position.clock :]):
        state.push("rows", np.ones((90, 3)), rows)
        state.push("whole", np.full(50, 1.0))
        state.push("rows", np.ones((90, 3)), rows)


def test_exactly_once_through_real_kills(tmp_path):
    """Two workers at once, each killed four times by SIGKILL at some moment, end with every push in once."""
    with SharedTables.create(workers=2, sequenced=True, partitions=2, directory=tmp_path) as tables:
        reader = SequencedState(tables)
        reader.initialize("rows", np.zeros((400, 3)))
        reader.initialize("whole", np.zeros(50))
        chance = np.random.default_rng(4)

        def start(worker):
            host = SPAWN.Process(target=_count, args=(str(tables.path), worker))
            host.start()
            return host, int(tables.clocks[worker]) + int(chance.integers(50, 700))

        hosts, kills, patience = [start(0), start(1)], [0, 0], 20_000
        while any(host.is_alive() for host, _ in hosts) and patience:
            time.sleep(0.002)  # noqa: TID251 -- other processes work meanwhile
            patience -= 1
            for worker, (host, target) in enumerate(hosts):
                if kills[worker] < 4 and tables.clocks[worker] >= target:
                    os.kill(host.pid, signal.SIGKILL)
                    host.join()
                    assert host.exitcode == -signal.SIGKILL
                    kills[worker] += 1
                    hosts[worker] = start(worker)
        for host, _ in hosts:
            host.join(10)
            assert host.exitcode == 0
        assert kills == [4, 4] and tables.clocks.tolist() == [3000, 3000]
        wanted = np.zeros((400, 3))
        for worker in range(2):
            for rows in _plan(worker):
                wanted[rows] += 2
        np.testing.assert_array_equal(reader.pull("rows"), wanted)
        np.testing.assert_array_equal(reader.pull("whole"), np.full(50, 6000.0))
        assert reader.dropped() > 0


def test_a_worker_has_one_host_at_a_time(sequenced):
    state = SequencedState(sequenced, 1)
    state.next_batch()
    state.next_batch()
    other = SharedTables.attach(sequenced.path)
    with pytest.raises(Temporary, match="worker 1 is hosted"):
        SequencedState(other, 1)
    sequenced_again = SequencedState(other, 2)
    assert sequenced_again.position.clock == 0
    state.barrier()
    assert other.clocks.tolist() == [0, 2, 0]
    other.close()


def test_a_snapshot_is_restored_exactly_and_drops_what_it_had(tmp_path):
    with SharedTables.create(workers=2, sequenced=True, partitions=2, directory=tmp_path) as tables:
        state = SequencedState(tables, 0)
        state.initialize("w", np.ones((5, 2), np.float32), aggregate="adagrad", rate=0.5)
        state.initialize("n", 0.0)
        for _ in state.draw(range(3)):
            state.push("w", np.full((5, 2), 0.25, np.float32))
            state.push("n", 1.0)
        arrays, header = state.snapshot()
        state.push("w", np.ones((5, 2), np.float32))
        wanted = state.pull("w")
    with restore_tables(arrays, header, tmp_path) as tables:
        state = SequencedState(tables, 0)
        assert state.position.clock == 3 and state.pull("n") == 3
        state.push("w", np.ones((5, 2), np.float32))
        np.testing.assert_array_equal(state.pull("w"), wanted)
        state._clock = 2  # an older push, sent again
        state._sequence = 0
        state.push("w", np.ones((5, 2), np.float32))
        np.testing.assert_array_equal(state.pull("w"), wanted)


def _add_in_place(path, times):
    state = InPlaceState(SharedTables.attach(path))
    for _ in range(times):
        state.push("w", np.ones(4), np.array([0, 1, 2, 3]))
        state.live("w")[4] += 1


def test_in_place_everybody_sees_what_anybody_writes(tmp_path):
    with SharedTables.create(workers=2, sequenced=False, directory=tmp_path) as tables:
        state = InPlaceState(tables)
        state.initialize("w", np.zeros(5))
        child = SPAWN.Process(target=_add_in_place, args=(str(tables.path), 50))
        child.start()
        child.join(60)
        assert child.exitcode == 0
        assert state.pull("w").tolist() == [50] * 5
        state.push("w", np.ones(5))
        state.barrier()
        assert state.pull("w", np.array([4, 0])).tolist() == [51, 51]


@pytest.mark.parametrize("point", [None, *POINTS])
def test_an_exchange_is_a_push_and_a_pull_and_is_taken_in_once(sequenced, point, monkeypatch):
    state, other = SequencedState(sequenced, 0), SequencedState(SharedTables.attach(sequenced.path), 1)
    state.initialize("w", np.zeros((7, 2)))
    own, base = state.pull("w"), state.pull("w")
    own += np.arange(14.0).reshape(7, 2)
    change = own.copy()
    other.push("w", np.full((7, 2), 100.0))
    if point is not None:
        with monkeypatch.context() as patch:
            patch.setattr(state, "push", lambda key: state.exchange(key, own.copy(), base.copy()))
            push_killed_at(state, point, monkeypatch, "w")
        state._sequence = 0  # as a new host of the worker begins
    state.exchange("w", own, base)
    np.testing.assert_array_equal(own, change + 100)
    np.testing.assert_array_equal(base, own)
    np.testing.assert_array_equal(other.pull("w"), own)
    other.push("w", np.ones((7, 2)))
    own += 1
    state.exchange("w", own, base)
    np.testing.assert_array_equal(other.pull("w"), change + 102)
    with pytest.raises(Misuse, match="no copy of the table"):
        state.exchange("w", own[:3], base)
    state.initialize("g", 0.0, aggregate="sgd")
    with pytest.raises(Misuse, match="Use a table that adds"):
        state.exchange("g", np.zeros(()), np.zeros(()))
    other.tables.close()


def test_an_exchange_in_place_adds_what_changed(tmp_path):
    with SharedTables.create(workers=1, sequenced=False, directory=tmp_path) as tables:
        state = InPlaceState(tables)
        state.initialize("w", np.zeros(5))
        own, base = state.pull("w"), state.pull("w")
        own += 2
        state.push("w", np.ones(5))
        state.exchange("w", own, base)
        assert own.tolist() == base.tolist() == state.pull("w").tolist() == [3] * 5


def test_misuse_is_told(tmp_path, sequenced):
    state = SequencedState(sequenced, 0)
    state.initialize("w", np.zeros((4, 2)))
    ones = np.ones((1, 2))
    for wrong, told in (
        (lambda: state.initialize("w", 0.0), "the table 'w' exists"),
        (lambda: state.initialize("s", 0.0, sparse=9), "shared tables are dense"),
        (lambda: state.pull("v"), "there is no table 'v'. Did you mean 'w'|there is no table 'v'"),
        (lambda: state.pull("w", np.array([4])), "no row 4 in a table of 4"),
        (lambda: state.push("w", ones, np.array([-1])), "no row -1"),
        (lambda: state.push("w", ones), "a delta of shape"),
        (lambda: state.push("w", ones.astype(complex), np.array([1])), "complex128 into a table"),
        (lambda: state.push("w", ones, np.array([0.5])), "whole numbers"),
        (lambda: SequencedState(sequenced).push("w", np.zeros((4, 2))), "hosts no worker"),
        (lambda: SequencedState(sequenced, 3), "no worker 3"),
        (lambda: InPlaceState(sequenced), "sequenced=False"),
        (lambda: SharedTables.attach(tmp_path / "none"), "no shared tables here"),
        (lambda: SharedTables.create(workers=0, sequenced=True), "0 workers"),
    ):
        with pytest.raises(Misuse, match=told):
            wrong()
    assert not state.pull("w").any()
    with (
        SharedTables.create(workers=1, sequenced=False, directory=tmp_path) as tables,
        pytest.raises(Misuse, match="no room for records"),
    ):
        SequencedState(tables, 0)
