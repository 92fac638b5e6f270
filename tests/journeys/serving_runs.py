"""What the journeys of serving share: a model whose batches take a while, clients that must not notice, and
an endpoint on rented machines to which things are done while it answers."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import real_runs

from tradewind import clock
from tradewind.serving.server.engine import Options
from tradewind.serving.server.front import Address
from tradewind.session.rented_serving import Rented, serve_rented

MODEL = '''
import time

class Doubles:
    """Doubles its rows, and takes a while for it."""
    signature = {"inputs": {"x": ["FP64", [-1, 2]]}, "outputs": {"y": ["FP64", [-1, 2]]}}

    def predict(self, inputs):
        time.sleep(0.02)
        return {"y": 2 * inputs["x"]}
'''


def write_model(folder: Path, monkeypatch: Any) -> str:
    """The model's name, where every process of this test finds it."""
    (folder / "doubling.py").write_text(MODEL)
    monkeypatch.setenv("PYTHONPATH", str(folder))
    monkeypatch.syspath_prepend(str(folder))
    return "doubling:Doubles"


class Client(threading.Thread):
    """Asks again and again, on one connection; keeps the first answer that was not as it should be."""

    def __init__(self, address: str, number: int) -> None:
        super().__init__(daemon=True)
        self._address, self._number = address, number
        self.over = threading.Event()
        self.problem: BaseException | None = None
        self.answered = 0

    def run(self) -> None:
        connection = http.client.HTTPConnection(self._address, timeout=60)
        try:
            while not self.over.wait(0.002):
                rows = [float(self._number), float(self.answered)]
                tensor = {"name": "x", "shape": [1, 2], "datatype": "FP64", "data": rows}
                connection.request("POST", "/v2/models/Doubles/infer", json.dumps({"inputs": [tensor]}))
                answer = connection.getresponse()
                said = json.loads(answer.read())
                assert answer.status == 200, said
                assert said["outputs"][0]["data"] == [2 * each for each in rows]
                self.answered += 1
        except BaseException as problem:
            self.problem = problem
        finally:
            connection.close()


def serve_through(
    folder: Path,
    model: str,
    renting: dict[str, Any],
    mishaps: Callable[[Path, Callable[[], int]], None],
    clients: int = 6,
) -> tuple[Rented, int]:
    """Serve while `mishaps(run folder, answers so far)` happen and clients ask; what it came to, and answers.

    Every answer must have been right.
    """
    stop, asking, problems = threading.Event(), [], []

    def answers() -> int:
        for each in asking:
            if each.problem is not None:
                raise each.problem
        return sum(each.answered for each in asking)

    def disturb(address: str) -> None:
        try:
            asking.extend(Client(address, number) for number in range(clients))
            for each in asking:
                each.start()
            (run,) = (each for each in (folder / "runs").iterdir() if each.is_dir())
            mishaps(run, answers)
        except BaseException as problem:
            problems.append(problem)
        finally:
            for each in asking:
                each.over.set()
                each.join(30)
            stop.set()

    def ready(listening: Any) -> None:
        threading.Thread(target=disturb, args=(listening.http.removeprefix("http://"),), daemon=True).start()

    served = serve_rented(
        model, slo="p99<30s", renting={"out": str(folder / "runs"), **renting}, stop=stop, ready=ready,
        address=Address(http_port=0, grpc_port=None), options=Options(max_batch=4),
    )  # fmt: skip
    if problems:
        raise problems[0]
    assert served.drained
    return served, answers()


def until(true: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait until it is."""
    elapsed, nobody = clock.stopwatch(), threading.Event()
    while not true():
        assert elapsed() < seconds, "it never came to that"
        nobody.wait(0.02)


def more(answers: Callable[[], int], count: int = 60) -> None:
    """Wait for so many further answers."""
    before = answers()
    until(lambda: answers() >= before + count)


def replicas(run: Path) -> dict[str, int]:
    """The processes of replicas, by their tasks."""
    return {name: pid for name, pid in real_runs.processes(run).items() if name.startswith("replica-")}


def kill(pid: int, *, group: bool = False) -> None:
    """kill -9 of a process, or of the instance that it is on."""
    with contextlib.suppress(ProcessLookupError):
        if group:
            os.killpg(os.getpgid(pid), signal.SIGKILL)
        else:
            os.kill(pid, signal.SIGKILL)
