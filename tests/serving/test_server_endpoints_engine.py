"""Endpoints over real models: shadow, capture, rolling updates, and going on after the server is gone."""

from __future__ import annotations

import asyncio
import json

import numpy as np
import pytest
from endpoint_stage import closed, opened, times
from msgspec.structs import replace

from tradewind import clock
from tradewind.serving.calls import Call, Refusal, RefusalKind
from tradewind.serving.server.deployments import VERSION

REGION = "eu-west-1"


async def configured(stage, config, models, weights=None, counts=None, **more):
    def variant(name):
        return {
            "VariantName": name, "ModelName": f"{config}-{name}",
            "InitialInstanceCount": (counts or {}).get(name, 1),
            "InitialVariantWeight": (weights or {}).get(name, 1.0),
        }  # fmt: skip

    shadows = more.pop("shadows", {})
    for name, path in {**models, **shadows}.items():
        container = {"ModelDataUrl": path}
        told = {"ModelName": f"{config}-{name}", "PrimaryContainer": container}
        await stage.plane.create_model(told, REGION)
    told = {
        "EndpointConfigName": config, "ProductionVariants": [variant(name) for name in models], **more
    }  # fmt: skip
    if shadows:
        told["ShadowProductionVariants"] = [variant(name) for name in shadows]
    await stage.plane.create_config(told, REGION)


async def status(stage, name="shop"):
    return (await stage.plane.describe_endpoint({"EndpointName": name}, REGION))["EndpointStatus"]


async def settled(stage, name="shop"):
    for _ in range(1500):
        if await status(stage, name) in ("InService", "Failed"):
            return
        await asyncio.sleep(0.01)
    raise AssertionError(await status(stage, name))


async def made(stage, config, name="shop"):
    await stage.plane.create_endpoint({"EndpointName": name, "EndpointConfigName": config}, REGION)
    await settled(stage, name)


async def asked(stage, value=1.0, name="shop", **more):
    answer = await stage.endpoints.infer(Call(name, {"x": np.full((1, 2), value, np.float32)}, **more))
    return answer


async def factor(stage, **more):
    return float((await asked(stage, **more)).outputs["y"][0, 0])


def run(main):
    return clock.serve(main())


def lines(folder):
    files = sorted(folder.rglob("*.jsonl"))
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def test_an_endpoint_is_a_model_of_the_engine(tmp_path) -> None:
    two, three = (times(tmp_path / f"{each}.onnx", each) for each in (2, 3))
    times(tmp_path / "base" / "ten.onnx", 10)

    async def main():
        stage = await opened(tmp_path / "server", tmp_path / "base")
        endpoints = stage.endpoints
        assert endpoints.default_model() == "ten" and endpoints.ready and endpoints.live
        await configured(stage, "c", {"a": two, "b": three})
        await made(stage, "c")
        answer = await asked(stage, variant="b", id="me")
        assert (answer.model, answer.variant, answer.version, answer.id) == ("shop", "b", "1", "me")
        beside = await endpoints.infer(Call("ten", {"x": np.ones((1, 2), np.float32)}))
        assert beside.outputs["y"][0, 0] == 10 and beside.variant == ""
        metadata = endpoints.metadata("shop")
        assert (metadata.name, metadata.versions) == ("shop", ("1",))
        assert await endpoints.described("shop", "1") == metadata
        assert [(each.name, each.state) for each in endpoints.index()] == [
            ("ten", "READY"),
            ("shop", "READY"),
        ]
        assert endpoints.is_ready("shop") and endpoints.is_ready("ten") and endpoints.is_ready("shop", "1")
        assert sorted(each.name for each in endpoints.statistics("shop")) == ["shop.a.1", "shop.b.1"]
        for call, kind in (
            (asked(stage, version="9"), RefusalKind.NOT_FOUND),
            (asked(stage, variant="c"), RefusalKind.NOT_FOUND),
            (asked(stage, name="ten", variant="c"), RefusalKind.NOT_FOUND),
            (endpoints.load("shop"), RefusalKind.MALFORMED),
            (endpoints.unload("shop.a.1"), RefusalKind.MALFORMED),
            (endpoints.infer(Call("shop", {})), RefusalKind.MALFORMED),
        ):
            with pytest.raises(Refusal) as refused:
                await call
            assert refused.value.kind is kind
        await closed(stage)

    run(main)


