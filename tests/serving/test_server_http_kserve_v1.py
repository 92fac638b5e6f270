"""KServe's protocol v1."""

import json

import numpy as np
import pytest
from served_wires import ask, routes_of
from small_engine import WEIGHTS, SmallEngine, made_rows

ROWS = made_rows(3)


@pytest.fixture
def engine():
    return SmallEngine()


def _predict(engine, model, body, **headers):
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()
    response = ask(routes_of(engine), "POST", f"/v1/models/{model}:predict", sent, **headers)
    return response.status, json.loads(response.body)


def test_models_are_listed_and_told(engine):
    engine.state["columns"] = "UNAVAILABLE"
    routes = routes_of(engine)
    names = json.loads(ask(routes, "GET", "/v1/models").body)["models"]
    assert "linear" in names and "columns" not in names
    response = ask(routes, "GET", "/v1/models/linear")
    assert response.status == 200 and json.loads(response.body) == {"name": "linear", "ready": True}
    response = ask(routes, "GET", "/v1/models/columns")
    assert response.status == 503 and json.loads(response.body) == {"name": "columns", "ready": False}
    assert ask(routes, "GET", "/v1/models/unknown").status == 404


def test_instances_give_predictions_row_by_row(engine):
    scores = ROWS @ WEIGHTS
    for instances in (ROWS.tolist(), [{"rows": row.tolist()} for row in ROWS]):
        status, said = _predict(engine, "linear", {"instances": instances})
        assert status == 200
        np.testing.assert_array_equal(np.array(said["predictions"], np.float32), scores)
    status, said = _predict(engine, "labelled", {"instances": ROWS.tolist()})
    assert [row["label"] for row in said["predictions"]] == [f"class {row.argmax()}" for row in scores]
    status, said = _predict(
        engine, "columns", {"instances": [{"height": 1.5, "count": 2}, {"count": 3, "height": 1}]}
    )
    assert said == {"predictions": [3.5, 4.0]}


def test_inputs_give_outputs_whole(engine):
    status, said = _predict(engine, "columns", {"inputs": {"height": [1.5, 1], "count": [2, 3]}})
    assert (status, said) == (200, {"outputs": [3.5, 4.0]})
    status, said = _predict(engine, "labelled", {"inputs": ROWS[:1].tolist()})
    assert said["outputs"].keys() == {"label", "scores"}


def test_parameters_and_deadlines_reach_the_engine(engine):
    body = {"instances": ROWS.tolist(), "parameters": {"top": 3}, "signature_name": "serving_default"}
    _predict(engine, "linear", body, X_Request_Timeout_Ms="50")
    assert engine.calls[-1].parameters == {"top": 3}
    assert engine.calls[-1].deadline == pytest.approx(1000.05)


def test_numbers_that_json_lacks_are_texts(engine):
    _, said = _predict(engine, "strange", {"instances": [[1]]})
    assert said == {"predictions": [["NaN", "Infinity", "-Infinity", 1.5]]}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "no JSON"),
        ({}, "either instances or inputs"),
        ({"instances": [], "inputs": []}, "either instances or inputs"),
        ({"instances": []}, "there are none"),
        ({"instances": None}, "give a list"),
        ({"instances": {"rows": [1]}}, "give a list"),
        ({"instances": [[1, "a"]]}, "not a number"),
        ({"instances": [[1, 2]]}, "takes FP32 [-1, 64], got FP32 [1, 2]"),
        ({"inputs": {"columns": [1]}}, "no input 'columns'"),
        ({"instances": [[1]], "parameters": 3}, "$.parameters"),
    ],
)
def test_a_body_that_is_wrong_is_one_clear_400(engine, body, said):
    status, found = _predict(engine, "linear", body)
    assert status == 400 and said in found["error"] and found.keys() == {"error"}


def test_other_verbs(engine):
    routes = routes_of(engine)
    explained = ask(routes, "POST", "/v1/models/linear:explain", b'{"instances": []}')
    assert explained.status == 501 and "no explainer" in json.loads(explained.body)["error"]
    assert list(json.loads(explained.body)) == ["error"]
    assert ask(routes, "POST", "/v1/models/linear:dance").status == 404
    assert ask(routes, "POST", "/v1/models/linear").status == 405
    assert ask(routes, "POST", "/v1/models/unknown:predict", b'{"instances": [1]}').status == 404
    assert ask(routes, "POST", "/v1/models/unknown:explain").status == 404
    busy = ask(routes, "POST", "/v1/models/busy:predict", json.dumps({"instances": ROWS.tolist()}).encode())
    assert busy.status == 429 and dict(busy.headers)["Retry-After"] == "2"
