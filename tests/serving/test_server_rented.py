"""Who is to blame for a replica that is gone: its model, its machine, or nobody knows."""

from __future__ import annotations

import asyncio
import threading

import numpy as np
import pytest

from tradewind import clock
from tradewind.errors import Misuse
from tradewind.serving.models.opening import Opening
from tradewind.serving.server import rented
from tradewind.serving.server.rented import RentedCrews, RentedReplica, Weight
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


class Waiting:
    """As much of a batcher as a crew asks when nothing is up."""

    retried = 0

    def __init__(self, waiting):
        self.waiting = waiting


def test_load_is_counted_in_requests_to_the_model_that_takes_most() -> None:
    crews = RentedCrews()
    with pytest.raises(Misuse, match="no model is open"):
        crews.weigh({})
    made = {
        name: crews.crew(name, "1", Opening(), Waiting(waiting), print)
        for name, waiting in (("quick", 8), ("slow", 3), ("late", 6))
    }
    known = {"quick": (400.0, 4.0), "slow": (100.0, 2.0), "late": (200.0, 20.0)}
    crews.weigh({made[name]: sustained for name, sustained in known.items()})
    assert crews.weight("quick", "1") == Weight(0.25, 0.5)
    assert crews.weight("slow", "1") == crews.weight("another", "1") == Weight()
    assert crews.weight("late", "1") == Weight(0.5, 0.1)
    assert crews.waiting == 8 * 0.25 + 3 + 6 * 0.5
    # A mix that fills a machine, by the models' own rates, is the profile's rate.
    mix = {"quick": 100.0, "slow": 50.0, "late": 50.0}
    assert sum(rate / known[name][0] for name, rate in mix.items()) == 1.0
    assert sum(rate * crews.weight(name, "1").rate for name, rate in mix.items()) == 100.0
    clock.serve(made["late"].close())
    assert crews.waiting == 5.0 and crews.weight("late", "1") == Weight(0.5, 0.1)