def test_a_shadow_gets_copies_and_only_what_differs_is_logged(tmp_path) -> None:
    two, same, other = (
        times(tmp_path / f"{name}.onnx", each) for name, each in (("a", 2), ("b", 2), ("c", 3))
    )

    async def main():
        stage = await opened(tmp_path / "server")
        await configured(stage, "same", {"a": two}, shadows={"s": same})
        await configured(stage, "other", {"a": two}, weights={"s": 0.5}, shadows={"s": other})
        await made(stage, "same")
        assert {await factor(stage) for _ in range(10)} == {2.0}
        live = stage.endpoints.find("shop")
        (shadow,) = live.blue.shadows
        while shadow.counts.compared < 10:
            await asyncio.sleep(0.01)
        assert (shadow.counts.copied, shadow.counts.differing, shadow.counts.dropped) == (10, 0, 0)
        told = {"EndpointName": "shop", "EndpointConfigName": "other"}
        await stage.plane.update_endpoint(told, REGION)
        await settled(stage)
        assert {await factor(stage, id=f"id{turn}") for turn in range(20)} == {2.0}
        (shadow,) = live.blue.shadows
        while shadow.counts.compared < shadow.counts.copied:
            await asyncio.sleep(0.01)
        assert 9 <= shadow.counts.copied <= 11 and shadow.counts.differing == shadow.counts.copied
        assert shadow.counts.largest == 1.0 and shadow.counts.shadow_seconds > 0
        # A copy that fails, or for which there is no room, is nobody's trouble.
        shadow._model, shadow.share = "gone", 1.0
        assert {await factor(stage) for _ in range(2)} == {2.0}
        shadow._pressed, copied = lambda: True, shadow.counts.copied
        assert {await factor(stage) for _ in range(4)} == {2.0}
        assert shadow.counts.copied == copied
        while shadow._tasks:
            await asyncio.sleep(0.01)
        assert shadow.counts.failed == 2 and shadow.counts.dropped == 4
        await closed(stage)

    run(main)
    found = lines(tmp_path / "server" / "shadows")
    differing = [each for each in found if each["difference"]]
    assert {each["difference"]["differing"] for each in differing} == {2}
    assert {(each["production"], each["shadow"]) for each in found} == {("a", "s")}
    assert differing[0]["inferenceId"].startswith("id") and len(found) == len(differing) + 2


