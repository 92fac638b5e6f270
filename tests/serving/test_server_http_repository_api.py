"""Triton's model repository extension over HTTP."""

import json

import pytest
import tritonclient.http as triton
from served_wires import ask, routes_of, served
from small_engine import SmallEngine
from tritonclient.utils import InferenceServerException


def test_tritonclient_lists_loads_and_unloads():
    engine = SmallEngine(only=("linear", "columns"))
    with served(engine) as address, triton.InferenceServerClient(address) as client:
        assert client.get_model_repository_index() == [
            {"name": "linear", "version": "2", "state": "READY", "reason": ""},
            {"name": "columns", "version": "2", "state": "READY", "reason": ""},
        ]
        client.unload_model("linear")
        assert not client.is_model_ready("linear") and client.is_model_ready("columns")
        client.load_model("linear")
        client.load_model("linear", config='{"max_batch_size": 8}')
        assert client.is_model_ready("linear")
        assert engine.loads == [("linear", None), ("linear", {"max_batch_size": 8})]
        for refused, status in (("nothing", "404"), ("too_large", "507")):
            with pytest.raises(InferenceServerException) as error:
                client.load_model(refused)
            assert error.value.status() == status


def test_bodies_may_be_empty_and_only_ready_models_may_be_asked_for():
    engine = SmallEngine(only=("linear", "columns"))
    engine.state["columns"] = "UNAVAILABLE"
    routes = routes_of(engine)
    assert len(json.loads(ask(routes, "POST", "/v2/repository/index").body)) == 2
    (only,) = json.loads(ask(routes, "POST", "/v2/repository/index", b'{"ready": true}').body)
    assert only["name"] == "linear"
    for path in ("load", "unload"):
        for body in (b"", b"{}", b' {"parameters": {}}\n'):
            assert ask(routes, "POST", f"/v2/repository/models/linear/{path}", body).status == 200


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        ("index", b"{", "no JSON"),
        ("index", b'{"ready": 3}', "$.ready"),
        ("models/linear/load", b'{"parameters": 3}', "$.parameters"),
        ("models/linear/load", b'{"parameters": {"config": "{"}}', "config: the body is no JSON"),
        ("models/linear/load", b'{"parameters": {"config": 3}}', "config: give a text of JSON"),
        ("models/linear/load", b'{"parameters": {"other": 3}}', "'other' is not known"),
        ("models/linear/load", b'{"parameters": {"file:1/model.onnx": "AAAA"}}', "no files are taken"),
        ("models/linear/unload", b"7", "Expected `object`"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_one_clear_400(path, body, said):
    engine = SmallEngine(only=("linear",))
    response = ask(routes_of(engine), "POST", f"/v2/repository/{path}", body)
    assert response.status == 400 and said in json.loads(response.body)["error"]
    assert not engine.loads
