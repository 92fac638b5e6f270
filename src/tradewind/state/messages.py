"""What clients and servers say to each other: a msgpack header, then one raw frame an array."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from tradewind.errors import Corrupt
from tradewind.state.codec import Buffer, Codec, Packed
from tradewind.state.table import Layout

Message = Sequence[Buffer]
"""Frames: the header first."""

PROTOCOL = 1
"""Raised by every change that an older side would not understand."""


class Hello(Struct, tag="hello", frozen=True, array_like=True):
    """Tell me of the state, and how we shall write arrays."""

    protocol: int
    codec: Codec


class Create(Struct, tag="create", frozen=True, array_like=True):
    """Register a table; its rows that lie at the server are in the frame."""

    layout: Layout
    token: str
    value: Packed


class Claim(Struct, tag="claim", frozen=True, array_like=True):
    """Draw a new tenure for the worker; asked of the first server only."""

    worker: int


class Host(Struct, tag="host", frozen=True, array_like=True):
    """I host the worker, in this tenure."""

    worker: int
    tenure: int


class Settle(Struct, tag="settle", frozen=True, array_like=True):
    """The worker begins at this clock."""

    worker: int
    tenure: int
    clock: int


class Push(Struct, tag="push", frozen=True, array_like=True):
    """A push to one table: its delta in a frame, then its rows in another unless it is to all."""

    clock: int
    sequence: int
    key: str
    delta: Packed | None
    """None where no row of this push lies at this server: it only counts."""
    rows: Packed | None = None


class Arrive(Struct, tag="arrive", frozen=True, array_like=True):
    """I end this clock, in which I pushed so often."""

    clock: int
    pushes: int


class Wait(Struct, tag="wait", frozen=True, array_like=True):
    """Answer when I may go on."""


class Pull(Struct, tag="pull", frozen=True, array_like=True):
    """Send me rows (in a frame), or all that lie at the server."""

    key: str
    rows: Packed | None = None


class Present(Struct, tag="present", frozen=True, array_like=True):
    """Send me the rows of a sparse table that were pushed to."""

    key: str


class Leave(Struct, tag="leave", frozen=True, array_like=True):
    """I have finished my part."""


class Release(Struct, tag="release", frozen=True, array_like=True):
    """I give the worker back; another will host it."""


class Ping(Struct, tag="ping", frozen=True, array_like=True):
    """Do you still know my last request?"""


class Status(Struct, tag="status", frozen=True, array_like=True):
    """How do things stand?"""


class Take(Struct, tag="take", frozen=True, array_like=True):
    """Send me a snapshot: now, or at the end of that bulk-synchronous round."""

    at: int | None = None


class Lose(Struct, tag="lose", frozen=True, array_like=True):
    """These workers' hosts, of at most these tenures, are dead."""

    tenures: dict[int, int]


class Forsake(Struct, tag="forsake", frozen=True, array_like=True):
    """Give this worker up."""

    worker: int


class NewEpoch(Struct, tag="new_epoch", frozen=True, array_like=True):
    """Begin this epoch, unless you are in it already."""

    epoch: int


class Stop(Struct, tag="stop", frozen=True, array_like=True):
    """Serve no more."""


Operation = (
    Hello | Create | Claim | Host | Settle | Push | Arrive | Wait | Pull | Present | Leave | Release
    | Ping | Status | Take | Lose | Forsake | NewEpoch | Stop
)  # fmt: skip


class Request(Struct, frozen=True, array_like=True):
    """Operations, done in order; answered once all are done."""

    client: str
    number: int
    """Counts a client's requests; the answer carries it."""
    operations: list[Operation]
    worker: int | None = None
    """None for a reader or a controller."""
    epoch: int = 0
    tenure: int = 0


class Reply(Struct, frozen=True, array_like=True):
    """The answer: what the pulls ask for in frames, everything else in `value`."""

    number: int
    kind: str
    """`done`, `waiting`, `unknown`, `rolled_back`, `ousted`, `gap`, `misuse`."""
    arrays: list[Packed] = []
    value: dict[str, Any] = {}
    """Or what is wrong: problem, source, field, fix."""


T = TypeVar("T", Request, Reply)

_ENCODER = msgspec.msgpack.Encoder()
_REQUESTS = msgspec.msgpack.Decoder(Request)
_REPLIES = msgspec.msgpack.Decoder(Reply)


def header(message: Request | Reply) -> bytes:
    """The first frame."""
    return _ENCODER.encode(message)


def request_of(frames: Message) -> Request:
    """The request that begins these frames; Corrupt if none does."""
    return _decoded(_REQUESTS, frames)


def reply_of(frames: Message) -> Reply:
    """The reply that begins these frames; Corrupt if none does."""
    return _decoded(_REPLIES, frames)


def _decoded(decoder: msgspec.msgpack.Decoder[T], frames: Message) -> T:
    try:
        return decoder.decode(frames[0])
    except (msgspec.MsgspecError, IndexError, UnicodeDecodeError) as problem:
        raise Corrupt(f"a message that does not read: {problem}") from problem
