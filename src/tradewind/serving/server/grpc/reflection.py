"""gRPC's server reflection: which services there are, and their descriptions, for tools such as grpcurl."""

from __future__ import annotations

from typing import Any

from tradewind.serving.server.grpc.messages import Messages

NAMES = ("grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection")
"""Of the service, in full; the older means the same."""
_NOT_FOUND, _UNIMPLEMENTED = 5, 12  # gRPC's status codes, which the protocol carries as numbers


class ReflectionService:
    """Answers from the descriptors of `messages`; `services` are the full names of those served."""

    def __init__(self, messages: Messages, services: tuple[str, ...]) -> None:
        self._pool = messages.pool
        self._services = services
        self._request = messages["grpc.reflection.v1.ServerReflectionRequest"]
        self._response = messages["grpc.reflection.v1.ServerReflectionResponse"]

    def answer(self, data: bytes) -> bytes:
        """The response to a ServerReflectionRequest, both as bytes."""
        request = self._request.FromString(data)
        response = self._response(valid_host=request.host, original_request=request)
        asked = request.WhichOneof("message_request")
        if asked == "list_services":
            for name in self._services:
                response.list_services_response.service.add().name = name
        elif asked in {"file_by_filename", "file_containing_symbol"}:
            self._describe(response, asked, getattr(request, asked))
        else:
            response.error_response.error_code = _UNIMPLEMENTED
            response.error_response.error_message = "these messages have no extensions"
        serialized: bytes = response.SerializeToString()
        return serialized

    def _describe(self, response: Any, asked: str, name: str) -> None:
        by_name = asked == "file_by_filename"
        find = self._pool.FindFileByName if by_name else self._pool.FindFileContainingSymbol
        try:
            file = find(name)
        except KeyError:
            response.error_response.error_code = _NOT_FOUND
            response.error_response.error_message = f"{name!r} is not described here"
            return
        response.file_descriptor_response.file_descriptor_proto.append(file.serialized_pb)
