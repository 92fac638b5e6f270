"""Every call of the real clients against the real server with real models: answered, or refused clearly.

What is right for each call, over HTTP and gRPC alike (s = `sum`, ONNX of two inputs; l = `sign`, our learner;
k = `iris`, skops; w = `words`, ONNX of texts; p = `shout`, a Python class):

    live, ready, model ready, server metadata      all models
    model metadata and config, from the artefact   s l k w p
    infer, JSON and binary, in and out             s l k w p
    infer, gzip and deflate, asynchronous          s
    stream infer (gRPC)                            s
    statistics, repository index, load, unload     s
    unknown model, version, input, datatype        refused with 4xx / its code
    shared memory, trace and log settings          empty, or refused as not there
"""

from __future__ import annotations

import json
import queue

import boto3
import botocore.config
import botocore.exceptions
import numpy as np
import pytest
import schemathesis
import skops.io
import tritonclient.grpc
import tritonclient.http
from hypothesis import HealthCheck, Phase, given, settings
from onnx import TensorProto, helper
from real_server import linear_model, python_model, real_server, rows_body, saved
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance
from sklearn.linear_model import LogisticRegression
from tritonclient.utils import InferenceServerException

import tradewind as tw

RNG = np.random.default_rng(0)
ROWS = RNG.normal(size=(60, 3))
LABELS = np.array(["no", "yes"])[(ROWS[:, 0] > 0).astype(int)]
GIVEN = {
    "sum": {"left": np.ones((2, 3), np.float32), "right": np.arange(6, dtype=np.float32).reshape(2, 3)},
    "sign": {"input": ROWS[:2].astype(np.float32)},
    "iris": {"input": ROWS[:2]},
    "words": {"word": np.array([[b"two"], [b"one"]], object)},
    "shout": {"text": np.array([b"sell", b"buy \xc3\xbc"], object)},
}
PLATFORMS = {
    "sum": "onnxruntime_onnx",
    "sign": "tradewind",
    "iris": "sklearn",
    "words": "onnxruntime_onnx",
    "shout": "python",
}


@pytest.fixture(scope="module")
def estimator():
    return LogisticRegression().fit(ROWS, LABELS)


@pytest.fixture(scope="module")
def served(tmp_path_factory, estimator):
    folder = tmp_path_factory.mktemp("models")
    tensor, floats = helper.make_tensor_value_info, TensorProto.FLOAT
    nodes = [helper.make_node("Add", ["left", "right"], ["both"])]
    ends = [tensor("left", floats, [None, 3]), tensor("right", floats, [None, 3])]
    saved(helper.make_graph(nodes, "sum", ends, [tensor("both", floats, [None, 3])]), folder, "sum")
    known = helper.make_node(
        "LabelEncoder", ["word"], ["number"], domain="ai.onnx.ml",
        keys_strings=["one", "two"], values_int64s=[1, 2], default_int64=0,
    )  # fmt: skip
    words = tensor("word", TensorProto.STRING, [None, 1])
    numbers = tensor("number", TensorProto.INT64, [None, 1])
    saved(helper.make_graph([known], "words", [words], [numbers]), folder, "words", ai_onnx_ml=2)
    learned = tw.LinearClassifier().fit(ROWS, ROWS[:, 0] > 0)
    tw.export(learned.model_, folder / "sign", format="safetensors")
    (folder / "iris").mkdir()
    skops.io.dump(estimator, folder / "iris" / "model.skops")
    with real_server(folder, python_model(folder, "shout", "Shouting")) as server:
        yield server


@pytest.fixture(params=["http", "grpc"])
def triton(request, served):
    """A module of tritonclient and a client of it."""
    kind = {"http": tritonclient.http, "grpc": tritonclient.grpc}[request.param]
    with kind.InferenceServerClient(getattr(served, request.param)) as client:
        yield kind, client


def told(client, method, *arguments):
    """What a client's method says, as plain values over either wire."""
    over_grpc = type(client).__module__.startswith("tritonclient.grpc")
    return getattr(client, method)(*arguments, **({"as_json": True} if over_grpc else {}))


def inputs_of(kind, client, model, **binary):
    metadata = told(client, "get_model_metadata", model)
    found = []
    for spec, array in zip(metadata["inputs"], GIVEN[model].values(), strict=True):
        given_array = array if spec["datatype"] in ("BYTES", "FP32") else array.astype(np.float64)
        given_array = given_array.astype(np.float32) if spec["datatype"] == "FP32" else given_array
        tensor = kind.InferInput(spec["name"], list(given_array.shape), spec["datatype"])
        found.append(tensor.set_data_from_numpy(given_array, **binary))
    return metadata, found


