"""One pass of a sparse logistic model over the state engine, parameters in another process over ZeroMQ.

A server process holds the weights with AdaGrad beside them; a worker process reads minibatches of 200 rows,
pulls the weights that each touches and pushes their gradient, both in one message, asynchronously: the
weights are asked for two batches ahead, so that the messages' way is hidden, and a batch is computed on
weights that lack the last batch's gradient. Data is in the worker's memory; it is generated in Criteo's
shape (see `criteo_shaped`), and nothing here is a claim about Criteo's.

Timed: from the first batch's pull to the last push's receipt. Not timed: generating data, starting the
processes, compiling, the final pull for the test loss. Every push is stamped and taken in exactly once.

`--tune` shows how the rate and epsilon were chosen: on the last fifth of the rows to learn from, never on
the test rows. `--vowpal-wabbit` adds Vowpal Wabbit's log-loss on the same rows after one pass.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing as mp
import os
import platform
import statistics
import sys
import tempfile
import time
from collections import deque
from itertools import product
from pathlib import Path

import numba
import numpy as np
import zmq

sys.path.insert(0, str(Path(__file__).parents[1]))

from criteo_shaped import DENSE, Rows, log_loss, train_and_test
from tradewind.algorithms.linear.losses import LOSSES
from tradewind.algorithms.linear.minibatch import Distinct, gradient
from tradewind.state.client import StateClient
from tradewind.state.consistency import Asynchronous
from tradewind.state.control import StateControl
from tradewind.state.engine import Engine
from tradewind.state.server import Server, serve
from tradewind.state.transport.inprocess import InProcess
from tradewind.state.transport.zeromq import ZeroMQChannel, ZeroMQListener

BATCH = 200
AHEAD = 2
"""Batches whose weights are asked for before they are needed."""
RATE, EPSILON = 0.2, 1.0
"""What `--tune` finds best."""
RATES, EPSILONS = (0.1, 0.15, 0.2, 0.25, 0.3), (1e-8, 0.3, 1.0, 3.0)
SEED = 7


def run_server(address: str) -> None:
    """A server's whole life."""
    listener = ZeroMQListener(address)
    serve(Server(Engine(1, Asynchronous())), listener)
    listener.close()


def scaled(rows: Rows) -> Rows:
    """The rows with their dense columns divided by what their root mean square is in the first 10,000."""
    values = rows.values.reshape(len(rows), -1).copy()
    values[:, :DENSE] /= np.sqrt(np.mean(np.square(values[:10_000, :DENSE]), axis=0))
    return Rows(rows.indptr, rows.indices, values.ravel(), rows.labels, rows.truth, rows.features)


def begin(
    client: StateClient, table: str, features: int, rate: float = RATE, epsilon: float = EPSILON
) -> None:
    """A table of weights, the last of them the bias."""
    first = np.zeros((features + 1, 1), np.float32)
    client.initialize(table, first, aggregate="adagrad", rate=rate, epsilon=epsilon)


def probabilities(client: StateClient, rows: Rows) -> np.ndarray:
    """That the rows' labels are positive, as the state now has it."""
    weights = client.pull("weights")[:, 0].astype(np.float64)
    score = weights[-1] + (weights[rows.indices] * rows.values).reshape(len(rows), -1).sum(axis=1)
    return 1 / (1 + np.exp(-score))


def one_pass(client: StateClient, data: Rows) -> None:
    """Learn from every row once."""
    distinct, bias = Distinct(data.features), np.array([data.features])
    codes, parameters = np.array([LOSSES["logistic"]]), np.zeros(1, np.float32)
    signs = (2 * data.labels - 1).astype(np.float32)
    ones, once = np.ones(BATCH, np.float32), np.ones(1, np.float32)
    totals = np.zeros(1)
    starts = range(0, len(data), BATCH)

    def rows_of(start: int) -> tuple[np.ndarray, np.ndarray]:
        first, last = data.indptr[start], data.indptr[min(start + BATCH, len(data))]
        rows, local = distinct(data.indices[first:last])
        return np.concatenate((rows, bias)), local

    upcoming = deque(rows_of(start) for start in starts[:AHEAD])
    for rows, _ in upcoming:
        client.prefetch("weights", rows)
    for number, start in enumerate(client.draw(starts)):
        rows, local = upcoming.popleft()
        weights = client.pull("weights", rows)
        stop = min(start + BATCH, len(data))
        bounds = data.indptr[start : stop + 1]
        slopes, bias_slopes = np.zeros_like(weights), np.zeros(1, np.float32)
        gradient(
            bounds - bounds[0], local, data.values[bounds[0] : bounds[-1]], signs[start:stop],
            ones[: stop - start], weights, weights[-1], codes, parameters, once, slopes, bias_slopes, totals,
        )  # fmt: skip
        slopes[-1] = bias_slopes
        client.push("weights", slopes, rows)
        if number + AHEAD < len(starts):
            upcoming.append(rows_of(starts[number + AHEAD]))
            client.prefetch("weights", upcoming[-1][0])


def cpu_seconds(process: int) -> float:
    """What a process has used of the processors, all threads; Linux makes the clock's number of its own."""
    return time.clock_gettime(~process << 3 | 2)


