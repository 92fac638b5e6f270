from __future__ import annotations

import numpy as np
import pytest

from tradewind.errors import Misuse, Permanent
from tradewind.state.consistency import Asynchronous, BulkSynchronous, StaleSynchronous
from tradewind.state.engine import Engine
from tradewind.state.snapshot import WorkerRecord
from tradewind.state.stamp import Receipt, Stamp
from tradewind.state.table import layout_of
from tradewind.state.workers import Update


def engine_with(mode, workers=2, **tables):
    engine = Engine(workers, mode)
    for key, value in tables.items():
        engine.create(*layout_of(key, value))
    return engine


def push(engine, worker, clock, sequence, value=1.0, key="x"):
    return engine.push(Stamp(worker, engine.epoch, clock, sequence), [Update(key, np.full((1, 1), value))])


def value(engine, worker=None, key="x"):
    found = engine.pull(worker, key)
    return None if found is None else float(found[0, 0])


def test_a_round_is_seen_by_nobody_before_its_end():
    engine = engine_with(BulkSynchronous(), x=0.0)
    engine.host(0), engine.host(1)
    assert push(engine, 0, 0, 0) is Receipt.STAGED
    assert value(engine, 0) == 0 and value(engine, 1) == 0
    assert engine.arrive(0, 0, 1) is Receipt.STAGED
    assert not engine.may_go(0) and value(engine, 0) is None and value(engine, 1) == 0
    engine.arrive(1, 0, 0)
    assert engine.may_go(0) and value(engine, 0) == 1


def test_a_new_host_does_the_unfinished_batch_again():
    engine = engine_with(BulkSynchronous(), workers=1, x=0.0)
    engine.host(0)
    push(engine, 0, 0, 0), push(engine, 0, 0, 1)
    assert engine.host(0).sequence == 0
    push(engine, 0, 0, 0, 5.0)
    engine.arrive(0, 0, 1)
    assert value(engine) == 5


def test_a_new_host_drops_what_is_in_when_nobody_waits():
    engine = engine_with(Asynchronous(), workers=1, x=0.0)
    engine.host(0)
    push(engine, 0, 0, 0), push(engine, 0, 0, 1)
    position = engine.host(0)
    assert (position.clock, position.sequence) == (0, 2)
    receipts = [push(engine, 0, 0, sequence) for sequence in range(3)]
    assert receipts == [Receipt.DUPLICATE, Receipt.DUPLICATE, Receipt.APPLIED]
    assert value(engine) == 3


def test_a_gap_and_an_old_epoch_are_told():
    engine = engine_with(Asynchronous(), x=0.0)
    assert push(engine, 0, 0, 1) is Receipt.FENCED  # nobody hosts it
    engine.host(0)
    assert push(engine, 0, 0, 1) is Receipt.GAP
    assert push(engine, 0, 1, 0) is Receipt.GAP
    assert engine.arrive(0, 0, 1) is Receipt.GAP
    engine.advance_epoch()
    engine.host(0)
    assert engine.push(Stamp(0, 0, 0, 0), [Update("x", np.ones((1, 1)))]) is Receipt.FENCED
    assert value(engine) == 0


@pytest.mark.parametrize("staleness", [0, 1, 3])
def test_nobody_is_further_ahead_than_the_bound(staleness):
    engine = engine_with(StaleSynchronous(staleness), x=0.0)
    engine.host(0), engine.host(1)
    for clock in range(staleness):
        engine.arrive(0, clock, 0)
        assert engine.may_go(0)
    engine.arrive(0, staleness, 0)
    assert not engine.may_go(0)
    engine.arrive(1, 0, 0)
    assert engine.may_go(0)


def test_finished_and_forsaken_workers_leave_the_barrier():
    engine = engine_with(BulkSynchronous(), workers=3, x=0.0)
    for worker in range(3):
        engine.host(worker)
    push(engine, 0, 0, 0, 1.0), push(engine, 1, 0, 0, 2.0), push(engine, 2, 0, 0, 4.0)
    engine.arrive(0, 0, 1)
    assert not engine.may_go(0)
    engine.leave(1)
    engine.forsake(2)
    assert engine.may_go(0)
    assert value(engine) == 3  # a worker that leaves is taken in, a forsaken one's unfinished batch is not
    assert engine.host(2) is None


def test_a_lost_worker_is_waited_for():
    engine = engine_with(BulkSynchronous(), x=0.0)
    engine.host(0), engine.host(1)
    push(engine, 1, 0, 0, 8.0)
    engine.arrive(0, 0, 0)
    engine.lose([1])
    assert not engine.may_go(0)
    assert engine.host(1).clock == 0
    push(engine, 1, 0, 0, 2.0)
    engine.arrive(1, 0, 1)
    assert engine.may_go(0) and value(engine) == 2


def test_a_late_loss_unseats_no_successor():
    engine = engine_with(Asynchronous(), x=0.0)
    engine.host(0), engine.host(0)
    engine.lose({0: 1})
    assert engine.workers()[0]["hosted"]
    engine.lose({0: 2})
    assert not engine.workers()[0]["hosted"]