def is_right(model, result, metadata, estimator):
    names = [each["name"] for each in metadata["outputs"]]
    first = result.as_numpy(names[0])
    if model == "sum":
        np.testing.assert_array_equal(first, GIVEN["sum"]["left"] + GIVEN["sum"]["right"])
    elif model == "words":
        assert first.tolist() == [[2], [1]]
    elif model == "shout":
        assert [str(each, "utf-8") if isinstance(each, bytes) else each for each in first] == [
            "SELL",
            "BUY Ü",
        ]
    elif model == "iris":
        labels = [str(each, "utf-8") if isinstance(each, bytes) else each for each in first]
        assert labels == estimator.predict(GIVEN["iris"]["input"]).tolist()
        np.testing.assert_allclose(
            result.as_numpy(names[1]), estimator.predict_proba(GIVEN["iris"]["input"]), rtol=1e-6
        )
    else:
        found = [result.as_numpy(name) for name in names]
        assert all(len(each) == 2 for each in found)
        decided = found[0].ravel().astype(float)
        assert ((decided > 0.5) == (ROWS[:2, 0] > 0)).all()


@pytest.mark.parametrize("model", GIVEN)
def test_metadata_says_what_the_artefact_takes_and_infer_answers_it(triton, model, estimator) -> None:
    kind, client = triton
    assert client.is_model_ready(model) and client.is_model_ready(model, "1")
    metadata, inputs = inputs_of(kind, client, model)
    assert metadata["name"] == model and metadata["versions"] == ["1"]
    assert PLATFORMS[model] in metadata["platform"]
    config = told(client, "get_model_config", model)
    config = config.get("config", config)
    assert [each["name"] for each in config["input"]] == [each["name"] for each in metadata["inputs"]]
    is_right(model, client.infer(model, inputs, request_id="7"), metadata, estimator)
    for asked in (True, False) if kind is tritonclient.http else ():
        _, inputs = inputs_of(kind, client, model, binary_data=asked)
        outputs = [kind.InferRequestedOutput(each["name"], binary_data=asked) for each in metadata["outputs"]]
        result = client.infer(model, inputs, outputs=outputs)
        is_right(model, result, metadata, estimator)
        assert all(("data" in each) == (not asked) for each in result.get_response()["outputs"])


def test_the_other_calls_of_both_clients(triton, estimator) -> None:
    kind, client = triton
    assert client.is_server_live() and client.is_server_ready()
    assert told(client, "get_server_metadata")["name"] == "tradewind"
    metadata, inputs = inputs_of(kind, client, "sum")
    for packing in ("gzip", "deflate"):
        if kind is tritonclient.http:
            packed = {"request_compression_algorithm": packing, "response_compression_algorithm": packing}
        else:
            packed = {"compression_algorithm": packing}
        is_right("sum", client.infer("sum", inputs, **packed), metadata, estimator)
    if kind is tritonclient.http:
        is_right("sum", client.async_infer("sum", inputs).get_result(), metadata, estimator)
    else:
        answers: queue.Queue = queue.Queue()
        client.async_infer("sum", inputs, callback=lambda result, error: answers.put((result, error)))
        client.start_stream(callback=lambda result, error: answers.put((result, error)))
        for _ in range(3):
            client.async_stream_infer("sum", inputs)
        found = [answers.get(timeout=10) for _ in range(4)]
        client.stop_stream()
        assert [error for _, error in found] == [None] * 4
        for result, _ in found:
            is_right("sum", result, metadata, estimator)
    statistics = told(client, "get_inference_statistics", "sum")["model_stats"][0]
    assert int(statistics["inference_stats"]["success"]["count"]) >= 3
    index = told(client, "get_model_repository_index")
    models = index if isinstance(index, list) else index["models"]
    assert {each["name"]: each["state"] for each in models} == dict.fromkeys(GIVEN, "READY")
    client.unload_model("sum")
    assert not client.is_model_ready("sum")
    with pytest.raises(InferenceServerException, match="unloaded"):
        client.infer("sum", inputs)
    client.load_model("sum")
    client.load_model("sum", config=json.dumps({"max_batch": 8}))
    config = told(client, "get_model_config", "sum")
    assert config.get("config", config)["max_batch_size"] == 8
    client.load_model("sum")
    is_right("sum", client.infer("sum", inputs), metadata, estimator)
    assert not told(client, "get_system_shared_memory_status") or kind is tritonclient.grpc
    client.unregister_system_shared_memory()
    client.unregister_cuda_shared_memory()
    told(client, "get_trace_settings")
    told(client, "get_log_settings")
    with pytest.raises(InferenceServerException, match="shared memory"):
        client.register_system_shared_memory("region", "/region", 64)
    with pytest.raises(InferenceServerException, match="trace settings"):
        client.update_trace_settings(settings={"trace_rate": "1"})
    with pytest.raises(InferenceServerException, match="log settings"):
        client.update_log_settings({"log_verbose_level": 1})


