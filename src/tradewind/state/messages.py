"""What clients and servers say to each other: a msgpack header, then one raw frame an array."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from tradewind.errors import Corrupt
from tradewind.state.codec import Buffer, Codec, Packed
from tradewind.state.image import ImageHead
from tradewind.state.snapshot import WorkerRecord
from tradewind.state.table import Layout

Message = Sequence[Buffer]
"""Frames: the header first."""

PROTOCOL = 2
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
    epoch: int


class Host(Struct, tag="host", frozen=True, array_like=True):
    """I host the worker, in this tenure."""

    worker: int
    tenure: int
    epoch: int


class Settle(Struct, tag="settle", frozen=True, array_like=True):
    """The worker goes on: the latest clock that it is in on any server, and the earliest."""

    worker: int
    tenure: int
    clock: int
    begin: int
    epoch: int


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
    """These workers' hosts, of at most these tenures in this epoch, are dead."""

    tenures: dict[int, int]
    epoch: int


class Forsake(Struct, tag="forsake", frozen=True, array_like=True):
    """Give this worker up."""

    worker: int


class NewEpoch(Struct, tag="new_epoch", frozen=True, array_like=True):
    """Begin this epoch, unless you are in it already."""

    epoch: int


class Stop(Struct, tag="stop", frozen=True, array_like=True):
    """Serve no more."""


# placing shards: see `state.shard_host` and `state.placing`


class Route(Struct, tag="route", frozen=True, array_like=True):
    """Who serves which shard? Asked of the reliable host."""


class Draw(Struct, tag="draw", frozen=True, array_like=True):
    """Draw a new epoch for a change of places; asked of the reliable host."""

    token: str
    """Tells one drawing from another: asked again, the answer is the same."""


class Fence(Struct, tag="fence", frozen=True, array_like=True):
    """Let nobody in from this epoch on; how does the shard stand?"""

    epoch: int


class CloseOut(Struct, tag="close_out", frozen=True, array_like=True):
    """Go to the end of that round, where the workers stand at these clocks, and drop what is unfinished."""

    epoch: int
    rounds: int
    clocks: list[int]


class Flush(Struct, tag="flush", frozen=True, array_like=True):
    """Answer when the backup has all that the shard has."""

    epoch: int


class Cut(Struct, tag="cut", frozen=True, array_like=True):
    """Drop what is staged beyond the committed clock, take in nothing more; asked of the reliable host."""

    epoch: int


class Assign(Struct, tag="assign", frozen=True, array_like=True):
    """You are to serve this shard: fetch it from its backup, unless you have it as it is there."""

    epoch: int
    backup: str
    keep: bool


class TakeAll(Struct, tag="take_all", frozen=True, array_like=True):
    """Send me a snapshot of all shards, of one moment; asked of the reliable host."""


class Publish(Struct, tag="publish", frozen=True, array_like=True):
    """From now on these addresses serve the shards; asked of the reliable host."""

    epoch: int
    serving: list[str]


class Open(Struct, tag="open", frozen=True, array_like=True):
    """Let hosts in: this is how the workers stand everywhere."""

    epoch: int
    workers: list[WorkerRecord]


class Discard(Struct, tag="discard", frozen=True, array_like=True):
    """You do not serve this shard any more."""

    epoch: int


class Fetch(Struct, tag="fetch", frozen=True, array_like=True):
    """Send me the shard that I am to serve from this epoch on; asked of its backup."""

    epoch: int


class Replicate(Struct, tag="replicate", frozen=True, array_like=True):
    """Stage this image of the shard; answered when it is committed."""

    life: str
    """Of the reliable host that the sender fetched the shard from: another one knows nothing of it."""
    lineage: int
    """The epoch in which the sender began to serve the shard: nobody else's images are taken."""
    number: int
    """Counts the sender's images."""
    head: ImageHead
    arrays: list[Packed]


Operation = (
    Hello | Create | Claim | Host | Settle | Push | Arrive | Wait | Pull | Present | Leave | Release
    | Ping | Status | Take | Lose | Forsake | NewEpoch | Stop | Route | Draw | Fence | CloseOut | Flush
    | Cut | TakeAll | Assign | Publish | Open | Discard | Fetch | Replicate
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
    shard: int = 0
    """The shard that it is about."""


class Reply(Struct, frozen=True, array_like=True):
    """The answer: what the pulls ask for in frames, everything else in `value`."""

    number: int
    kind: str
    """`done`, `waiting`, `unknown`, `rolled_back`, `ousted`, `gap`, `moved`, `frozen`, `misuse`."""
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
