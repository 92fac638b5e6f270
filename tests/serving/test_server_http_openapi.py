"""The OpenAPI document, put to the proof by schemathesis against the server that it describes."""

import json

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.core.transport import Response as Answered
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance
from served_wires import ask, routes_of, served
from small_engine import SmallEngine

from tradewind.serving.server.http import open_inference, openapi, openapi_page, variants_page
from tradewind.serving.server.http.messages import Request
from tradewind.serving.server.http.routes import Routes
from variant_stage import engine_of, multiplier, rated, running

_LOOSE = ("/infer", "/load")
"""Ends of paths whose schema cannot say all that a body must be."""


def _few(count):
    return settings(
        max_examples=count,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )


@pytest.fixture(scope="module")
def address():
    with served(SmallEngine(only=("columns", "texts"))) as found:
        yield f"http://{found}"


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_the_server_keeps_to_its_document(address, mode):
    schema = schemathesis.openapi.from_url(f"{address}/openapi.json")
    operations = [found.ok() for found in schema.get_all_operations()]
    assert len(operations) == 26
    tried = 0
    for operation in operations:
        has_body = bool(list(operation.body))
        if has_body or mode is GenerationMode.POSITIVE:
            tried += _tried(operation, mode, 3 if has_body else 1, address)
    assert tried >= 25


def _tried(operation, mode, count, address):
    """Send an operation's requests, good or bad, and check the answers; how many there were."""
    excluded, tried = [], []
    if operation.path.endswith(_LOOSE):
        excluded = [positive_data_acceptance]
    elif operation.path.startswith("/endpoints"):  # ModelError is a status that schemathesis does not expect
        excluded = [positive_data_acceptance, negative_data_rejection]

    @_few(count)
    @given(operation.as_strategy(mode))
    def keeps_to_it(case):
        tried.append(case)
        case.call_and_validate(base_url=address, excluded_checks=excluded)

    keeps_to_it()
    return len(tried)


def test_a_model_is_told_as_its_signature_says():
    engine = SmallEngine(only=("columns", "labelled"))
    engine.state["labelled"] = "UNAVAILABLE"
    routes = routes_of(engine)
    response = ask(routes, "GET", "/openapi.json")
    said = json.loads(response.body)
    assert said["openapi"] == "3.1.0" and "security" not in said
    assert "/v2/models/columns/infer" in said["paths"] and "/v2/models/labelled/infer" not in said["paths"]
    content = said["paths"]["/v1/models/columns:predict"]["post"]["requestBody"]["content"][
        "application/json"
    ]
    row = content["schema"]["properties"]["instances"]["items"]
    assert row["required"] == ["height", "count"]
    assert row["properties"]["count"] == {"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1}
    assert (
        ask(routes, "POST", "/v1/models/columns:predict", json.dumps(content["example"]).encode()).status
        == 200
    )
    infer = said["paths"]["/v2/models/columns/infer"]["post"]["requestBody"]["content"]["application/json"]
    assert (
        ask(routes, "POST", "/v2/models/columns/infer", json.dumps(infer["example"]).encode()).status == 200
    )
    invoke = said["paths"]["/endpoints/columns/invocations"]["post"]["requestBody"]["content"]
    sent = invoke["text/csv"]["example"].encode()
    assert ask(routes, "POST", "/endpoints/columns/invocations", sent, Content_Type="text/csv").status == 200


def test_only_routes_that_are_there_are_told():
    routes, engine = Routes(), SmallEngine(only=("columns",))
    open_inference.add_routes(routes, engine)
    said = openapi.document(engine, routes, secured=True)
    assert "/v2" in said["paths"]
    assert not [path for path in said["paths"] if not path.startswith("/v2")]
    assert "/v2/repository/index" not in said["paths"]
    assert said["security"] == [{"token": []}]


def test_names_are_quoted_in_paths():
    engine = SmallEngine(only=("columns",))
    engine.models = {"team/a b": engine.models["columns"]}
    engine.state = {"team/a b": "READY"}
    routes = routes_of(engine)
    path = "/v2/models/team%2Fa%20b/infer"
    example = json.loads(ask(routes, "GET", "/openapi.json").body)["paths"][path]["post"]["requestBody"][
        "content"
    ]
    body = json.dumps(example["application/json"]["example"]).encode()
    assert ask(routes, "POST", path, body).status == 200


def test_the_variants_are_described_where_they_are_served(tmp_path):
    assert (
        "/v2/variants" not in json.loads(ask(routes_of(SmallEngine()), "GET", "/openapi.json").body)["paths"]
    )
    engine = engine_of([rated(multiplier(tmp_path / "small.onnx", 2), accuracy=0.8)])

    async def main(engine):
        routes = Routes()
        open_inference.add_routes(routes, engine)
        variants_page.add_routes(routes, engine)
        openapi_page.add_routes(routes, engine)
        answers = {}
        for path in ("/openapi.json", "/v2/variants"):
            match = routes.find("GET", path)
            answers[path] = json.loads(
                (await match.route.handler(Request("GET", path, "", {}, b"", 0.0))).body
            )
        found.update(answers)

    found = {}
    running(engine, main)
    schema = schemathesis.openapi.from_dict(found["/openapi.json"])
    operation = schema["/v2/variants"]["GET"]
    asked = requests.Request("GET", "http://tradewind/v2/variants").prepare()
    for replicas, right in ((1, True), ("one", False)):
        found["/v2/variants"]["variants"][0]["replicas"] = replicas
        body = json.dumps(found["/v2/variants"]).encode()
        said = Answered(200, {"content-type": ["application/json"]}, body, asked, 0.0, True)
        if right:
            operation.validate_response(said)
        else:
            with pytest.raises(BaseException, match="one"):
                operation.validate_response(said)
