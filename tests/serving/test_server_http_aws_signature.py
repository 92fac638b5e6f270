"""The access key of a signed request."""

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tradewind.serving.server.http.aws_signature import access_key_of


@pytest.mark.parametrize("key", ["AKIAIOSFODNN7EXAMPLE", "a+token/with=signs/in-it"])
def test_the_key_is_found_in_what_botocore_signs(key):
    request = AWSRequest("POST", "http://127.0.0.1/endpoints/m/invocations", data=b"{}")
    SigV4Auth(Credentials(key, "secret"), "sagemaker", "us-east-1").add_auth(request)
    assert access_key_of(request.headers["Authorization"]) == key


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer token",
        "AWS4-HMAC-SHA256",
        "AWS4-HMAC-SHA256 Signature=0",
        "AWS4-HMAC-SHA256 Credential=key",
        "AWS4-HMAC-SHA256 Credential=/20261121/us-east-1/sagemaker/aws4_request",
        "aws4 Credential=key/20261121/us-east-1/sagemaker/aws4_request",
    ],
)
def test_anything_else_has_none(header):
    assert access_key_of(header) is None
