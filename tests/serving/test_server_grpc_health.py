import grpc
import pytest
from grpc_stage import running

from tradewind.serving.server.grpc.messages import open_messages


@pytest.fixture(scope="module")
def server():
    with running() as it:
        yield it


@pytest.fixture
def channel(server):
    with grpc.insecure_channel(server.address) as it:
        yield it


def check(channel, service):
    messages = open_messages()
    ask = channel.unary_unary(
        "/grpc.health.v1.Health/Check", None, messages["grpc.health.v1.HealthCheckResponse"].FromString
    )
    request = messages["grpc.health.v1.HealthCheckRequest"](service=service)
    return ask(request.SerializeToString()).status


def test_health_follows_the_engine(channel, server):
    ready = ("", "readiness", "inference.GRPCInferenceService")
    assert [check(channel, service) for service in (*ready, "liveness")] == [1, 1, 1, 1]
    messages = open_messages()
    request = messages["grpc.health.v1.HealthCheckRequest"]
    watch = channel.unary_stream(
        "/grpc.health.v1.Health/Watch", None, messages["grpc.health.v1.HealthCheckResponse"].FromString
    )
    watched, unknown = (watch(request(service=name).SerializeToString()) for name in ("", "nobody"))
    assert next(watched).status == 1 and next(unknown).status == 3
    server.engine.ready = False
    try:
        assert [check(channel, service) for service in (*ready, "liveness")] == [2, 2, 2, 1]
        assert next(watched).status == 2
    finally:
        server.engine.ready = True
    assert next(watched).status == 1
    listed = channel.unary_unary(
        "/grpc.health.v1.Health/List", None, messages["grpc.health.v1.HealthListResponse"].FromString
    )(b"")
    assert {name: each.status for name, each in listed.statuses.items()} == {
        name: 1 for name in (*ready, "liveness")
    }
    with pytest.raises(grpc.RpcError) as refusal:
        check(channel, "nobody")
    assert refusal.value.code() == grpc.StatusCode.NOT_FOUND
    watched.cancel()
    unknown.cancel()
