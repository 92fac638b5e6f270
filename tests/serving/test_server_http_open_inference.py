"""The Open Inference Protocol over HTTP, as tritonclient speaks it and by hand."""

import json

import numpy as np
import pytest
import tritonclient.http as triton
from served_wires import ask, body_of, routes_of, served
from small_engine import MODELS, WEIGHTS, SmallEngine, made_rows
from tritonclient.utils import InferenceServerException

from tradewind.serving.tensors import DTYPES

ROWS = made_rows(5)


@pytest.fixture(scope="module")
def engine():
    return SmallEngine()


@pytest.fixture(scope="module")
def client(engine):
    with served(engine) as address, triton.InferenceServerClient(address) as found:
        yield found


def _input(name, array, datatype, binary):
    tensor = triton.InferInput(name, list(array.shape), datatype)
    return tensor.set_data_from_numpy(array, binary_data=binary)


def test_health_and_metadata(client, engine):
    assert client.is_server_live() and client.is_server_ready()
    assert client.is_model_ready("linear") and client.is_model_ready("linear", "2")
    assert not client.is_model_ready("unknown") and not client.is_model_ready("linear", "9")
    said = client.get_server_metadata()
    assert said["name"] == "tradewind" and "binary_tensor_data" in said["extensions"]
    for version in ("", "1"):
        assert client.get_model_metadata("labelled", version) == {
            "name": "labelled",
            "versions": ["1", "2"],
            "platform": "onnxruntime_onnx",
            "inputs": [{"name": "rows", "datatype": "FP32", "shape": [-1, 64]}],
            "outputs": [
                {"name": "label", "datatype": "BYTES", "shape": [-1]},
                {"name": "scores", "datatype": "FP32", "shape": [-1, 10]},
            ],
        }


def test_states_that_do_not_hold_are_503():
    engine = SmallEngine()
    engine.live = engine.ready = False
    engine.state["linear"] = "UNAVAILABLE"
    routes = routes_of(engine)
    for path, said in (
        ("/v2/health/live", {"live": False}),
        ("/v2/health/ready", {"ready": False}),
        ("/v2/models/linear/ready", {"name": "linear", "ready": False}),
    ):
        response = ask(routes, "GET", path)
        assert response.status == 503 and json.loads(response.body) == said


def test_configuration_and_statistics(client):
    config = client.get_model_config("labelled")
    assert config["max_batch_size"] == 64 and config["backend"] == "onnxruntime"
    assert config["input"] == [{"name": "rows", "data_type": "TYPE_FP32", "dims": [64]}]
    assert config["output"][0] == {"name": "label", "data_type": "TYPE_STRING", "dims": []}
    assert client.get_model_config("same_BOOL", "1")["input"][0]["dims"] == [-1, -1]

    (told,) = client.get_inference_statistics("linear")["model_stats"]
    assert (told["last_inference"], told["inference_count"], told["execution_count"]) == (1500, 3, 2)
    assert told["inference_stats"]["success"] == {"count": 2, "ns": 250_000_000}
    assert [batch["batch_size"] for batch in told["batch_stats"]] == [1, 2]
    assert told["batch_stats"][1]["compute_infer"] == {"count": 1, "ns": 500_000_000}
    assert client.get_inference_statistics("linear", "1")["model_stats"]
    assert len(client.get_inference_statistics()["model_stats"]) == len(MODELS)


@pytest.mark.parametrize("binary_in", [True, False])
@pytest.mark.parametrize("binary_out", [True, False, None])
@pytest.mark.parametrize("packing", [None, "gzip", "deflate"])
def test_inference_in_every_form(client, binary_in, binary_out, packing):
    outputs = None if binary_out is None else [triton.InferRequestedOutput("scores", binary_data=binary_out)]
    found = client.infer(
        "linear",
        [_input("rows", ROWS, "FP32", binary_in)],
        "2",
        outputs=outputs,
        request_id="a7",
        request_compression_algorithm=packing,
        response_compression_algorithm=packing,
    )
    np.testing.assert_array_equal(found.as_numpy("scores"), ROWS @ WEIGHTS)
    said = found.get_response()
    assert (said["model_name"], said["model_version"], said["id"]) == ("linear", "2", "a7")
    is_binary = "binary_data_size" in said["outputs"][0].get("parameters", {})
    assert is_binary == (binary_out in (True, None))


