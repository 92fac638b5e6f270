"""Sparse tables in one process: small ones are dense inside, vast ones are not; nobody sees a difference."""

from typing import Any

import numpy as np
import pytest

from tradewind.algorithms.local_state import LocalState
from tradewind.errors import Misuse
from tradewind.state.client import StateClient
from tradewind.state.consistency import Asynchronous
from tradewind.state.engine import Engine
from tradewind.state.server import Server
from tradewind.state.transport.inprocess import InProcess

VAST = 2**53


@pytest.mark.parametrize("aggregate", ["add", "adagrad", "adam", "ftrl", "put"])
def test_a_vast_table_is_a_small_one_with_more_rows(aggregate) -> None:
    """The same pushes to rows here and far out give the same values, bit for bit."""
    chance = np.random.default_rng(0)
    small, vast = LocalState(), LocalState()
    first = chance.normal(size=(2, 3)).astype(np.float32)
    small.initialize("t", first, aggregate=aggregate, sparse=400)
    vast.initialize("t", first, aggregate=aggregate, sparse=VAST)
    far = np.sort(chance.choice(2**52, 400, replace=False))
    for _ in range(30):
        rows = chance.permutation(400)[: chance.integers(0, 90)]
        delta = chance.normal(size=(len(rows), 2, 3)).astype(np.float32)
        small.push("t", delta, rows)
        vast.push("t", delta, far[rows])
        asked = chance.permutation(400)[:50]
        assert np.array_equal(small.pull("t", asked), vast.pull("t", far[asked]))
    (rows, values), (there, others) = small.entries("t"), vast.entries("t")
    assert np.array_equal(far[rows], there) and np.array_equal(values, others)
    assert values.shape == (len(rows), 2, 3)


def test_entries_are_those_of_the_state_engine() -> None:
    local, client = LocalState(), StateClient([InProcess(Server(Engine(1, Asynchronous()))).channel()], 0)
    client.host()
    states: list[Any] = [local, client]
    for state in states:
        for key, rows in (("few", 50), ("vast", VAST)):
            state.initialize(key, np.ones(2), sparse=rows)
            assert [len(each) for each in state.entries(key)] == [0, 0]
            state.push(key, np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([41, 7]))
            rows, values = state.entries(key)
            assert rows.tolist() == [7, 41] and values.tolist() == [[4, 5], [2, 3]]
            assert state.pull(key, np.array([8, 41])).tolist() == [[1, 1], [2, 3]]


def test_of_a_vast_table_there_is_no_whole() -> None:
    state = LocalState()
    state.initialize("t", np.zeros(2), sparse=VAST)
    with pytest.raises(Misuse, match=r"t: rows: a vast sparse table has no whole.*entries"):
        state.pull("t")
    with pytest.raises(Misuse, match="rows outside"):
        state.push("t", np.zeros((1, 2)), np.array([VAST]))
    with pytest.raises(Misuse, match="the table exists"):
        state.initialize("t", np.zeros(2))
