"""Seconds from exec to the first answer with one ONNX model: ours and five peers.

Timed from the moment at which the command is started until its readiness probe says 200 (asked every 5 ms),
and until the first inference does. Rounds alternate, the first, which fills the caches of the disk, is
dropped, one server at a time, on all cores. `seconds` is to the first inference.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
from collections import defaultdict
from pathlib import Path

from peers import OURS, SERVERS, VENVS, Running, install, installed, version_of
from server_process import CannotStart, keep_children

QUICK_PEERS = ("mlserver", "litserve", "kserve")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help=f"peers once, and only {', '.join(QUICK_PEERS)}")
    parser.add_argument("--venvs", type=Path, default=VENVS, help="the peers' environments; made if absent")
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    keep_children()
    absent: dict[str, str] = {}
    servers = []
    for server in SERVERS.values():
        if asked.quick and server.name not in (OURS, *QUICK_PEERS):
            absent[server.name] = "left out of --quick"
        elif asked.quick and not installed(server, asked.venvs):
            absent[server.name] = "not installed; --quick installs nothing"
        else:
            try:
                install(server, asked.venvs)
                servers.append(server)
            except CannotStart as problem:
                absent[server.name] = str(problem)
    ready, answered, failed = defaultdict(list), defaultdict(list), defaultdict(list)
    for number in range(asked.rounds + 1):
        for server in servers:
            if asked.quick and number != 1 and server.name != OURS:
                continue
            try:
                with Running(server, asked.venvs) as running:
                    if number:
                        ready[server.name].append(running.ready_after)
                        answered[server.name].append(running.answered_after)
            except CannotStart as problem:
                failed[server.name].append(str(problem))
    absent |= {name: each[-1] for name, each in failed.items() if name not in answered}
    if OURS in absent:
        raise SystemExit(f"ours does not run: {absent[OURS]}")
    machine = platform.processor() or platform.machine()
    print(f"{machine}, {os.cpu_count()} cores, Python {platform.python_version()}; medians of rounds.\n")
    head = f"{'server':<44}{'version':>9}{'ready s':>9}{'first answer s':>16}{'spread':>14}"
    print(f"{head}{'rounds':>8}{'ours is':>9}")
    ours = statistics.median(answered[OURS])
    for name, each in answered.items():
        server, median = SERVERS[name], statistics.median(each)
        print(
            f"{server.label:<44}{version_of(server, asked.venvs):>9}{statistics.median(ready[name]):>9.2f}"
            f"{median:>16.2f}{f'{min(each):.2f}-{max(each):.2f}':>14}{len(each):>8}{median / ours:>8.1f}x"
        )
        if failed[name]:
            print(f"  failed to start {len(failed[name])} times: {failed[name][-1]}")
    for name, why in absent.items():
        print(f"{SERVERS[name].label:<44} absent: {why}")
    figures = {"seconds": round(ours, 3), "ready_seconds": round(statistics.median(ready[OURS]), 3)}
    figures |= {
        f"vs_{name}": round(statistics.median(answered[name]) / ours, 2) for name in answered if name != OURS
    }
    print(json.dumps({"benchmark": "serving/start", "figures": figures}))


if __name__ == "__main__":
    main()
