"""A replica as a task of a runtime: on an instance that is rented, or on a node of a cluster.

It listens at the address that it was given, takes the first server that shows its key (over TCP) and knows
its token, and runs that one's batches. Given notice, it says so with the answer to the batch in hand, and
ends; unless it is told to `stay`, where its server knows of the notice, and has it answer until shortly
before the end.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable
from typing import Any

from tradewind.errors import Misuse
from tradewind.serving.server.replicas.remote import GREETING, welcome
from tradewind.serving.server.replicas.secured import replica_side
from tradewind.serving.server.replicas.worker import serve

_LOOK = 0.2
"""Seconds between two looks at whether to leave, while no server has come."""
_GREETED_WITHIN = 5.0
"""Seconds that whoever connects has to show that it is the server."""


def main(arguments: dict[str, Any], leaving: Callable[[], bool]) -> None:
    """Serve one server. `arguments`: `address` to listen at, `unix:/path` or `tcp:host:port`, `token`, the
    `identity` of the link (for TCP), and whether to `stay` when given notice."""
    address, token = str(arguments["address"]), str(arguments["token"])
    identity = str(arguments.get("identity") or "")
    if address.startswith("tcp:") and not identity:
        raise Misuse("a replica at a port needs an identity", field="identity", fix="Make one for its link.")
    tls = replica_side(identity) if identity else None
    with _listening(address) as door:
        door.settimeout(_LOOK)
        while not leaving():
            try:
                connection, _ = door.accept()
            except TimeoutError:
                continue
            connection.settimeout(_GREETED_WITHIN)
            try:
                ours = connection if tls is None else tls.wrap_socket(connection, server_side=True)
            except OSError:  # no key, another one, or none in time
                connection.close()
                continue
            with ours:
                if not welcome(_greeted(ours), token):
                    continue
                ours.settimeout(None)
                # What breaks a link is no fault of the model's: it ends here like one that was closed.
                with contextlib.suppress(OSError):
                    serve(ours, _never if arguments.get("stay") else leaving)
                return


def _never() -> bool:
    return False


def _listening(address: str) -> socket.socket:
    scheme, _, where = address.partition(":")
    if scheme == "unix":
        door = socket.socket(socket.AF_UNIX)
        # Bound under another name first: whoever connects finds no socket, or one that answers.
        hidden = f"{where}.starting"
        try:
            door.bind(hidden)
            door.listen()
            os.replace(hidden, where)
        except OSError:
            door.close()
            raise
        return door
    host, _, port = where.rpartition(":")
    return socket.create_server((host, int(port)))


def _greeted(connection: socket.socket) -> bytes:
    greeted = b""
    try:
        while len(greeted) < GREETING and (more := connection.recv(GREETING - len(greeted))):
            greeted += more
    except OSError:
        return b""
    return greeted
