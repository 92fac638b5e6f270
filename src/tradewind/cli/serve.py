"""`tradewind serve`: a model, or a folder of them, behind HTTP and gRPC."""

from __future__ import annotations

import os
import re
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import click
import msgspec

from tradewind.cli import terminal
from tradewind.errors import Misuse
from tradewind.serving.models.repository import Trust
from tradewind.serving.objective import objective
from tradewind.serving.server.engine import AUTO, PATIENCE, PROCESS, SERVER, Options
from tradewind.serving.server.front import Address
from tradewind.session.serve import GRACE, Listening, serve

_VARIANTS, _RENTED = "tradewind.session.serve_variants", "tradewind.session.rented_serving"
"""Imported where they are asked for: with them come a database, a solver and the markets."""
_CONTAINER = Path("/opt/ml/model")
_MULTI_MODEL = "/opt/ml/models"
"""Where SageMaker unpacks the models of a multi-model endpoint."""
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(B|KiB|MiB|GiB|TiB)?", re.IGNORECASE)
_UNITS = {"b": 1, "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "tib": 1 << 40}


@terminal.verb('tradewind serve runs/latest --slo "p99<50ms"')
@click.argument("path", required=False)
@click.option("--variants", default="", help="A store of variants: its tasks are served, in place of PATH.")
@click.option("--selection", default="cheapest_in_time", show_default=True, help="Of variants; or infaas.")
@click.option("--scaling", default="integer_program", show_default=True, help="Of variants; or infaas.")
@click.option("--cold", is_flag=True, help="No variant is kept open where nobody asks.")
@click.option("--name", default="", help="Of a single model; that of its file or folder if not given.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Beyond loopback it wants a token.")
@click.option(
    "--port",
    envvar="SAGEMAKER_BIND_TO_PORT",
    type=click.IntRange(0, 65535),
    default=8080,
    show_default=True,
    help="HTTP; 0: any.",
)
@click.option(
    "--grpc-port", type=click.IntRange(0, 65535), default=8081, show_default=True, help="gRPC; 0: any."
)
@click.option("--no-grpc", is_flag=True, help="HTTP only.")
@click.option("--guarded", is_flag=True, help="No token beyond loopback: a platform keeps strangers away.")
@click.option("--token", envvar="TRADEWIND_TOKEN", help="What callers must show; also TRADEWIND_TOKEN.")
@click.option("--certificate", default="", help="PEM file for TLS.")
@click.option("--key", default="", help="PEM file of its key.")
@click.option("--slo", help='What is promised, such as "p99<50ms": batches are cut and calls shed for it.')
@click.option("--batching", default="slack", show_default=True, help="The rule that cuts batches.")
@click.option("--max-batch", type=click.IntRange(0), help="Rows of a batch at most; 0 never batches.")
@click.option("--replicas", type=click.IntRange(1), help="Processes that run each model; or all variants.")
@click.option(
    "--isolation",
    type=click.Choice([AUTO, SERVER, PROCESS]),
    default=AUTO,
    show_default=True,
    help="Where models run: in the server, or each in processes of its own.",
)
@click.option("--memory", help="All models together, such as 2GiB; the least recently used make room.")
@click.option("--replica-memory", help="One replica's process; one that grew beyond is replaced.")
@click.option(
    "--patience", type=click.FloatRange(0, min_open=True), help="Seconds that a batch may take in a process."
)
@click.option("--trust", multiple=True, help="A class that settings may name, module:Class; code is run.")
@click.option("--trust-type", multiple=True, help="A type that a skops file may hold.")
@click.option("--unscanned", is_flag=True, help="Files beside classes in Python are not scanned.")
@click.option("--endpoints", default="", help="A folder: endpoints can be made while it runs, and are kept.")
@click.option("--folders", default="", help="A folder below which callers may load models: POST /models.")
@click.option("--overflow", help="Where late requests go: functions (a local host), functions:URL or :aws.")
@click.option(
    "--function",
    multiple=True,
    metavar="KEY=VALUE",
    help="Of --overflow: memory, timeout, concurrency, standby, budget, late, role, layers, region, token.",
)
@click.option("--policy", help="Replicas on rented machines: tradewind, mark, tributary, ...")
@click.option("--history", default="demo", show_default=True, help="The recorded market rented on.")
@click.option(
    "--speed", type=click.FloatRange(0, min_open=True), default=60.0, help="Its seconds in one of ours."
)
@click.option(
    "--least", type=click.IntRange(0), default=1, show_default=True, help="Rented replicas at least."
)
@click.option("--grace", type=click.FloatRange(0), default=GRACE, show_default=True, help="Seconds to drain.")
def command(
    *,
    path: str | None,
    variants: str,
    selection: str,
    scaling: str,
    cold: bool,
    name: str,
    host: str,
    port: int,
    grpc_port: int,
    no_grpc: bool,
    guarded: bool,
    token: str | None,
    certificate: str,
    key: str,
    slo: str | None,
    batching: str,
    max_batch: int | None,
    replicas: int | None,
    isolation: str,
    memory: str | None,
    replica_memory: str | None,
    patience: float | None,
    trust: tuple[str, ...],
    trust_type: tuple[str, ...],
    unscanned: bool,
    endpoints: str,
    folders: str,
    overflow: str | None,
    function: tuple[str, ...],
    policy: str | None,
    history: str,
    speed: float,
    least: int,
    grace: float,
    as_json: bool,
) -> int:
    """Answer requests with a run's model, a model file, a folder of models or a class of yours.

    PATH is a run's folder, a model (ONNX, skops, .pt2, our own layout), a folder of models as Triton lays
    them out, or module:Class; without it, what SageMaker put in /opt/ml/model. Speaks the Open Inference
    Protocol (HTTP and gRPC), KServe v1, SageMaker's and MLflow's calls; the page is at /docs. With
    --endpoints a folder keeps endpoints, see `tradewind endpoint`; with --policy the replicas are on machines
    that are rented. Ctrl-C or SIGTERM ends it once what is in flight is answered.
    """
    if variants and path is not None:
        raise Misuse("a path and a store of variants are given", field="path", fix="Give one of them.")
    if policy and (variants or endpoints or certificate):
        raise Misuse("goes with a model alone", field="policy", fix="Leave variants, endpoints and TLS out.")
    if policy and not slo:
        raise Misuse(
            "nothing is promised", field="slo", fix="Say what the policy is to keep: --slo p99<50ms."
        )
    if variants and endpoints:
        raise Misuse("goes with no store of variants", field="endpoints", fix="Start another server for it.")
    if overflow and variants:
        raise Misuse("goes with no store of variants", field="overflow", fix="Serve a model alone.")
    relief = _overflow(overflow, function)
    if not folders and os.environ.get("SAGEMAKER_MULTI_MODEL") == "true":
        folders = _MULTI_MODEL
    if path is None and not variants and not endpoints and not folders:
        if not _CONTAINER.is_dir():
            raise Misuse("no model is named", field="path", fix="Name a run, a model or a folder of them.")
        path = str(_CONTAINER)
    trusted = Trust(code=trust, types=trust_type, unscanned=unscanned)
    address = Address(
        host=host,
        http_port=port,
        grpc_port=None if no_grpc else grpc_port,
        token=token,
        guarded=guarded,
    )
    options = Options(
        batching=batching,
        objective=objective(slo) if slo else None,
        replicas=replicas,
        max_batch=max_batch,
        isolation=isolation,
        memory=_bytes(memory, "memory") if memory else None,
        replica_memory=_bytes(replica_memory, "replica-memory") if replica_memory else 0,
        patience=patience or PATIENCE,
    )

    def ready(listening: Listening) -> None:
        if as_json:
            terminal.show(listening)
        else:
            models = ", ".join(listening.models)
            click.echo(f"serving {models or 'nothing yet'} at {listening.http} (page: {listening.http}/docs)")
            if listening.grpc:
                click.echo(f"gRPC at {listening.grpc}")
            click.echo(f"ready after {listening.seconds:.2f} s; Ctrl-C ends")
        sys.stdout.flush()

    def said(text: str) -> None:
        click.echo(msgspec.json.encode({"said": text}).decode() if as_json else text, err=True)

    if policy:
        over = import_module(_RENTED)
        rented = over.serve_rented(
            path,
            slo=objective(slo or ""),
            renting={
                "provider": {"history": history, "speed": speed},
                "policy": policy,
                "least": least,
            },
            name=name,
            address=address,
            options=options,
            trust=trusted,
            overflow=relief,
            grace=grace,
            ready=ready,
            said=said,
        )
        return _tell_rented(rented, as_json)
    if variants:
        over = import_module(_VARIANTS)
        whole = over.serve_variants(
            variants,
            routing=over.Routing(selection=selection, scaling=scaling, replicas=replicas, warm=not cold),
            address=address,
            options=options,
            trust=trusted,
            certificate=certificate,
            key=key,
            grace=grace,
            ready=ready,
            said=said,
        )
        return 0 if whole else 1
    whole = serve(
        path,
        name=name,
        endpoints=endpoints,
        folders=folders,
        address=address,
        options=options,
        trust=trusted,
        certificate=certificate,
        key=key,
        overflow=relief,
        grace=grace,
        ready=ready,
        said=said,
    )
    return 0 if whole else 1


def _overflow(asked: str | None, fields: tuple[str, ...]) -> dict[str, str] | None:
    """What --overflow and --function ask for, by field."""
    if asked is None:
        if fields:
            raise Misuse("goes with --overflow", field="function", fix="Add --overflow functions.")
        return None
    kind, _, where = asked.partition(":")
    if kind != "functions":
        raise Misuse(
            f"{asked!r} is nothing to overflow to", field="overflow",
            fix="Write functions, functions:URL or functions:aws.",
        )  # fmt: skip
    found = {"where": where}
    for each in fields:
        name, equals, value = each.partition("=")
        if not equals:
            raise Misuse(f"{each!r} is no field", field="function", fix="Write one such as memory=1024.")
        found[name] = value
    return found


def _tell_rented(rented: Any, as_json: bool) -> int:
    """Say what a stretch on rented machines came to."""
    if as_json:
        terminal.show(rented)
    else:
        result = rented.result
        kept = f"{result.requests:.0f} requests, {100 * result.share:.2f} % in time"
        lost = f"{result.revocations} revocations, {result.retried:.0f} requests run again"
        click.echo(f"{kept}; {lost}; ${result.cost:.4f} on the recorded market")
        if result.functions:
            click.echo(f"of it ${result.functions:.6f} for functions, as Lambda's price list would charge")
        click.echo(f"journal: {rented.directory}; as a page: tradewind report {rented.directory}")
    return 0 if rented.drained else 1


def _bytes(text: str, field: str) -> int:
    """Bytes that a text such as 2GiB means."""
    found = _SIZE.fullmatch(text.strip())
    size = int(float(found[1]) * _UNITS[(found[2] or "B").lower()]) if found else 0
    if not size:
        raise Misuse(f"{text!r} is no amount of memory", field=field, fix="Write one such as 512MiB.")
    return size
