"""Shards that move: nothing is lost, nothing counts twice, nothing hangs, whatever is cut off where."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tradewind.state.consistency import Asynchronous, BulkSynchronous, StaleSynchronous
from tradewind.testing.state import counting
from tradewind.testing.state_places import RELIABLE, Move, Storm


def entangled(batches):
    """Every row of every shard steps by a function of all the others, through an optimiser as well."""

    def work(client):
        worker = client.position.worker
        for clock in client.draw(range(client.position.clock, batches)):
            every = client.pull("w")
            step = np.tanh(every + np.roll(every, 1) + np.roll(every, 11)) + (worker + 1) * 0.1 + clock
            client.push("w", step[:20], np.arange(20))
            far = np.unique(np.random.default_rng([worker, clock]).integers(0, 10**9, 4) // 10**7)
            client.push("far", np.tanh(client.pull("far", far) + every[:1]), far)
            client.push("w", step[20:] - every.sum(), np.arange(20, 40))
            client.barrier()
        client.leave()

    return work


def entangled_tables(client):
    client.initialize("w", np.arange(40.0))
    client.initialize("far", np.full(2, 0.5), sparse=100, aggregate="adam", rate=0.1)


def outcome(storm):
    snapshot = storm.control(lambda control: control.snapshot())
    return {name: array.tobytes() for name, array in snapshot.arrays.items()}, snapshot.positions()


def calm(parts):
    storm = Storm(len(parts), BulkSynchronous(), 1, np.random.default_rng(0))
    storm.reader(entangled_tables)
    storm.run([entangled(batches) for batches in parts])
    return outcome(storm)


@st.composite
def moves(draw, shards):
    """Random walks over the stages: to active hosts, among them, back; with and without a warning."""
    made, serving, fresh = [], (RELIABLE,) * shards, 0
    for _ in range(draw(st.integers(0, 5))):
        active = sorted({address for address in serving if address != RELIABLE})
        dead = tuple(draw(st.lists(st.sampled_from(active), unique=True))) if active else ()
        if draw(st.integers(0, 3)) == 0:
            serving = (RELIABLE,) * shards
        else:
            places = [address for address in active if address not in dead]
            for _ in range(draw(st.integers(0 if places else 1, 2))):
                places.append(f"active {fresh}")
                fresh += 1
            serving = tuple(draw(st.sampled_from(places)) for _ in range(shards))
        made.append(Move(serving, dead))
    return made


def at_most_one_round_is_at_stake(storm):
    for served, backup in storm.engines():
        assert served.rounds - backup.rounds <= 1


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_bulk_synchronous_is_the_same_to_the_last_bit(data):
    shards = data.draw(st.integers(1, 4))
    parts = data.draw(st.lists(st.integers(0, 6), min_size=1, max_size=3))
    plan = data.draw(moves(shards))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    storm = Storm(len(parts), BulkSynchronous(), shards, rng, data.draw(st.integers(0, 30)))
    storm.watch = at_most_one_round_is_at_stake
    storm.reader(entangled_tables)
    storm.run([entangled(batches) for batches in parts], plan)
    storm.control(lambda control: control.change((RELIABLE,) * shards))
    assert outcome(storm) == calm(parts)
    assert all(lost <= 1 for lost in storm.lost)


def no_worker_is_far_ahead_of_the_backup(staleness):
    def watch(storm):
        for served, backup in storm.engines():
            for now, then in zip(served.records(), backup.records(), strict=True):
                # the clocks that it was let go from, and the one in hand
                assert now.clock - then.clock <= staleness + 2

    return watch


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_in_the_other_modes_each_push_counts_once(data):
    staleness = data.draw(st.sampled_from([None, 0, 1, 2]))
    mode = Asynchronous() if staleness is None else StaleSynchronous(staleness)
    shards, workers = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 3))
    plan = data.draw(moves(shards))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    storm = Storm(workers, mode, shards, rng, data.draw(st.integers(0, 30)))
    if staleness is not None:
        storm.watch = no_worker_is_far_ahead_of_the_backup(staleness)
    batches, pushes = 5, 2
    storm.reader(lambda client: client.initialize("counters", np.zeros(workers * batches * pushes, np.int64)))
    storm.run([counting(batches, pushes)] * workers, plan)
    assert (storm.reader(lambda client: client.pull("counters")) == 1).all()
    snapshot = storm.control(lambda control: control.snapshot())
    assert (snapshot.arrays["counters/values"] == 1).all()
    if staleness is not None:
        assert all(lost <= staleness + 2 for lost in storm.lost)


def stopping(batches, until):
    """`entangled` up to a clock, and half of the batch that follows; its host then dies without a word."""

    def work(client):
        worker = client.position.worker
        whole = entangled(min(batches, until))
        left = client.leave
        client.leave = lambda: None
        whole(client)
        client.leave = left
        if batches > until:
            for _ in client.draw([None]):
                client.push("w", np.full(20, worker + 1.0), np.arange(20))
                client.pull("w")
                return
        client.leave()

    return work


PARTS = (3, 4)
CASES = {
    "1 to 2": ((), Move(("a", "b"))),
    "2 to 2": ((Move(("a", "b")),), Move(("b", "c"))),
    "2 to 1": ((Move(("a", "b")),), Move((RELIABLE, RELIABLE))),
    "one killed": ((Move(("a", "b")),), Move(("b", "b"), ("a",))),
    "all killed": ((Move(("a", "b")),), Move((RELIABLE, RELIABLE), ("a", "b"))),
    "killed, replaced": ((Move(("a", "b")),), Move(("c", "b"), ("a",))),
}


def half_way(case):
    """A storm in fair weather in which workers died within a round, and the move to make."""
    before, move = CASES[case]
    storm = Storm(2, BulkSynchronous(), 2, np.random.default_rng(7))
    storm.watch = at_most_one_round_is_at_stake
    storm.reader(entangled_tables)
    storm.run([], before)
    storm.run([stopping(batches, 2) for batches in PARTS])
    for address in move.serving:
        if address not in storm.hosts:
            storm.add(address)
    for address in move.dead:
        del storm.hosts[address]
    return storm, move


def makes(move):
    if move.dead:
        return lambda control: control.recover(move.serving)
    return lambda control: control.change(move.serving)


@pytest.mark.parametrize("case", CASES)
def test_a_controller_may_die_at_every_message(case):
    expected, calm_until = calm(PARTS), calm((2, 2))
    storm, move = half_way(case)
    begun = storm.boundaries
    made = storm.control(makes(move))
    boundaries = storm.boundaries - begun
    assert boundaries > 15
    if move.dead:
        assert made.clocks_lost <= 1
    for cut in range(boundaries):
        storm, move = half_way(case)
        assert storm.control(makes(move), cut) is None
        storm.control(makes(move))
        assert storm.hosts[RELIABLE].routing.serving == move.serving
        if not move.dead:
            assert outcome(storm) == calm_until  # both rounds that were over
        storm.run([entangled(batches) for batches in PARTS])
        assert outcome(storm) == expected


@pytest.mark.parametrize("victim", ["a", "b", "c"])
def test_a_host_may_die_at_every_message_of_a_change(victim):
    expected = calm(PARTS)
    storm, move = half_way("2 to 2")
    begun = storm.boundaries
    storm.control(makes(move))
    for cut in range(0, storm.boundaries - begun, 2):
        storm, move = half_way("2 to 2")
        assert storm.control(makes(move), cut) is None
        del storm.hosts[victim]
        heirs = [address for address in ("c", "b", "a") if address in storm.hosts]
        recovery = storm.control(lambda control, heirs=heirs: control.recover(heirs))
        assert recovery.clocks_lost <= 1 and recovery.routing.serving == tuple(heirs)
        storm.run([entangled(batches) for batches in PARTS])
        storm.control(lambda control: control.change((RELIABLE, RELIABLE)))
        assert outcome(storm) == expected


def test_late_messages_of_earlier_epochs_change_nothing():
    storm = Storm(2, BulkSynchronous(), 2, np.random.default_rng(3))
    storm.heard = []
    storm.reader(entangled_tables)
    epochs = []
    for move in (Move(("a", "b")), Move(("b", "a")), Move(("c", "a"), ("b",)), Move((RELIABLE,) * 2)):
        storm.run([stopping(batches, storm.hosts[RELIABLE].routing.epoch) for batches in (6, 6)], [move])
        epochs.append(len(storm.heard))
        before, routing = outcome(storm), storm.hosts[RELIABLE].routing
        late = list(storm.heard)
        storm.heard = None
        storm.repeat(late)
        storm.repeat(late[::-1])
        storm.heard = late
        assert storm.hosts[RELIABLE].routing == routing
        assert outcome(storm) == before
    assert epochs == sorted(set(epochs)) and before[1] == (3, 3)
    storm.heard = None
    storm.run([entangled(6)] * 2)
    assert outcome(storm) == calm((6, 6))


def test_every_kind_of_fault_really_happens():
    happened, moved = {}, 0
    for seed in range(10):
        storm = Storm(2, BulkSynchronous(), 2, np.random.default_rng(seed), 40)
        storm.reader(entangled_tables)
        plan = [Move(("a", "b")), Move(("b", "c"), ("a",)), Move((RELIABLE,) * 2), Move(("d", "d"))]
        storm.run([entangled(6)] * 2, plan)
        moved += storm.hosts[RELIABLE].routing.version
        for kind, count in storm.happened.items():
            happened[kind] = happened.get(kind, 0) + count
    assert set(happened) == {
        "killed", "ghost", "cut", "lost", "twice", "unanswered", "host killed", "host forgotten"
    }  # fmt: skip
    assert moved >= 25


@pytest.mark.parametrize("case", ["1 to 2", "2 to 2", "2 to 1"])
def test_a_round_that_is_over_on_one_shard_only_is_ended_on_all(case):
    def moved(shards):
        storm, move = half_way(case)
        for served, _ in storm.engines()[:shards]:
            for worker in range(2):
                served.arrive(worker, 2, 1)
        storm.control(makes(move))
        return outcome(storm)

    assert moved(1) == moved(2)
    assert moved(1)[1] == (3, 3)
    assert moved(0)[1] == (2, 2)
