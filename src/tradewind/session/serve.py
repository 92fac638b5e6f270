"""Serving: models of a run, a file or a folder, answered over HTTP and gRPC until told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import re
import ssl
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from msgspec import Struct

from tradewind import clock
from tradewind.errors import Misuse
from tradewind.serving.models.one_class import OneClass
from tradewind.serving.models.repository import Repository, Trust
from tradewind.serving.server.admission import Admission
from tradewind.serving.server.deployments import Deployments
from tradewind.serving.server.engine import Library, ModelEngine, Options
from tradewind.serving.server.front import Address, Front
from tradewind.serving.server.grpc.server import tls_credentials
from tradewind.serving.server.http.connection import parser_module
from tradewind.serving.server.http.routes import Routes
from tradewind.serving.server.metrics.families import Family
from tradewind.session.model_folders import model_folder

_CLASS = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
OVERFLOWING = "tradewind.session.overflowing"
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
    path: str | os.PathLike[str] | None = None,
    *,
    name: str = "",
    address: Address | None = None,
    options: Options | None = None,
    trust: Trust | None = None,
    endpoints: str | os.PathLike[str] = "",
    folders: str | os.PathLike[str] = "",
    certificate: str = "",
    key: str = "",
    overflow: Any = None,
    grace: float = GRACE,
    ready: Callable[[Listening], None] = lambda listening: None,
    said: Callable[[str], None] = lambda text: None,
) -> bool:
    """Serve until SIGTERM or SIGINT; whether every request was answered in the end.

    `path` is a run's folder, a model (file or folder), a folder of models, or `module:Class`, which is
    consent to run it. `name` is what a single model is called, by default as its run, file, folder or class.
    `endpoints` is a folder: endpoints can then be made, changed and deleted while the server runs, through
    SageMaker's control API, and those that the folder keeps are served again; no `path` is needed then.
    `folders` is a folder below which callers may have models loaded, each by the folder that it lies in, as
    SageMaker's multi-model contract has it (`POST /models`).
    `overflow` is where requests go that would be late: `functions` for a host on this machine that simulates
    Lambda's API, `functions:URL`, `functions:aws`, or `overflowing.Overflowing` with its fields; late is by
    the objective of `options`, a model's own settings, or the caller's deadline.
    `ready` is told once it can answer; `said` of what an operator should know. Misuse before anything
    listens where a model cannot be loaded or the address is taken.
    """
    parser_module()  # MissingExtra before a model is loaded
    if path is None and not endpoints and not folders:
        raise Misuse("nothing is to be served", field="path", fix="Give a model, or a folder for endpoints.")
    repository = None if path is None else library_of(path, name, trust)
    tls = tls_of(certificate, key)
    credentials = None
    asked = None
    if overflow is not None:
        # With it come boto3's errors, markets and a database: most servers overflow to nothing.
        asked = import_module(OVERFLOWING).overflowing(overflow)
    if tls is not None:
        chain = Path(certificate).read_bytes()
        credentials = tls_credentials(chain, Path(key).read_bytes() if key else chain)
    return clock.serve(
        _serve(
            repository,
            address or Address(),
            options,
            tls,
            credentials,
            grace,
            ready,
            said,
            Path(endpoints) if endpoints else None,
            Path(folders) if folders else None,
            trust,
            asked,
        )
    )


async def _serve(
    repository: Library | None,
    address: Address,
    options: Options | None,
    tls: ssl.SSLContext | None,
    credentials: Any,
    grace: float,
    ready: Callable[[Listening], None],
    said: Callable[[str], None],
    folder: Path | None,
    below: Path | None,
    trust: Trust | None,
    asked: Any,
) -> bool:
    took = clock.stopwatch()
    said = harmless(said)
    # What callers bring is kept apart from the variants of endpoints, which are nobody's to unload.
    brought = None if below is None else Deployments(repository, trust)
    library = Deployments(brought or repository, trust)
    functions = None if asked is None else import_module(OVERFLOWING).relief_for(asked, said)
    models = ModelEngine(library, options, said=said, relieving=functions)
    engine: Any = models
    pages: Callable[[Routes], None] = _no_pages
    families: Callable[[], list[Family]] = list
    if folder is not None:
        # A database's client takes a fifth of a second to import: most servers have no endpoints.
        over = import_module("tradewind.session.endpoints_over").endpoints_over
        engine, pages, families = over(models, library, folder, said)
    front = Front(
        engine,
        address,
        tls=tls,
        grpc_credentials=credentials,
        promised=None if options is None else options.objective,
        failed=lambda error: said(f"{type(error).__name__}: {error}"),
        folders=None if below is None or brought is None else Admission(brought, below),
        pages=pages,
        families=lambda: [*families(), *([] if functions is None else functions.families())],
    )
    try:
        await engine.open()
        await front.start()
        gc.freeze()  # what is there now stays: no collection while requests wait need walk through it
        stopped = asyncio.ensure_future(front.stopped())
        await asyncio.sleep(0)
        scheme = "https" if tls else "http"
        ready(
            Listening(
                f"{scheme}://{shown_host(address.host)}:{front.http.port}",
                f"{shown_host(address.host)}:{front.grpc.port}" if front.grpc else "",
                tuple(f"{each.name}/{each.version}" for each in engine.index() if each.state == "READY"),
                took(),
            )
        )
        said(f"{await stopped}: answering what is in flight")
        return await front.drain(grace)
    finally:
        await front.close()
        if functions is not None:
            await functions.close()
            said(import_module(OVERFLOWING).in_words(functions.bill(), functions.host is not None))


def _no_pages(routes: Routes) -> None:
    """Add nothing."""


def library_of(path: str | os.PathLike[str], name: str, trust: Trust | None) -> Library:
    """The models that a path means."""
    where = Path(path)
    if not where.exists() and _CLASS.fullmatch(os.fspath(path)):
        return OneClass(os.fspath(path), name or os.fspath(path).rpartition(":")[2])
    model = model_folder(where) if where.is_dir() else where
    return Repository(model, trust, name or (where.resolve().name if model != where else ""))


def harmless(said: Callable[[str], None]) -> Callable[[str], None]:
    """`said`, whose failing harms nothing: a log on a full disk, or one that nobody reads any more."""

    def told(text: str) -> None:
        with contextlib.suppress(OSError, ValueError):
            said(text)

    return told


def shown_host(host: str) -> str:
    """A host as URLs have it."""
    return f"[{host}]" if ":" in host else host


def tls_of(certificate: str, key: str) -> ssl.SSLContext | None:
    """What a certificate (PEM) and its key say for a listener; None where neither is given."""
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
