"""What it costs to have a state served on active hosts, and to move it: real processes over ZeroMQ.

Two workers push dense rows in bulk-synchronous rounds; the hosts are processes of their own on this machine.
First all shards are served by the reliable host, then by two active ones that stream every round to it. Then
the shards are moved, drained and lost to a real SIGKILL. No two machines take part: the network is loopback.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing as mp
import os
import platform
import statistics
import tempfile
import threading
import time

import numpy as np
import zmq

from tradewind.state.client import Patience, RolledBack, StateClient
from tradewind.state.consistency import BulkSynchronous
from tradewind.state.control import StateControl
from tradewind.state.engine import Engine
from tradewind.state.link import Elsewhere
from tradewind.state.partition import even_routing
from tradewind.state.routing import Finder
from tradewind.state.server import serve
from tradewind.state.shard_host import ShardHost
from tradewind.state.transport.zeromq import ZeroMQChannel, ZeroMQListener

ROWS, SHARDS, WORKERS = 1 << 16, 4, 2
PATIENCE = Patience(0.1, 60.0)


def host(address: str, reliable: bool) -> None:
    """The main of a host's process."""
    listener = ZeroMQListener(address)
    if reliable:
        owned = [even_routing(SHARDS).owned(shard) for shard in range(SHARDS)]
        engines = [Engine(WORKERS, BulkSynchronous(), owned=each) for each in owned]
        serve(ShardHost.reliable(engines, address), listener)
    else:
        serve(ShardHost.active(ZeroMQChannel), listener)


def ready(address: str) -> None:
    """Wait until a host has started: it says that it keeps no routing."""
    finder = Finder(address, ZeroMQChannel, PATIENCE)
    with contextlib.suppress(Elsewhere):
        finder.ask()
    finder.close()


class Workers:
    """Threads that learn nothing, as fast as they can, until told to stop."""

    def __init__(self, home: str) -> None:
        self.stopping = threading.Event()
        self.done = [0] * WORKERS
        self.failures: list[BaseException] = []
        self._last = [1 << 60]
        self.threads = [threading.Thread(target=self._work, args=(home, w)) for w in range(WORKERS)]
        for thread in self.threads:
            thread.start()

    def _work(self, home: str, worker: int) -> None:
        client = StateClient.at(home, ZeroMQChannel, worker, patience=PATIENCE)
        delta = np.ones((ROWS, 1), np.float32)
        try:
            while self.done[worker] < self._last[0]:
                try:
                    clock = client.host().clock
                    for each in client.draw(range(clock, 1 << 40)):
                        client.pull("w")
                        client.push("w", delta)
                        client.barrier()
                        self.done[worker] = each + 1
                        if self.stopping.is_set() and self._last[0] == 1 << 60:
                            self._last[0] = each + 2  # the other is at most a round away
                        if each + 1 >= self._last[0]:
                            break
                except RolledBack:
                    continue
            client.leave()
        except BaseException as failure:
            self.failures.append(failure)
        finally:
            client.close()

    def rate(self, seconds: float) -> float:
        """Rounds a second over so many seconds."""
        first, began = self.done[0], time.perf_counter()
        time.sleep(seconds)
        return (self.done[0] - first) / (time.perf_counter() - began)

    def pause(self) -> float:
        """Seconds until both workers have ended another round."""
        began, stood = time.perf_counter(), list(self.done)
        while any(now <= then for now, then in zip(self.done, stood, strict=True)) and not self.failures:
            time.sleep(0.002)
        return time.perf_counter() - began


def main() -> None:
    """Print the table and the closing line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer rounds and shorter ones")
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    rounds, span = (5, 0.5) if options.quick else (options.rounds, 2.0)
    spawn = mp.get_context("spawn")
    print(f"{platform.machine()}, {os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f}, ", end="")
    print(f"Python {platform.python_version()}, numpy {np.__version__}, pyzmq {zmq.__version__}")
    print(f"2^16 float32 pushed and pulled whole by {WORKERS} workers, {SHARDS} shards, {rounds} rounds")
    rates: dict[str, list[float]] = {"stage 1": [], "stage 2": []}
    took: dict[str, list[float]] = {name: [] for name in ("1 to 2", "among active", "2 to 1", "kill")}
    lost: list[int] = []
    with tempfile.TemporaryDirectory() as folder:
        processes: dict[str, mp.process.BaseProcess] = {}

        def start(name: str) -> str:
            address = f"ipc://{folder}/{name}"
            processes[name] = spawn.Process(target=host, args=(address, name == "home"), daemon=True)
            processes[name].start()
            return address

        home = start("home")
        control = StateControl.at(home, ZeroMQChannel, patience=Patience(0.2, 30.0))
        reader = StateClient.at(home, ZeroMQChannel, patience=PATIENCE)
        reader.initialize("w", np.zeros((ROWS, 1), np.float32))
        workers = Workers(home)

        def timed(name: str, move: object) -> None:
            began = time.perf_counter()
            move()  # type: ignore[operator]
            workers.pause()
            took[name].append(time.perf_counter() - began)

        try:
            for turn in range(rounds):
                a, b, c = (start(f"{name}{turn}") for name in "abc")
                for address in (a, b, c):
                    ready(address)
                rates["stage 1"].append(workers.rate(span))
                timed("1 to 2", lambda a=a, b=b: control.change([a, b, a, b]))
                rates["stage 2"].append(workers.rate(span))
                timed("among active", lambda a=a, c=c: control.change([a, c, a, c]))
                control.status()
                processes[f"a{turn}"].kill()
                timed("kill", lambda c=c: lost.append(control.recover([c] * SHARDS).clocks_lost))
                timed("2 to 1", lambda: control.change([home] * SHARDS))
                for name in "bc":
                    processes[f"{name}{turn}"].kill()
        finally:
            workers.stopping.set()
            for thread in workers.threads:
                thread.join(60)
        if workers.failures:
            raise workers.failures[0]
        counted = reader.pull("w")
        batches = control.status().batches
        assert (counted == batches).all(), "a push was lost or doubled"
        control.stop()
        control.close()
        reader.close()
        for process in processes.values():
            process.join(10)
    print(f"{'':>14} {'median':>9} {'least':>9} {'most':>9}")
    for name, found in rates.items():
        print(f"{name:>14} {statistics.median(found):>9.1f} {min(found):>9.1f} {max(found):>9.1f} rounds/s")
    for name, found in took.items():
        shown = [1000 * each for each in (statistics.median(found), min(found), max(found))]
        print(f"{name:>14} {shown[0]:>9.0f} {shown[1]:>9.0f} {shown[2]:>9.0f} ms to the next round's end")
    print(f"rounds lost to a kill: {lost}; every push of the {batches} batches is in once")
    ratio = [two / one for one, two in zip(rates["stage 1"], rates["stage 2"], strict=True)]
    figures = {
        "stage2_vs_stage1": round(statistics.median(ratio), 3),
        "clocks_lost": max(lost),
        **{
            f"{name.replace(' ', '_')}_ms": round(1000 * statistics.median(found), 1)
            for name, found in took.items()
        },
    }
    print(json.dumps({"benchmark": "state/moves", "figures": figures}))


if __name__ == "__main__":
    main()
