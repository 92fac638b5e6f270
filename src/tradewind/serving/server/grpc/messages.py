"""The classes of the messages that go over gRPC, made from the compiled protocols beside this file.

They live in a descriptor pool of their own: in the default pool the classes of another package for the same
protocol, such as a client's in the same process, would clash with them.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

from tradewind.errors import MissingExtra

PROTOCOLS = "protocols.binpb"
"""The compiled `*.proto` of this folder, a FileDescriptorSet."""


class Messages:
    """Message classes by full name, `messages["inference.ModelInferRequest"]`, and what describes them."""

    def __init__(self) -> None:
        try:
            from google.protobuf import (  # noqa: PLC0415 -- an extra
                descriptor_pb2,
                descriptor_pool,
                message,
                message_factory,
            )
        except ImportError:
            raise MissingExtra("protobuf", "serving", "Serving over gRPC") from None
        compiled = files(__package__).joinpath(PROTOCOLS).read_bytes()
        self.pool = descriptor_pool.DescriptorPool()
        """Finds the protocols' descriptors."""
        self.unreadable: type[Exception] = message.DecodeError
        """What a message class raises for bytes that are no message."""
        self._classes: dict[str, Any] = {}
        found = descriptor_pb2.FileDescriptorSet.FromString(compiled).file
        for file in found:
            self.pool.Add(file)
        for file in found:
            for message_type in self.pool.FindFileByName(file.name).message_types_by_name.values():
                self._keep(message_type, message_factory.GetMessageClass)

    def _keep(self, message_type: Any, class_of: Any) -> None:
        self._classes[message_type.full_name] = class_of(message_type)
        for nested in message_type.nested_types:
            self._keep(nested, class_of)

    def __getitem__(self, name: str) -> Any:
        return self._classes[name]


@cache
def open_messages() -> Messages:
    """The one set of message classes. Raises MissingExtra without protobuf."""
    return Messages()
