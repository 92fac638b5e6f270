"""An active host as a task: it begins with nothing, serves what it is given, and leaves when that is gone."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tradewind.algorithms.linear.learner import LinearLearner
from tradewind.data.streams import open_data
from tradewind.errors import Temporary
from tradewind.state.client import StateClient
from tradewind.state.control import StateControl
from tradewind.state.server import serve
from tradewind.state.shard_host import ShardHost
from tradewind.state.transport.zeromq import ZeroMQChannel, ZeroMQListener
from tradewind.training import active_host
from tradewind.training.in_process import learn_here
from tradewind.training.job import Job, learner_of
from tradewind.training.state_host import fresh_shards, fresh_state
from tradewind.training.worker import learn_from, part_of

ROWS = open_data(np.eye(24, dtype=np.float32), np.arange(24) % 2.0)
JOB = Job(learner=learner_of(LinearLearner()), data={}, parts=1, batch=3, epochs=4)


class Hosts:
    """A reliable host of three shards and two active ones, each in a thread."""

    def __init__(self, folder: Path) -> None:
        self.over = threading.Event()
        self.asked = [threading.Event(), threading.Event()]
        self.address, *self.active = (f"ipc://{folder / name}" for name in ("state", "one", "two"))
        self.listener = listener = ZeroMQListener(self.address)
        host = ShardHost.reliable(fresh_shards(JOB, LinearLearner(), ROWS, None, 3), self.address)
        self.threads = [
            threading.Thread(target=serve, args=(host, listener), kwargs={"stop": self.over.is_set})
        ]
        for address, asked in zip(self.active, self.asked, strict=True):
            arguments = ({"address": address}, asked.is_set)
            self.threads.append(threading.Thread(target=active_host.main, args=arguments))
        for thread in self.threads:
            thread.start()
        self.control = StateControl.at(self.address, ZeroMQChannel)

    def change(self, *serving: str) -> None:
        for _ in range(50):
            try:
                self.control.change(serving)
            except Temporary:
                continue
            return
        raise AssertionError("it never came to that")


@pytest.fixture
def hosts(tmp_path) -> Iterator[Hosts]:
    hosts = Hosts(tmp_path)
    yield hosts
    hosts.change(*[hosts.address] * 3)
    for event in (*hosts.asked, hosts.over):
        event.set()
    for thread in hosts.threads:
        thread.join(30)
    assert not any(thread.is_alive() for thread in hosts.threads)
    hosts.control.close()
    hosts.listener.close()


def test_a_worker_learns_through_active_hosts_what_it_learns_alone(hosts) -> None:
    one, two = hosts.active
    hosts.change(one, two, one)
    learn_from(LinearLearner(), part_of(JOB, ROWS, 0), StateClient.at(hosts.address, ZeroMQChannel, 0))
    engine = fresh_state(JOB, LinearLearner(), ROWS)
    learn_here(JOB, LinearLearner(), ROWS, engine)
    for _ in range(100):
        if hosts.control.status().finished:
            break
    assert hosts.control.status().finished
    learned, alone = hosts.control.snapshot(), engine.snapshot()
    assert {name: array.tobytes() for name, array in learned.arrays.items()} == {
        name: array.tobytes() for name, array in alone.arrays.items()
    }


def test_asked_to_leave_it_goes_on_until_its_shards_are_elsewhere(hosts) -> None:
    one, two = hosts.active
    hosts.change(one, two, one)
    hosts.asked[0].set()
    hosts.threads[1].join(0.6)
    assert hosts.threads[1].is_alive() and hosts.control.status().rounds == 0
    hosts.change(two, two, two)
    hosts.threads[1].join(30)
    assert not hosts.threads[1].is_alive() and hosts.control.status().rounds == 0
