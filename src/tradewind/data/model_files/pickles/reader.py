"""What the parts of a pickle's reading may ask of the machine that is at work."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from tradewind.data.model_files.findings import Rule
from tradewind.data.model_files.inspection import Allowed, Budget
from tradewind.data.model_files.pickles.stream import Stream


class Reader(Protocol):
    """A machine in the middle of a pickle."""

    allowed: Allowed
    stream: Stream
    nested: list[tuple[Any, str]]
    """Strings that something allowed would load as a file: string, what would load it."""

    def danger(self, rule: Rule, message: str, opcode: str, name: str = "", shown: Any = None) -> None:
        """Tell a finding that blocks."""
        ...

    def called(self, callee: Any, args: Any, opcode: str, kwargs: Any = None) -> Any:
        """The stub of what a call would return, told if the call may not be made."""
        ...


class Decoder(Protocol):
    """A machine whose next value is read."""

    stream: Stream
    budget: Budget
    stack: list[Any]
    memo: dict[int, Any]
    proto: int
    opcodes: int
    append: Callable[[Any], None]

    def danger(self, rule: Rule, message: str, opcode: str, name: str = "", shown: Any = None) -> None:
        """Tell a finding that blocks."""
        ...

    def read(self, count: int) -> bytes:
        """Exactly `count` bytes of the stream."""
        ...

    def readline(self) -> bytes:
        """The bytes up to and with the next line feed."""
        ...

    def noted(self, content: bytes | str) -> None:
        """Tell a string that looks like a pickle in a string."""
        ...
