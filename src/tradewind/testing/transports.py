"""The laws of every way that leads to a state: subclass `TransportLaws` and say how to open one."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

import numpy as np

from tradewind.errors import Misuse
from tradewind.state.client import Ousted, StateClient
from tradewind.state.consistency import Asynchronous, BulkSynchronous, Consistency, StaleSynchronous
from tradewind.testing.state import Work, counting, median_program

Clients = Callable[[int | None], StateClient]
"""A new client for a worker, or a reader for None."""

MODES: tuple[Consistency, ...] = (BulkSynchronous(), StaleSynchronous(1), Asynchronous())


def at_once(clients: Clients, works: Sequence[Work]) -> None:
    """Host every worker on a thread of its own, do its work, and raise the first failure."""
    failures: list[BaseException] = []

    def run(worker: int) -> None:
        client = clients(worker)
        try:
            client.host()
            works[worker](client)
        except BaseException as failure:
            failures.append(failure)
        finally:
            client.close()

    threads = [threading.Thread(target=run, args=(worker,), daemon=True) for worker in range(len(works))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        if thread.is_alive():
            failures.append(TimeoutError("a worker hangs"))
    if failures:
        raise failures[0]


def median_by_hand(parts: Sequence[Sequence[Sequence[float]]]) -> tuple[float, int]:
    """What the bulk-synchronous streaming median must give, bit for bit, in plain Python."""
    median, count = 0.0, 0
    for clock in range(max(len(part) for part in parts)):
        steps = []
        for part in parts:
            if clock < len(part):
                above = sum(1 if x > median else -1 for x in part[clock])
                steps.append((len(part[clock]), above / np.sqrt(count + len(part[clock]))))
        for rows, step in steps:
            median, count = float(median + step), count + rows
    return median, count


class TransportLaws(ABC):
    """Inherit it in a test class named Test..., and give `open`."""

    @abstractmethod
    def open(self, workers: int, consistency: Consistency, servers: int) -> AbstractContextManager[Clients]:
        """A state of so many servers, and how clients get to it."""

    def test_streaming_median(self) -> None:
        """Uneven parts: exact where it is promised, nothing lost and near the truth everywhere."""
        rng = np.random.default_rng(7)
        for mode in MODES:
            for servers in (1, 2, 3):
                parts = [[list(rng.normal(5, 1, 16)) for _ in range(10 + 3 * w)] for w in range(3)]
                with self.open(3, mode, servers) as clients:
                    reader = clients(None)
                    reader.initialize("median", 0.0)
                    reader.initialize("n", 0)
                    at_once(clients, [median_program(part) for part in parts])
                    median, count = float(reader.pull("median")), int(reader.pull("n"))
                    reader.close()
                assert count == sum(len(batch) for part in parts for batch in part)
                assert abs(median - 5) < 1
                if mode == BulkSynchronous():
                    assert (median, count) == median_by_hand(parts)

    def test_every_push_counts_once(self) -> None:
        """In all modes, with pulls in between."""
        for mode in MODES:
            with self.open(2, mode, 2) as clients:
                reader = clients(None)
                reader.initialize("counters", np.zeros(2 * 5 * 3, np.int64))
                at_once(clients, [counting(5, 3)] * 2)
                assert (reader.pull("counters") == 1).all()
                reader.close()

    def test_rows_come_in_the_order_asked(self) -> None:
        """Dense and sparse tables, from every server."""
        with self.open(1, Asynchronous(), 3) as clients:
            reader, worker = clients(None), clients(0)
            table = np.arange(200, dtype=np.float32).reshape(100, 2)
            reader.initialize("dense", table)
            reader.initialize("sparse", np.array([1.0, 2.0]), sparse=10**12)
            worker.host()
            rows = np.array([99, 0, 50, 3, 98])
            np.testing.assert_array_equal(worker.pull("dense", rows), table[rows])
            np.testing.assert_array_equal(worker.pull("dense"), table)
            far = np.array([10**12 - 1, 5, 10**11])
            worker.push("sparse", np.ones((2, 2)), far[:2])
            worker.push("dense", table)
            np.testing.assert_array_equal(worker.pull("sparse", far), [[2, 3], [2, 3], [1, 2]])
            np.testing.assert_array_equal(worker.pull("dense"), 2 * table)
            found, values = worker.entries("sparse")
            np.testing.assert_array_equal(found, [5, 10**12 - 1])
            np.testing.assert_array_equal(values, [[2, 3], [2, 3]])
            worker.leave()
            worker.close()
            reader.close()

    def test_a_replaced_host_is_told(self) -> None:
        """And what it had pushed of its batch is dropped in bulk-synchronous mode."""
        with self.open(1, BulkSynchronous(), 2) as clients:
            first, second = clients(None), clients(0)
            first.initialize("n", np.zeros(64, np.int64))
            second.host()
            second.push("n", np.ones(64, np.int64))
            second.pull("n")
            third = clients(0)
            assert third.host().clock == 0
            third.push("n", np.ones(64, np.int64))
            third.barrier()
            try:
                second.barrier()
            except Ousted:
                pass
            else:
                raise AssertionError("a replaced host went on")
            third.leave()
            assert (first.pull("n") == 1).all()
            for client in (first, second, third):
                client.close()

    def test_misuse_is_told_and_touches_nothing(self) -> None:
        """An unknown table, a table twice, rows beyond the end."""
        with self.open(1, Asynchronous(), 2) as clients:
            worker = clients(0)
            worker.initialize("weights", np.zeros(10))
            worker.host()
            wrongs: tuple[Callable[[], object], ...] = (
                lambda: worker.pull("wieghts"),
                lambda: worker.initialize("weights", np.zeros(10)),
                lambda: worker.push("weights", np.ones(1), np.array([10])),
                lambda: worker.push("weights", np.ones(3)),
                lambda: worker.initialize("other", np.zeros(3), aggregate="ad"),
            )
            for wrong in wrongs:
                try:
                    wrong()
                except Misuse as problem:
                    assert problem.fix
                else:
                    raise AssertionError("a misuse went through")
            assert (worker.pull("weights") == 0).all()
            worker.leave()
            worker.close()