def _example(datatype):
    chance = np.random.default_rng(1)
    if datatype == "BYTES":
        return np.array([[b"", b"one", "zwölf".encode()], [b"a" * 300, b"\n", b'"']], object)
    if datatype == "BOOL":
        return chance.integers(0, 2, (2, 3)).astype(bool)
    dtype = DTYPES[datatype]
    if dtype.kind == "f":
        return chance.normal(size=(2, 3)).astype(dtype)
    limits = np.iinfo(dtype)
    return np.array([[limits.min, limits.max, 0], [1, 2, 3]], dtype)


@pytest.mark.parametrize("datatype", DTYPES)
@pytest.mark.parametrize("binary_in", [True, False])
@pytest.mark.parametrize("binary_out", [True, False])
def test_every_datatype_both_ways(client, datatype, binary_in, binary_out):
    array = _example(datatype)
    for given in (array, array[:, :0]):
        found = client.infer(
            f"same_{datatype}",
            [_input("in_it", given, datatype, binary_in)],
            outputs=[triton.InferRequestedOutput("out_it", binary_data=binary_out)],
        )
        back = found.as_numpy("out_it")
        expected = given
        if datatype == "BYTES" and not binary_out:
            expected = np.array([text.decode() for text in given.ravel()], object).reshape(given.shape)
        assert back.shape == given.shape
        np.testing.assert_array_equal(back, expected)


def test_bytes_that_are_no_text_travel_as_binary_data_only(client):
    given = np.array([[b"\xff\x00"]], object)
    tensor = _input("in_it", given, "BYTES", True)
    assert client.infer("same_BYTES", [tensor]).as_numpy("out_it").tolist() == [[b"\xff\x00"]]
    outputs = [triton.InferRequestedOutput("out_it", binary_data=False)]
    with pytest.raises(InferenceServerException, match=r"output 'out_it': .*Ask for binary data") as refused:
        client.infer("same_BYTES", [tensor], outputs=outputs)
    assert refused.value.status() == "400"


@pytest.mark.parametrize("binary", [True, False])
def test_numbers_that_json_lacks_arrive_either_way(client, binary):
    given = np.array([[np.nan, np.inf, -np.inf, 1.5]])
    tensor = _input("in_it", given, "FP64", binary)
    outputs = [triton.InferRequestedOutput("out_it", binary_data=binary)]
    found = client.infer("same_FP64", [tensor], outputs=outputs)
    np.testing.assert_array_equal(found.as_numpy("out_it"), given)


def test_several_inputs_with_mixed_forms(client):
    height, count = np.array([1.5, 2.5]), np.array([1, 2])
    for first, second in ((True, False), (False, True), (True, True), (False, False)):
        inputs = [_input("height", height, "FP64", first), _input("count", count, "INT64", second)]
        assert client.infer("columns", inputs[::-1]).as_numpy("sum").tolist() == [2.5, 4.5]


def test_classification(client):
    outputs = [triton.InferRequestedOutput("scores", class_count=3, binary_data=binary) for binary in (True,)]
    found = client.infer("labelled", [_input("rows", ROWS, "FP32", True)], outputs=outputs).as_numpy("scores")
    scores = ROWS @ WEIGHTS
    assert found.shape == (5, 3)
    for row, texts in zip(scores, found, strict=True):
        best = sorted(range(10), key=lambda index, row=row: -row[index])[:3]
        assert [text.decode() for text in texts] == [f"{row[index]:.6f}:{index}" for index in best]
    many = [triton.InferRequestedOutput("scores", class_count=99, binary_data=False)]
    assert client.infer("labelled", [_input("rows", ROWS, "FP32", True)], outputs=many).as_numpy(
        "scores"
    ).shape == (5, 10)
    with pytest.raises(InferenceServerException, match="BYTES have no highest"):
        label = [triton.InferRequestedOutput("label", class_count=1)]
        client.infer("labelled", [_input("rows", ROWS, "FP32", True)], outputs=label)