def test_what_is_wrong_is_refused_in_the_protocols_words(triton) -> None:
    kind, client = triton
    _, inputs = inputs_of(kind, client, "sum")
    wide = kind.InferInput("left", [2, 4], "FP32").set_data_from_numpy(np.zeros((2, 4), np.float32))
    doubles = kind.InferInput("left", [2, 3], "FP64").set_data_from_numpy(np.zeros((2, 3)))
    missing, malformed = {
        tritonclient.http: ("404", "400"),
        tritonclient.grpc: ("StatusCode.NOT_FOUND", "StatusCode.INVALID_ARGUMENT"),
    }[kind]
    for model, version, given_inputs, status, said in (
        ("nothing", "", inputs, missing, "nothing"),
        ("sum", "9", inputs, missing, "9"),
        ("sum", "", inputs[:1], malformed, "'right' is missing"),
        ("sum", "", [wide, inputs[1]], malformed, r"\[2, 4\]"),
        ("sum", "", [doubles, inputs[1]], malformed, "FP64"),
    ):
        with pytest.raises(InferenceServerException, match=said) as refused:
            client.infer(model, given_inputs, version)
        assert refused.value.status() == status
    if kind is tritonclient.http:
        assert not client.is_model_ready("nothing")
    else:
        with pytest.raises(InferenceServerException, match="nothing"):
            client.is_model_ready("nothing")
    with pytest.raises(InferenceServerException, match="nothing"):
        client.load_model("nothing")


def test_sagemakers_runtime_kserve_v1_and_mlflow(served, estimator) -> None:
    runtime = boto3.client(
        "sagemaker-runtime", endpoint_url=f"http://{served.http}", region_name="eu-west-1",
        aws_access_key_id="a", aws_secret_access_key="b",
        config=botocore.config.Config(retries={"max_attempts": 0}),
    )  # fmt: skip
    lines = "\n".join(",".join(map(str, row)) for row in ROWS[:2].tolist())
    answer = runtime.invoke_endpoint(
        EndpointName="iris", ContentType="text/csv", Accept="application/json", Body=lines
    )
    said = json.loads(answer["Body"].read())
    assert [each["prediction"] for each in said["predictions"]] == estimator.predict(ROWS[:2]).tolist(), said
    with pytest.raises(botocore.exceptions.ClientError, match="nothing") as refused:
        runtime.invoke_endpoint(EndpointName="nothing", Body=b"1,2,3", ContentType="text/csv")
    assert refused.value.response["Error"]["Code"] == "ValidationError"
    with pytest.raises(runtime.exceptions.ModelError) as refused:
        runtime.invoke_endpoint(EndpointName="iris", Body=b"1,2", ContentType="text/csv")
    assert refused.value.response["OriginalStatusCode"] == 400

    status, _, said = served.post("/v1/models/shout:predict", {"instances": ["sell", "buy"]})
    assert (status, said) == (200, {"predictions": ["SELL", "BUY"]})
    status, _, said = served.post("/v1/models/nothing:predict", {"instances": [1]})
    assert status == 404 and "nothing" in said["error"]

    split = {"columns": ["a", "b", "c"], "data": ROWS[:2].tolist()}
    for body in ({"dataframe_split": split}, {"inputs": ROWS[:2].tolist()}, {"instances": ROWS[:2].tolist()}):
        status, _, said = served.post("/models/iris/invoke", body)
        assert status == 200, said
        assert [each["prediction"] for each in said["predictions"]] == estimator.predict(ROWS[:2]).tolist()
    status, _, said = served.post("/models/iris/invoke", {"dataframe_split": 3})
    assert status == 400 and said["error_code"] == "BAD_REQUEST"
    status, _, said = served.post("/invocations", {"instances": [1]})
    assert status == 404 and "name one" in said["message"]
    assert served.get("/ping")[0] == 200


_LOOSE = {"/infer": [positive_data_acceptance], "/load": [positive_data_acceptance]}


def test_the_real_server_keeps_to_its_own_document(tmp_path) -> None:
    linear_model(tmp_path)
    tried = []
    with real_server(tmp_path, python_model(tmp_path, "shout", "Shouting"), "--no-grpc") as server:
        address = f"http://{server.http}"
        schema = schemathesis.openapi.from_url(f"{address}/openapi.json")
        operations = [found.ok() for found in schema.get_all_operations()]
        operations.sort(key=lambda each: "unload" in each.path or each.method == "delete")
        for operation in operations:
            excluded = next((left for end, left in _LOOSE.items() if operation.path.endswith(end)), [])
            if operation.path.startswith("/endpoints"):  # its ModelError is a status like no other
                excluded = [positive_data_acceptance, negative_data_rejection]

            @settings(
                max_examples=2, deadline=None, database=None, derandomize=True,
                suppress_health_check=list(HealthCheck), phases=[Phase.generate],
            )  # fmt: skip
            @given(operation.as_strategy())
            def keeps_to_it(case):
                response = case.call(base_url=address)
                tried.append(response.status_code)
                case.validate_response(response, excluded_checks=excluded)  # noqa: B023 -- called here

            keeps_to_it()
        assert server.post("/v2/repository/models/linear/load", b"")[0] == 200
        assert server.post("/v2/models/linear/infer", rows_body([[1, 2, 3, 4]]))[0] == 200
    assert len(tried) >= 30 and not [each for each in tried if each >= 500 and each not in (503, 507)]
