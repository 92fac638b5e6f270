from __future__ import annotations

import os
import subprocess
import sys

KERNELS_IN_THREADS = """
import sys, threading
import numpy as np
from tradewind.algorithms.linear.minibatch import Distinct
from tradewind.state.client import StateClient
from tradewind.state.consistency import Asynchronous
from tradewind.state.engine import Engine
from tradewind.state.server import Server
from tradewind.state.transport.inprocess import InProcess

hubs = [InProcess(Server(Engine(1, Asynchronous()))) for _ in range(4)]
loaded = {name for name in sys.modules if name.startswith("numba.")}
gate, failures = threading.Barrier(4), []

def work(number):
    try:
        client = StateClient([hubs[number].channel()], 0)
        names = ["add", "sgd", "adagrad", "ftrl"]
        names = names[number:] + names[:number]
        for name in names:
            client.initialize(name, np.zeros(1, np.float32), aggregate=name, sparse=100)
        client.host()
        gate.wait(60)
        for name in names:
            rows, _ = Distinct(100)(np.array([5, 1, 5], np.int32))
            client.push(name, np.ones((2, 1), np.float32), rows)
            assert client.pull(name, rows).all()
    except BaseException as failure:
        failures.append(repr(failure))

threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(failures)
print(sorted({name for name in sys.modules if name.startswith("numba.")} - loaded))
"""


def test_kernels_can_be_compiled_and_loaded_by_several_threads_at_once(tmp_path):
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    for _ in range(2):  # the first time they are compiled, the second time they are in the cache
        ran = subprocess.run(
            [sys.executable, "-c", KERNELS_IN_THREADS],
            env=environment, capture_output=True, text=True, timeout=120, check=True,
        )  # fmt: skip
        failures, imported = ran.stdout.splitlines()
        assert failures == "[]"
        # numba was loaded before the threads began: they import nothing of it
        assert imported == "[]"
