"""One server of a state: requests in, answers out, over an engine.

`Server.handle` is a plain function of the engine and a message, without I/O or time, so that every transport
and every test drives the same thing; `serve` is the loop of a server's process.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec
from numpy.typing import NDArray

from tradewind.algorithms.interface import PROGRESS
from tradewind.errors import Corrupt, Misuse, TradewindError
from tradewind.state import messages as says
from tradewind.state.codec import COMPACT, RAW, Buffer, Codec, Packed, agreed, pack, unpack
from tradewind.state.consistency import BulkSynchronous
from tradewind.state.engine import Engine
from tradewind.state.messages import Message, Reply, Request, header, request_of
from tradewind.state.stamp import Receipt, Stamp
from tradewind.state.table import load_kernels
from tradewind.state.transport.interface import Channel, Handler, Listener
from tradewind.state.workers import Update

_EVERYTHING = msgspec.structs.replace(COMPACT, values="float16")

Answer = tuple[Hashable, list[Buffer]]
"""A peer and the message for it."""


@dataclass(slots=True)
class Pending:
    """A request on its way through its operations."""

    peer: Hashable
    request: Request
    frames: Message
    at: int = 0
    """The next operation."""
    frame: int = 1
    """The next frame."""
    arrays: list[NDArray[Any]] = field(default_factory=list)
    value: dict[str, Any] = field(default_factory=dict)


class Refused(Exception):
    """Ends a request with a reply of that kind."""

    def __init__(self, kind: str) -> None:
        self.kind = kind


class Server:
    """Answers requests from an engine; not for several threads at once.

    Made before the threads that use it, so that they find numba loaded.
    """

    def __init__(self, engine: Engine, *, allowed: Codec = _EVERYTHING) -> None:
        load_kernels()
        self.engine = engine
        self.stopped = False
        """Whether a controller asked to stop."""
        self.channels: Sequence[Channel] = ()
        """On which answers to it may come: none, it asks nobody."""
        self.bytes_in = self.bytes_out = 0
        self._allowed = allowed
        self._codecs: dict[str, Codec] = {}
        self._parked: dict[str, Pending] = {}
        self._seen = engine.turn

    def handle(self, peer: Hashable, frames: Message) -> list[Answer]:
        """Take a message in; the answers that can be given now, to it and to others that waited.

        A message that is no request is dropped: there is nobody to tell.
        """
        try:
            request = request_of(frames)
        except Corrupt:
            return []
        return self.take(peer, request, frames) + self.stir()

    def background(self) -> list[Answer]:
        """Nothing goes on here without a request."""
        return []

    def close(self) -> None:
        """Nothing to let go of."""

    def take(self, peer: Hashable, request: Request, frames: Message) -> list[Answer]:
        """Take a request in; the answer to it, if it can be given now."""
        self.bytes_in += sum(len(frame) for frame in frames)
        answers = []
        waiting = self._parked.get(request.client)
        if request.operations and isinstance(request.operations[0], says.Ping):
            known = waiting is not None and waiting.request.number == request.number
            if known and waiting is not None:
                waiting.peer = peer
            answers.append(self._answer(peer, Reply(request.number, "waiting" if known else "unknown")))
        elif waiting is not None and waiting.request.number > request.number:
            pass  # a late copy of a request whose answer the client already has
        else:
            self._parked.pop(request.client, None)
            answers += self._go_on(Pending(peer, request, frames))
        return answers

    def stir(self) -> list[Answer]:
        """The answers to those that waited and need not any more."""
        answers: list[Answer] = []
        while self._seen != self.engine.turn:
            self._seen = self.engine.turn
            for pending in list(self._parked.values()):
                answers += self._go_on(pending)
        return answers

    def _go_on(self, pending: Pending) -> list[Answer]:
        """Do what can be done of the request; its answer if that is all."""
        request = pending.request
        try:
            while pending.at < len(request.operations):
                if request.worker is not None:
                    self._current(request)
                if not self._do(pending, request.operations[pending.at]):
                    self._parked[request.client] = pending
                    return []
                pending.at += 1
            packed: list[Packed] = []
            bodies: list[Buffer] = []
            codec = self._codecs.get(request.client, RAW)
            for array in pending.arrays:
                described, body = pack(array, codec)
                packed.append(described)
                bodies.append(body)
            answer = self._answer(pending.peer, Reply(request.number, "done", packed, pending.value), bodies)
        except Refused as refusal:
            answer = self._answer(pending.peer, Reply(request.number, refusal.kind))
        except Misuse as problem:
            said = {
                "problem": str(problem),
                "source": problem.source,
                "field": problem.field,
                "fix": problem.fix,
            }
            answer = self._answer(pending.peer, Reply(request.number, "misuse", value=said))
        except (TradewindError, IndexError) as problem:
            said = {"problem": f"the request does not read: {problem}"}
            answer = self._answer(pending.peer, Reply(request.number, "misuse", value=said))
        if self._parked.get(request.client) is pending:
            del self._parked[request.client]
        return [answer]

    def _answer(self, peer: Hashable, reply: Reply, bodies: list[Buffer] | None = None) -> Answer:
        frames: list[Buffer] = [header(reply), *(bodies or [])]
        self.bytes_out += sum(len(frame) for frame in frames)
        return peer, frames

    def _current(self, request: Request) -> None:
        assert request.worker is not None
        if request.epoch != self.engine.epoch:
            self.engine.counts[Receipt.FENCED] += 1
            raise Refused("rolled_back")
        if not self.engine.current(request.worker, request.epoch, request.tenure) and not self._has_left(
            request
        ):
            self.engine.counts[Receipt.FENCED] += 1
            raise Refused("ousted")

    def _has_left(self, request: Request) -> bool:
        """Whether the worker left in this very tenure: what it asks again gets the same answer."""
        assert request.worker is not None
        record = self.engine.workers()[request.worker]
        return bool(record["left"]) and record["tenure"] == request.tenure

    def _array(self, pending: Pending, packed: Packed) -> NDArray[Any]:
        array = unpack(packed, pending.frames[pending.frame])
        pending.frame += 1
        return array

    def _do(self, pending: Pending, operation: says.Operation) -> bool:
        """Do one operation; whether it is done, or must wait."""
        engine, request = self.engine, pending.request
        worker = request.worker
        match operation:
            case says.Push(clock, sequence, key, delta, rows):
                updates: list[Update] = []
                if delta is not None:
                    values = self._array(pending, delta)
                    places = None if rows is None else self._array(pending, rows)
                    updates.append(Update(key, values, places))
                stamp = Stamp(self._working(worker), request.epoch, clock, sequence)
                self._refuse(engine.push(stamp, updates, request.tenure))
            case says.Arrive(clock, pushes):
                self._refuse(
                    engine.arrive(
                        self._working(worker), clock, pushes, epoch=request.epoch, tenure=request.tenure
                    )
                )
            case says.Wait():
                return engine.may_go(self._working(worker))
            case says.Pull(key, rows):
                at = pending.frame
                places = None if rows is None else self._array(pending, rows)
                found = engine.pull(worker, key, places)
                if found is None:
                    pending.frame = at
                    return False
                pending.arrays.append(found)
            case says.Present(key):
                pending.arrays.append(engine.table(key).present())
            case says.Leave():
                # asked again after it was done, it is done
                if not self._has_left(request):
                    self._refuse(
                        engine.leave(self._working(worker), tenure=request.tenure, epoch=request.epoch)
                    )
            case says.Release():
                self._refuse(
                    engine.release(self._working(worker), tenure=request.tenure, epoch=request.epoch)
                )
            case says.Hello(protocol, codec):
                self._greet(pending, protocol, codec)
            case says.Create(layout, token, value):
                self._thawed()
                engine.create(layout, self._array(pending, value), token)
            case says.Claim() | says.Host() | says.Settle():
                self._host(pending, operation)
            case says.Take(at):
                return self._take(pending, at)
            case _:
                self._control(pending, operation)
        return True

    def _working(self, worker: int | None) -> int:
        if worker is None:
            raise Misuse("a reader hosts no worker", field="worker", fix="Host a worker before pushing.")
        return worker

    def _refuse(self, receipt: Receipt) -> None:
        if receipt is Receipt.FENCED:
            raise Refused("ousted")
        if receipt is Receipt.GAP:
            raise Refused("gap")

    def _thawed(self) -> None:
        if self.engine.frozen:
            raise Refused("frozen")

    def _here(self, epoch: int) -> None:
        self._thawed()
        if epoch != self.engine.epoch:
            raise Refused("rolled_back")

    def _greet(self, pending: Pending, protocol: int, codec: Codec) -> None:
        if protocol != says.PROTOCOL:
            raise Misuse(
                f"the client speaks protocol {protocol}, this server {says.PROTOCOL}",
                fix="Use one version of Tradewind in a job.",
            )
        self._thawed()
        engine = self.engine
        self._codecs[pending.request.client] = codec = agreed(codec, self._allowed)
        pending.value.update(
            epoch=engine.epoch,
            partitions=engine.partitions,
            owned=list(engine.owned),
            workers=len(engine.workers()),
            consistency=msgspec.to_builtins(engine.consistency),
            tables=[msgspec.to_builtins(table.layout) for table in engine.tables.values()],
            codec=msgspec.to_builtins(codec),
        )

    def _host(self, pending: Pending, operation: says.Claim | says.Host | says.Settle) -> None:
        engine = self.engine
        self._here(operation.epoch)
        match operation:
            case says.Claim(worker):
                tenure = engine.claim(worker)
                if tenure is None:
                    raise Refused("ousted")
                pending.value["tenure"] = tenure
                return
            case says.Host(worker, given):
                position = engine.host(worker, given)
            case says.Settle(worker, given, clock, begin):
                position = engine.settle(worker, given, clock, begin)
        if position is None:
            raise Refused("ousted")
        pending.value.update(msgspec.to_builtins(position))

    def _take(self, pending: Pending, at: int | None) -> bool:
        engine = self.engine
        if at is not None and not engine.finished:
            if engine.rounds < at:
                return False
            if engine.rounds > at:
                pending.value["passed"] = engine.rounds
                return True
        arrays, head = engine.snapshot().plain()
        pending.value.update(header=head, names=list(arrays))
        pending.arrays += arrays.values()
        return True

    def _control(self, pending: Pending, operation: says.Operation) -> None:
        engine = self.engine
        match operation:
            case says.Status():
                pending.value.update(self.status())
            case says.Lose(tenures, epoch):
                if epoch == engine.epoch:
                    engine.lose(tenures)
            case says.Forsake(worker):
                self._thawed()
                engine.forsake(worker)
            case says.NewEpoch(epoch):
                if engine.epoch < epoch:
                    engine.advance_epoch()
                pending.value["epoch"] = engine.epoch
            case says.Stop():
                self.stopped = True

    def status(self) -> dict[str, Any]:
        """How things stand, as plain values."""
        engine = self.engine
        progress = [0.0, 0.0]
        if PROGRESS in engine.tables:
            table = engine.tables[PROGRESS]
            for row, value in zip(
                table.present().tolist(), table.read(None).sum(axis=1).tolist(), strict=True
            ):
                progress[min(row, 1)] = value
        return {
            "epoch": engine.epoch,
            "rounds": engine.rounds,
            "workers": list(engine.workers()),
            "progress": progress,
            "counts": {receipt.value: count for receipt, count in engine.counts.items()},
            "waiting": len(self._parked),
            "bytes_in": self.bytes_in,
            "bytes_out": self.bytes_out,
            "finished": engine.finished,
            "frozen": engine.frozen,
            "bulk": isinstance(engine.consistency, BulkSynchronous),
        }


class Servant(Handler, Protocol):
    """What `serve` drives: a `Server`, or a `state.shard_host.ShardHost`."""

    stopped: bool

    @property
    def channels(self) -> Sequence[Channel]:
        """On which answers to it may come."""
        ...

    def background(self) -> Sequence[tuple[Hashable, Message]]:
        """Go on with what needs no request; the answers that this sets free."""
        ...

    def close(self) -> None:
        """Let go of all channels; may be called twice."""
        ...


def serve(server: Servant, listener: Listener, *, stop: Callable[[], bool] = lambda: False) -> None:
    """Answer until a controller asks to stop or `stop()` is true; looked at four times a second."""
    try:
        while not server.stopped and not stop():
            received = listener.receive(0.25, server.channels)
            answers = server.background() if received is None else server.handle(*received)
            for peer, frames in answers:
                listener.send(peer, frames)
    finally:
        server.close()
