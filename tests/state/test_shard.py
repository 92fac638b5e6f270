from __future__ import annotations

import numpy as np

from tradewind.state.codec import RAW
from tradewind.state.consistency import BulkSynchronous
from tradewind.state.engine import Engine
from tradewind.state.image import Image, ImageHead
from tradewind.state.messages import PROTOCOL, Fence, Hello, Pull, Request, Status, header, reply_of
from tradewind.state.shard import Shard
from tradewind.state.snapshot import WorkerRecord
from tradewind.state.table import layout_of


def kind(shard, *operations, **rest):
    (answer,) = shard.handle("me", [header(Request("someone", 1, list(operations), **rest))])
    return reply_of(answer[1]).kind


def backup():
    shard = Shard(Engine(1, BulkSynchronous()))
    shard.engine.create(*layout_of("x", np.zeros(4)))
    shard.become(False, 3)
    return shard


def test_a_backup_answers_controllers_only():
    shard = backup()
    assert kind(shard, Hello(PROTOCOL, RAW)) == "moved"
    assert kind(shard, Pull("x")) == "moved"
    assert kind(shard, Status()) == "done"
    assert kind(shard, Fence(4)) == "done" and kind(shard, Fence(3)) == "rolled_back"


def staged(shard, rounds):
    shard._staged.append(Image(ImageHead(rounds, rounds, (WorkerRecord(rounds, 0),), ()), ()))


def test_staged_images_are_committed_in_order_up_to_a_round_and_dropped_beyond():
    shard = backup()
    for rounds in (1, 2, 3):
        staged(shard, rounds)
    assert shard.staged == 3 and shard.engine.rounds == 0
    shard.commit(2)
    assert shard.engine.rounds == 2 and shard.staged == 3
    shard.abandon(5)
    assert shard.staged == 2 and shard.engine.epoch == 5
    shard.commit(None)
    assert shard.engine.rounds == 2


def test_those_who_wait_are_told_when_a_shard_becomes_a_backup():
    shard = Shard(Engine(2, BulkSynchronous()))
    shard.engine.create(*layout_of("x", np.zeros(4)))
    shard.engine.host(0)
    shard.engine.arrive(0, 0, 0)
    request = Request("waiting", 7, [Pull("x")], 0, 0, 1)
    assert shard.handle("me", [header(request)]) == []
    ((peer, frames),) = shard.become(False, 1)
    assert peer == "me" and reply_of(frames).kind == "moved" and reply_of(frames).number == 7
