"""The front's paths together: none that takes tensors reads a large body on the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import threading

import numpy as np
from endpoint_stage import client, closed, deploy, opened, times, until, waited

from tradewind import clock
from tradewind.serving.server.front import Address, Front
from tradewind.serving.server.http import sagemaker_control

WITHOUT_TENSORS = {
    "/",
    "/endpoints/{endpoint}/async-invocations",
    "/models",
    "/v2/repository/index",
    "/v2/repository/models/{model}/load",
    "/v2/repository/models/{model}/unload",
    "/v2/cudasharedmemory/region/{region}/register",
    "/v2/cudasharedmemory/region/{region}/unregister",
    "/v2/cudasharedmemory/unregister",
    "/v2/systemsharedmemory/region/{region}/register",
    "/v2/systemsharedmemory/region/{region}/unregister",
    "/v2/systemsharedmemory/unregister",
    "/v2/logging",
    "/v2/trace/setting",
    "/v2/models/{model}/trace/setting",
}
"""Paths that take a POST whose body is no tensors."""


@contextlib.contextmanager
def front_with_endpoints(folder):
    """A whole server with endpoints for the time of a `with` block: its front, and its port."""
    started, found, problems = threading.Event(), {}, []

    async def main():
        stage = await opened(folder)
        front = Front(
            stage.endpoints,
            Address(http_port=0, grpc_port=None),
            failed=problems.append,
            pages=lambda routes: sagemaker_control.add_routes(routes, stage.plane, stage.jobs.operations),
        )
        await front.start()
        found.update(front=front, stage=stage, loop=asyncio.get_running_loop(), end=asyncio.Event())
        found["port"] = front.http.port
        started.set()
        await found["end"].wait()
        await front.http.close()
        await closed(stage)

    thread = threading.Thread(target=clock.serve, args=(main(),))
    thread.start()
    try:
        assert started.wait(20)
        yield found
    finally:
        found["loop"].call_soon_threadsafe(found["end"].set)
        thread.join(20)
    assert not problems, problems


def test_every_path_that_takes_tensors_reads_large_ones_in_a_thread(tmp_path):
    with front_with_endpoints(tmp_path / "endpoints") as server:
        posts = [route for route in server["front"].routes.all if route.method == "POST"]
    assert {route.template for route in posts if route.over is None} <= WITHOUT_TENSORS
    assert {route.template for route in posts if route.over is not None} == {
        "/v2/models/{model}/infer",
        "/v2/models/{model}/versions/{version}/infer",
        "/v1/models/{model}",
        "/invocations",
        "/models/{model}/invoke",
        "/endpoints/{endpoint}/invocations",
        "/endpoints/{endpoint}/invocations-response-stream",
    }


def test_a_large_body_to_an_endpoint_with_variants_and_capture_holds_nobody_up(tmp_path):
    """60 MB to `/endpoints/{endpoint}/invocations`: the answer of the variant drawn, while small requests
    are answered; the small ones are captured, the large one is more than is captured."""
    double, triple = (times(tmp_path / name / "model.onnx", by, 64) for name, by in (("a", 2), ("b", 3)))
    captured = tmp_path / "captured"
    capture = {
        "EnableCapture": True, "InitialSamplingPercentage": 100, "DestinationS3Uri": str(captured),
        "CaptureOptions": [{"CaptureMode": "Input"}],
    }  # fmt: skip
    with front_with_endpoints(tmp_path / "endpoints") as server:
        address = f"127.0.0.1:{server['port']}"
        control, runtime = client("sagemaker", address), client("sagemaker-runtime", address)
        config = deploy(
            control, "pair", {"a": double, "b": triple}, weights={"a": 1.0, "b": 3.0}, capture=capture
        )
        control.create_endpoint(EndpointName="pair", EndpointConfigName=config)
        waited(control, "endpoint_in_service", EndpointName="pair")
        threads, seen = [], threading.Thread.start

        def start(thread):
            threads.append(thread.name)
            seen(thread)

        rows = np.ones((60_000_000 // 256, 64), np.float32)
        head = {"inputs": [{"name": "x", "datatype": "FP32", "shape": rows.shape,
                            "parameters": {"binary_data_size": rows.nbytes}}],
                "parameters": {"binary_data_output": True}}  # fmt: skip
        head = json.dumps(head).encode()
        threading.Thread.start = start
        try:
            connection = http.client.HTTPConnection("127.0.0.1", server["port"], timeout=30)
            connection.request(
                "POST", "/endpoints/pair/invocations", head + rows.tobytes(),
                {"Inference-Header-Content-Length": str(len(head)), "X-Amzn-SageMaker-Target-Variant": "b"},
            )  # fmt: skip
            small = [
                runtime.invoke_endpoint(EndpointName="pair", Body=b"[[%s]]" % b",".join([b"1"] * 64))
                for _ in range(8)
            ]
            response = connection.getresponse()
            body = response.read()
            connection.close()
            runtime.close()
            control.close()
        finally:
            threading.Thread.start = seen
        assert response.status == 200, body[:500]
        assert response.headers["x-Amzn-Invoked-Production-Variant"] == "b"
        length = int(response.headers["Inference-Header-Content-Length"])
        outputs = np.frombuffer(body[length:], np.float32)
        assert outputs.size == rows.size and outputs.min() == outputs.max() == 3.0
        assert threads.count("large body") == 1
        assert {each["InvokedProductionVariant"] for each in small} == {"a", "b"}
        log = server["stage"].endpoints.find("pair").blue.capture.log
        until(lambda: log.written + log.lost == 9)
        assert (log.written, log.lost) == (8, 1)
    lines = [line for file in captured.rglob("*.jsonl") for line in file.read_text().splitlines()]
    assert len(lines) == 8
