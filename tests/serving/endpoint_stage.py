"""A server with endpoints over real models, on a real socket in a thread, driven by boto3's clients."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
import traceback
from functools import partial
from types import SimpleNamespace

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tradewind import clock
from tradewind.serving.models.repository import Repository, Trust
from tradewind.serving.server.deployments import Deployments
from tradewind.serving.server.endpoints.control_plane import ControlPlane
from tradewind.serving.server.endpoints.engine import Endpoints
from tradewind.serving.server.endpoints.metrics import endpoint_families
from tradewind.serving.server.engine import ModelEngine, Options
from tradewind.serving.server.http import (
    open_inference,
    sagemaker_async,
    sagemaker_control,
    sagemaker_runtime,
)
from tradewind.serving.server.http.listener import HttpServer
from tradewind.serving.server.http.metrics_page import Metrics
from tradewind.serving.server.http.routes import Routes
from tradewind.serving.server.later_answers import LaterAnswers
from tradewind.serving.server.transform_jobs import TransformJobs


def times(path, factor, columns=2, name="x"):
    """An ONNX model that multiplies rows of `columns` numbers by a factor; its path."""
    weight = numpy_helper.from_array(np.array(factor, np.float32), "factor")
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("Mul", [name, "factor"], ["y"])],
        "times",
        [value(name, TensorProto.FLOAT, ["n", columns])],
        [value("y", TensorProto.FLOAT, ["n", columns])],
        [weight],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 9
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, path)
    return str(path)


def client(name, address):
    """A client of boto3's for a service at an address."""
    import boto3  # here, for the servers that tests start and kill need it not
    from botocore.config import Config

    return boto3.client(
        name,
        endpoint_url=f"http://{address}",
        region_name="eu-west-1",
        aws_access_key_id="key",
        aws_secret_access_key="secret",
        config=Config(retries={"total_max_attempts": 1}, proxies={}, read_timeout=20),
    )


def checked(control):
    """The client, every answer to which is held against the service's own model of it."""

    def check(model, http_response, **_):
        if http_response.status_code == 200:
            said = json.loads(http_response.content or b"{}")
            _check(said, model.output_shape, model.name)

    control.meta.events.register("after-call.sagemaker", check)
    return control


def _check(said, shape, where):
    if shape is None:
        assert said == {}, where
    elif shape.type_name == "structure":
        assert isinstance(said, dict) and set(said) <= set(shape.members), (where, said)
        assert set(shape.required_members) <= set(said), (where, said, shape.required_members)
        for key, value in said.items():
            _check(value, shape.members[key], f"{where}.{key}")
    elif shape.type_name == "list":
        assert isinstance(said, list) and len(said) >= shape.metadata.get("min", 0), (where, said)
        for each in said:
            _check(each, shape.member, where)
    elif shape.type_name == "map":
        assert isinstance(said, dict), (where, said)
    else:
        kinds = {
            "string": str, "boolean": bool, "integer": int, "long": int, "float": (int, float),
            "double": (int, float), "timestamp": (int, float),
        }  # fmt: skip
        assert isinstance(said, kinds[shape.type_name]), (where, said)
        assert not getattr(shape, "enum", None) or said in shape.enum, (where, said)
        least, most = shape.metadata.get("min"), shape.metadata.get("max")
        size = len(said) if isinstance(said, str) else said
        assert least is None or size >= least, (where, said)
        assert most is None or size <= most, (where, said)


async def opened(folder, base=None, options=None, said=None, trust=None):
    """The engine, the control plane and the transform jobs over a folder, open."""
    library = Deployments(Repository(base) if base else None, trust or Trust())
    engine = ModelEngine(library, options or Options())
    endpoints = Endpoints(engine, library, folder, said=said or (lambda text: None))
    plane = ControlPlane(endpoints)
    jobs, later = TransformJobs(plane), LaterAnswers(endpoints)
    await endpoints.open()
    return SimpleNamespace(endpoints=endpoints, plane=plane, jobs=jobs, later=later, engine=engine)


async def closed(stage):
    await stage.endpoints.close()


@contextlib.contextmanager
def endpoint_server(folder, base=None, **more):
    """A server for the time of a `with` block: its address and both clients."""
    started, found, problems = threading.Event(), SimpleNamespace(), []

    async def main():
        stage = await opened(folder, base, **more)
        routes = Routes()
        sagemaker_runtime.add_routes(routes, stage.endpoints)
        sagemaker_control.add_routes(routes, stage.plane, stage.jobs.operations)
        sagemaker_async.add_routes(routes, stage.later)
        open_inference.add_routes(routes, stage.endpoints)
        told = partial(endpoint_families, stage.endpoints)
        metrics = Metrics(stage.endpoints.meters, stage.endpoints.gauges, more=told)
        routes.add("GET", "/metrics", metrics.answer)
        server = HttpServer(routes, on_error=lambda request, error: problems.append(error))
        await server.start()
        found.loop, found.stage, found.ended = asyncio.get_running_loop(), stage, asyncio.Event()
        found.address = f"127.0.0.1:{server.port}"
        started.set()
        await found.ended.wait()
        await server.close()
        await closed(stage)

    thread = threading.Thread(target=lambda: clock.serve(main()))
    thread.start()
    try:
        assert started.wait(20)
        found.control = checked(client("sagemaker", found.address))
        found.runtime = client("sagemaker-runtime", found.address)
        yield found
    finally:
        found.loop.call_soon_threadsafe(found.ended.set)
        thread.join(20)
    assert not problems, [traceback.format_exception(each) for each in problems]


def on_loop(found, work):
    """The result of a coroutine, run on the server's own loop."""
    return asyncio.run_coroutine_threadsafe(work, found.loop).result(20)


def deploy(
    control, name, models, weights=None, shadows=None, capture=None, counts=None, config="", later=None
):
    """Create models and a configuration, and return the configuration's name."""
    config = config or f"{name}-config"

    def variant(key, path):
        model = f"{config}-{key}"
        control.create_model(
            ModelName=model,
            ExecutionRoleArn="arn:aws:iam::000000000000:role/any",
            PrimaryContainer={"Image": "registry/onnx:1", "ModelDataUrl": path},
        )
        return {
            "VariantName": key, "ModelName": model, "InstanceType": "ml.m5.large",
            "InitialInstanceCount": (counts or {}).get(key, 1),
            "InitialVariantWeight": (weights or {}).get(key, 1.0),
        }  # fmt: skip

    more = {}
    if shadows:
        more["ShadowProductionVariants"] = [variant(*each) for each in shadows.items()]
    if capture:
        more["DataCaptureConfig"] = capture
    if later:
        more["AsyncInferenceConfig"] = later
    control.create_endpoint_config(
        EndpointConfigName=config,
        ProductionVariants=[variant(*each) for each in models.items()],
        **more,
    )
    return config


def until(done, seconds=15.0):
    """Wait until `done()` is true."""
    for _ in range(int(seconds / 0.02)):
        if done():
            return
        threading.Event().wait(0.02)
    raise AssertionError("it did not come to pass")


def waited(control, waiter, **names):
    """Wait by one of boto3's waiters."""
    control.get_waiter(waiter).wait(**names, WaiterConfig={"Delay": 0.05, "MaxAttempts": 300})
