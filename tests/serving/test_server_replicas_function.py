"""Served models as functions on the local host, over real sockets: packed, deployed, called, batched."""

import asyncio
import io
import json
import textwrap
import zipfile
from decimal import Decimal

import numpy as np
import pytest

from function_host import Host
from tradewind import clock
from tradewind.algorithms.linear_learner import LinearClassifier
from tradewind.data.model_files.layout import write_model_file
from tradewind.errors import Misuse
from tradewind.serving.batching.rules import rule
from tradewind.serving.models.opening import Opening, open_model
from tradewind.serving.server.batcher import Batcher
from tradewind.serving.server.fleet import Fleet
from tradewind.serving.server.metrics.meters import Meters
from tradewind.serving.server.replicas.function import AsFunction
from tradewind.serving.server.replicas.functions.deployed import DeployedModel
from tradewind.serving.server.replicas.functions.handler import opened
from tradewind.serving.server.replicas.functions.package import packed
from tradewind.serving.server.replicas.functions.tensor_events import listed, tensors_of
from tradewind.serving.server.replicas.interface import ModelFailed, ReplicaLost

ODD = textwrap.dedent(
    '''
    import os, time

    class Odd:
        """Doubles; some values of the first row do other things."""
        signature = {"inputs": {"x": ["FP64", [-1, -1]]}, "outputs": {"y": ["FP64", [-1, -1]]}}

        def predict(self, inputs):
            first = inputs["x"][0, 0]
            if first == -1:
                raise ValueError("minus one")
            if first == -3:
                time.sleep(0.5)
            if first == -5:
                os._exit(3)
            return {"y": 2 * inputs["x"]}
    '''
)


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    host = Host(tmp_path_factory.mktemp("host"), "--plain", concurrency=6, unreserved=0)
    yield host
    assert host.end() == 0


@pytest.fixture(scope="module")
def odd(host, tmp_path_factory):
    """The name of a function that serves the odd model."""
    code = tmp_path_factory.mktemp("code") / "odd_function.py"
    code.write_text(ODD)

    async def deploy():
        deployed = DeployedModel(host.functions, "odd")
        await deployed.deploy(Opening(python="odd_function:Odd"), code=code, memory=1024, timeout=10)
        await deployed.close()

    clock.run(deploy())
    return "odd"


def x(*first):
    return {"x": np.array(first, np.float64).reshape(-1, 1)}


async def doubled(runs, *values):
    return (await runs(x(*values)))["y"].ravel().tolist()


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    """A model of ours in a file."""
    rng = np.random.default_rng(5)
    rows = rng.normal(size=(200, 4))
    learner = LinearClassifier(epochs=2).fit(rows, (rows[:, 0] > 0).astype(int))
    folder = tmp_path_factory.mktemp("learned")
    model = learner.model_
    write_model_file(folder, model.arrays(), model.header())
    return folder


def test_tensors_travel_in_json():
    tensors = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.array([b"x", b"\0y"], object)}
    found = tensors_of(json.loads(json.dumps(listed(tensors))))
    assert list(found) == ["a", "b"] and found["a"].dtype == np.float32
    assert all(np.array_equal(found[name], tensors[name]) for name in tensors)
    for wrong in (None, [["a", "FP32", [1], "!"]], [["a", "FP32", [1], "AAAA"]], 7, [[1, 2]]):
        with pytest.raises(Misuse):
            tensors_of(wrong)


def test_a_package_is_the_same_whenever_it_is_made_and_opens(learned, tmp_path):
    package = packed(Opening(str(learned)))
    assert package == packed(Opening(str(learned)))
    zipfile.ZipFile(io.BytesIO(package)).extractall(tmp_path)
    handler = opened(tmp_path)
    rows = np.ones((3, 4), np.float32)
    answer = handler({"inputs": listed({"X": rows})}, None)
    expected = open_model(str(learned)).predict({"X": rows})
    assert tensors_of(answer["outputs"])["prediction"].tolist() == expected["prediction"].tolist()
    assert "is missing" in handler({"inputs": []}, None)["failed"]
    with pytest.raises(Misuse, match="nothing here"):
        packed(Opening(str(tmp_path / "absent.onnx")))


