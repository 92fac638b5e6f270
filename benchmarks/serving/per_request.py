"""What one request costs on each server: shared by the benchmarks of the JSON and the binary form."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path

import numpy as np
from load_client import load
from peers import OURS, SEED, SERVERS, VENVS, Running, Server, install, installed, version_of
from server_process import CannotStart, Refuses, keep_children

CONNECTIONS, OPEN_RATE, IDLE_SECONDS = 16, 30.0, 3.0
SLOW_TO_START = ("ray",)


class Measured:
    """What the rounds said of one server."""

    def __init__(self, running: Running) -> None:
        self.running = running
        self.cpu: list[float] = []
        self.rps: list[float] = []
        self.closed: list[float] = []
        self.open: list[float] = []
        self.failed, self.client, self.idle = 0, 0.0, 0.0

    def burst(self, seconds: float, warm_up: float, counts: bool) -> None:
        """Closed loop: CPU time, requests a second and latencies."""
        port, request, process = self.running.port, self.running.request, self.running.process
        load(port, request, connections=CONNECTIONS, seconds=warm_up)
        before = process.cpu()
        seen = load(port, request, connections=CONNECTIONS, seconds=seconds)
        spent = process.cpu() - before
        if not counts:
            return
        self.failed += seen.failed
        self.client = max(self.client, seen.busy)
        self.cpu.append(spent / max(seen.answered, 1) * 1e3)
        self.rps.append(seen.answered / seen.seconds)
        self.closed += seen.latencies

    def trickle(self, seconds: float, seed: int) -> None:
        """Open loop: latencies alone."""
        port, request = self.running.port, self.running.request
        seen = load(port, request, connections=CONNECTIONS, seconds=seconds, rate=OPEN_RATE, seed=seed)
        self.failed += seen.failed
        self.open += seen.latencies


def started(
    servers: list[Server],
    venvs: Path,
    request: Callable[[Server, np.ndarray], bytes],
    at_once: bool,
    stack: contextlib.ExitStack,
) -> tuple[dict[str, Measured], dict[str, str]]:
    """The servers that run, and why the others do not."""

    def start(server: Server) -> Running | str:
        why = ""
        for _ in range(2):  # a busy machine makes some give up where they would come up the next time
            try:
                return stack.enter_context(Running(server, venvs, request))
            except Refuses as problem:
                return str(problem)
            except (CannotStart, OSError) as problem:
                why = str(problem)
        return why

    with ThreadPoolExecutor(len(servers) if at_once else 1) as pool:
        results = list(pool.map(start, servers))
    up, down = {}, {}
    for server, each in zip(servers, results, strict=True):
        if isinstance(each, Running):
            up[server.name] = Measured(each)
        else:
            down[server.name] = each
    return up, down


def compare(benchmark: str, description: str, names: tuple[str, ...], request: Callable) -> None:
    """Run the benchmark from its command line and print what it found."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--quick", action="store_true", help="short rounds, peers already installed, no Ray Serve"
    )
    parser.add_argument("--venvs", type=Path, default=VENVS, help="the peers' environments; made if absent")
    parser.add_argument("--peers", help=f"some of {','.join(names)}, by commas")
    parser.add_argument("--rounds", type=int, default=0, help="7, or 5 if quick")
    asked = parser.parse_args()
    rounds = asked.rounds or (5 if asked.quick else 7)
    seconds, warm_up = (0.5, 0.1) if asked.quick else (2.0, 0.3)
    absent: dict[str, str] = {}
    servers = [SERVERS[OURS]]
    for name in asked.peers.split(",") if asked.peers else names:
        server = SERVERS[name]
        if asked.quick and not asked.peers and name in SLOW_TO_START:
            absent[name] = "left out of --quick: its start alone takes longer"
        elif asked.quick and not installed(server, asked.venvs):
            absent[name] = "not installed; --quick installs nothing"
        else:
            try:
                install(server, asked.venvs)
                servers.append(server)
            except CannotStart as problem:
                absent[name] = str(problem)

    keep_children()
    cores = sorted(os.sched_getaffinity(0))
    with contextlib.ExitStack() as stack:
        up, down = started(servers, asked.venvs, request, asked.quick, stack)
        absent |= down
        if OURS not in up:
            raise SystemExit(f"ours does not run: {down[OURS]}")
        if len(cores) > 1:
            os.sched_setaffinity(0, {cores[0]})
            for each in up.values():
                each.running.process.pin(cores[1])
        for number in range(rounds + 1):
            for each in up.values():
                each.burst(seconds, warm_up, counts=number > 0)
            for each in up.values() if number and not asked.quick else ():
                each.trickle(3.0, SEED + number)
        before = {name: (each.running.process.cpu(), time.perf_counter()) for name, each in up.items()}
        time.sleep(1.0 if asked.quick else IDLE_SECONDS)
        for name, each in up.items():
            cpu, moment = before[name]
            each.idle = (each.running.process.cpu() - cpu) / (time.perf_counter() - moment)
        size = len(up[OURS].running.request)
        report(up, absent, asked.venvs, rounds, size, len(cores) > 1)
    print(json.dumps({"benchmark": benchmark, "figures": figures(up)}))


