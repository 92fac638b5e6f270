from __future__ import annotations

import numpy as np
import pytest

from tradewind.errors import Misuse
from tradewind.state.client import StateClient
from tradewind.state.consistency import Asynchronous, BulkSynchronous
from tradewind.state.engine import Engine
from tradewind.state.server import Server
from tradewind.state.transport.inprocess import InProcess


def hosted(consistency, workers=1):
    hub = InProcess(Server(Engine(workers, consistency)))
    client = StateClient([hub.channel()], 0)
    client.initialize("w", np.zeros((4, 2), np.float32))
    client.initialize("n", 0)
    client.host()
    return hub, client


def test_a_batch_costs_one_message():
    hub, client = hosted(Asynchronous())
    sent = []
    deliver = hub.deliver
    hub.deliver = lambda channel, message: (sent.append(1), deliver(channel, message))
    for _ in client.draw(range(5)):
        client.pull("w", np.array([1]))
        client.push("w", np.ones((1, 2), np.float32), np.array([1]))
        client.push("n", 1)
    assert len(sent) == 5
    client.leave()
    assert client.pull("n") == 5


def test_a_batch_whose_rows_were_asked_for_ahead_costs_one_message():
    hub, client = hosted(Asynchronous())
    sent = []
    deliver = hub.deliver
    hub.deliver = lambda channel, message: (sent.append(1), deliver(channel, message))
    rows = [np.array([batch % 4]) for batch in range(6)]
    client.prefetch("w", rows[0])
    client.prefetch("w", rows[1])
    for batch in client.draw(range(6)):
        # batches 4 and 5 find what 0 and 1 pushed
        assert (client.pull("w", rows[batch]) == (batch >= 4)).all()
        client.push("w", np.ones((1, 2), np.float32), rows[batch])
        if batch < 4:
            client.prefetch("w", rows[batch + 2])
    assert len(sent) == 6
    client.leave()
    assert client.pull("w").tolist() == [[2, 2], [2, 2], [1, 1], [1, 1]]


def test_rows_may_be_changed_after_a_push_or_a_prefetch():
    _, client = hosted(Asynchronous())
    rows = np.array([1, 2])
    client.push("w", np.ones((2, 2), np.float32), rows)
    rows[:] = 0
    assert client.pull("w")[:, 0].tolist() == [0, 1, 1, 0]
    rows[:] = [2, 3]
    client.prefetch("w", rows)
    rows[:] = [0, 1]
    assert client.pull("w", rows)[:, 0].tolist() == [0, 1]


def test_what_was_pushed_may_be_changed_afterwards():
    _, client = hosted(Asynchronous())
    delta = np.ones((4, 2), np.float32)
    client.push("w", delta)
    delta[:] = 100
    assert (client.pull("w") == 1).all()
    pulled = client.pull("w")
    pulled[:] = 7
    assert (client.pull("w") == 1).all()


def test_a_pushed_batch_is_not_seen_before_the_barrier():
    _, client = hosted(BulkSynchronous())
    client.push("n", 3)
    assert client.pull("n") == 0
    client.barrier()
    assert client.pull("n") == 3 and client.clock == 1


@pytest.mark.parametrize("consistency", [BulkSynchronous(), Asynchronous()])
def test_a_worker_that_was_given_back_goes_on_after_its_last_batch(consistency):
    hub, client = hosted(consistency)
    for clock in client.draw(range(10)):
        client.push("n", 1)
        if clock == 3:
            break
    client.release()
    with pytest.raises(Misuse, match="hosted"):
        client.push("n", 1)
    other = StateClient([hub.channel()], 0)
    assert other.host().clock == 4
    for _ in other.draw(range(4, 10)):
        other.push("n", 1)
    other.leave()
    assert other.pull("n") == 10


@pytest.mark.parametrize(
    ("delta", "rows", "word"),
    [
        (np.ones((4, 3)), None, "shape"),
        (np.ones((2, 2)), np.array([0, 4]), "no row 4"),
        (np.ones((1, 2)), np.array([-1]), "no row -1"),
        (np.ones((1, 2)), np.array([0.5]), "whole numbers"),
        (np.ones((1, 2), complex), np.array([0]), "complex"),
    ],
)
def test_a_wrong_push_is_misuse(delta, rows, word):
    _, client = hosted(Asynchronous())
    with pytest.raises(Misuse, match=word):
        client.push("w", delta, rows)
    assert not client.pull("w").any()


def test_a_fraction_does_not_vanish_in_a_whole_number():
    _, client = hosted(Asynchronous())
    with pytest.raises(Misuse, match="int64"):
        client.push("n", 0.5)


def test_a_reader_pushes_nothing():
    hub, _ = hosted(Asynchronous())
    with pytest.raises(Misuse, match="reader"):
        StateClient([hub.channel()]).push("n", 1)


def test_an_empty_push_counts_and_changes_nothing():
    _, client = hosted(BulkSynchronous())
    client.push("w", np.ones((0, 2), np.float32), np.array([], np.int64))
    client.barrier()
    assert not client.pull("w").any() and client.clock == 1
