"""Every call of Triton's own client, over real sockets."""

import grpc
import numpy as np
import pytest
import tritonclient.grpc as triton
from grpc_stage import ROWS, SERVICE, WEIGHTS, running, tensor
from tritonclient.grpc import service_pb2 as published
from tritonclient.utils import InferenceServerException


@pytest.fixture(scope="module")
def server():
    with running() as it:
        yield it


@pytest.fixture
def client(server):
    with triton.InferenceServerClient(server.address) as it:
        yield it


@pytest.fixture
def channel(server):
    with grpc.insecure_channel(server.address) as it:
        yield it


def test_health_and_metadata(client, server):
    assert client.is_server_live() and client.is_server_ready()
    assert client.is_model_ready("product") and client.is_model_ready("product", "3")
    assert not client.is_model_ready("product", "1")
    told = client.get_server_metadata(as_json=True)
    assert told["name"] == "tradewind" and told["version"] and "statistics" in told["extensions"]
    model = client.get_model_metadata("product")
    assert (model.name, list(model.versions), model.platform) == ("product", ["1", "3"], "onnxruntime_onnx")
    assert [(i.name, i.datatype, list(i.shape)) for i in model.inputs] == [("x", "FP32", [-1, 4])]
    assert [(o.name, o.datatype, list(o.shape)) for o in model.outputs] == [
        ("y", "FP32", [-1, 2]),
        ("z", "BYTES", [-1]),
    ]
    server.engine.ready = False
    try:
        assert client.is_server_live() and not client.is_server_ready()
    finally:
        server.engine.ready = True


def test_inference_with_id_version_and_chosen_outputs(client):
    found = client.infer("product", [tensor("x", ROWS)], model_version="1", request_id="r7")
    assert np.array_equal(found.as_numpy("y"), ROWS @ WEIGHTS)
    assert found.as_numpy("z").tolist() == [b"a", b"\x00\xff"]
    response = found.get_response()
    assert (response.model_name, response.model_version, response.id) == ("product", "1", "r7")
    only = client.infer("product", [tensor("x", ROWS)], outputs=[triton.InferRequestedOutput("z")])
    assert only.as_numpy("y") is None and only.as_numpy("z").shape == (2,)


def test_configuration(client):
    config = client.get_model_config("product").config
    assert (config.name, config.platform, config.backend) == ("product", "onnxruntime_onnx", "onnxruntime")
    assert config.max_batch_size == 16 and config.HasField("dynamic_batching")
    assert [(i.name, i.data_type, list(i.dims)) for i in config.input] == [("x", 11, [4])]
    assert [(o.name, o.data_type, list(o.dims)) for o in config.output] == [("y", 11, [2]), ("z", 13, [])]
    assert list(config.version_policy.specific.versions) == [1, 3]


def test_statistics(client):
    (told,) = client.get_inference_statistics().model_stats
    assert (told.name, told.version, told.last_inference) == ("product", "3", 1500)
    assert (told.inference_count, told.execution_count) == (7, 2)
    assert (told.inference_stats.success.count, told.inference_stats.success.ns) == (2, 250_000_000)
    assert told.inference_stats.queue.ns == 250_000_000 and told.inference_stats.fail.count == 0
    (batch,) = told.batch_stats
    assert (batch.batch_size, batch.compute_infer.count, batch.compute_infer.ns) == (4, 1, 500_000_000)
    assert client.get_inference_statistics("busy", "3").model_stats[0].name == "busy"


def test_repository(client, server):
    listed = {model.name: model for model in client.get_model_repository_index().models}
    assert listed["product"].state == "READY" and listed["product"].version == "3"
    assert (listed["old"].state, listed["old"].reason) == ("UNAVAILABLE", "unloaded")
    client.load_model("new", config='{"max_batch_size": 4}')
    assert client.is_model_ready("new") and server.engine.settings["new"] == {"max_batch_size": 4}
    client.load_model("new")
    assert server.engine.settings["new"] is None
    client.unload_model("new", unload_dependents=True)
    with pytest.raises(InferenceServerException, match="no model 'new'"):
        client.is_model_ready("new")
    for config in ("{", "[1]"):
        with pytest.raises(InferenceServerException, match="config"):
            client.load_model("new", config=config)
    with pytest.raises(InferenceServerException, match="no file is taken from the wire"):
        client.load_model("new", config="{}", files={"file:1/model.onnx": b"x"})


def test_only_ready_models_are_listed_where_that_is_asked(channel):
    ask = channel.unary_unary(
        SERVICE + "RepositoryIndex",
        published.RepositoryIndexRequest.SerializeToString,
        published.RepositoryIndexResponse.FromString,
    )
    assert "old" not in {model.name for model in ask(published.RepositoryIndexRequest(ready=True)).models}


def test_what_is_not_there_is_said_so(client):
    assert not client.get_system_shared_memory_status().regions
    assert not client.get_cuda_shared_memory_status().regions
    client.unregister_system_shared_memory()
    client.unregister_cuda_shared_memory("a")
    for status in (client.get_system_shared_memory_status, client.get_cuda_shared_memory_status):
        with pytest.raises(InferenceServerException, match="no region 'a'") as refusal:
            status("a")
        assert refusal.value.status() == "StatusCode.NOT_FOUND"
    assert not client.get_trace_settings().settings and not client.get_log_settings().settings
    for change in (
        lambda: client.register_system_shared_memory("a", "/a", 8),
        lambda: client.register_cuda_shared_memory("a", b"aGFuZGxl", 0, 8),
        lambda: client.update_trace_settings("product", {"trace_level": ["TIMESTAMPS"]}),
        lambda: client.update_log_settings({"log_verbose_level": 1}),
    ):
        with pytest.raises(InferenceServerException, match="this server") as refusal:
            change()
        assert refusal.value.status() == "StatusCode.UNIMPLEMENTED"