def run_worker(address: str, rows: int, server: int, answers: mp.Queue) -> None:
    """A worker's whole life: seconds, CPU seconds here and there, samples, test log-loss, a constant's."""
    train, test = train_and_test(rows, seed=SEED)
    train, test = scaled(train), scaled(test)
    client = StateClient([ZeroMQChannel(address)], 0)
    for table in ("weights", "warm"):
        begin(client, table, train.features)
    client.host()
    few = np.arange(3)
    client.push("warm", np.ones((3, 1), np.float32), few)
    client.pull("warm", few)
    one_pass_of = train.part(0, 2 * BATCH)  # compiles, or loads from the cache, and touches another table

    class Warm:
        """The same client on the table `warm`."""

        pull = staticmethod(lambda key, rows: client.pull("warm", rows))
        push = staticmethod(lambda key, delta, rows: client.push("warm", delta, rows))
        prefetch = staticmethod(lambda key, rows: client.prefetch("warm", rows))
        draw = client.draw

    one_pass(Warm(), one_pass_of)
    client.pull("warm", few)
    began, *cpu = time.perf_counter(), *map(cpu_seconds, (os.getpid(), server))
    one_pass(client, train)
    client.leave()
    seconds = time.perf_counter() - began
    cpu = [cpu_seconds(each) - before for each, before in zip((os.getpid(), server), cpu, strict=True)]
    loss = log_loss(test.labels, probabilities(client, test))
    share = np.full(len(test), train.labels.mean())
    answers.put((seconds, *cpu, len(train), loss, log_loss(test.labels, share)))
    client.close()


def one_round(rows: int) -> tuple[float, float, float, int, float, float]:
    """Fresh processes, one pass."""
    spawn = mp.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        address = f"ipc://{folder}/state"
        answers = spawn.Queue()
        server = spawn.Process(target=run_server, args=(address,))
        server.start()
        worker = spawn.Process(target=run_worker, args=(address, rows, server.pid, answers))
        worker.start()
        try:
            answer = answers.get(timeout=120)
            worker.join(30)
            control = StateControl([ZeroMQChannel(address)])
            control.stop()
            control.close()
            server.join(30)
            return answer
        finally:
            for process in (worker, server):
                if process.is_alive():
                    process.kill()
                process.join()


def tune(rows: int) -> None:
    """Print the log-loss on the last fifth of the rows to learn from, after a pass over the others."""
    train = scaled(train_and_test(rows, seed=SEED)[0])
    cut = len(train) * 4 // 5
    kept = train.part(cut, len(train))
    print("  rate  epsilon  validation log-loss")
    for epsilon, rate in product(EPSILONS, RATES):
        client = StateClient([InProcess(Server(Engine(1, Asynchronous()))).channel()], 0)
        begin(client, "weights", train.features, rate, epsilon)
        client.host()
        one_pass(client, train.part(0, cut))
        client.leave()
        print(
            f"{rate:>6g} {epsilon:>8g} {log_loss(kept.labels, probabilities(client, kept)):>10.4f}",
            flush=True,
        )


def vowpal_wabbit_loss(rows: int) -> float:
    """Its test log-loss after one pass over the same rows, as they come: it scales them itself."""
    # brings scikit-learn, which the processes of a round need not load
    from linear import VowpalWabbit  # noqa: PLC0415

    train, test = train_and_test(rows, seed=SEED)
    with tempfile.TemporaryDirectory() as folder:
        peer = VowpalWabbit(train, test, Path(folder))
        peer.learn()
        return log_loss(test.labels, peer.predictions())


def main() -> None:
    """Print the table and the closing line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer rows, under 45 s")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tune", action="store_true", help="show how the rate was chosen, and end")
    parser.add_argument("--vowpal-wabbit", action="store_true", help="show its log-loss too, +30 s")
    options = parser.parse_args()
    rows = 120_000 if options.quick else 300_000
    if options.tune:
        tune(rows)
        return
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, ", end="")
    print(f"numpy {np.__version__}, numba {numba.__version__}, pyzmq {zmq.__version__}, seed {SEED}")
    print(f"{rows * 5 // 6} rows to learn from, 2^19 features, 39 non-zeros a row, minibatch {BATCH}")
    print("round  seconds  worker CPU  server CPU  samples/s  test log-loss  constant")
    rates, losses = [], []
    for number in range(-1, max(5, options.rounds)):
        seconds, here, there, samples, loss, trivial = one_round(rows)
        if number < 0:
            continue  # the first starts the compiler's cache
        rates.append(samples / seconds)
        losses.append(loss)
        row = f"{number + 1:>5} {seconds:>8.3f} {here:>11.3f} {there:>11.3f} {rates[-1]:>10,.0f}"
        print(f"{row} {loss:>14.4f} {trivial:>9.4f}", flush=True)
    rate = statistics.median(rates)
    print(f"median {rate:,.0f} samples/s, load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    figures = {"samples_per_s": round(rate), "test_logloss": round(statistics.median(losses), 4)}
    if options.vowpal_wabbit:
        print(f"Vowpal Wabbit's test log-loss {vowpal_wabbit_loss(rows):.4f}")
    print(json.dumps({"benchmark": "training/linear_zeromq", "figures": figures}))


if __name__ == "__main__":
    main()
