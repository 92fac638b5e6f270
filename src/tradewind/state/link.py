"""Requests to one server, answered in their order, and asked again until they are answered."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from typing import Any

from msgspec import Struct
from numpy.typing import NDArray

from tradewind.clock import stopwatch
from tradewind.errors import Corrupt, Misuse, Permanent, TradewindError, Unreachable
from tradewind.state.codec import RAW, Buffer, Codec, Packed, pack, unpack
from tradewind.state.messages import Message, Operation, Ping, Reply, Request, header, reply_of
from tradewind.state.transport.interface import Channel


class RolledBack(TradewindError):
    """The state went back or moved, or something was lost on the way: host the worker again."""


class Elsewhere(RolledBack):
    """The address does not have the shard, or has it as a backup only."""


class Ousted(Permanent):
    """Another process hosts the worker now, or it was given up: stop working on it."""


class Patience(Struct, frozen=True):
    """How a client bears silence."""

    ask_again: float = 1.0
    """Seconds of the wall without a sign after which the server is asked whether it still knows the request;
    after as many again, the connection is made anew and the request sent again. So a server that died is
    noticed within twice this."""
    give_up: float = 60.0
    """Seconds of the wall without a sign after which the server counts as unreachable."""


class Link:
    """A channel with numbered requests; a lost, late or repeated message on it changes nothing."""

    def __init__(
        self,
        channel: Channel,
        patience: Patience,
        *,
        shard: int = 0,
        address: str = "the state's server",
        doubt: Callable[[], None] | None = None,
    ) -> None:
        """`shard` is what all requests are about. `doubt` is called at every silence, and may raise."""
        self.channel = channel
        self.shard, self.address = shard, address
        self.client = uuid.uuid4().hex
        """Tells the clients of a server apart; results never depend on it."""
        self.codec: Codec = RAW
        self._patience, self._doubt = patience, doubt
        self._silence, self._silent = stopwatch(), 0
        self._number = 0
        self._sent: dict[int, list[Buffer]] = {}
        self._early: dict[int, tuple[Reply, Sequence[Buffer]]] = {}

    @property
    def outstanding(self) -> int:
        """How many requests wait for their answers."""
        return len(self._sent)

    def abandon(self) -> None:
        """Wait for no answer any more."""
        self._sent.clear()
        self._early.clear()

    def pack(self, array: NDArray[Any], frames: list[Buffer]) -> Packed:
        """The array's description; its bytes are appended to `frames`."""
        packed, body = pack(array, self.codec)
        frames.append(body)
        return packed

    def post(
        self, operations: Sequence[Operation], frames: Sequence[Buffer] = (), *, worker: int | None = None,
        epoch: int = 0, tenure: int = 0,
    ) -> None:  # fmt: skip
        """Send a request; `answer` waits for what comes back."""
        self._number += 1
        request = Request(self.client, self._number, list(operations), worker, epoch, tenure, self.shard)
        self._sent[self._number] = message = [header(request), *frames]
        self._hear()
        self.channel.send(message)

    def answer(self) -> tuple[dict[str, Any], list[NDArray[Any]]]:
        """What the server says to the oldest request that waits.

        RolledBack, Ousted or Misuse if it refuses, Unreachable after `Patience.give_up` of silence.
        """
        number = next(iter(self._sent))
        self._hear()
        while number not in self._early:
            message = self.channel.receive(self._patience.ask_again)
            if message is None:
                self._remind(number)
            else:
                self._take(message, number)
        del self._sent[number]
        return self._accepted(*self._early.pop(number))

    def poll(self, timeout: float = 0.0) -> tuple[dict[str, Any], list[NDArray[Any]]] | None:
        """As `answer`, if the answer comes within `timeout` seconds of the wall; None otherwise."""
        number = next(iter(self._sent))
        while number not in self._early:
            message = self.channel.receive(timeout)
            timeout = 0.0
            if message is None:
                if self._silence() >= (self._silent + 1) * self._patience.ask_again:
                    self._remind(number)
                return None
            self._take(message, number)
        del self._sent[number]
        return self._accepted(*self._early.pop(number))

    def pause(self, seconds: float) -> None:
        """Wait a little, while nothing is outstanding."""
        self.channel.receive(seconds)

    def _hear(self) -> None:
        self._silence, self._silent = stopwatch(), 0

    def _remind(self, number: int) -> None:
        self._silent += 1
        if self._silence() > self._patience.give_up:
            self.abandon()
            raise Unreachable(f"{self.address} was silent for {self._patience.give_up:g} s")
        if self._doubt is not None:
            self._doubt()
        if self._silent % 2:
            self.channel.send([header(Request(self.client, number, [Ping()], shard=self.shard))])
        else:
            self.channel.reconnect()
            self._send_again()

    def _take(self, message: Message, number: int) -> None:
        """Note an answer; `number` is the request that is waited for."""
        try:
            reply = reply_of(message)
        except Corrupt:
            return
        if reply.number not in self._sent:
            return
        self._hear()
        if reply.kind == "unknown":
            self._send_again()
        # a later request may be refused only because this one is not there yet: it is asked again
        elif reply.kind == "done" or (reply.number == number and reply.kind != "waiting"):
            self._early[reply.number] = reply, message[1:]

    def _send_again(self) -> None:
        for number, message in self._sent.items():
            if number not in self._early:
                self.channel.send(message)

    def _accepted(self, reply: Reply, bodies: Sequence[Buffer]) -> tuple[dict[str, Any], list[NDArray[Any]]]:
        match reply.kind:
            case "done":
                if len(bodies) != len(reply.arrays):
                    raise Corrupt("an answer whose frames are not those that it names")
                arrays = [unpack(packed, body) for packed, body in zip(reply.arrays, bodies, strict=True)]
                return reply.value, arrays
            case "misuse":
                said = reply.value
                # its text is whole already; its parts are for whoever reads them apart
                refusal = Misuse(str(said.get("problem", "")))
                refusal.source = str(said.get("source", ""))
                refusal.field, refusal.fix = str(said.get("field", "")), str(said.get("fix", ""))
                raise refusal
            case "ousted":
                raise Ousted("another process hosts this worker")
            case "moved":
                raise Elsewhere(f"{self.address} does not serve shard {self.shard}")
            case _:
                raise RolledBack(f"the server says {reply.kind}")