def test_an_optimiser_takes_one_step_a_round_and_one_a_push():
    for mode, expected in ((BulkSynchronous(), -0.1), (Asynchronous(), -0.1 - 0.1 / np.sqrt(2))):
        engine = Engine(2, mode)
        engine.create(*layout_of("x", 0.0, "adagrad", rate=0.1))
        for worker in range(2):
            engine.host(worker)
            push(engine, worker, 0, 0, 1.0)
            engine.arrive(worker, 0, 1)
        assert value(engine) == pytest.approx(expected, rel=1e-6)


def test_a_wrong_update_is_misuse_and_touches_nothing():
    engine = engine_with(Asynchronous(), x=np.zeros(3), y=np.zeros(2))
    engine.host(0)
    good = Update("x", np.ones((1, 1)), np.array([0]))
    for bad in (
        Update("z", np.ones((2, 1))),
        Update("y", np.ones((1, 1))),
        Update("y", np.ones((1, 1), np.float32), np.array([0])),
        Update("y", np.ones((1, 1)), np.array([2])),
        Update("y", np.ones((1, 1)), np.array([-1])),
        Update("y", np.ones((2, 1)), np.array([0])),
    ):
        with pytest.raises(Misuse):
            engine.push(Stamp(0, 0, 0, 0), [good, bad])
        assert not engine.pull(None, "x").any() and engine.position(0).sequence == 0


def test_wrong_tables_are_misuse():
    engine = engine_with(Asynchronous(), x=0.0)
    with pytest.raises(Misuse, match="exists"):
        engine.create(*layout_of("x", 0.0))
    with pytest.raises(Misuse, match="finite"):
        layout_of("w", np.array([np.nan]))
    with pytest.raises(Misuse, match="complex"):
        layout_of("w", np.array([1j]))
    with pytest.raises(Misuse, match="worker"):
        engine.host(2)


def parted_by_a_round():
    """Two servers of one job, of which the first has ended a round that the second has not."""
    servers = [engine_with(BulkSynchronous(), workers=3, x=0.0) for _ in range(2)]
    for engine in servers:
        for worker in range(3):
            engine.host(worker)
        push(engine, 0, 0, 0, 1.0), push(engine, 1, 0, 0, 2.0)
        engine.arrive(0, 0, 1)
    servers[0].arrive(1, 0, 1), servers[0].arrive(2, 0, 0)
    push(servers[0], 0, 1, 0, 64.0)
    return servers


def test_a_fenced_server_ends_the_round_that_is_over_elsewhere():
    ahead, behind = parted_by_a_round()
    for engine in (ahead, behind):
        engine.fence(4)
        engine.fence(4)
        assert push(engine, 2, 0, 0) is Receipt.FENCED
    clocks = [record.clock for record in ahead.records()]
    assert (ahead.rounds, behind.rounds, clocks) == (1, 0, [1, 1, 1])
    for engine in (ahead, behind, behind):
        engine.close_out(1, clocks)
        assert (engine.rounds, engine.epoch, value(engine)) == (1, 4, 3.0)
        assert [record.clock for record in engine.records()] == clocks
    assert behind.records() == ahead.records()
    behind.fence(3)
    assert behind.epoch == 4
    with pytest.raises(Permanent, match="3 rounds"):
        behind.close_out(3, clocks)


def test_a_reopened_server_has_the_tenures_of_all():
    engine = engine_with(Asynchronous(), x=0.0)
    engine.host(0)
    engine.fence(1)
    records = [WorkerRecord(0, 0, tenure=7), WorkerRecord(0, 0, left=True)]
    engine.reopen(records)
    assert engine.claim(0) == 8 and not engine.frozen
    assert [each["left"] for each in engine.workers()] == [False, True]
    engine.host(1, 1)
    engine.settle(1, 1)
    engine.reopen(records)  # once more, too late
    assert not engine.workers()[1]["left"]


def test_no_round_is_over_beyond_the_limit():
    engine = engine_with(BulkSynchronous(), workers=1, x=0.0)
    engine.allow(1)
    engine.host(0)
    for clock in range(2):
        push(engine, 0, clock, 0)
        engine.arrive(0, clock, 1)
    assert engine.rounds == 1 and not engine.may_go(0)
    engine.allow(2)
    assert engine.rounds == 2 and engine.may_go(0) and value(engine) == 2


def test_a_stale_worker_that_does_again_what_is_in_is_not_held_up_by_where_it_was():
    engine = engine_with(StaleSynchronous(0), x=0.0)
    for worker, clock in ((0, 3), (1, 2)):
        engine.host(worker)
        for each in range(clock):
            engine.arrive(worker, each, 0)
    assert not engine.may_go(0)
    tenure = engine.claim(0)
    engine.host(0, tenure)
    engine.settle(0, tenure, 3, 1)  # another server has only its first clock
    assert engine.may_go(0)
    assert engine.arrive(0, 1, 0) is Receipt.DUPLICATE
    assert engine.may_go(0)
    assert engine.arrive(0, 2, 0) is Receipt.DUPLICATE
    assert not engine.may_go(0)
    engine.arrive(1, 2, 0)
    assert engine.may_go(0)
