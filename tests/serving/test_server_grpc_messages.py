"""The compiled protocols are those of the sources, and the published ones."""

from importlib.resources import files

import pytest
import tritonclient.grpc.model_config_pb2 as published_config
import tritonclient.grpc.service_pb2 as published
from google.protobuf import descriptor_pb2
from grpc_tools import protoc

from tradewind.serving.server.grpc.inference_service import NAME
from tradewind.serving.server.grpc.messages import PROTOCOLS, open_messages

FOLDER = files("tradewind.serving.server.grpc")
SOURCES = ["open_inference.proto", "health.proto", "reflection.proto"]


def test_the_compiled_protocols_are_those_of_the_sources(tmp_path):
    # To make them anew:
    #   cd src/tradewind/serving/server/grpc && python -m grpc_tools.protoc -I . \
    #       --descriptor_set_out=protocols.binpb open_inference.proto health.proto reflection.proto
    made = tmp_path / PROTOCOLS
    assert protoc.main(["", f"-I{FOLDER}", f"--descriptor_set_out={made}", *SOURCES]) == 0
    compiled, shipped = (
        descriptor_pb2.FileDescriptorSet.FromString(path.read_bytes())
        for path in (made, FOLDER.joinpath(PROTOCOLS))
    )
    assert compiled == shipped


def assert_same(ours, theirs, whole):
    assert {field.number for field in ours.fields} <= {field.number for field in theirs.fields}
    if whole:
        assert len(ours.fields) == len(theirs.fields), ours.full_name
    for field in ours.fields:
        other = theirs.fields_by_number[field.number]
        told = [(each.name, each.type, each.is_repeated) for each in (field, other)]
        assert told[0] == told[1], ours.full_name
        oneofs = [each.containing_oneof and each.containing_oneof.name for each in (field, other)]
        assert oneofs[0] == oneofs[1], field.full_name
    for nested in ours.nested_types:
        assert_same(nested, theirs.nested_types_by_name[nested.name], whole)


def test_every_message_and_method_is_the_published_one():
    pool = open_messages().pool
    for name, theirs in published.DESCRIPTOR.message_types_by_name.items():
        assert_same(pool.FindMessageTypeByName(f"inference.{name}"), theirs, whole=True)
    ours = pool.FindFileByName("open_inference.proto").message_types_by_name
    assert "ModelConfig" in ours
    for name in set(ours) & set(published_config.DESCRIPTOR.message_types_by_name):
        assert_same(ours[name], published_config.DESCRIPTOR.message_types_by_name[name], whole=False)
    told = [
        {
            method.name: (
                method.input_type.full_name,
                method.output_type.full_name,
                method.client_streaming,
                method.server_streaming,
            )
            for method in service.methods
        }
        for service in (
            pool.FindServiceByName(NAME),
            published.DESCRIPTOR.services_by_name["GRPCInferenceService"],
        )
    ]
    assert told[0] == told[1]


def test_datatypes_have_the_published_numbers():
    ours = open_messages().pool.FindEnumTypeByName("inference.DataType")
    theirs = published_config.DESCRIPTOR.enum_types_by_name["DataType"]
    assert {value.name: value.number for value in ours.values} == {
        value.name: value.number for value in theirs.values
    }


def test_classes_are_the_servers_own():
    own = open_messages()["inference.ModelInferRequest"]
    assert own is not published.ModelInferRequest
    assert own.FromString(published.ModelInferRequest(id="a").SerializeToString()).id == "a"
    with pytest.raises(KeyError):
        open_messages()["inference.NoSuchMessage"]
