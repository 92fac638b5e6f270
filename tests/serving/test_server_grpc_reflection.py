import grpc
import pytest
from grpc_stage import running

from tradewind.serving.server.grpc.messages import open_messages


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
def test_reflection_describes_every_service(version):
    with running() as server, grpc.insecure_channel(server.address) as channel:
        check(channel, version)


def check(channel, version):
    messages = open_messages()
    request = messages["grpc.reflection.v1.ServerReflectionRequest"]
    reflect = channel.stream_stream(
        f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
        request.SerializeToString,
        messages["grpc.reflection.v1.ServerReflectionResponse"].FromString,
    )
    listed, described, by_name, unknown, extension = reflect(
        iter(
            [
                request(list_services="*"),
                request(file_containing_symbol="inference.GRPCInferenceService"),
                request(file_by_filename="health.proto"),
                request(file_containing_symbol="nobody"),
                request(all_extension_numbers_of_type="a"),
            ]
        )
    )
    assert {each.name for each in listed.list_services_response.service} == {
        "inference.GRPCInferenceService",
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
    }
    for answer, name in ((described, "open_inference.proto"), (by_name, "health.proto")):
        (file,) = answer.file_descriptor_response.file_descriptor_proto
        assert file == messages.pool.FindFileByName(name).serialized_pb
    assert (unknown.error_response.error_code, extension.error_response.error_code) == (5, 12)
