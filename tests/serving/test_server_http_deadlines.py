"""Until when an answer is wanted."""

import pytest

from tradewind.serving.calls import Refusal, RefusalKind
from tradewind.serving.server.http.deadlines import deadline_of
from tradewind.serving.server.http.messages import Request


def _request(**headers):
    return Request("POST", "/", "", {k.replace("_", "-"): v for k, v in headers.items()}, b"", arrived=100.0)


@pytest.mark.parametrize(
    ("headers", "microseconds", "left"),
    [
        ({}, None, None),
        ({}, 0, None),
        ({}, 250_000, 0.25),
        ({"x_request_timeout_ms": "40"}, None, 0.04),
        ({"x_request_timeout_seconds": "1.5"}, None, 1.5),
        ({"x_envoy_expected_rq_timeout_ms": "15000"}, None, 15.0),
        ({"x_amzn_sagemaker_invocationtimeoutseconds": "60"}, None, 60.0),
        ({"grpc_timeout": "3S"}, None, 3.0),
        ({"grpc_timeout": "20m"}, None, 0.02),
        ({"grpc_timeout": "1H"}, None, 3600.0),
        ({"x_request_timeout_ms": "0"}, None, None),
        ({"x_request_timeout_ms": "500", "grpc_timeout": "1S"}, 2_000_000, 0.5),
        ({"x_request_timeout_ms": "500", "grpc_timeout": "1S"}, 100, 1e-4),
    ],
)
def test_the_shortest_time_counts_from_the_arrival(headers, microseconds, left):
    found = deadline_of(_request(**headers), microseconds)
    assert found is None if left is None else found == pytest.approx(100.0 + left)


@pytest.mark.parametrize(
    ("headers", "microseconds"),
    [
        ({"x_request_timeout_ms": "soon"}, None),
        ({"x_request_timeout_ms": "-1"}, None),
        ({"x_request_timeout_ms": "nan"}, None),
        ({"x_request_timeout_seconds": "inf"}, None),
        ({"grpc_timeout": "5"}, None),
        ({"grpc_timeout": "123456789S"}, None),
        ({"grpc_timeout": ""}, None),
        ({}, 1.5),
        ({}, True),
        ({}, "5"),
    ],
)
def test_what_is_no_time_is_refused(headers, microseconds):
    with pytest.raises(Refusal) as refused:
        deadline_of(_request(**headers), microseconds)
    assert refused.value.kind is RefusalKind.MALFORMED