def test_requests_and_answers_are_captured_in_sagemakers_lines(tmp_path) -> None:
    two = times(tmp_path / "two.onnx", 2)

    async def main():
        stage = await opened(tmp_path / "server")
        capture = {
            "EnableCapture": True, "InitialSamplingPercentage": 50,
            "DestinationS3Uri": f"file://{tmp_path / 'captured'}",
            "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
        }  # fmt: skip
        await configured(stage, "c", {"a": two}, DataCaptureConfig=capture)
        await made(stage, "c")
        for turn in range(20):
            await factor(stage, value=float(turn), id=str(turn))
        told = await stage.plane.describe_endpoint({"EndpointName": "shop"}, REGION)
        assert told["DataCaptureConfig"]["CaptureStatus"] == "Started"
        await closed(stage)

    run(main)
    found = lines(tmp_path / "captured" / "shop" / "a")
    assert 9 <= len(found) <= 11
    for line in found:
        data = line["captureData"]
        assert {each["observedContentType"] for each in data.values()} == {"application/json"}
        (given,) = json.loads(data["endpointInput"]["data"])["inputs"]
        (said,) = json.loads(data["endpointOutput"]["data"])["outputs"]
        value = float(line["eventMetadata"]["inferenceId"])
        assert given == {"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [value, value]}
        assert said["data"] == [2 * value, 2 * value] and line["eventVersion"] == "0"


def plan(**more):
    routing = {"Type": "CANARY", "CanarySize": {"Type": "CAPACITY_PERCENT", "Value": 50}}
    routing |= {"WaitIntervalInSeconds": 3600, **more}
    return {"BlueGreenUpdatePolicy": {
        "TrafficRoutingConfiguration": routing, "MaximumExecutionTimeoutInSeconds": 28800}}  # fmt: skip


def test_an_update_that_was_under_way_goes_on_in_the_next_server(tmp_path) -> None:
    two, three = (times(tmp_path / f"{each}.onnx", each) for each in (2, 3))

    async def first():
        stage = await opened(tmp_path / "server")
        await configured(stage, "one", {"a": two})
        await configured(stage, "two", {"a": three})
        await made(stage, "one")
        told = {"EndpointName": "shop", "EndpointConfigName": "two", "DeploymentConfig": plan()}
        await stage.plane.update_endpoint(told, REGION)
        live = stage.endpoints.find("shop")
        while live.share < 0.5:
            await asyncio.sleep(0.01)
        found = {id: await factor(stage, id=id) for id in "abcdefgh"}
        assert set(found.values()) == {2.0, 3.0}
        await closed(stage)
        return found

    before = run(first)

    async def second(alarmed):
        stage = await opened(tmp_path / "server")
        live = stage.endpoints.find("shop")
        while live.green is None or not live.green.ready:
            await asyncio.sleep(0.01)
        assert await status(stage) == "Updating" and live.share == 0.5
        # Whoever was on one side is on it still.
        assert {id: await factor(stage, id=id) for id in before} == before
        if alarmed:
            # Its time runs out.
            live.record.update = replace(live.record.update, began=clock.now() - 30_000)
            await settled(stage)
            assert "not done within" in live.record.failure
            assert {await factor(stage) for _ in range(6)} == {2.0}
            assert live.record.blue.config == "one" and live.green is None
        await closed(stage)

    run(lambda: second(False))
    run(lambda: second(True))

    async def third():
        stage = await opened(tmp_path / "server")
        assert await factor(stage) == 2.0 and await status(stage) == "InService"
        await closed(stage)

    run(third)


def test_a_rolling_update_keeps_the_capacity_and_no_call_fails(tmp_path) -> None:
    two, three = (times(tmp_path / f"{each}.onnx", each) for each in (2, 3))

    async def main():
        stage = await opened(tmp_path / "server")
        await configured(stage, "one", {"a": two}, counts={"a": 2})
        await configured(stage, "two", {"a": three}, counts={"a": 2})
        await made(stage, "one")
        rolling = {
            "MaximumBatchSize": {"Type": "INSTANCE_COUNT", "Value": 1}, "WaitIntervalInSeconds": 0
        }  # fmt: skip
        told = {
            "EndpointName": "shop", "EndpointConfigName": "two",
            "DeploymentConfig": {"RollingUpdatePolicy": rolling},
        }  # fmt: skip
        await stage.plane.update_endpoint(told, REGION)
        found, ups = [], []
        while await status(stage) != "InService":
            found.append(await factor(stage))
            live = stage.endpoints.find("shop")
            green = stage.engine.replicas_up("shop.a.2")
            ups.append(stage.engine.replicas_up("shop.a.1") + green)
            assert live.record.status in ("Updating", "InService")
            await asyncio.sleep(0.005)
        assert set(found) == {2.0, 3.0} and await factor(stage) == 3.0
        assert min(ups[:-3]) >= 2 and max(ups) <= 3
        while stage.engine.replicas_up("shop.a.2") < 2:
            await asyncio.sleep(0.01)
        await closed(stage)

    run(main)


def test_errors_of_green_alone_ring_and_a_failed_start_is_tried_again(tmp_path) -> None:
    two = times(tmp_path / "two.onnx", 2)

    async def first():
        stage = await opened(tmp_path / "server")
        await configured(stage, "one", {"a": two})
        await made(stage, "one")
        live = stage.endpoints.find("shop")
        meter = stage.engine.meters.model("shop.a.1", VERSION)
        for _ in range(3):
            meter.began()
            meter.refused(RefusalKind.FAILED)
        seen = live.blue.seen()
        assert (seen.errors, seen.answers) == (3, 0)
        await closed(stage)

    run(first)
    (tmp_path / "two.onnx").rename(tmp_path / "away.onnx")

    async def second():
        said = []
        stage = await opened(tmp_path / "server", said=said.append)
        assert await status(stage) == "OutOfService" and any("two.onnx" in each for each in said)
        assert stage.endpoints.ready
        with pytest.raises(Refusal) as refused:
            await factor(stage)
        assert refused.value.kind is RefusalKind.NOT_READY
        await stage.plane.delete_endpoint({"EndpointName": "shop"}, REGION)
        while stage.endpoints.find("shop") is not None:
            await asyncio.sleep(0.01)
        await closed(stage)

    run(second)


def test_what_cannot_go_on_nor_back_does_not_keep_the_server_from_starting(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("tradewind.serving.server.endpoints.updates._AGAIN", 0.05)
    (tmp_path / "in").mkdir()
    two, three = (times(tmp_path / "in" / f"{each}.onnx", each) for each in (2, 3))

    async def first():
        stage = await opened(tmp_path / "server")
        await configured(stage, "one", {"a": two})
        await configured(stage, "two", {"a": three})
        await made(stage, "one")
        told = {"EndpointName": "shop", "EndpointConfigName": "two", "DeploymentConfig": plan()}
        await stage.plane.update_endpoint(told, REGION)
        while stage.endpoints.find("shop").share < 0.5:
            await asyncio.sleep(0.01)
        await closed(stage)

    run(first)
    (tmp_path / "in").rename(tmp_path / "away")

    async def second():
        stage = await opened(tmp_path / "server")
        while await status(stage) != "UpdateRollbackFailed":
            await asyncio.sleep(0.01)
        with pytest.raises(Refusal, match="UpdateRollbackFailed"):
            await factor(stage)
        (tmp_path / "away").rename(tmp_path / "in")
        await settled(stage)
        assert {await factor(stage) for _ in range(4)} == {2.0}
        await closed(stage)

    run(second)


def test_callers_get_answers_from_a_side_that_is_there(tmp_path, monkeypatch) -> None:
    two, three = (times(tmp_path / f"{each}.onnx", each) for each in (2, 3))

    async def first():
        stage = await opened(tmp_path / "server")
        await configured(stage, "one", {"a": two})
        await configured(stage, "two", {"a": three})
        await made(stage, "one")
        told = {"EndpointName": "shop", "EndpointConfigName": "two", "DeploymentConfig": plan()}
        await stage.plane.update_endpoint(told, REGION)
        live = stage.endpoints.find("shop")
        while live.share < 0.5:
            await asyncio.sleep(0.01)
        asked_by = asyncio.gather(*(factor(stage, id=str(turn)) for turn in range(40)))
        await stage.plane.delete_endpoint({"EndpointName": "shop"}, REGION)
        assert set(await asked_by) == {2.0, 3.0}
        while stage.endpoints.find("shop") is not None:
            await asyncio.sleep(0.01)
        with pytest.raises(Refusal):
            await factor(stage)
        await closed(stage)

    run(first)

    async def second():
        stage = await opened(tmp_path / "server")
        assert stage.endpoints.find("shop") is None
        await closed(stage)

    run(second)