def test_parameters_reach_the_model_and_timeouts_the_engine(client, engine):
    inputs = [_input("rows", ROWS, "FP32", True)]
    client.infer("linear", inputs, timeout=250_000, priority=3, parameters={"threshold": 0.5, "mode": "x"})
    call = engine.calls[-1]
    assert call.parameters == {"threshold": 0.5, "mode": "x"} and call.deadline is not None
    client.infer("linear", inputs, headers={"X-Request-Timeout-Ms": "100"})
    assert engine.calls[-1].deadline is not None
    client.infer("linear", inputs)
    assert engine.calls[-1].deadline is None and engine.calls[-1].parameters == {}


def test_many_at_once_by_async_infer(client):
    pending = [client.async_infer("linear", [_input("rows", ROWS[:n], "FP32", True)]) for n in (1, 2, 3, 4)]
    for n, request in enumerate(pending, start=1):
        np.testing.assert_array_equal(request.get_result().as_numpy("scores"), ROWS[:n] @ WEIGHTS)


@pytest.mark.parametrize(
    ("model", "status", "said"),
    [
        ("unknown", "404", "no model 'unknown'"),
        ("failing", "500", "the model raised"),
        ("busy", "429", "queue is full"),
        ("down", "503", "no replica"),
        ("full", "507", "does not fit"),
    ],
)
def test_refusals_are_errors_in_the_protocols_shape(client, model, status, said):
    with pytest.raises(InferenceServerException, match=said) as refused:
        client.infer(model, [_input("rows", ROWS, "FP32", True)])
    assert refused.value.status() == status


def test_retry_after_is_in_whole_seconds_rounded_up():
    body = json.dumps({"inputs": [{"name": "rows", "shape": [1, 64], "datatype": "FP32", "data": [0] * 64}]})
    routes = routes_of(SmallEngine())
    for model, seconds in (("busy", "2"), ("down", "1")):
        response = ask(routes, "POST", f"/v2/models/{model}/infer", body.encode())
        assert dict(response.headers)["Retry-After"] == seconds


def test_sequences_and_wrong_tensors_are_refused_clearly(client):
    inputs = [_input("rows", ROWS, "FP32", True)]
    with pytest.raises(InferenceServerException, match="sequence_id: models here keep nothing") as refused:
        client.infer("linear", inputs, sequence_id=4, sequence_start=True)
    assert refused.value.status() == "400"
    with pytest.raises(InferenceServerException, match="got FP64"):
        client.infer("linear", [_input("rows", ROWS.astype(np.float64), "FP64", True)])
    with pytest.raises(InferenceServerException, match="no output 'nothing'"):
        client.infer("linear", inputs, outputs=[triton.InferRequestedOutput("nothing")])
    shared = triton.InferInput("rows", [5, 64], "FP32")
    shared.set_shared_memory("region", 1280)
    with pytest.raises(InferenceServerException, match="shared memory is not read"):
        client.infer("linear", [shared])
    wanted = triton.InferRequestedOutput("scores")
    wanted.set_shared_memory("region", 200)
    with pytest.raises(InferenceServerException, match="shared memory is not written"):
        client.infer("linear", inputs, outputs=[wanted])


def test_a_raw_body_is_the_only_input():
    routes = routes_of(SmallEngine())
    raw = {"Inference_Header_Content_Length": "0"}
    response = ask(routes, "POST", "/v2/models/linear/infer", ROWS[:1].tobytes(), **raw)
    assert response.status == 200
    size = int(dict(response.headers)["Inference-Header-Content-Length"])
    found = np.frombuffer(body_of(response)[size:], np.float32)
    np.testing.assert_array_equal(found, (ROWS[:1] @ WEIGHTS)[0])
    response = ask(routes, "POST", "/v2/models/texts/infer", b"some text", **raw)
    assert body_of(response).endswith(b"\x09\0\0\0some text")
    for model, body, said in (("linear", b"123", "takes 256 bytes, not 3"), ("columns", b"1", "one input")):
        response = ask(routes, "POST", f"/v2/models/{model}/infer", body, **raw)
        assert response.status == 400 and said in json.loads(response.body)["error"]


