"""Exactly once and bit for bit, whatever is lost, repeated, overtaken or killed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tradewind.state.client import StateClient
from tradewind.state.consistency import Asynchronous, BulkSynchronous, StaleSynchronous
from tradewind.state.engine import Engine
from tradewind.state.partition import even_routing
from tradewind.state.server import Server
from tradewind.state.transport.inprocess import InProcess
from tradewind.testing.state import Weather, counting, median_program
from tradewind.testing.transports import median_by_hand

MODES = [BulkSynchronous(), StaleSynchronous(0), StaleSynchronous(2), Asynchronous()]


def begun(workers, consistency, servers, tables):
    routing = even_routing(servers)
    running = [Server(Engine(workers, consistency, owned=routing.owned(s))) for s in range(servers)]
    reader = StateClient([InProcess(server).channel() for server in running])
    for key, value in tables.items():
        reader.initialize(key, value)
    return running, reader


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    mode=st.sampled_from(MODES),
    servers=st.integers(1, 3),
    workers=st.integers(1, 3),
    faults=st.integers(0, 30),
)
def test_each_push_counts_once(seed, mode, servers, workers, faults):
    batches, pushes = 4, 3
    running, reader = begun(
        workers, mode, servers, {"counters": np.zeros(workers * batches * pushes, np.int64)}
    )
    Weather(running, np.random.default_rng(seed), faults).run([counting(batches, pushes)] * workers)
    assert (reader.pull("counters") == 1).all()
    for server in running:
        assert server.engine.finished


def counting_ahead(batches, ahead):
    """As `counting`, a push a batch, with rows asked for so many batches ahead."""

    def work(client):
        first = client.position.worker * batches
        cells = [np.array([first + clock]) for clock in range(batches)]
        begin = client.position.clock
        for cell in cells[begin : begin + ahead]:
            client.prefetch("counters", cell)
        for clock in client.draw(range(begin, batches)):
            # an earlier host may have pushed this very one before it died
            assert client.pull("counters", cells[clock])[0] <= 1
            client.push("counters", np.ones(1, np.int64), cells[clock])
            if clock + ahead < batches:
                client.prefetch("counters", cells[clock + ahead])
        client.leave()

    return work


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    servers=st.integers(1, 3),
    ahead=st.integers(1, 4),
    faults=st.integers(0, 30),
)
def test_each_push_counts_once_with_several_messages_under_way(seed, servers, ahead, faults):
    running, reader = begun(2, Asynchronous(), servers, {"counters": np.zeros(2 * 8, np.int64)})
    weather = Weather(running, np.random.default_rng(seed), faults)
    weather.run([counting_ahead(8, ahead)] * 2)
    assert (reader.pull("counters") == 1).all()


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    servers=st.integers(1, 3),
    lengths=st.lists(st.integers(0, 6), min_size=1, max_size=4),
    faults=st.integers(0, 30),
)
def test_the_median_is_the_same_to_the_last_bit(seed, servers, lengths, faults):
    rng = np.random.default_rng(seed)
    parts = [[list(rng.normal(3, 2, 5)) for _ in range(length)] for length in lengths]
    running, reader = begun(len(parts), BulkSynchronous(), servers, {"median": 0.0, "n": 0})
    Weather(running, rng, faults).run([median_program(part) for part in parts])
    expected = median_by_hand(parts) if any(lengths) else (0.0, 0)
    assert (float(reader.pull("median")), int(reader.pull("n"))) == expected


def entangled(batches):
    """Every cell of every server's rows steps by a function of all the others."""

    def work(client):
        worker = client.position.worker
        for clock in client.draw(range(client.position.clock, batches)):
            every = client.pull("w")
            step = np.tanh(every + np.roll(every, 1) + np.roll(every, 11)) + (worker + 1) * 0.1 + clock
            client.push("w", step[:20], np.arange(20))
            client.push("w", step[20:] - every.sum(), np.arange(20, 40))
            client.barrier()
        client.leave()

    return work


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), servers=st.integers(2, 3), faults=st.integers(5, 40))
def test_servers_never_part_by_a_clock(seed, servers, faults):
    def outcome(faults, servers):
        running, reader = begun(2, BulkSynchronous(), servers, {"w": np.arange(40.0)})
        Weather(running, np.random.default_rng(seed), faults).run([entangled(4), entangled(5)])
        return reader.pull("w")

    assert outcome(faults, servers).tobytes() == outcome(0, 1).tobytes()


@pytest.mark.parametrize("aggregate", ["sgd", "adagrad", "adam", "ftrl"])
def test_optimisers_are_the_same_to_the_last_bit(aggregate):
    def work(client):
        worker = client.position.worker
        for clock in client.draw(range(client.position.clock, 6)):
            rows = np.unique(np.random.default_rng([worker, clock]).integers(0, 50, 20))
            weights = client.pull("w", rows)
            client.push("w", np.tanh(weights - worker - clock).astype(np.float32), rows)
            client.push("w", (weights * np.float32(0.1)), rows)
            client.barrier()
        client.leave()

    def outcome(seed, faults, servers):
        running, reader = begun(3, BulkSynchronous(), servers, {})
        reader.initialize("w", np.zeros((50, 2), np.float32), aggregate=aggregate, rate=0.3)
        weather = Weather(running, np.random.default_rng(seed), faults)
        weather.run([work] * 3)
        return reader.pull("w"), weather.happened

    calm, nothing = outcome(0, 0, 1)
    assert not nothing and np.abs(calm).max() > 0.01
    for seed in range(4):
        rough, happened = outcome(seed, 25, 1 + seed % 3)
        assert sum(happened.values()) > 3
        assert rough.tobytes() == calm.tobytes()


def test_every_kind_of_fault_really_happens():
    happened: dict[str, int] = {}
    for seed in range(6):
        running, reader = begun(2, Asynchronous(), 2, {"counters": np.zeros(2 * 6 * 3, np.int64)})
        weather = Weather(running, np.random.default_rng(seed), 40)
        weather.run([counting(6, 3)] * 2)
        assert (reader.pull("counters") == 1).all()
        for kind, count in weather.happened.items():
            happened[kind] = happened.get(kind, 0) + count
    assert set(happened) == {"lost", "twice", "killed", "ghost", "unanswered"}
