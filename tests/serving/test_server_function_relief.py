"""A real server whose requests overflow to functions on a host of its own: a burst, and what may go wrong."""

import contextlib
import os
import signal
import threading
from decimal import Decimal
from pathlib import Path

import pytest
from real_server import RealServer, alive, children, real_server, until

from tradewind.serving.models.opening import Opening
from tradewind.serving.server.function_relief import Bill, FunctionRelief, code_of

SLOW = '''
import time

class Slow:
    """Doubles, and takes its time."""
    signature = {"inputs": {"x": ["FP64", [-1, 1]]}, "outputs": {"y": ["FP64", [-1, 1]]}}

    def predict(self, inputs):
        time.sleep(0.2)
        return {"y": 2 * inputs["x"]}
'''
OPTIONS = (
    "--slo", "p99<700ms", "--max-batch", "0", "--no-grpc", "--overflow", "functions",
    "--function", "standby=2", "--function", "memory=512",
)  # fmt: skip


@contextlib.contextmanager
def overflowing(folder: Path, *options: str):
    """A server of the slow model, with functions."""
    (folder / "slow_overflow.py").write_text(SLOW)
    with (
        open(folder / "said", "wb") as said,
        real_server(
            "slow_overflow:Slow", *OPTIONS, *options, stderr=said, PYTHONPATH=str(folder), TMPDIR=str(folder)
        ) as server,
    ):
        yield server


def counted(server: RealServer, name: str, **labels: str) -> float:
    """The sum of a metric of functions over lines with those labels; 0 where there is none yet."""
    _, _, page = server.get("/metrics")
    wanted = [f'{key}="{value}"' for key, value in labels.items()]
    lines = [
        line
        for line in page.decode().splitlines()
        if line.startswith(f"tradewind_function_{name}{{") and all(each in line for each in wanted)
    ]
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines)


class Burst:
    """Requests sent at once; `answers` are (status, value) in their order once they are there."""

    def __init__(self, server: RealServer, count: int) -> None:
        self.answers: list = [None] * count
        self._threads = [threading.Thread(target=self._ask, args=(server, number)) for number in range(count)]
        for each in self._threads:
            each.start()

    def _ask(self, server: RealServer, number: int) -> None:
        tensor = {"name": "x", "shape": [1, 1], "datatype": "FP64", "data": [float(number)]}
        status, _, said = server.post("/v2/models/Slow/infer", {"inputs": [tensor]})
        self.answers[number] = (status, said["outputs"][0]["data"][0] if status == 200 else said["error"])

    def over(self) -> list:
        for each in self._threads:
            each.join(15)
        return self.answers


def host_of(server: RealServer) -> int:
    """The process of the server's function host; 0 where none runs."""
    for pid in children(server.process.pid):
        with contextlib.suppress(OSError):
            if b"functions.host.server" in Path(f"/proc/{pid}/cmdline").read_bytes():
                return pid
    return 0


def below(pid: int) -> list[int]:
    return [pid, *(each for child in children(pid) for each in below(child))]


def test_a_burst_is_answered_in_time_and_loss_and_end_of_the_host_harm_nobody(tmp_path) -> None:
    with overflowing(tmp_path) as server:
        until(lambda: counted(server, "environments") >= 2, 30)
        answers = Burst(server, 5).over()
        assert answers == [(200, 2.0 * number) for number in range(5)], "the replica has time for three"
        assert counted(server, "requests_total", outcome="answered") >= 2
        assert counted(server, "dollars_total") > 0 and counted(server, "calls_total") >= 6
        # The host dies: who was sent there is answered by the replica, or refused as without functions.
        host = host_of(server)
        os.kill(host, signal.SIGKILL)
        answers = Burst(server, 5).over()
        assert {status for status, _ in answers} <= {200, 429}
        assert sum(status == 200 for status, _ in answers) >= 2
        until(lambda: host_of(server) not in (0, host) and counted(server, "environments") >= 2, 30)
        # Told to end with calls in hand, it answers them.
        burst = Burst(server, 4)
        until(lambda: counted(server, "calls_in_progress") > 0)
        processes = below(host_of(server))
        assert server.end() == 0
        assert all(status == 200 for status, _ in burst.over())
        until(lambda: not any(map(alive, processes)))
        assert not list(tmp_path.glob("tw-functions-*"))
    said = (tmp_path / "said").read_text()
    assert "simulates Lambda's API" in said and "is lost; replicas answer meanwhile" in said
    assert "functions answered" in said and "as Lambda's price list would charge" in said


def test_nothing_is_left_of_a_server_that_was_killed(tmp_path) -> None:
    with overflowing(tmp_path, "--function", "standby=1") as server:
        until(lambda: counted(server, "environments") >= 1, 30)
        processes = below(host_of(server))
        assert len(processes) >= 2 and list(tmp_path.glob("tw-functions-*"))
        assert server.end(signal.SIGKILL) == -signal.SIGKILL
        until(lambda: not any(map(alive, processes)))
        until(lambda: not list(tmp_path.glob("tw-functions-*")))


def test_the_code_of_a_model_goes_into_its_function_unless_it_is_installed(tmp_path, monkeypatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "lone_module.py").write_text("")
    (tmp_path / "whole_package").mkdir()
    (tmp_path / "whole_package" / "__init__.py").write_text("")
    assert code_of(Opening(python="lone_module:A")) == tmp_path / "lone_module.py"
    assert code_of(Opening(python="whole_package.part:A")) == tmp_path / "whole_package"
    assert code_of(Opening(network="numpy:ndarray")) is None
    assert code_of(Opening("model.onnx")) is None and code_of(Opening(python="not_there:A")) is None


def test_bills_add_up() -> None:
    one = Bill(1, 2, 3, 4, 5, 6, 0.5, Decimal("0.25"))
    assert one.plus(one) == Bill(2, 4, 6, 8, 10, 12, 1.0, Decimal("0.5"))
    idle = FunctionRelief()
    assert idle.bill() == Bill() and idle.bills() == {} and idle.terms() is None
    assert all(not each.samples for each in idle.families())


@pytest.mark.parametrize("name", ["a model/with: odd signs", "m" * 200])
def test_names_are_names_of_functions(name) -> None:
    from tradewind import clock
    from tradewind.serving.batching.rules import rule
    from tradewind.serving.server.batcher import Batcher
    from tradewind.serving.server.metrics.meters import Meters
    from tradewind.serving.tensors import Signature

    async def main():
        relief = FunctionRelief()
        meter = Meters().model(name, "1")
        batcher = Batcher(rule("take_all"), meter, largest=1, batched=False)
        made = relief.relief(name, "1", Opening("absent.onnx"), Signature((), ()), batcher, meter, None)
        assert made.deployed.name.startswith("tradewind-overflow-") and len(made.deployed.name) <= 64
        assert made.deployed.name.replace("-", "").replace("_", "").isalnum()
        await made.close()
        await relief.close()

    clock.run(main())
