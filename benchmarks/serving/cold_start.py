"""The cold start of a function with a scikit-learn model: forked from a process with its imports, or plain.

Two local function hosts, alike but for how they start an environment, serve the same package: a random forest
of scikit-learn as skops, whose process opens it, warms it and answers. What is timed is what a caller waits:
from Invoke, by boto3 over HTTP, to the answer of the first call. Each round changes the function's text of
description on both hosts, which ends its environments, and calls each twice: cold, then warm; who is first
alternates. The fork server has the imports done before the first round, as from the second cold start of any
function with that layer on; starting it is told apart. The model itself is opened anew in each environment,
on both sides. The functions have 1769 MB: a core each.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from importlib.metadata import version
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import skops.io
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier

from tradewind.runtimes.functions.client import Functions
from tradewind.serving.models.opening import Opening
from tradewind.serving.server.replicas.functions.package import HANDLER, packed
from tradewind.serving.server.replicas.functions.tensor_events import listed

SEED = 7
NAME = "digits"


class Host:
    """A host in a process of its own, with the function deployed."""

    def __init__(self, root: str, package: bytes, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tradewind.runtimes.functions.host.server", "--root", root, *arguments],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().strip()
        self.functions = Functions(self.url)
        self.functions.deploy(NAME, package, HANDLER)

    def fork_server_up(self) -> bool:
        with urllib.request.urlopen(f"{self.url}/tradewind/status", timeout=10) as answer:
            told = json.loads(answer.read())
        if told["unfit"]:
            raise SystemExit(f"the layer cannot be forked from: {told['unfit'][0]}")
        return bool(told["fork_servers"])

    def renew(self, turn: int) -> None:
        self.functions.client.update_function_configuration(FunctionName=NAME, Description=f"turn {turn}")

    def call(self, event: bytes):
        began = time.perf_counter()
        called = self.functions.call(NAME, event)
        took = time.perf_counter() - began
        assert not called.error and b'"outputs"' in called.payload, called
        return took, called

    def end(self) -> None:
        self.functions.close()
        self.process.terminate()
        self.process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    rounds = 5 if parser.parse_args().quick else 11
    rows, labels = load_digits(return_X_y=True)
    model = RandomForestClassifier(50, max_depth=12, random_state=SEED).fit(rows, labels)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "digits.skops")
        skops.io.dump(model, path)
        trusted = tuple(skops.io.get_untrusted_types(file=path))
        package = packed(Opening(str(path), trusted=trusted))
        hosts = {
            "plain": Host(f"{folder}/plain", package, "--plain"),
            "fork server": Host(f"{folder}/forked", package),
        }
        try:
            measure(hosts, rounds, rows, len(package))
        finally:
            for host in hosts.values():
                host.end()


def measure(hosts: dict[str, Host], rounds: int, rows: np.ndarray, size: int) -> None:
    forked = hosts["fork server"]
    described = json.loads(forked.functions.call(NAME, b'{"describe": true}').payload)
    (spec,) = described["signature"]["inputs"]
    kinds = {"FP32": np.float32, "FP64": np.float64}
    event = json.dumps({"inputs": listed({spec["name"]: rows[:1].astype(kinds[spec["datatype"]])})}).encode()
    began = time.perf_counter()
    while not forked.fork_server_up():
        time.sleep(0.05)
    warming = time.perf_counter() - began
    for host in hosts.values():  # one turn apart: files in the page cache, connections open
        host.renew(-1)
        host.call(event)
    cold: dict[str, list[float]] = {name: [] for name in hosts}
    warm: dict[str, list[float]] = {name: [] for name in hosts}
    init: dict[str, list[float]] = {name: [] for name in hosts}
    answers = set()
    for turn in range(rounds):
        order = list(hosts) if turn % 2 else list(reversed(hosts))
        for name in order:
            hosts[name].renew(turn)
            took, called = hosts[name].call(event)
            expected = "plain" if name == "plain" else "forked"
            assert called.report is not None and called.report.start == expected, called.report
            cold[name].append(took)
            init[name].append(called.report.init / 1000.0)
            answers.add(called.payload)
            took, called = hosts[name].call(event)
            assert not called.report.cold
            warm[name].append(took)
    assert len(answers) == 1, "both sides answer alike"
    ratio = statistics.median(
        ours / plain for ours, plain in zip(cold["fork server"], cold["plain"], strict=True)
    )
    machine = platform.processor() or platform.machine()
    print(f"{machine}, {os.cpu_count()} cores, Python {platform.python_version()},")
    names = ("tradewind", "scikit-learn", "skops", "numpy", "boto3")
    print(", ".join(f"{name} {version(name)}" for name in names) + ".")
    print(f"A forest of 50 trees on the digits of scikit-learn (recorded data), seed {SEED}; a package of")
    print(f"{size / 1e3:.0f} kB. {rounds} alternating rounds, medians (least to most), seconds:\n")
    print(f"{'start':<14}{'cold call':>24}{'of it, until loaded':>24}{'warm call':>24}")
    for name in hosts:
        cells = "".join(f"{_spread(each[name]):>24}" for each in (cold, init, warm))
        print(f"{name:<14}{cells}")
    print(
        f"\nA cold call with the fork server takes {ratio:.3f} of a plain one (median of the rounds' ratios)."
    )
    print(f"The fork server itself was up {warming:.2f} s after the first cold start, beside the calls.")
    figures = {
        "vs_plain": round(ratio, 4),
        "seconds": round(statistics.median(cold["fork server"]), 4),
        "plain_seconds": round(statistics.median(cold["plain"]), 4),
        "warm_seconds": round(statistics.median(warm["fork server"]), 5),
    }
    print(json.dumps({"benchmark": "serving/cold_start", "figures": figures}))


def _spread(values: list[float]) -> str:
    return f"{statistics.median(values):.4f} ({min(values):.4f}-{max(values):.4f})"


if __name__ == "__main__":
    main()
