"""Serving: models of a run, a file or a folder, answered over HTTP and gRPC until told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

from msgspec import Struct

from tradewind import clock
from tradewind.errors import Misuse
from tradewind.serving.models.one_class import OneClass
from tradewind.serving.models.repository import Repository, Trust
from tradewind.serving.server.engine import Library, ModelEngine, Options
from tradewind.serving.server.front import Address, Front
from tradewind.serving.server.grpc.server import tls_credentials
from tradewind.serving.server.http.connection import parser_module
from tradewind.session.models import model_folder

_CLASS = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
GRACE = 30.0
"""Seconds that requests in flight have at the end, as containers have them from SIGTERM to SIGKILL."""


class Listening(Struct, frozen=True):
    """A server that is ready."""

    http: str
    """Its URL."""
    grpc: str
    """Its host and port; empty without gRPC."""
    models: tuple[str, ...]
    """`name/version` of those that are loaded."""
    seconds: float
    """From the call to the first request that could be answered."""


def serve(
    path: str | os.PathLike[str],
    *,
    name: str = "",
    address: Address | None = None,
    options: Options | None = None,
    trust: Trust | None = None,
    certificate: str = "",
    key: str = "",
    grace: float = GRACE,
    ready: Callable[[Listening], None] = lambda listening: None,
    said: Callable[[str], None] = lambda text: None,
) -> bool:
    """Serve until SIGTERM or SIGINT; whether every request was answered in the end.

    `path` is a run's folder, a model (file or folder), a folder of models, or `module:Class`, which is
    consent to run it. `name` is what a single model is called, by default as its run, file, folder or class.
    `ready` is told once it can answer; `said` of what an operator should know. Misuse before anything
    listens where a model cannot be loaded or the address is taken.
    """
    parser_module()  # MissingExtra before a model is loaded
    repository = _repository(path, name, trust)
    tls = _tls(certificate, key)
    credentials = None
    if tls is not None:
        chain = Path(certificate).read_bytes()
        credentials = tls_credentials(chain, Path(key).read_bytes() if key else chain)
    return clock.serve(
        _serve(repository, address or Address(), options, tls, credentials, grace, ready, said)
    )


async def _serve(
    repository: Library,
    address: Address,
    options: Options | None,
    tls: ssl.SSLContext | None,
    credentials: Any,
    grace: float,
    ready: Callable[[Listening], None],
    said: Callable[[str], None],
) -> bool:
    took = clock.stopwatch()
    said = _harmless(said)
    engine = ModelEngine(repository, options, said=said)
    front = Front(
        engine,
        address,
        tls=tls,
        grpc_credentials=credentials,
        failed=lambda error: said(f"{type(error).__name__}: {error}"),
    )
    try:
        await engine.open()
        await front.start()
        stopped = asyncio.ensure_future(front.stopped())
        await asyncio.sleep(0)
        scheme = "https" if tls else "http"
        ready(
            Listening(
                f"{scheme}://{_shown(address.host)}:{front.http.port}",
                f"{_shown(address.host)}:{front.grpc.port}" if front.grpc else "",
                tuple(f"{each.name}/{each.version}" for each in engine.index() if each.state == "READY"),
                took(),
            )
        )
        said(f"{await stopped}: answering what is in flight")
        return await front.drain(grace)
    finally:
        await front.close()


def _repository(path: str | os.PathLike[str], name: str, trust: Trust | None) -> Library:
    """The models that a path means."""
    where = Path(path)
    if not where.exists() and _CLASS.fullmatch(os.fspath(path)):
        return OneClass(os.fspath(path), name or os.fspath(path).rpartition(":")[2])
    model = model_folder(where) if where.is_dir() else where
    return Repository(model, trust, name or (where.resolve().name if model != where else ""))


def _harmless(said: Callable[[str], None]) -> Callable[[str], None]:
    """`said`, whose failing harms nothing: a log on a full disk, or one that nobody reads any more."""

    def told(text: str) -> None:
        with contextlib.suppress(OSError, ValueError):
            said(text)

    return told


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _tls(certificate: str, key: str) -> ssl.SSLContext | None:
    if not certificate and not key:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(certificate, key or None)
    except (OSError, ssl.SSLError) as problem:
        raise Misuse(
            f"cannot be used ({problem})", source=certificate or key, field="certificate",
            fix="Give a PEM certificate chain and its key.",
        ) from None  # fmt: skip
    return context
