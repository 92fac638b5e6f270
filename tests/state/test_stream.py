from __future__ import annotations

import numpy as np
import pytest

from tradewind.state.consistency import Asynchronous, BulkSynchronous, StaleSynchronous
from tradewind.state.engine import Engine
from tradewind.state.link import Elsewhere, Link, Patience
from tradewind.state.messages import Replicate, Reply, header, request_of
from tradewind.state.stamp import Stamp
from tradewind.state.stream import Stream
from tradewind.state.table import layout_of
from tradewind.state.workers import Update


class Backup:
    """The far side, which says what it is told to say."""

    def __init__(self):
        self.sent, self.inbox = [], []

    def send(self, message):
        self.sent.append(request_of(message))

    def receive(self, timeout):
        return self.inbox.pop(0) if self.inbox else None

    def reconnect(self):
        pass

    def close(self):
        pass

    def says(self, kind="done"):
        self.inbox.append([header(Reply(self.sent[-1].number, kind))])

    @property
    def images(self):
        return [each.operations[0] for each in self.sent if isinstance(each.operations[0], Replicate)]


def streaming(mode, workers=1):
    engine, backup = Engine(workers, mode), Backup()
    engine.create(*layout_of("x", np.zeros(4)))
    stream = Stream(engine, Link(backup, Patience(60.0, 1e9), shard=3))
    stream.begin(5, "one")
    stream.step()
    backup.says()
    stream.step()
    for worker in range(workers):
        engine.host(worker)
    return engine, backup, stream


def clock(engine, clock, worker=0):
    engine.push(Stamp(worker, 0, clock, 0), [Update("x", np.ones((1, 1)), np.array([clock % 4]))])
    engine.arrive(worker, clock, 1)


def test_no_round_is_over_before_the_image_of_the_last_is_committed():
    engine, backup, stream = streaming(BulkSynchronous())
    clock(engine, 0)
    assert engine.rounds == 1 and not stream.flushed
    stream.step()
    assert backup.images[-1].head.rounds == 1 and backup.sent[-1].shard == 3
    clock(engine, 1)
    stream.step()
    assert engine.rounds == 1 and not engine.may_go(0) and len(backup.images) == 2
    backup.says()
    stream.step()
    assert engine.rounds == 2 and engine.may_go(0)
    assert [each.number for each in backup.images] == [1, 2, 3]
    assert {each.lineage for each in backup.images} == {5}
    backup.says()
    stream.step()
    assert stream.flushed


@pytest.mark.parametrize("staleness", [0, 2])
def test_no_stale_worker_goes_far_beyond_what_the_backup_has(staleness):
    engine, backup, stream = streaming(StaleSynchronous(staleness))
    for each in range(staleness + 1):
        clock(engine, each)
        assert engine.may_go(0)
        stream.step()
    clock(engine, staleness + 1)
    assert not engine.may_go(0)
    backup.says()
    stream.step()
    # the first image had one clock
    assert engine.may_go(0)


def test_in_asynchronous_mode_images_are_cut_between_clocks_and_one_at_a_time():
    engine, backup, stream = streaming(Asynchronous())
    before = len(backup.images)
    engine.push(Stamp(0, 0, 0, 0), [Update("x", np.ones((1, 1)), np.array([0]))])
    stream.step()
    assert len(backup.images) == before
    engine.arrive(0, 0, 1)
    stream.step()
    clock(engine, 1), clock(engine, 2)
    stream.step()
    assert len(backup.images) == before + 1 and engine.may_go(0)
    backup.says()
    stream.step()
    assert [each.head.workers[0].clock for each in backup.images[before:]] == [1, 3]


def test_a_fenced_shard_sends_all_it_has():
    engine, backup, stream = streaming(Asynchronous())
    engine.push(Stamp(0, 0, 0, 0), [Update("x", np.ones((1, 1)), np.array([0]))])
    engine.fence(9)
    stream.step()
    assert backup.images[-1].head.workers[0].sequence == 1 and not stream.flushed
    backup.says()
    stream.step()
    assert stream.flushed


def test_who_has_left_is_known_only_once_the_backup_knows():
    engine, backup, stream = streaming(Asynchronous())
    engine.leave(0)
    stream.step()
    assert not stream.knows_left(0)
    backup.says()
    stream.step()
    assert stream.knows_left(0)


def test_a_backup_of_another_refuses():
    engine, backup, stream = streaming(BulkSynchronous())
    clock(engine, 0)
    stream.step()
    backup.says("moved")
    with pytest.raises(Elsewhere):
        stream.step()
