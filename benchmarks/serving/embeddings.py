"""Embeddings in a database, and what a cache in front of it saves: Tu et al.'s function with and without one.

Ids are drawn from Zipf's law with exponent 1 (generated), as words of a language are. First the caches alone:
how often each has an id of the second half of the stream, beside the bound that no cache passes which does
not know the future, the share of the most likely ids. Then requests against a DynamoDB of moto's, over HTTP,
in a process of its own: the same requests without a cache and with each, sides alternating, once with a
tenth of the ids kept and once with half. A request asks for the vectors of one text. moto's speed is not
DynamoDB's; what carries over are the ids read, which it bills, and the texts that need no call at all.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from importlib.metadata import version

import numpy as np

from tradewind.serving.server.embeddings.cached import POLICIES, CachedEmbeddings, best, hit_rates
from tradewind.serving.server.embeddings.hot_set import HotSet, most_asked
from tradewind.serving.server.embeddings.table import EmbeddingTable

SEED = 7
WIDTH = 50
WORDS = 12
"""Of a text."""
SERVER = """
import logging, threading
from moto.server import ThreadedMotoServer
logging.getLogger("werkzeug").setLevel(logging.ERROR)
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print("http://%s:%s" % server.get_host_and_port(), flush=True)
threading.Event().wait()
"""


def zipf(count: int, vocabulary: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    weights = 1.0 / np.arange(1, vocabulary + 1)
    ranks = rng.choice(vocabulary, count, p=weights / weights.sum())
    return np.random.default_rng(SEED).permutation(vocabulary)[ranks].astype(np.int64)


def bound(capacity: int, vocabulary: int) -> float:
    shares = 1.0 / np.arange(1, vocabulary + 1)
    return float(shares[:capacity].sum() / shares.sum())


def alone(quick: bool) -> dict[str, float]:
    vocabulary, capacity = 100_000, 5_000
    stream = zipf(200_000 if quick else 1_000_000, vocabulary, SEED)
    rates = hit_rates(stream, capacity)
    most = bound(capacity, vocabulary)
    print(f"Caches of {capacity} of {vocabulary} ids, {len(stream)} asked for; the second half is judged.")
    print(f"{'cache':<16}{'hit rate':>10}{'of the bound':>14}")
    for name, rate in sorted(rates.items(), key=lambda each: -each[1]):
        print(f"{name:<16}{rate:>10.3f}{rate / most:>14.3f}")
    print(f"{'(bound)':<16}{most:>10.3f}\nChosen by the measured rate: {best(rates)}.\n")
    return {f"hit_rate_{name}": round(rate, 4) for name, rate in rates.items()} | {"bound": round(most, 4)}


def against_database(quick: bool) -> dict[str, float]:
    vocabulary = 2_000
    warm, measured = (100, 150) if quick else (300, 1000)
    os.environ |= {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"}
    server = subprocess.Popen([sys.executable, "-c", SERVER], stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        table = EmbeddingTable("words", WIDTH, endpoint_url=url, region="us-east-1")
        table.create()
        vectors = np.random.default_rng(SEED).normal(size=(vocabulary, WIDTH)).astype(np.float32)
        table.write(range(vocabulary), vectors)
        texts = zipf((warm + measured) * WORDS, vocabulary, SEED + 1).reshape(-1, WORDS)
        figures: dict[str, float] = {}
        for part, capacity in (("tenth", vocabulary // 10), ("half", vocabulary // 2)):
            print(f"{measured} texts of {WORDS} words after {warm}; {capacity} of {vocabulary} ids kept:")
            found = compared(table, vectors, texts, capacity, warm)
            figures |= {f"{name}_{part}": value for name, value in found.items()}
        table.close()
    finally:
        server.terminate()
        server.wait()
        if server.stdout is not None:
            server.stdout.close()
    return figures


def compared(
    table: EmbeddingTable, vectors: np.ndarray, texts: np.ndarray, capacity: int, warm: int
) -> dict[str, float]:
    hot = most_asked(zipf(100_000, len(vectors), SEED + 2), capacity)
    sides = {"none": CachedEmbeddings(table, 0)}
    sides |= {name: CachedEmbeddings(table, capacity, name) for name in POLICIES}
    sides["hot_set"] = CachedEmbeddings(table, 0, hot=HotSet(hot, vectors[hot]))
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    calls, keys = dict.fromkeys(sides, 0), dict.fromkeys(sides, 0)
    for at, ids in enumerate(texts):
        order = list(sides)
        for name in order[at % len(order) :] + order[: at % len(order)]:
            cached = sides[name]
            before, missed = table.calls, cached.asked - cached.hits
            began = time.perf_counter()
            found = cached.vectors(ids)
            took = time.perf_counter() - began
            assert np.array_equal(found, vectors[ids])
            if at >= warm:
                seconds[name].append(took)
                calls[name] += table.calls - before
                keys[name] += cached.asked - cached.hits - missed
    print(f"{'cache':<16}{'calls':>8}{'ids read':>10}{'ms, median':>12}{'p99':>8}")
    for name, took in seconds.items():
        p99 = sorted(took)[int(0.99 * len(took))]
        middle = 1e3 * statistics.median(took)
        print(f"{name:<16}{calls[name]:>8}{keys[name]:>10}{middle:>12.2f}{1e3 * p99:>8.2f}")
    print()
    return {
        "ids_read_vs_none": round(keys["tiny_lfu"] / keys["none"], 4),
        "calls_vs_none": round(calls["tiny_lfu"] / calls["none"], 4),
        "median_ms": round(1e3 * statistics.median(seconds["tiny_lfu"]), 3),
        "median_ms_none": round(1e3 * statistics.median(seconds["none"]), 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="shorter streams")
    quick = parser.parse_args().quick
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores,", end=" ")
    print(f"Python {platform.python_version()}, numpy {version('numpy')}, boto3 {version('boto3')},", end=" ")
    print(f"moto {version('moto')}; seed {SEED}.\n")
    figures = alone(quick) | against_database(quick)
    print(json.dumps({"benchmark": "serving/embeddings", "figures": figures}))


if __name__ == "__main__":
    main()
