"""The engine over real models: found, checked, batched, kept within memory, loaded anew."""

from __future__ import annotations

import asyncio
import os
import signal
import textwrap

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tradewind import clock
from tradewind.errors import Misuse
from tradewind.serving.calls import Call, Refusal, RefusalKind
from tradewind.serving.models.one_class import OneClass
from tradewind.serving.models.repository import Repository, Trust
from tradewind.serving.objective import Objective
from tradewind.serving.server.engine import ModelEngine, Options


def times(path, factor, columns=2, bulk=0):
    """An ONNX model that multiplies rows of `columns` numbers, with `bulk` floats of dead weight."""
    weights = [numpy_helper.from_array(np.array(factor, np.float32), "factor")]
    nodes = [helper.make_node("Mul", ["x", "factor"], ["y"])]
    if bulk:
        rng = np.random.default_rng(0)
        weights.append(numpy_helper.from_array(rng.normal(size=bulk).astype(np.float32), "bulk"))
        nodes.append(helper.make_node("ReduceSum", ["bulk"], ["z"], keepdims=0))
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", columns])]
    if bulk:
        nodes[-1] = helper.make_node("Identity", ["y"], ["same"])
        nodes.append(helper.make_node("Add", ["bulk", "bulk"], ["unused"]))
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", columns])]
    graph = helper.make_graph(nodes, "times", inputs, outputs, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 9
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, path)


def x(*values, columns=2, dtype=np.float32):
    return {"x": np.repeat(np.array(values, dtype)[:, None], columns, axis=1)}


async def asked(engine, model, *values, version="", **more):
    answer = await engine.infer(Call(model, x(*values), version, **more))
    return answer.version, answer.outputs["y"][:, 0].tolist()


def running(root, main, options=None, names=None, trust=None, said=None):
    """Run `main(engine)` over the models at `root`."""

    async def whole():
        library = root if isinstance(root, OneClass) else Repository(root, trust)
        engine = ModelEngine(library, options, said=said or (lambda text: None))
        try:
            await engine.open(names)
            await main(engine)
        finally:
            await engine.close()

    clock.serve(whole())


def kind_of(refused):
    return refused.value.kind


def test_calls_reach_their_model_and_version(tmp_path) -> None:
    times(tmp_path / "two" / "1" / "model.onnx", 2)
    times(tmp_path / "two" / "10" / "model.onnx", 20)
    (tmp_path / "two" / "model.toml").write_text('versions = "all"\n')
    times(tmp_path / "three.onnx", 3)

    async def main(engine):
        assert engine.ready and engine.live
        assert await asked(engine, "two", 1, 2) == ("10", [20, 40])
        assert await asked(engine, "two", 1, version="1", id="a") == ("1", [2])
        assert await asked(engine, "three", 5) == ("1", [15])
        for name, version, said in (("four", "", "four"), ("two", "7", "1, 10")):
            with pytest.raises(Refusal, match=said) as refused:
                await asked(engine, name, 1, version=version)
            assert kind_of(refused) is RefusalKind.NOT_FOUND
        states = [(each.name, each.version, each.state) for each in engine.index()]
        assert states == [("three", "1", "READY"), ("two", "1", "READY"), ("two", "10", "READY")]
        metadata = engine.metadata("two")
        assert metadata.versions == ("1", "10") and metadata.platform == "onnxruntime_onnx"
        assert metadata.max_batch == 64
        with pytest.raises(Refusal, match="2 models"):
            engine.default_model()
        (three,) = engine.statistics("three")
        assert (three.inferences, three.executions, three.success.count) == (1, 1, 1)
        assert sum(each.inferences for each in engine.statistics("two")) == 3

    running(tmp_path, main)


@pytest.mark.parametrize(
    ("inputs", "outputs", "said"),
    [
        ({}, (), "'x' is missing"),
        (x(1, dtype=np.float64), (), "'x' is FP64, and it takes FP32"),
        (x(1, columns=3), (), r"shape \[1, 3\], and it takes \[-1, 2\]"),
        ({"x": np.zeros(2, np.float32)}, (), "shape"),
        (x(), (), "no rows"),
        ({**x(1), "z": np.zeros(1)}, (), "no input 'z'; it takes x"),
        (x(1), ("q",), "no output 'q'; it gives y"),
        ({"x": np.zeros((1, 2), np.complex64)}, (), "complex64"),
    ],
)
def test_a_call_that_does_not_fit_is_told_why(tmp_path, inputs, outputs, said) -> None:
    times(tmp_path / "two.onnx", 2)

    async def main(engine):
        with pytest.raises(Refusal, match=said) as refused:
            await engine.infer(Call("two", inputs, outputs=outputs))
        assert kind_of(refused) is RefusalKind.MALFORMED
        assert await asked(engine, "two", 1) == ("1", [2])
        (meter,) = engine.meters
        assert meter.refusals[RefusalKind.MALFORMED] == 1 and meter.in_progress == 0

    running(tmp_path, main)


def test_many_callers_at_once_get_their_own(tmp_path) -> None:
    times(tmp_path / "two.onnx", 2)

    async def main(engine):
        values = [[n, n + 0.5][: 1 + n % 2] for n in range(200)]
        answers = await asyncio.gather(*(asked(engine, "two", *each) for each in values))
        assert [each for _, each in answers] == [[2 * v for v in each] for each in values]

    running(tmp_path, main, Options(isolation="process", replicas=2, objective=Objective(1.0)))


