"""Variants of small ONNX models, and an engine of tasks over them, for tests."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tradewind import clock
from tradewind.serving.batching.interface import Latency
from tradewind.serving.calls import Call
from tradewind.serving.server.engine import SERVER, ModelEngine, Options
from tradewind.serving.server.tasks.engine import TaskEngine
from tradewind.serving.server.tasks.fleet import VariantFleet
from tradewind.serving.server.tasks.library import VariantLibrary
from tradewind.serving.server.tasks.scaling import Scaler
from tradewind.serving.tensors import TensorSpec
from tradewind.serving.variants.scaling.integer_program import IntegerProgram
from tradewind.serving.variants.scaling.interface import Limit
from tradewind.serving.variants.selection.cheapest_in_time import CheapestInTime
from tradewind.serving.variants.traffic import Traffic
from tradewind.serving.variants.variant import Profile, Rated, Task, Variant

TASK = Task("double", inputs=(TensorSpec("x", "FP32", (-1, 4)),), outputs=(TensorSpec("y", "FP32", (-1, 4)),))
MIB = 1 << 20


def multiplier(
    path: Path, factor: float, given: str = "x", kind: int = TensorProto.FLOAT, more=False
) -> Path:
    """A model: rows [-1, 4] -> y, its product with a factor; with `more`, z as well."""
    dtype = np.float64 if kind == TensorProto.DOUBLE else np.float32
    nodes = [helper.make_node("Mul", [given, "factor"], ["product"])]
    nodes.append(helper.make_node("Cast", ["product"], ["y"], to=TensorProto.FLOAT))
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 4])]
    if more:
        nodes.append(helper.make_node("Neg", ["y"], ["z"]))
        outputs.append(helper.make_tensor_value_info("z", TensorProto.FLOAT, ["n", 4]))
    return _saved(
        path, nodes, given, kind, outputs, [numpy_helper.from_array(np.array(factor, dtype), "factor")]
    )


def chain(path: Path, length: int, width: int = 500) -> Path:
    """A model: rows x [-1, 4] -> y, through so many products with one matrix that turns them."""
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(width, width)))[0].astype(np.float32)
    weights = [
        numpy_helper.from_array(turn, "turn"),
        numpy_helper.from_array(np.eye(4, width, dtype=np.float32), "up"),
        numpy_helper.from_array(np.eye(width, 4, dtype=np.float32), "down"),
    ]
    nodes = [helper.make_node("MatMul", ["x", "up"], ["h0"])]
    nodes += [helper.make_node("MatMul", [f"h{at}", "turn"], [f"h{at + 1}"]) for at in range(length)]
    nodes.append(helper.make_node("MatMul", [f"h{length}", "down"], ["y"]))
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 4])]
    return _saved(path, nodes, "x", TensorProto.FLOAT, outputs, weights)


def _saved(path, nodes, given, kind, outputs, weights):
    inputs = [helper.make_tensor_value_info(given, kind, ["n", 4])]
    graph = helper.make_graph(nodes, "variant", inputs, outputs, weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def rated(artefact, *, accuracy, per_row=1e-4, fixed=1e-3, price=1.0, memory=MIB, load=0.1, **about) -> Rated:
    """A variant of `double` at an artefact, with a profile that says so."""
    given = {"architecture": artefact.stem, "task": "double", "max_batch": 8, **about}
    variant = Variant(
        name=artefact.stem, artefact=str(artefact), runtime="onnxruntime", resource="c5.large",
        accuracy=accuracy, **given,
    )  # fmt: skip
    latency = Latency(per_row, fixed)
    return Rated(variant, Profile(variant.name, (1,), (latency.of(1),), latency, load, memory, 1000, price))


def engine_of(
    variants, *, isolation=SERVER, memory=1 << 40, replicas=16, selection=None, scaling=None, period=3600.0,
    warm=True, idle=60, said=lambda text: None, tasks=(TASK,), forget=30.0,
) -> TaskEngine:  # fmt: skip
    """An engine of tasks; its scaler turns by itself only where a period is given."""
    library = VariantLibrary()
    models = ModelEngine(library, Options(isolation=isolation), said=said)
    fleet = VariantFleet(models, library, Limit(replicas, memory), said, forget=forget)
    for each in variants:
        fleet.add(each)
    traffic = Traffic(idle)
    scaler = Scaler(fleet, scaling or IntegerProgram(), traffic, period=period, warm=warm, said=said)
    return TaskEngine(fleet, selection or CheapestInTime(), scaler, traffic, tasks=tasks, said=said)


def running(engine, main) -> None:
    """Open an engine, run `main(engine)`, and close it."""

    async def whole():
        try:
            await engine.open()
            await main(engine)
        finally:
            await engine.close()

    clock.serve(whole())


def rows(count=1, dtype=np.float32):
    return np.arange(1, 4 * count + 1, dtype=dtype).reshape(count, 4)


async def asked(engine, name, count=1, **demands):
    """Who answered, and with what factor."""
    x = rows(count)
    answer = await engine.infer(Call(name, {"x": x}, parameters=demands))
    assert answer.model == name
    return answer.variant, float(answer.outputs["y"][0, 0] / x[0, 0])


async def until(condition, seconds=10.0):
    """Wait until something is so; fails after a while."""
    end = clock.now() + seconds
    while not condition():
        assert clock.now() < end, "it did not come to pass"
        await asyncio.sleep(0.01)
