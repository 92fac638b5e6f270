"""A replica on an instance that is rented, or on a node of a cluster: reached at its address."""

from __future__ import annotations

import asyncio
import hmac
import ssl

from tradewind import clock
from tradewind.errors import Misuse, Unreachable
from tradewind.serving.models.opening import Opening
from tradewind.serving.server.replicas.interface import ReplicaLost
from tradewind.serving.server.replicas.link import Link, Linked
from tradewind.serving.server.replicas.secured import SHOWN, front_side

_RETRY = 0.02
"""Seconds between two tries to connect to a replica that may still be starting."""


class Remote(Linked):
    """Runs a model in a replica that `task` started, at `unix:/path` or `tcp:host:port`.

    A batch that takes longer than `patience` seconds gives the replica up. `start_within` seconds are given
    to it to answer and to load the model. `token` and `identity` are what the task was started with; over
    TCP there must be an identity (`secured.new_identity`), and all is under TLS.
    """

    def __init__(
        self,
        address: str,
        token: str,
        opening: Opening,
        *,
        patience: float = 60.0,
        start_within: float = 300.0,
        memory_limit: int = 0,
        identity: str = "",
    ) -> None:
        if not address.startswith(("unix:", "tcp:")):
            raise Misuse(
                f"{address!r} is no address of a replica",
                field="address",
                fix="Write unix:/path or tcp:host:port.",
            )
        if address.startswith("tcp:") and not identity:
            raise Misuse(
                f"nothing would be secret on the way to {address}", field="identity",
                fix="Give the identity that the replica was started with.",
            )  # fmt: skip
        super().__init__(patience)
        self._tls = front_side(identity) if identity else None
        self._address, self._token, self._opening = address, token, opening
        self._start_within, self._memory_limit = start_within, memory_limit

    async def open(self) -> None:
        """Connect, and have the model loaded; Unreachable where nobody answers, ReplicaLost where somebody
        does who is not the replica that was started, or does not take us for its server."""
        until = clock.now() + self._start_within
        try:
            async with asyncio.timeout(self._start_within):
                reader, writer = await self._connected()
        except TimeoutError:
            raise Unreachable(f"{self._address} did not answer within {self._start_within:g} s") from None
        self._link = Link(reader, writer, self._ended)
        try:
            writer.write(greeting(self._token))
            left = max(0.001, until - clock.now())
            self._take(await self._link.open(self._opening, self._memory_limit, left))
        except ReplicaLost as problem:
            await self.close()
            raise ReplicaLost(f"{self._address} ended, or did not take our token or key: {problem}") from None
        except BaseException:
            await self.close()
            raise

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        scheme, _, where = self._address.partition(":")
        while True:
            try:
                if scheme == "unix":
                    return await asyncio.open_unix_connection(where)
                host, _, port = where.rpartition(":")
                shown = SHOWN if self._tls else None
                return await asyncio.open_connection(host, int(port), ssl=self._tls, server_hostname=shown)
            except ssl.SSLError as problem:
                raise ReplicaLost(
                    f"{self._address} is not the replica that was started: {problem.reason or problem}"
                ) from None
            except OSError:
                await asyncio.sleep(_RETRY)

    async def _ended(self, reason: str) -> str:
        return reason or "the connection to it broke"

    async def close(self) -> None:
        """Let go; the replica ends by itself."""
        if self._link is not None:
            self._link.close()


GREETING = 64
"""Bytes with which a server greets a replica: its token, filled up."""


def greeting(token: str) -> bytes:
    """What a server says first; the token is of at most 64 ASCII characters."""
    return token.encode("ascii").ljust(GREETING, b"\0")


def welcome(greeted: bytes, token: str) -> bool:
    """Whether a greeting is that of our server."""
    return hmac.compare_digest(greeted, greeting(token))
