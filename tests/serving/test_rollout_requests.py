"""What of SageMaker's control API is read: the service's own description agrees on names and limits."""

from __future__ import annotations

import botocore.session
import msgspec
import pytest

from tradewind.errors import Misuse
from tradewind.serving.batch_transform.requests import CreateTransformJob
from tradewind.serving.rollout import requests
from tradewind.serving.rollout.requests import read

SERVICE = botocore.session.get_session().get_service_model("sagemaker")
OPERATIONS = {
    "CreateModel": requests.CreateModel,
    "CreateEndpointConfig": requests.CreateEndpointConfig,
    "CreateEndpoint": requests.CreateEndpoint,
    "UpdateEndpoint": requests.UpdateEndpoint,
    "UpdateEndpointWeightsAndCapacities": requests.UpdateWeights,
    "CreateTransformJob": CreateTransformJob,
}


def compared(kind, shape, seen):
    """Every field that is read is one of the service's, under its very name; and so on downwards."""
    for each in msgspec.structs.fields(kind):
        assert each.encode_name in shape.members, (kind, each.encode_name)
        member = shape.members[each.encode_name]
        while member.type_name == "list":
            member = member.member
        if enum := getattr(member, "enum", None):
            choices = [choice for part in _literals(each.type) for choice in part]
            assert set(choices) <= set(enum), (kind, each.encode_name)
        for inner in _structs(each.type):
            if inner not in seen:
                seen.add(inner)
                compared(inner, member, seen)


def _parts(kind):
    yield kind
    for part in getattr(kind, "__args__", ()):
        yield from _parts(part)


def _structs(kind):
    return [part for part in _parts(kind) if isinstance(part, type) and issubclass(part, msgspec.Struct)]


def _literals(kind):
    return [part.__args__ for part in _parts(kind) if "Literal" in str(getattr(part, "__origin__", ""))]


@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_field_is_one_of_the_services(operation) -> None:
    seen = set()
    shape = SERVICE.operation_model(operation).input_shape
    compared(OPERATIONS[operation], shape, seen)
    assert operation == "CreateModel" or seen or operation == "UpdateWeights"
    needed = {
        each.encode_name for each in msgspec.structs.fields(OPERATIONS[operation])
        if each.default is msgspec.NODEFAULT and each.default_factory is msgspec.NODEFAULT
    }  # fmt: skip
    assert needed == set(shape.required_members)


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"EndpointName": "a", "EndpointConfigName": "b" * 64}, "EndpointConfigName"),
        ({"EndpointName": "-a", "EndpointConfigName": "b"}, "EndpointName"),
        ({"EndpointName": "a\n", "EndpointConfigName": "b"}, "EndpointName"),
        ({"EndpointName": "a"}, "EndpointConfigName"),
        ({"EndpointName": 7, "EndpointConfigName": "b"}, "1 validation error detected"),
        ({"EndpointName": "a", "EndpointConfigName": "b", "Deep": [{"ServerlessConfig": {"x": 1}}]},
         "ServerlessConfig is not served"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(told, said) -> None:
    with pytest.raises(Misuse, match=said):
        read(told, requests.CreateEndpoint)


def test_addresses() -> None:
    for taken in ("/a/b", "relative", "file:///a", "s3://bucket/key", "memory://x/y"):
        requests.check_address(taken, "ModelDataUrl")
    for refused in ("http://169.254.169.254/latest", "simplecache::s3://b/k", "ftp://h/x", "a\0b"):
        with pytest.raises(Misuse, match="ModelDataUrl"):
            requests.check_address(refused, "ModelDataUrl")


def test_what_changes_nothing_is_let_by() -> None:
    told = {"EndpointName": "a-1", "EndpointConfigName": "b", "Tags": [], "ExplainerConfig": None}
    assert read(told, requests.CreateEndpoint) == requests.CreateEndpoint("a-1", "b")