def test_a_model_answers_as_a_function_as_it_does_here(host, learned):
    async def main():
        deployed = DeployedModel(host.functions, "learned")
        await deployed.deploy(Opening(str(learned)), memory=1024)
        replica = AsFunction(deployed)
        await replica.open()
        rows = np.random.default_rng(1).normal(size=(5, 4)).astype(np.float32)
        outputs = await replica.run({"X": rows})
        here = open_model(str(learned))
        assert replica.signature == here.signature and replica.platform == here.platform
        expected = here.predict({"X": rows})
        assert all(np.array_equal(outputs[name], expected[name]) for name in expected)
        # Two calls, one of them cold: the bill is what the host's own record comes to.
        spent = deployed.spending
        assert (spent.calls, spent.cold, spent.untold) == (2, 1, 0)
        lines = [json.loads(line) for line in (host.root / "calls.jsonl").read_text().splitlines()]
        billed = [each["billed"] for each in lines if each["function"] == "learned"]
        owed = sum(map(Decimal, billed)) / 1000 * Decimal("0.0000166667") + 2 * Decimal("0.0000002")
        assert float(spent.dollars) == pytest.approx(float(owed), rel=1e-9)
        await replica.close()
        with pytest.raises(ReplicaLost):
            await replica.run({"X": rows})
        await deployed.close()

    clock.run(main())


def test_what_becomes_of_batches_that_fail(host, odd):
    async def main():
        deployed = DeployedModel(host.functions, odd)
        replica = AsFunction(deployed)
        with pytest.raises(ReplicaLost, match="not open"):
            await replica.run(x(1))
        await replica.open()
        assert await doubled(replica.run, 1, 2) == [2, 4]
        with pytest.raises(ModelFailed, match="ValueError: minus one"):
            await replica.run(x(-1))
        with pytest.raises(ModelFailed, match="more than a function takes"):
            await replica.run({"x": np.zeros((1, 700_000))})
        assert await doubled(replica.run, 3) == [6]
        with pytest.raises(ReplicaLost, match="exit status 3"):
            await replica.run(x(-5))
        with pytest.raises(ReplicaLost, match="exit status 3"):
            await replica.run(x(1))
        await deployed.close()
        nobody = AsFunction(DeployedModel(host.functions, "nobody"))
        with pytest.raises(Exception, match="not found"):
            await nobody.open()

    clock.run(main())


def test_throttled_calls_wait_and_then_give_up(host, odd):
    async def main():
        host.functions.reserve(odd, 1)
        patient = DeployedModel(host.functions, odd, patience=8.0)
        hasty = DeployedModel(host.functions, odd, patience=0.1)
        await patient.describe()
        slow = asyncio.create_task(doubled(patient.infer, -3))
        await asyncio.sleep(0.2)
        with pytest.raises(ReplicaLost, match="Rate Exceeded"):
            await hasty.infer(x(1))
        assert await doubled(patient.infer, 1) == [2] and await slow == [-6]
        assert patient.spending.throttled > 0 and hasty.spending.calls == 0
        host.api.delete_function_concurrency(FunctionName=odd)
        await patient.close()
        await hasty.close()

    clock.run(main())


def test_a_batcher_runs_on_functions_and_survives_what_kills_them(host, odd):
    async def main():
        deployed = DeployedModel(host.functions, odd, concurrency=4)
        lost = []
        batcher = Batcher(
            rule("take_all"), Meters().model("odd", "1"), largest=1, batched=True,
            lost=lambda replica: lost[0](replica),  # noqa: PLW0108 -- it is known later
        )  # fmt: skip
        fleet = Fleet(lambda: AsFunction(deployed), batcher, 3)
        lost.append(fleet.lost)
        first = AsFunction(deployed)
        await first.open()
        fleet.begin(first)
        while fleet.up < 3:
            await asyncio.sleep(0.02)
        slow = [asyncio.create_task(batcher.answer(x(-3), 1, None)) for _ in range(3)]
        while (await asyncio.to_thread(host.status))["running"]["odd"] < 3:
            assert not all(each.done() for each in slow), "three at a time"
        await asyncio.gather(*slow)
        killing = [batcher.answer(x(value), 1, None) for value in (-5, 4, 5, 6)]
        dead, *others = await asyncio.gather(*killing, return_exceptions=True)
        assert "died on it twice" in str(dead)
        assert [each["y"].item() for each in others] == [8, 10, 12]
        await batcher.close()
        await fleet.close()
        await deployed.close()

    clock.run(main())
