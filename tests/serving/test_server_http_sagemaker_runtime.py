"""SageMaker's runtime API, as boto3 speaks it."""

import io
import json

import boto3
import numpy as np
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from served_wires import ask, routes_of, served
from small_engine import WEIGHTS, SmallEngine, made_rows

from tradewind.serving.calls import Refusal, RefusalKind
from tradewind.serving.server.http import sagemaker_runtime
from tradewind.serving.server.http.routes import Routes

ROWS = made_rows(2)
SCORES = ROWS @ WEIGHTS
BODY = json.dumps({"instances": ROWS.tolist()})


@pytest.fixture(scope="module")
def engine():
    return SmallEngine()


@pytest.fixture(scope="module")
def client(engine):
    with served(engine) as address:
        yield boto3.client(
            "sagemaker-runtime",
            endpoint_url=f"http://{address}",
            region_name="us-east-1",
            aws_access_key_id="key",
            aws_secret_access_key="secret",
            config=Config(retries={"total_max_attempts": 1}, proxies={}),
        )


def test_invoke_endpoint(client, engine):
    said = client.invoke_endpoint(
        EndpointName="linear",
        Body=BODY,
        ContentType="application/json",
        Accept="application/json",
        InferenceId="a 7",
        CustomAttributes="trace=9",
    )
    found = json.loads(said["Body"].read())["predictions"]
    np.testing.assert_array_equal(np.array(found, np.float32), SCORES)
    assert said["ContentType"] == "application/json"
    assert said["InvokedProductionVariant"] == "blue"
    assert said["CustomAttributes"] == "trace=9"
    assert engine.calls[-1].id == "a 7"


def test_bodies_of_every_type_and_none(client):
    for body, type_ in (
        (b"\n".join(b",".join(b"%r" % value for value in row) for row in ROWS.tolist()), "text/csv"),
        (BODY.encode(), "application/json"),
    ):
        said = client.invoke_endpoint(EndpointName="linear", Body=body, ContentType=type_, Accept="text/csv")
        found = np.loadtxt(io.BytesIO(said["Body"].read()), delimiter=",", dtype=np.float32)
        np.testing.assert_array_equal(found, SCORES)
    assert client.invoke_endpoint(EndpointName="linear", Body=BODY)["ContentType"] == "application/json"
    stream = io.BytesIO()
    np.save(stream, ROWS)
    said = client.invoke_endpoint(
        EndpointName="linear",
        Body=stream.getvalue(),
        ContentType="application/x-npy",
        Accept="application/x-npy",
    )
    np.testing.assert_array_equal(np.load(io.BytesIO(said["Body"].read())), SCORES)


def test_variants_and_models_are_chosen_by_header(client, engine):
    said = client.invoke_endpoint(EndpointName="linear", Body=BODY, TargetVariant="green")
    assert said["InvokedProductionVariant"] == "green" and engine.calls[-1].variant == "green"
    client.invoke_endpoint(EndpointName="anything", Body=BODY, TargetModel="linear.tar.gz")
    assert engine.calls[-1].model == "linear"


def test_a_streamed_response_comes_in_one_part(client):
    said = client.invoke_endpoint_with_response_stream(EndpointName="linear", Body=BODY, Accept="text/csv")
    assert said["ContentType"] == "text/csv" and said["InvokedProductionVariant"] == "blue"
    (event,) = list(said["Body"])
    found = np.loadtxt(io.BytesIO(event["PayloadPart"]["Bytes"]), delimiter=",", dtype=np.float32)
    np.testing.assert_array_equal(found, SCORES)


@pytest.mark.parametrize(
    ("endpoint", "more", "code", "status", "said"),
    [
        ("unknown", {}, "ValidationError", 400, "no model 'unknown'"),
        ("linear", {"TargetVariant": "red"}, "ValidationError", 400, "variant 'red' not found"),
        ("linear", {"EnableExplanations": "`true`"}, "ValidationError", 400, "no explainer"),
        ("linear", {"SessionId": "NEW_SESSION"}, "ValidationError", 400, "keep nothing"),
        ("down", {}, "ServiceUnavailable", 503, "no replica"),
        ("busy", {}, "ThrottlingException", 429, "queue is full"),
        ("full", {}, "ModelNotReadyException", 429, "does not fit"),
        ("failing", {}, "ModelError", 424, "Received server error (500) from primary"),
        ("linear", {"Body": "{}"}, "ModelError", 424, "Received client error (400) from primary"),
        ("linear", {"ContentType": "image/png"}, "ModelError", 424, "Received client error (415)"),
    ],
)
def test_errors_are_botocores_own(client, endpoint, more, code, status, said):
    with pytest.raises(ClientError) as raised:
        client.invoke_endpoint(**{"EndpointName": endpoint, "Body": BODY, **more})
    error = raised.value.response["Error"]
    assert error["Code"] == code and said in error["Message"]
    assert raised.value.response["ResponseMetadata"]["HTTPStatusCode"] == status
    if hasattr(client.exceptions, code):
        assert isinstance(raised.value, getattr(client.exceptions, code))


def test_a_model_error_tells_what_the_model_said(client):
    with pytest.raises(client.exceptions.ModelError) as raised:
        client.invoke_endpoint(EndpointName="failing", Body=BODY)
    assert raised.value.response["OriginalStatusCode"] == 500
    assert raised.value.response["OriginalMessage"] == "the model raised ValueError: odd rows"
    assert "LogStreamArn" in raised.value.response


def test_asynchronous_invocation_is_refused_clearly(client):
    with pytest.raises(ClientError, match="use InvokeEndpoint"):
        client.invoke_endpoint_async(EndpointName="linear", InputLocation="s3://bucket/key")


def test_other_errors_and_names_of_endpoints():
    engine, routes = SmallEngine(only=("linear",)), Routes()

    def model_of(endpoint):
        if endpoint != "mine":
            raise Refusal(RefusalKind.NOT_FOUND, f"Endpoint {endpoint} not found.")
        return "linear"

    sagemaker_runtime.add_routes(routes, engine, model_of)
    assert ask(routes, "POST", "/endpoints/mine/invocations", BODY.encode()).status == 200
    response = ask(routes, "POST", "/endpoints/other/invocations", BODY.encode())
    assert json.loads(response.body)["Message"] == "Endpoint other not found."
    unknown = ask(routes_of(engine), "GET", "/endpoints/linear/invocations")
    assert unknown.status == 405 and dict(unknown.headers)["x-amzn-ErrorType"] == "ValidationError"
    for status, code in ((500, "InternalFailure"), (503, "ServiceUnavailable"), (413, "ValidationError")):
        told = sagemaker_runtime.error(status, "text")
        assert json.loads(told.body)["__type"] == code and told.status == status


def test_retry_after_goes_along():
    response = ask(routes_of(SmallEngine()), "POST", "/endpoints/busy/invocations", BODY.encode())
    assert dict(response.headers)["Retry-After"] == "2"
