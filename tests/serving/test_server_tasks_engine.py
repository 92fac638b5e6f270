"""The engine of tasks over real models: who answers what is demanded, and what is said where nobody does."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from onnx import TensorProto

from tradewind.errors import Misuse
from tradewind.serving.calls import Call, Refusal, RefusalKind
from tradewind.serving.variants.selection.infaas import InfaasSelection
from variant_stage import TASK, asked, engine_of, multiplier, rated, rows, running, until


@pytest.fixture
def three(tmp_path):
    """Small, middle and large: each more accurate, slower and dearer."""
    return [
        rated(multiplier(tmp_path / "small.onnx", 2), accuracy=0.8, fixed=0.001),
        rated(multiplier(tmp_path / "middle.onnx", 3), accuracy=0.9, fixed=0.010, architecture="deep"),
        rated(multiplier(tmp_path / "large.onnx", 4), accuracy=0.99, fixed=0.100, architecture="deep"),
    ]


def test_the_cheapest_that_does_it_answers(three):
    async def main(engine):
        assert engine.ready and engine.fleet.up(engine.fleet.members["small"]) == 1
        for demands, who in (
            ({}, ("small", 2.0)),
            ({"min_accuracy": 0.85}, ("middle", 3.0)),
            ({"min_accuracy": "0.95"}, ("large", 4.0)),
            ({"max_latency_ms": 5}, ("small", 2.0)),
            ({"min_accuracy": 0.85, "max_latency_ms": 50}, ("middle", 3.0)),
        ):
            assert await asked(engine, "double", **demands) == who, demands
        assert await asked(engine, "deep") == ("middle", 3.0)
        assert await asked(engine, "deep", min_accuracy=0.95) == ("large", 4.0)
        assert await asked(engine, "large") == ("large", 4.0)
        named = await engine.infer(Call("double", {"x": rows()}, variant="large", id="7"))
        assert (named.variant, named.id, named.version) == ("large", "7", "1")
        counts = {key: each.answered for key, each in engine.routed.items()}
        assert counts == {
            ("double", "small"): 2, ("double", "middle"): 2, ("double", "large"): 2, ("deep", "middle"): 1,
            ("deep", "large"): 1, ("large", "large"): 1,
        }  # fmt: skip
        assert not any(each.late for each in engine.routed.values())
        assert engine.gauges().cost_rate == 3.0

    running(engine_of(three), main)


@pytest.mark.parametrize(
    ("name", "demands", "count", "kind", "said"),
    [
        ("double", {"min_accuracy": 0.999}, 1, "MALFORMED", "no variant gives 0.999.*0.99 .large"),
        ("double", {"min_accuracy": 0.95, "max_latency_ms": 50}, 1, "MALFORMED",
         r"possible are within that time 0.9 \(middle\) and that accurate 100.1 ms \(large\)"),
        ("small", {"min_accuracy": 0.9}, 1, "MALFORMED", "variant 'small': no variant gives 0.9"),
        ("double", {}, 9, "MALFORMED", "takes 9 rows at once; at most 8"),
        ("double", {"min_accuracy": 90}, 1, "MALFORMED", "min_accuracy.*0.97 for 97 %"),
        ("doubel", {}, 1, "NOT_FOUND", "there is no task, architecture or variant 'doubel'.*'double'"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_with_what_could(three, name, demands, count, kind, said):
    async def main(engine):
        with pytest.raises(Refusal, match=said) as refused:
            await asked(engine, name, count, **demands)
        assert refused.value.kind is RefusalKind[kind]
        assert not engine.routed
        assert sum(engine.meters.refusals.values()) == 1

    running(engine_of(three), main)


def test_a_variant_of_another_task_is_none_of_this_one(three):
    async def main(engine):
        with pytest.raises(Refusal, match="no variant 'other'") as refused:
            await engine.infer(Call("deep", {"x": rows()}, variant="other"))
        assert refused.value.kind is RefusalKind.NOT_FOUND

    running(engine_of(three), main)


def test_a_slow_answer_is_counted_and_asks_that_are_wrong_are_the_variants(three):
    async def main(engine):
        with pytest.raises(Refusal, match=r"model 'small': input 'x' has shape \[1, 3\]"):
            await engine.infer(Call("double", {"x": np.zeros((1, 3), np.float32)}))
        with pytest.raises(Refusal, match="no output 'q'"):
            await engine.infer(Call("double", {"x": rows()}, outputs=("q",)))
        member = engine.fleet.members["large"]
        # It is opened for the call that wants it within 150 ms, which takes longer.
        slow = engine.models.resize

        async def slowly(name, count):
            await asyncio.sleep(0.2)
            await slow(name, count)

        engine.models.resize = slowly
        assert await asked(engine, "double", min_accuracy=0.95, max_latency_ms=150) == ("large", 4.0)
        assert engine.routed["double", "large"].late == 1
        assert member.wanted == 1

    running(engine_of(three), main)


def test_one_that_cannot_be_opened_is_passed_over(three, tmp_path):
    said = []
    (tmp_path / "middle.onnx").write_bytes(b"\x80\x04N.")

    async def main(engine):
        assert await asked(engine, "double", min_accuracy=0.85) == ("large", 4.0)
        assert await asked(engine, "double", min_accuracy=0.85) == ("large", 4.0)
        assert sum("middle" in each for each in said) == 1  # it rests for a while
        with pytest.raises(Refusal, match=r"variant 'middle' cannot be opened.*pickle") as refused:
            await asked(engine, "middle")
        assert refused.value.kind is RefusalKind.NOT_READY
        index = {each.name: each for each in engine.index()}
        assert index["middle"].state == "UNAVAILABLE" and "pickle" in index["middle"].reason
        multiplier(tmp_path / "middle.onnx", 5)
        await engine.load("middle")
        assert await asked(engine, "double", min_accuracy=0.85) == ("middle", 5.0)

    running(engine_of(three, said=said.append), main)


def test_a_task_without_a_variant_that_opens_is_not_served(tmp_path):
    (tmp_path / "a.onnx").write_bytes(b"no model")
    (tmp_path / "b.onnx").write_bytes(b"neither")
    some = [rated(tmp_path / f"{name}.onnx", accuracy=0.9) for name in "ab"]

    async def main(engine):
        raise AssertionError("it was opened")

    with pytest.raises(Misuse, match="task 'double'"):
        running(engine_of(some), main)
    gone = rated(multiplier(tmp_path / "c.onnx", 2), accuracy=0.9)
    (tmp_path / "c.onnx").unlink()
    said = []
    assert not engine_of([gone], said=said.append).fleet.members
    assert "c.onnx" in said[0]


def test_inputs_are_made_to_fit_and_outputs_are_the_tasks(tmp_path):
    own = multiplier(tmp_path / "own.onnx", 2, given="rows", kind=TensorProto.DOUBLE, more=True)

    async def main(engine):
        assert await asked(engine, "double") == ("own", 2.0)  # x FP32, where it takes rows FP64
        answer = await engine.infer(Call("double", {"rows": rows(dtype=np.float64)}))
        assert list(answer.outputs) == ["y"]
        every = await engine.infer(Call("own", {"rows": rows(dtype=np.float64)}))
        assert list(every.outputs) == ["y", "z"]
        with pytest.raises(Refusal, match=r"'x' is int64 \[1, 4\], and it takes FP32 \[-1, 4\]"):
            await engine.infer(Call("double", {"x": rows(dtype=np.int64)}))
        told = engine.metadata("double")
        assert (told.name, told.signature.inputs, told.max_batch) == ("double", TASK.inputs, 8)
        assert engine.metadata("own").signature.inputs[0].name == "rows"

    running(engine_of([rated(own, accuracy=0.9)]), main)


def test_names_are_told_ready_and_unloaded(three):
    async def main(engine):
        index = {each.name: (each.state, each.reason) for each in engine.index()}
        assert index == {
            "double": ("READY", "task, answered by small"),
            "deep": ("UNAVAILABLE", "architecture, answered by none now"),
            "small": ("READY", "active"),
            "middle": ("UNAVAILABLE", "inactive"),
            "large": ("UNAVAILABLE", "inactive"),
        }
        assert engine.is_ready("double") and not engine.is_ready("deep")
        with pytest.raises(Refusal, match="no version"):
            engine.is_ready("double", "2")
        assert engine.default_model() == "double"
        assert (await engine.described("deep")).name == "deep" and engine.is_ready("middle")
        await engine.unload("deep")
        assert not engine.is_ready("deep")
        with pytest.raises(Refusal, match="was unloaded") as refused:
            await asked(engine, "double", min_accuracy=0.85)
        assert refused.value.kind is RefusalKind.NOT_READY and refused.value.retry_after == 1.0
        await engine.load("deep")
        assert await asked(engine, "double", min_accuracy=0.85) == ("middle", 3.0)
        with pytest.raises(Refusal, match="profile it anew"):
            await engine.load("deep", {"max_batch": 3})
        statistics = {each.name: each.inferences for each in engine.statistics("double")}
        assert statistics["middle"] == 1 and "small" in statistics
        engine.stop_taking()
        assert not engine.ready and await asked(engine, "middle") == ("middle", 3.0)
        with pytest.raises(Refusal, match="going down"):
            await asked(engine, "large")

    running(engine_of(three), main)


def test_many_at_once_share_one_opening_and_all_are_answered(three):
    async def main(engine):
        loads = []
        resize = engine.models.resize

        async def counted(name, count):
            loads.append(name)
            await resize(name, count)

        engine.models.resize = counted
        found = await asyncio.gather(*(asked(engine, "double", min_accuracy=0.95) for _ in range(40)))
        assert set(found) == {("large", 4.0)} and loads == ["large"]
        # It is given up in the midst of calls: none fails.
        calls = [asyncio.ensure_future(asked(engine, "double", min_accuracy=0.95)) for _ in range(40)]
        await asyncio.sleep(0)
        engine.fleet.follow(engine.scaler.plan.__class__({"large": 0}, "given up"))
        assert set(await asyncio.gather(*calls)) == {("large", 4.0)}
        await until(lambda: not engine.fleet.members["large"].leaving)
        assert await asked(engine, "double", min_accuracy=0.95) == ("large", 4.0)

    running(engine_of(three), main)


def test_infaas_chooses_by_its_own_rule(three):
    async def main(engine):
        await engine.load("large")
        await engine.load("middle")
        # Of those that run and are quick enough, the slowest.
        assert await asked(engine, "double", max_latency_ms=50) == ("middle", 3.0)

    running(engine_of(three, selection=InfaasSelection(cpu_from=0.0)), main)