def report(
    up: Mapping[str, Measured],
    absent: Mapping[str, str],
    venvs: Path,
    rounds: int,
    size: int,
    pinned: bool,
) -> None:
    machine = platform.processor() or platform.machine()
    print(f"An ONNX network 64-64-10 (random weights, seed {SEED}), one row; a request has {size} bytes.")
    where = "servers on one core, the client on another" if pinned else "server and client on any core"
    print(f"{machine}, {os.cpu_count()} cores, Python {platform.python_version()}; {where}.")
    print(
        f"Medians of {rounds} alternating rounds, closed loop of {CONNECTIONS} connections, latencies in ms;"
    )
    print(f"open: Poisson, {OPEN_RATE:g} a second. onnxruntime is {version('onnxruntime')} here.\n")
    head = f"{'server':<44}{'version':>9}{'CPU ms':>9}{'spread':>15}{'ours is':>9}{'req/s':>8}{'p50':>7}"
    print(f"{head}{'p99':>8}{'open p50':>10}{'p99':>8}{'procs':>7}{'MB':>6}{'idle %':>8}")
    for name, each in up.items():
        process, server = each.running.process, each.running.server
        opened = [f"{1e3 * np.quantile(each.open, q):.1f}" if each.open else "-" for q in (0.5, 0.99)]
        print(
            f"{server.label:<44}{version_of(server, venvs):>9}{statistics.median(each.cpu):>9.3f}"
            f"{f'{min(each.cpu):.3f}-{max(each.cpu):.3f}':>15}{ratio(up, name):>8.1f}x"
            f"{statistics.median(each.rps):>8.0f}{1e3 * np.quantile(each.closed, 0.5):>7.1f}"
            f"{1e3 * np.quantile(each.closed, 0.99):>8.1f}{opened[0]:>10}{opened[1]:>8}"
            f"{len(process.processes()):>7}{process.memory():>6.0f}{100 * each.idle:>8.1f}"
        )
    for name, why in absent.items():
        print(f"{SERVERS[name].label:<44} absent: {why}")
    for name, each in up.items():
        if each.failed:
            print(f"{SERVERS[name].label}: {each.failed} requests failed")
    print(f"\nThe client was busy for at most {max(each.client for each in up.values()):.0%} of its core.")


def ratio(up: Mapping[str, Measured], name: str) -> float:
    """The median of the rounds' own ratios of a server's CPU time to ours."""
    return statistics.median(theirs / ours for ours, theirs in zip(up[OURS].cpu, up[name].cpu, strict=True))


def figures(up: Mapping[str, Measured]) -> dict[str, float]:
    ours = up[OURS]
    found = {
        "cpu_ms": round(statistics.median(ours.cpu), 4),
        "rps": round(statistics.median(ours.rps)),
        "p50_ms": round(1e3 * float(np.quantile(ours.closed, 0.5)), 2),
        "p99_ms": round(1e3 * float(np.quantile(ours.closed, 0.99)), 2),
    }
    if ours.open:
        found["open_p50_ms"] = round(1e3 * float(np.quantile(ours.open, 0.5)), 2)
        found["open_p99_ms"] = round(1e3 * float(np.quantile(ours.open, 0.99)), 2)
    return found | {f"vs_{name}": round(ratio(up, name), 2) for name in up if name != OURS}