def test_loading_anew_serves_the_new_and_a_failure_keeps_the_old(tmp_path) -> None:
    times(tmp_path / "m" / "1" / "model.onnx", 2)

    async def main(engine):
        assert engine.default_model() == "m"
        times(tmp_path / "m" / "2" / "model.onnx", 3)
        assert await asked(engine, "m", 1) == ("1", [2])
        calls = [asyncio.ensure_future(asked(engine, "m", n)) for n in range(20)]
        await engine.load("m")
        assert [(await each)[1] for each in calls] in (
            [[2 * n] for n in range(20)],
            [[3 * n] for n in range(20)],
        )
        assert await asked(engine, "m", 1) == ("2", [3])
        with pytest.raises(Refusal):
            await asked(engine, "m", 1, version="1")
        (tmp_path / "m" / "3").mkdir()
        (tmp_path / "m" / "3" / "model.onnx").write_bytes(b"\x80\x04no model at all")
        with pytest.raises(Refusal, match="cannot be loaded"):
            await engine.load("m")
        assert await asked(engine, "m", 1) == ("2", [3]) and engine.ready
        await engine.unload("m")
        with pytest.raises(Refusal, match="unloaded") as refused:
            await asked(engine, "m", 1)
        assert kind_of(refused) is RefusalKind.NOT_READY
        assert {each.state for each in engine.index()} == {"UNAVAILABLE"}
        (tmp_path / "m" / "3" / "model.onnx").unlink()
        (tmp_path / "m" / "3").rmdir()
        await engine.load("m", {"max_batch": 4})
        assert engine.metadata("m").max_batch == 4 and await asked(engine, "m", 1) == ("2", [3])
        with pytest.raises(Refusal, match="max_batch"):
            await engine.load("m", {"max_batch": "many"})

    running(tmp_path, main)


def test_what_does_not_fit_makes_room_by_use(tmp_path, monkeypatch) -> None:
    # Each is charged its file's size and no more: two of them fit, and never three.
    monkeypatch.setattr("tradewind.serving.models.opening.resident", lambda: 0)
    for name in ("a", "b", "c"):
        times(tmp_path / f"{name}.onnx", 2, bulk=1 << 12)

    async def main(engine):
        for name in ("a", "b", "a", "c", "a", "b"):
            assert await asked(engine, name, 1) == ("1", [2])
            assert engine._shelf.room.charged <= engine._shelf.room.limit
        there = {each.name for each in engine.index() if each.state == "READY"}
        assert there == {"a", "b"} and engine._shelf.evictions == 2
        assert engine.ready

    running(tmp_path, main, Options(memory=int(2.9 * (tmp_path / "a.onnx").stat().st_size)), names=())


ODD = textwrap.dedent(
    """
    import ctypes

    class Odd:
        signature = {"inputs": {"x": ["FP32", [-1, 2]]}, "outputs": {"y": ["FP32", [-1, 2]]}}

        def predict(self, inputs):
            if (inputs["x"] == -2).any():
                ctypes.string_at(0)
            return inputs["x"] * 2
    """
)


@pytest.fixture
def odd(tmp_path, monkeypatch):
    (tmp_path / "odd_model.py").write_text(ODD)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.syspath_prepend(str(tmp_path))
    return OneClass("odd_model:Odd", "odd")


def test_a_users_class_runs_apart_and_its_crash_harms_no_other_call(odd) -> None:
    said = []

    async def main(engine):
        (served,) = [engine._shelf.peek(*key) for key in engine._shelf.opened()]
        first = served.fleet.replicas[0].pid
        assert first != os.getpid()
        calls = [asyncio.ensure_future(asked(engine, "odd", n)) for n in (1, -2, 3, 4, 5)]
        answers = await asyncio.gather(*calls, return_exceptions=True)
        assert [each for each in answers if not isinstance(each, Refusal)] == [
            ("1", [2.0]), ("1", [6.0]), ("1", [8.0]), ("1", [10.0])
        ]  # fmt: skip
        assert "SIGSEGV" in str(answers[1]) and answers[1].kind is RefusalKind.FAILED
        assert any("lost" in each for each in said)
        while not served.fleet.up:
            await asyncio.sleep(0.02)
        os.kill(served.fleet.replicas[0].pid, signal.SIGKILL)
        assert await asked(engine, "odd", 7) == ("1", [14.0])

    running(odd, main, said=said.append)


def test_draining_is_not_ready_and_still_answers(tmp_path) -> None:
    times(tmp_path / "two.onnx", 2)

    async def main(engine):
        engine.stop_taking()
        assert not engine.ready and not engine.is_ready("two")
        assert await asked(engine, "two", 1) == ("1", [2])
        with pytest.raises(Refusal):
            await engine.load("two")

    running(tmp_path, main)


def test_wrong_options_and_models_are_told_before_anything_is_served(tmp_path) -> None:
    times(tmp_path / "ok.onnx", 2)
    repository = Repository(tmp_path)
    with pytest.raises(Misuse, match="isolation"):
        ModelEngine(repository, Options(isolation="prison"))
    with pytest.raises(Misuse, match="slack"):
        ModelEngine(repository, Options(batching="slak"))
    (tmp_path / "bad.pkl").write_bytes(b"\x80\x04.")

    async def main():
        engine = ModelEngine(Repository(tmp_path, Trust()))
        try:
            with pytest.raises(Misuse, match="bad"):
                await engine.open()
        finally:
            await engine.close()

    clock.serve(main())
