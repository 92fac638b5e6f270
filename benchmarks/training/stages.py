"""Fifteen workers to one reliable machine: stage 1, where it serves them all, against stage 3.

    make bench NAME=training/stages            five rounds of each, alternating
    make bench NAME=training/stages ARGS=--quick

Real: one run of fifteen worker processes, one reliable host and seven active ones, over ZeroMQ, that goes
from stage 1 to stage 3 and back, again and again. In every bulk-synchronous round every worker pulls all
parameters and pushes a delta to all of them; nothing else is computed. Simulated is the network: before the
sockets of each process that serves or backs up state, the reliable and the active ones alike, stands a
token bucket of `--rate` bytes a second, for what comes and what goes together; what does not fit waits. The
workers' own lines are not throttled, and all processes share this machine's cores, which is what limits
stage 3 here. The state is in seven shards in both stages.

`stage3_vs_stage1` is how many times as fast stage 3 is: the quotient of the median rounds a second.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import signal
import statistics
import tempfile
import threading
from collections.abc import Hashable, Sequence
from pathlib import Path

import numpy as np
import zmq

import tradewind
from tradewind import clock
from tradewind.errors import Temporary
from tradewind.state.client import StateClient
from tradewind.state.consistency import BulkSynchronous
from tradewind.state.control import StateControl
from tradewind.state.engine import Engine
from tradewind.state.link import RolledBack
from tradewind.state.messages import Message
from tradewind.state.partition import even_routing
from tradewind.state.server import Server, serve
from tradewind.state.shard_host import ShardHost
from tradewind.state.transport.inprocess import InProcess
from tradewind.state.transport.interface import Channel
from tradewind.state.transport.zeromq import ZeroMQChannel, ZeroMQListener

WORKERS, ACTIVE = 15, 7
PARAMETERS = 65_536
"""Of eight bytes each."""
RATE = 20e6
"""Bytes a second, of each server."""
BURST = 0.02
"""Seconds of the rate that a bucket holds."""
MEASURED, SETTLING = 6.0, 2.0
"""Seconds of each stage that count, and before them, that do not."""


class Throttled:
    """A listener behind a token bucket."""

    def __init__(self, address: str, rate: float) -> None:
        self._inner = ZeroMQListener(address)
        self.address = self._inner.address
        self._rate, self._nobody = rate, threading.Event()
        self._elapsed = clock.stopwatch()
        self._full = 0.0
        """When the bucket will be full again."""

    def receive(self, timeout: float, beside: Sequence[Channel] = ()) -> tuple[Hashable, Message] | None:
        """The next message, once it has passed."""
        received = self._inner.receive(timeout, beside)
        if received is not None:
            self._pass(received[1])
        return received

    def send(self, peer: Hashable, message: Message) -> None:
        """Answer, once the answer has passed."""
        self._pass(message)
        self._inner.send(peer, message)

    def close(self) -> None:
        """Let go of the address."""
        self._inner.close()

    def _pass(self, message: Message) -> None:
        now = self._elapsed()
        self._full = max(self._full, now) + sum(memoryview(each).nbytes for each in message) / self._rate
        if (wait := self._full - now - BURST) > 0:
            self._nobody.wait(wait)


def reliable(address: str, rate: float) -> None:
    """The process that has the state."""
    routing = even_routing(ACTIVE)
    engines = [Engine(WORKERS, BulkSynchronous(), owned=routing.owned(shard)) for shard in range(ACTIVE)]
    first = StateClient([InProcess(Server(engine)).channel() for engine in engines])
    first.initialize("parameters", np.zeros(PARAMETERS))
    serve(ShardHost.reliable(engines, address), Throttled(address, rate))


def active(address: str, rate: float) -> None:
    """A process that serves what it is given."""
    serve(ShardHost.active(ZeroMQChannel), Throttled(address, rate))


def work(address: str, worker: int) -> None:
    """A worker, until the state is gone."""
    delta = np.full(PARAMETERS, 1e-3)
    state = StateClient.at(address, ZeroMQChannel, worker)
    while True:
        try:
            state.host()
            while True:
                state.next_batch()
                state.pull("parameters")
                state.push("parameters", delta)
                state.barrier()
        except RolledBack:
            continue


def rounds_a_second(control: StateControl, seconds: float) -> float:
    """Between the first and the last end of a round in so many seconds."""
    nobody, elapsed = threading.Event(), clock.stopwatch()
    seen: list[tuple[float, int]] = []
    begun = None
    while elapsed() < seconds or len(seen) < 3:
        try:
            rounds = control.status().rounds
        except Temporary:
            continue
        if begun is None:
            begun = rounds
        elif rounds != (seen[-1][1] if seen else begun):
            seen.append((elapsed(), rounds))
        nobody.wait(0.01)
    (first, least), (last, most) = seen[0], seen[-1]
    return (most - least) / (last - first)


def change(control: StateControl, serving: Sequence[str]) -> float:
    """Change the stage; the seconds that it took."""
    elapsed = clock.stopwatch()
    while True:
        try:
            control.change(serving)
            return elapsed()
        except Temporary:
            continue


def played(folder: Path, rounds: int, rate: float, seconds: float) -> dict[str, list[float]]:
    """Rounds a second of either stage, and the seconds that the changes took."""
    fork = multiprocessing.get_context("fork")
    address = f"ipc://{folder / 'state'}"
    others = [f"ipc://{folder / f'active-{number}'}" for number in range(ACTIVE)]
    jobs = [fork.Process(target=reliable, args=(address, rate))]
    jobs += [fork.Process(target=active, args=(each, rate)) for each in others]
    jobs += [fork.Process(target=work, args=(address, worker)) for worker in range(WORKERS)]
    found: dict[str, list[float]] = {"stage1": [], "stage3": [], "to3": [], "to1": []}
    for each in jobs:
        each.start()
    try:
        control = StateControl.at(address, ZeroMQChannel)
        watch = StateControl.at(address, ZeroMQChannel)
        for number in range(rounds):
            rounds_a_second(watch, SETTLING)
            found["stage1"].append(rounds_a_second(watch, seconds))
            found["to3"].append(change(control, others))
            rounds_a_second(watch, SETTLING)
            found["stage3"].append(rounds_a_second(watch, seconds))
            found["to1"].append(change(control, [address] * ACTIVE))
            told = "  ".join(f"{name} {values[-1]:.2f}" for name, values in found.items())
            print(f"  {number + 1}: {told}", flush=True)
        control.close()
        watch.close()
    finally:
        for each in jobs:
            if each.pid is not None:
                os.kill(each.pid, signal.SIGKILL)
        for each in jobs:
            each.join()
    return found


def main() -> None:
    """Play the rounds, print each and the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rate", type=float, default=RATE, help="bytes a second, of each server")
    parser.add_argument("--data", help="not used: nothing is learned")
    options = parser.parse_args()
    print(
        f"tradewind {tradewind.__version__}, Python {platform.python_version()}, numpy {np.__version__}, "
        f"pyzmq {zmq.__version__}, {os.cpu_count()} cores of {platform.machine()}; no chance is involved; "
        f"{WORKERS} workers, 1 reliable host, {ACTIVE} active ones, {PARAMETERS * 8 / 1e6:.2f} MB of state; "
        f"each server throttled to {options.rate / 1e6:g} MB/s; figures are rounds a second, and seconds"
    )
    rounds, seconds = (1, MEASURED / 2) if options.quick else (options.rounds, MEASURED)
    with tempfile.TemporaryDirectory(prefix="tw-") as folder:
        found = played(Path(folder), rounds, options.rate, seconds)
    medians = {name: statistics.median(values) for name, values in found.items()}
    figures = {
        "stage3_vs_stage1": round(medians["stage3"] / medians["stage1"], 2),
        "least": round(min(found["stage3"]) / max(found["stage1"]), 2),
        "stage1_rounds_per_second": round(medians["stage1"], 3),
        "stage3_rounds_per_second": round(medians["stage3"], 3),
        "change_to_3_seconds": round(medians["to3"], 2),
        "change_to_1_seconds": round(medians["to1"], 2),
        "rounds": rounds,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
