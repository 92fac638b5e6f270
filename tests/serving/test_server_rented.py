"""Who is to blame for a replica that is gone: its model, its machine, or nobody knows."""

from __future__ import annotations

import asyncio
import threading

import numpy as np
import pytest

from tradewind import clock
from tradewind.serving.models.opening import Opening
from tradewind.serving.server import rented
from tradewind.serving.server.rented import RentedReplica
from tradewind.serving.server.replicas import task
from tradewind.serving.server.replicas.interface import MachineLost, ReplicaLost

MODEL = """
class Leaves:
    signature = {"inputs": {"x": ["FP64", [-1]]}, "outputs": {"y": ["FP64", [-1]]}}

    def predict(self, inputs):
        if inputs["x"][0] < 0:
            raise SystemExit(3)
        return {"y": inputs["x"] + 1}
"""


@pytest.fixture
def opening(tmp_path, monkeypatch) -> Opening:
    (tmp_path / "leaving.py").write_text(MODEL)
    monkeypatch.syspath_prepend(str(tmp_path))
    return Opening(python="leaving:Leaves")


async def broken(opening, tmp_path, blame) -> float:
    """Break a replica in the midst of a batch; the seconds until that is told."""
    arguments = {"address": f"unix:{tmp_path}/replica", "token": "secret", "stay": True}
    leave = threading.Event()
    leave.set()  # a notice that it stays for

    def run() -> None:
        with pytest.raises(SystemExit):
            task.main(arguments, lambda: connected and leave.is_set())

    connected: list[int] = []
    thread = threading.Thread(target=run)
    thread.start()
    replica = RentedReplica(
        "lease-1", "replica-1", arguments["address"], "secret", opening, start_within=10.0
    )
    await replica.open()
    connected.append(1)
    assert (await replica.run({"x": np.ones(1)}))["y"].tolist() == [2.0] and not replica.spent
    took = clock.stopwatch()
    try:
        if blame is not None:
            asyncio.get_running_loop().call_later(0.05, replica.blame, blame)
        await replica.run({"x": -np.ones(1)})
    finally:
        await replica.close()
        await asyncio.to_thread(thread.join, 5.0)
        assert took() < (0.5 if blame is not None else 2.0) + 0.5
    raise AssertionError("it was answered")


@pytest.mark.parametrize(("blame", "lost"), [(True, ReplicaLost), (False, MachineLost), (None, MachineLost)])
def test_the_verdict_says_what_is_raised(opening, tmp_path, blame, lost) -> None:
    assert rented.VERDICT < 1.0
    with pytest.raises(ReplicaLost) as raised:
        clock.serve(broken(opening, tmp_path, blame))
    assert raised.type is lost
