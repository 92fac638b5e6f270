"""A process of a state: some shards behind one address, served or kept as backups.

The reliable host is at the job's fixed address. It begins with every shard, serves them all at first, and
keeps the routing. Active hosts begin empty; they are given shards to serve, which they fetch from the
reliable host and stream back to it. All changes of places are driven from outside: see `placing`.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from tradewind.errors import Corrupt, Misuse, TradewindError
from tradewind.state import messages as says
from tradewind.state.codec import RAW, Buffer, Packed, pack
from tradewind.state.consistency import BulkSynchronous
from tradewind.state.engine import Engine
from tradewind.state.link import Link, Patience
from tradewind.state.messages import Message, Reply, Request, header, request_of
from tradewind.state.routing import StateRouting
from tradewind.state.server import Answer
from tradewind.state.shard import Shard
from tradewind.state.snapshot import snapshot_of
from tradewind.state.stream import Stream
from tradewind.state.table import load_kernels
from tradewind.state.transport.interface import Channel

Connect = Callable[[str], Channel]

_PATIENT = Patience(1.0, float("inf"))
_REGISTER = (says.Route, says.Draw, says.Cut, says.Publish, says.TakeAll)


@dataclass(slots=True)
class _Register:
    """Who serves what, and the epoch that was drawn last."""

    address: str
    routing: StateRouting
    drawn: int
    broken: bool = False
    """Whether shards were cut off from whoever served them, and no others serve them yet."""
    tokens: dict[str, int] = field(default_factory=dict)
    """The epoch of each drawing."""


@dataclass(slots=True)
class _Arrival:
    """A shard on its way here."""

    epoch: int
    link: Link
    refused: bool = False
    """Whether another epoch was drawn since."""


class ShardHost:
    """Answers what clients, controllers and other hosts say; not for several threads at once.

    Made by `reliable` or `active`. `serve` drives it in a process of its own.
    """

    def __init__(
        self, shards: dict[int, Shard], register: _Register | None, connect: Connect, patience: Patience
    ) -> None:
        load_kernels()  # now, and not when a shard arrives that others wait for
        self.shards = shards
        self.stopped = False
        """Whether a controller asked to stop."""
        self._register = register
        self._connect, self._patience = connect, patience
        self._arrivals: dict[int, _Arrival] = {}
        for shard in shards.values():
            shard.permits = self._permits

    @classmethod
    def reliable(cls, engines: Sequence[Engine], address: str) -> ShardHost:
        """The host that has every shard, one an engine, at the address that clients know."""
        if not engines:
            raise Misuse("no shards", field="engines", fix="Give one engine a shard.")
        epoch = max(engine.epoch for engine in engines)
        for engine in engines:
            engine.epoch = epoch
        places = (address,) * len(engines)
        register = _Register(address, StateRouting(0, epoch, places, places), epoch)
        shards = {number: Shard(engine) for number, engine in enumerate(engines)}
        life = uuid.uuid4().hex
        for shard in shards.values():
            shard.life = life
        return cls(shards, register, _nowhere, _PATIENT)

    @classmethod
    def active(cls, connect: Connect, *, patience: Patience = _PATIENT) -> ShardHost:
        """An empty host, which reaches others through `connect`."""
        return cls({}, None, connect, patience)

    @property
    def routing(self) -> StateRouting:
        """Where the shards are; kept by the reliable host only."""
        if self._register is None:
            raise Misuse("an active host keeps no routing", field="routing", fix="Ask the reliable host.")
        return self._register.routing

    @property
    def channels(self) -> list[Channel]:
        """On which answers to this host may come."""
        streams = [shard.stream for shard in self.shards.values() if shard.stream is not None]
        links = [stream.link for stream in streams] + [each.link for each in self._arrivals.values()]
        return [link.channel for link in links if link.outstanding]

    def handle(self, peer: Hashable, frames: Message) -> list[Answer]:
        """Take a message in; the answers that can be given now, to it and to others that waited."""
        try:
            request = request_of(frames)
        except Corrupt:
            return []
        first = request.operations[0] if request.operations else None
        shard = self.shards.get(request.shard)
        if isinstance(first, _REGISTER):
            answers = self._registered(peer, request, first)
        elif isinstance(first, says.Assign):
            answers = [(peer, self._assign(request, first))]
        elif isinstance(first, says.Discard):
            answers = self._discard(peer, request, first)
        elif isinstance(first, says.Stop):
            self.stopped = True
            answers = [(peer, _reply(request.number, "done"))]
        elif shard is None:
            answers = [(peer, _reply(request.number, "moved"))]
        else:
            answers = shard.take(peer, request, frames)
        return answers + self.background()

    def background(self) -> list[Answer]:
        """Go on with what needs no request: images, arrivals, commits; the answers that this sets free."""
        answers: list[Answer] = []
        for number, arrival in list(self._arrivals.items()):
            answers += self._receive(number, arrival)
        self._commit()
        for number, shard in list(self.shards.items()):
            if not shard.stream_on():
                answers += self._drop(number)
                continue
            answers += shard.stir()
            # what was set free may have ended a round
            if not shard.stream_on():
                answers += self._drop(number)
        return answers

    def close(self) -> None:
        """Let go of the channels to other hosts; may be called twice."""
        for shard in self.shards.values():
            if shard.stream is not None:
                shard.stream.link.channel.close()
        for arrival in self._arrivals.values():
            arrival.link.channel.close()

    # placing

    def _assign(self, request: Request, told: says.Assign) -> list[Buffer]:
        number, shard = request.shard, self.shards.get(request.shard)
        here = shard is not None and shard.engine.epoch == told.epoch
        if here and shard is not None and (told.keep or shard.arrived == told.epoch):
            return _reply(request.number, "done", {"ready": True})
        arrival = self._arrivals.get(number)
        if arrival is None or arrival.epoch != told.epoch:
            link = Link(self._connect(told.backup), self._patience, shard=number, address=told.backup)
            link.post([says.Fetch(told.epoch)])
            if arrival is not None:
                arrival.link.channel.close()
            self._arrivals[number] = arrival = _Arrival(told.epoch, link)
        if arrival.refused:
            return _reply(request.number, "rolled_back")
        return _reply(request.number, "done", {"ready": False})

    def _receive(self, number: int, arrival: _Arrival) -> list[Answer]:
        """Take over a shard that was fetched, in place of what is known of it here."""
        if arrival.refused:
            return []
        try:
            answer = arrival.link.poll()
            if answer is None:
                return []
            value, arrays = answer
            snapshot = snapshot_of(dict(zip(value["names"], arrays, strict=True)), value["header"])
        except TradewindError:
            # whoever drew this epoch was overtaken by another
            arrival.refused = True
            arrival.link.channel.close()
            return []
        del self._arrivals[number]
        answers = self._drop(number)
        engine = Engine.restore(snapshot, epoch=arrival.epoch)
        engine.tokens = dict(value["tokens"])
        shard = Shard(engine, stream=Stream(engine, arrival.link))
        shard.arrived, shard.life = arrival.epoch, value["life"]
        self.shards[number] = shard
        return answers

    def _discard(self, peer: Hashable, request: Request, told: says.Discard) -> list[Answer]:
        shard = self.shards.get(request.shard)
        answers: list[Answer] = []
        if self._register is None and shard is not None and shard.engine.epoch <= told.epoch:
            answers = self._drop(request.shard)
        return [(peer, _reply(request.number, "done")), *answers]

    def _drop(self, number: int) -> list[Answer]:
        """Forget a shard; what those are told who waited."""
        shard = self.shards.pop(number, None)
        if shard is None:
            return []
        if shard.stream is not None:
            shard.stream.link.channel.close()
        return shard.dismiss()

    def _commit(self) -> None:
        """Take in the images of every clock that all backups have."""
        backups = [shard for shard in self.shards.values() if not shard.serving]
        if backups:
            bulk = isinstance(backups[0].engine.consistency, BulkSynchronous)
            committed = min(shard.staged for shard in backups) if bulk else None
            for shard in backups:
                shard.commit(committed)

    # the register

    def _permits(self, epoch: int) -> bool:
        return self._register is not None and epoch == self._register.drawn

    def _registered(self, peer: Hashable, request: Request, told: says.Operation) -> list[Answer]:
        register = self._register
        if register is None:
            return [(peer, _reply(request.number, "moved"))]
        answers: list[Answer] = []
        value: dict[str, Any] = {}
        frames: list[Buffer] = []
        packed: list[Packed] = []
        match told:
            case says.Route():
                value = msgspec.to_builtins(register.routing)
            case says.Draw(token):
                if token not in register.tokens:
                    epochs = [shard.engine.epoch for shard in self.shards.values()]
                    register.drawn = max(register.drawn, *epochs) + 1
                    register.tokens[token] = register.drawn
                value = {
                    "epoch": register.tokens[token],
                    "broken": register.broken,
                    "routing": msgspec.to_builtins(register.routing),
                }
            case says.TakeAll():
                value, packed, frames = self._whole()
            case says.Cut(epoch) | says.Publish(epoch) if not self._permits(epoch):
                return [(peer, _reply(request.number, "rolled_back"))]
            case says.Cut(epoch):
                self._commit()
                for shard in self.shards.values():
                    if not shard.serving:
                        shard.abandon(epoch)
                        register.broken = True
                value = {"shards": [self.shards[k].standing() for k in sorted(self.shards)]}
            case says.Publish(epoch, serving):
                answers = self._publish(register, epoch, serving)
        return [(peer, [*_reply(request.number, "done", value, packed), *frames]), *answers]

    def _publish(self, register: _Register, epoch: int, serving: Sequence[str]) -> list[Answer]:
        """The moment at which a change of places is done, or not: all of it in one step of one process."""
        routing = register.routing
        if routing.epoch == epoch:
            return []
        answers: list[Answer] = []
        for number, shard in self.shards.items():
            answers += shard.become(serving[number] == register.address, epoch)
        register.routing = StateRouting(routing.version + 1, epoch, tuple(serving), routing.backups)
        register.broken = False
        return answers

    def _whole(self) -> tuple[dict[str, Any], list[Packed], list[Buffer]]:
        """All of the state at one moment, part by part; or the news that there is none just now."""
        shards = [self.shards[number] for number in sorted(self.shards)]
        engines = [shard.engine for shard in shards]
        bulk = isinstance(engines[0].consistency, BulkSynchronous)
        if bulk and len({engine.rounds for engine in engines}) > 1:
            return {"apart": True}, [], []
        epoch = max(engine.epoch for engine in engines)
        parts, packed, frames = [], [], []
        for engine in engines:
            arrays, head = engine.snapshot().plain()
            parts.append({"header": {**head, "epoch": epoch}, "names": list(arrays)})
            for array in arrays.values():
                described, body = pack(array, RAW)
                packed.append(described)
                frames.append(body)
        return {"parts": parts}, packed, frames


def _reply(
    number: int, kind: str, value: dict[str, Any] | None = None, packed: list[Packed] | None = None
) -> list[Buffer]:
    return [header(Reply(number, kind, packed or [], value or {}))]


def _nowhere(address: str) -> Channel:
    raise Misuse("a reliable host reaches nobody", field=address, fix="Use an active host.")
