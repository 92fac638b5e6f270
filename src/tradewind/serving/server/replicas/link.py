"""The connection to a replica somewhere else: one question at a time, and the news that it is gone."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable

import msgspec

from tradewind.errors import Misuse
from tradewind.serving.models.opening import Opening
from tradewind.serving.server.replicas.frames import Garbled, Header, frame, receive
from tradewind.serving.server.replicas.interface import ModelFailed, ReplicaLost, TookTooLong
from tradewind.serving.tensors import Signature, Tensors


class Opened(msgspec.Struct, frozen=True):
    """What a replica tells of the model that it has opened."""

    signature: Signature
    platform: str
    memory: int
    """Bytes that its process takes."""


class Link:
    """One connection. `ended` is awaited once it breaks: it ends what is left of the other side, and says why
    it broke where this side (`reason`) does not know."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        ended: Callable[[str], Awaitable[str]],
    ) -> None:
        self._reader, self._writer, self._ended = reader, writer, ended
        self._turn = asyncio.Lock()
        self._lost = ""

    async def open(self, opening: Opening, memory_limit: int, within: float) -> Opened:
        """Have the model loaded; Misuse where it cannot be, ReplicaLost where that ends the process."""
        told = {"opening": msgspec.to_builtins(opening), "memory_limit": memory_limit}
        header, _ = await self._ask(Header("open", told), None, within)
        if header.do != "opened":
            raise Misuse(header.reason)
        return msgspec.convert(header.told | {"memory": header.memory}, Opened)

    async def run(self, inputs: Tensors, within: float) -> tuple[Tensors, int, bool]:
        """The outputs for one batch, the bytes that the replica takes now, and whether it ends after this."""
        header, outputs = await self._ask(Header("run"), inputs, within)
        if header.do == "failed":
            raise ModelFailed(header.reason)
        return outputs, header.memory, header.leaving

    def close(self) -> None:
        """Let go; the other side sees the end and ends."""
        self._lost = self._lost or "it was closed"
        self._writer.close()

    async def _ask(self, header: Header, tensors: Tensors | None, within: float) -> tuple[Header, Tensors]:
        async with self._turn:
            if self._lost:
                raise ReplicaLost(self._lost)
            answered = False
            try:
                async with asyncio.timeout(within):
                    self._writer.writelines(frame(header, tensors))
                    await self._writer.drain()
                    answer = await receive(self._reader)
                answered = True
                return answer
            except TimeoutError:
                await self._gone(f"it took longer than {within:g} s")
                raise TookTooLong(self._lost) from None
            except Garbled as problem:
                raise await self._gone(f"it sent what is no answer: {problem}") from None
            except ssl.SSLError as problem:
                reason = f"what came on the way to it is not what was sent: {problem.reason or problem}"
                raise await self._gone(reason) from None
            except (asyncio.IncompleteReadError, OSError):
                raise await self._gone("") from None
            finally:
                if not answered and not self._lost:  # cancelled half-way: what comes next is another's answer
                    await self._gone("its caller left")

    async def _gone(self, reason: str) -> ReplicaLost:
        self._lost = reason or "the connection to it broke"
        self._lost = await self._ended(reason)
        self._writer.close()
        return ReplicaLost(self._lost)


class Linked:
    """What replicas at the other end of a link have in common; `open` sets the link and takes what it tells.

    `patience` is the seconds that a batch may take.
    """

    inline = False

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._link: Link | None = None
        self._opened: Opened | None = None
        self.memory = 0
        self.spent = False

    @property
    def signature(self) -> Signature:
        """Of the model."""
        return self._known.signature

    @property
    def platform(self) -> str:
        """As metadata names it."""
        return self._known.platform

    @property
    def _known(self) -> Opened:
        if self._opened is None:
            raise RuntimeError("this replica is not open")
        return self._opened

    def _take(self, opened: Opened) -> None:
        self._opened, self.memory = opened, opened.memory

    async def run(self, inputs: Tensors) -> Tensors:
        """The outputs for one batch."""
        if self._link is None:
            raise RuntimeError("this replica is not open")
        outputs, self.memory, self.spent = await self._link.run(inputs, self._patience)
        return outputs

    def run_here(self, inputs: Tensors) -> Tensors:
        """Never: the model is not in this process."""
        raise RuntimeError("the model of this replica is in another process")
