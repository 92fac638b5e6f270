"""SageMaker's contract with a container."""

import json

import numpy as np
from served_wires import ask, routes_of
from small_engine import WEIGHTS, SmallEngine, made_rows

from tradewind import __version__
from tradewind.serving.calls import Refusal, RefusalKind
from tradewind.serving.server.http import sagemaker_container
from tradewind.serving.server.http.routes import Routes

ROW = made_rows(1)
BODY = json.dumps({"instances": ROW.tolist()}).encode()


def test_ping_says_whether_it_is_ready():
    engine = SmallEngine(only=("linear",))
    routes = routes_of(engine)
    assert ask(routes, "GET", "/ping").status == 200 == ask(routes, "GET", "/health").status
    engine.ready = False
    assert ask(routes, "GET", "/ping").status == 503
    assert ask(routes, "GET", "/version").body == __version__.encode()


def test_invocations_mean_the_only_model():
    response = ask(routes_of(SmallEngine(only=("linear",))), "POST", "/invocations", BODY)
    np.testing.assert_array_equal(
        np.array(json.loads(response.body)["predictions"], np.float32), ROW @ WEIGHTS
    )
    response = ask(routes_of(SmallEngine()), "POST", "/invocations", BODY)
    assert response.status == 404
    assert json.loads(response.body) == {
        "error_code": "RESOURCE_DOES_NOT_EXIST",
        "message": "there are several models",
    }


def test_multi_model_contract():
    engine = SmallEngine(only=("linear", "columns"))
    engine.state = dict.fromkeys(engine.models, "UNAVAILABLE")
    routes = routes_of(engine)

    def load(name):
        return ask(
            routes, "POST", "/models", json.dumps({"model_name": name, "url": f"/opt/{name}/model"}).encode()
        )

    assert json.loads(ask(routes, "GET", "/models").body) == {"models": []}
    assert ask(routes, "GET", "/models/linear").status == 404
    assert load("linear").status == 200
    assert engine.loads == [("linear", None)]
    assert load("linear").status == 409
    told = {"modelName": "linear", "modelUrl": "/opt/linear/model"}
    assert json.loads(ask(routes, "GET", "/models/linear").body) == told
    assert json.loads(ask(routes, "GET", "/models").body) == {"models": [told]}
    response = ask(routes, "POST", "/models/linear/invoke", BODY, X_Amzn_SageMaker_Target_Model="m.tar.gz")
    assert response.status == 200
    full = load("too_large")
    assert full.status == 507 and json.loads(full.body)["error_code"] == "INSUFFICIENT_STORAGE"
    assert load("unknown").status == 404
    assert ask(routes, "DELETE", "/models/linear").status == 200
    assert ask(routes, "DELETE", "/models/linear").status == 404
    assert ask(routes, "POST", "/models/linear/invoke", BODY).status == 503
    assert ask(routes, "POST", "/models", b'{"model_name": "x"}').status == 400


def test_errors_are_in_one_shape():
    routes = routes_of(SmallEngine())
    for model, status, code in (
        ("failing", 500, "INTERNAL_ERROR"),
        ("busy", 429, "REQUEST_LIMIT_EXCEEDED"),
        ("down", 503, "TEMPORARILY_UNAVAILABLE"),
    ):
        response = ask(routes, "POST", f"/models/{model}/invoke", BODY)
        assert response.status == status and json.loads(response.body)["error_code"] == code
    wrong = ask(routes, "GET", "/invocations")
    assert wrong.status == 405 and json.loads(wrong.body)["error_code"] == "METHOD_NOT_ALLOWED"


def test_models_are_listed_in_pages():
    routes = routes_of(SmallEngine(only=("linear", "columns", "texts")))

    def page(query):
        said = json.loads(ask(routes, "GET", f"/models{query}").body)
        return [each["modelName"] for each in said["models"]], said.get("nextPageToken")

    assert page("") == (["columns", "linear", "texts"], None)
    assert page("?limit=2") == (["columns", "linear"], "linear")
    assert page("?limit=2&next_page_token=linear") == (["texts"], None)
    for wrong in ("0", "1001", "x", "-1", "9" * 5000):
        assert ask(routes, "GET", f"/models?limit={wrong}").status == 400


class Noted:
    """Folders that are known below /opt alone."""

    def __init__(self):
        self.there = {}

    def add(self, name, url):
        if not url.startswith("/opt"):
            raise Refusal(RefusalKind.MALFORMED, "that folder is not served")
        self.there[name] = url

    def remove(self, name):
        self.there.pop(name, None)


def test_a_model_is_made_known_from_its_folder_and_forgotten():
    engine, routes, folders = SmallEngine(only=("linear",)), Routes(), Noted()
    engine.state["linear"] = "UNAVAILABLE"
    sagemaker_container.add_routes(routes, engine, folders)

    def load(name, url):
        return ask(routes, "POST", "/models", json.dumps({"model_name": name, "url": url}).encode()).status

    assert load("linear", "/elsewhere") == 400 and not engine.loads
    assert load("too_large", "/opt/b") == 507 and not folders.there
    assert load("linear", "/opt/a") == 200 and folders.there == {"linear": "/opt/a"}
    assert load("linear", "/opt/a") == 409
    assert ask(routes, "DELETE", "/models/linear").status == 200 and not folders.there