_GOOD = {"name": "rows", "shape": [1, 64], "datatype": "FP32", "data": [0.0] * 64}


def _asking(**parameters):
    return {"inputs": [_GOOD], "outputs": [{"name": "scores", "parameters": parameters}]}


def _with(**changes):
    return {"inputs": [{**_GOOD, **changes}]}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "no JSON"),
        (b"{", "no JSON"),
        (b"[1]", "Expected `object`"),
        (b"\xff\xfe", "no JSON"),
        ({}, "missing required field `inputs`"),
        ({"inputs": 3}, "Expected `array`"),
        ({"inputs": [3]}, "$.inputs[0]"),
        ({"inputs": []}, "input 'rows' takes"),
        ({"inputs": [_GOOD, _GOOD]}, "given twice"),
        ({"id": 5, "inputs": [_GOOD]}, "$.id"),
        (_with(name="other"), "'rows'"),
        (_with(datatype="FP128"), "'FP128' is no datatype"),
        (_with(shape=[2, 64]), "input 'rows': data: 64 values; shape [2, 64] takes 128"),
        (_with(shape=[-1, 64]), "no shape"),
        (_with(shape=[1.5]), "$.inputs[0].shape[0]"),
        (_with(data="abc"), "not a number"),
        (_with(data=None), "has no data"),
        (_with(data=3), "give a list"),
        (_with(data=[[0.0] * 64] * 2), "nested as shape [2, 64]"),
        (_with(data=[1e60] * 64), "beyond the range of float32"),
        ({"inputs": [{**_GOOD, "data": None, "parameters": {"binary_data_size": 256}}]}, "256 bytes of"),
        ({"inputs": [{**_GOOD, "parameters": {"binary_data_size": -1}}]}, "no number of bytes"),
        ({"inputs": [_GOOD], "parameters": {"timeout": "soon"}}, "timeout"),
        ({"inputs": [_GOOD], "parameters": {"timeout": -4}}, "timeout"),
        ({"inputs": [_GOOD], "parameters": {"priority": -4}}, "priority"),
        ({"inputs": [_GOOD], "parameters": {"binary_data_output": "yes"}}, "true or false"),
        (_asking(binary_data=1), "true or false"),
        (_asking(classification=0), "how many"),
        ({"inputs": [_GOOD], "outputs": [{"name": "scores"}, {"name": "scores"}]}, "twice"),
        ({"inputs": [_GOOD], "outputs": [{}]}, "name"),
    ],
)  # fmt: skip
def test_a_body_that_is_wrong_is_one_clear_400(body, said):
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()
    response = ask(routes_of(SmallEngine()), "POST", "/v2/models/linear/infer", sent)
    assert response.status == 400
    assert json.loads(response.body).keys() == {"error"}
    assert said in json.loads(response.body)["error"]


@pytest.mark.parametrize(
    ("length", "tail", "said"),
    [
        ("x", b"\0" * 256, "not the length"),
        ("-1", b"\0" * 256, "not the length"),
        ("999999", b"\0" * 256, "not the length"),
        (None, b"\0" * 255, "256 bytes of binary data are promised, 255 follow"),
        (None, b"\0" * 260, "4 bytes follow the binary data"),
    ],
)
def test_binary_data_of_a_wrong_length_is_one_clear_400(length, tail, said):
    tensor = {key: value for key, value in _GOOD.items() if key != "data"}
    header = json.dumps({"inputs": [{**tensor, "parameters": {"binary_data_size": 256}}]}).encode()
    response = ask(
        routes_of(SmallEngine()),
        "POST",
        "/v2/models/linear/infer",
        header + tail,
        Inference_Header_Content_Length=str(len(header)) if length is None else length,
    )
    assert response.status == 400 and said in json.loads(response.body)["error"]


def test_paths_that_are_not_there_answer_in_the_protocols_shape():
    routes = routes_of(SmallEngine())
    assert json.loads(ask(routes, "GET", "/v2/nothing/here").body).keys() == {"error"}
    wrong = ask(routes, "GET", "/v2/models/linear/infer")
    assert wrong.status == 405 and dict(wrong.headers)["Allow"] == "POST"
