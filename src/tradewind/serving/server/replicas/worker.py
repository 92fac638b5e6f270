"""The process of one replica: opens a model and runs the batches that come over its socket, one at a time.

It ends when its socket does, so that none outlives the server; after a batch that left it bigger than it may
be; and when its model takes the process down, which is what it is there for.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from tradewind.serving.models.interface import LoadedModel
from tradewind.serving.models.opening import Opening, open_model
from tradewind.serving.server.replicas.frames import Header, frame, receive_here
from tradewind.serving.server.replicas.interface import reason_of

_PAGE = os.sysconf("SC_PAGE_SIZE")
_DIE_WITH_PARENT = 1
"""PR_SET_PDEATHSIG of prctl(2)."""


def serve(connection: socket.socket, leaving: Callable[[], bool] = lambda: False) -> None:
    """Open what the first frame names, then run batches until the other side is gone or `leaving()`."""
    model: LoadedModel | None = None
    largest = 0
    while (received := receive_here(connection)) is not None:
        header, tensors = received
        if header.do == "open":
            largest = int(header.told.get("memory_limit") or 0)
            try:
                model = open_model(msgspec.convert(header.told["opening"], Opening))
            except Exception as problem:
                _send(connection, frame(Header("failed", reason=reason_of(problem), leaving=True)))
                return
            told: dict[str, Any] = {
                "signature": msgspec.to_builtins(model.signature), "platform": model.platform
            }  # fmt: skip
            _send(connection, frame(Header("opened", told, memory=_resident())))
            continue
        if model is None:
            raise RuntimeError("a batch came before the model")
        try:
            outputs = model.predict(tensors)
            memory = _resident()
            last = leaving() or 0 < largest < memory
            pieces = frame(Header("ran", memory=memory, leaving=last), outputs)
        except Exception as problem:
            pieces, last = frame(Header("failed", reason=reason_of(problem))), False
        _send(connection, pieces)
        if last:
            return


def _send(connection: socket.socket, pieces: list[bytes]) -> None:
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        for piece in pieces:
            connection.sendall(piece)


def _resident() -> int:
    """Bytes of memory that this process takes."""
    with open("/proc/self/statm", "rb") as counts:
        return int(counts.read().split()[1]) * _PAGE


def _depend() -> None:
    """End with the server, even in the midst of a batch, and before it where memory runs out."""
    server = os.getppid()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)
    if os.getppid() != server:
        raise SystemExit("the server is gone")
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as score:
        score.write("1000")


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve the socket that was inherited under the number given."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the server's, which lets its replicas finish
    _depend()
    number = int((sys.argv[1:] if arguments is None else arguments)[0])
    with socket.socket(fileno=number) as connection:
        serve(connection)


if __name__ == "__main__":
    main()
