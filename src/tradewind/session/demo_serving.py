"""The demo goes on: what it trained is served on machines that come and go, while a recorded burst asks.

Real are the front, the replicas on their leases, HTTP, the client, the notices and the kills. The market is
recorded and runs at sixty to one; the course of the load is recorded, pressed into seconds and thinned out;
and a machine is counted on for few requests, so that a burst that this machine can bear needs several.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from tradewind import clock
from tradewind.control.journal import Journal
from tradewind.data.request_traces import RequestTrace, request_trace
from tradewind.errors import MissingExtra, Permanent
from tradewind.serving.models.learner import INPUT, LearnedModel, open_learner
from tradewind.serving.objective import objective
from tradewind.serving.server.engine import Options
from tradewind.serving.server.front import Address
from tradewind.serving.server.http.connection import parser_module
from tradewind.session.model_folders import model_folder
from tradewind.session.rented_serving import JOURNAL, Rented, Renting, serve_rented
from tradewind.session.replayed_load import Load, Question, Replayed, Replaying, moments
from tradewind.session.report.data import Source
from tradewind.session.report.endpoint.page import write_endpoint_page
from tradewind.session.report.endpoint.reading import TOLD, endpoint_data
from tradewind.session.report.page import dollars
from tradewind.session.report.reading import Told
from tradewind.session.serve import Listening
from tradewind.session.spec import ProviderSpec

NAME = "demo"
"""What the model is called."""
REPORT = "report.html"
_TRACE = "worldcup98-1998-07-08.csv"
QUESTIONS = 64
"""Rows of the test data that are asked about in turn."""
_SOURCES = (
    Source("spot prices, us-east-1, 2020", "stanford-futuredata/training_on_a_dime", "MIT"),
    Source("lives of 177 EC2 p3 spot instances", "uclasystem/bamboo", "MIT"),
    Source("requests a minute, 1998-07-08", "nimamahmoudi/worldcup98-dataset", "MIT"),
)


class Burst(Struct, frozen=True, kw_only=True):
    """The stretch of the record, and how it is asked for again."""

    begins: str = "1998-07-08T18:46:00Z"
    ends: str = "1998-07-08T21:10:00Z"
    seconds: float = 20.0
    """Of the wall, that it is pressed into."""
    requests: int = 1200
    slo: str = "p99<100ms"
    start: str = "2020-02-01T03:40:00Z"
    """Of the market, in which a second of the wall is a minute."""
    least: int = 2
    gain: float = 0.5
    """The share by which a request must be cheaper elsewhere for the policy to move a replica: at sixty to
    one a process that starts takes minutes of the market, and the others feel every start on two cores."""
    counted_on: tuple[tuple[str, float], ...] = (("p2.xlarge", 20.0), ("p3.2xlarge", 40.0))
    """Types of machines, and the requests a second that one is counted on for."""


class Served(Struct, frozen=True):
    """What the stretch of serving came to."""

    directory: str
    words: str
    """In a sentence."""
    figures: dict[str, Any]
    """served_requests, served_right, served_in_time (share, by the client), served_p99 (seconds, by the
    client), served_replicas (most at once), served_revocations, served_cost and served_cost_peak (US dollars;
    computed, for on-demand machines for the peak all along)."""


def serve_burst(
    run: Path, rows: NDArray[np.float32], out: Path, burst: Burst | None = None,
    said: Callable[[str], None] = lambda text: None,
) -> Served:  # fmt: skip
    """Serve the model of the run in `run` on leases of this machine while the burst asks about `rows`.

    The endpoint's folder is made under `out`, with its report; `said` is told what goes on. Permanent where
    the client fails.
    """
    burst = burst or Burst()
    model = open_learner(model_folder(run))
    whole = recorded()
    trace = whole.window(clock.moment(burst.begins), clock.moment(burst.ends))
    replayed: list[Replayed | BaseException] = []
    asking: list[Replaying] = []
    stop = threading.Event()
    load = moments(trace, burst.seconds, burst.requests)

    def client(listening: Listening) -> None:
        where = urlsplit(listening.http)
        told = f"{burst.requests:,} requests of a recorded burst come in {burst.seconds:g} s"
        try:
            said(f"served at {listening.http}, {burst.slo} promised: {told}")
            asked = Load(
                host=where.hostname or "", port=where.port or 0, model=NAME, output="prediction",
                moments=tuple(load.tolist()), questions=_questions(model, rows),
            )  # fmt: skip
            asking.append(Replaying(asked))
            replayed.append(asking[0].result())
        except BaseException as problem:
            replayed.append(problem)
        finally:
            stop.set()

    try:
        rented = serve_rented(
            run, slo=burst.slo, renting=_renting(burst, trace, out), name=NAME, stop=stop,
            address=Address(http_port=0, grpc_port=None), options=Options(max_batch=32),
            ready=lambda listening: threading.Thread(target=client, args=(listening,), name="client").start(),
        )  # fmt: skip
    finally:
        for each in asking:
            each.end()
    if not replayed:
        raise Permanent("the endpoint ended before anybody asked")
    if isinstance(found := replayed[0], BaseException):
        raise found
    return _told(rented, found, burst, trace)


def servable(said: Callable[[str], None]) -> bool:
    """Whether what serving takes is installed; `said` is told where it is not."""
    try:
        parser_module()
    except MissingExtra as problem:
        said(f"nothing will be served: {problem}")
        return False
    return True


def recorded() -> RequestTrace:
    """The recorded load that the package carries: a semi-final of 1998, three hours of it by the minute."""
    with as_file(files("tradewind.data") / "samples" / _TRACE) as path:
        return request_trace(path)


def _renting(burst: Burst, trace: RequestTrace, out: Path) -> Renting:
    share = burst.requests / float(trace.counts.sum())
    first = float(trace.counts[0]) * share * len(trace.counts) / burst.seconds
    return Renting(
        provider=ProviderSpec(
            history="demo", start=clock.moment(burst.start), speed=60.0,
            cpu_shares={"p2.xlarge": 0.3, "p3.2xlarge": 0.6},
        ),
        instance_types=tuple(name for name, _ in burst.counted_on), counted_on=dict(burst.counted_on),
        least=burst.least, policy_options={"gain": burst.gain}, expected=first, out=str(out),
    )  # fmt: skip


def _questions(model: LearnedModel, rows: NDArray[np.float32]) -> tuple[Question, ...]:
    """Rows one by one, with what the model itself says of them."""
    rows = np.asarray(rows[:QUESTIONS], np.float32)
    answers = model.predict({INPUT: rows})["prediction"]
    found = []
    for row, answer in zip(rows, answers, strict=True):
        told = {"name": INPUT, "datatype": "FP32", "shape": [1, len(row)], "data": row.tolist()}
        found.append(Question(msgspec.json.encode({"inputs": [told]}).decode(), (float(answer),)))
    return tuple(found)


def _told(rented: Rented, replayed: Replayed, burst: Burst, trace: RequestTrace) -> Served:
    """Put what the client saw on record beside what the endpoint did, write the report, and sum it up."""
    promised, directory = objective(burst.slo), Path(rented.directory)
    share, tail = replayed.in_time(promised.latency), replayed.quantile(0.99)
    times = len(trace.counts) * trace.interval / burst.seconds
    each = float(trace.counts.sum()) / burst.requests
    seen = f"{replayed.right:,} of {replayed.asked:,} answered as the model itself answers"
    told = Told(
        facts=(
            ("the client saw", f"{seen}, {share:.2%} of all within {1000 * promised.latency:g} ms"),
            ("the client's p50, p99", ", ".join(_milliseconds(replayed.quantile(q)) for q in (0.5, 0.99))),
            ("the client's first failure", replayed.problem or "none"),
        ),
        real=("a client in a process of its own asked over HTTP at its moments, whatever came back, and "
              "compared every answer with the model's own",),
        simulated=(
            f"the load is the recorded one from {burst.begins} to {burst.ends}, {times:,.0f} times as fast, "
            f"one request for {each:,.0f} recorded",
            "a machine was counted on for no more than "
            + " or ".join(f"{rate:g} requests a second ({name})" for name, rate in burst.counted_on)
            + ", far less than it can do, so that a burst which this machine can bear needs several",
        ),
        sources=_SOURCES,
    )  # fmt: skip
    with Journal.read(directory / JOURNAL) as reading:
        header = reading.header
    with Journal(directory / JOURNAL, header) as journal:
        journal.record_result(TOLD, told)
    data = endpoint_data(directory)
    write_endpoint_page(data, directory / REPORT)
    figures = {
        "served_requests": replayed.asked,
        "served_right": replayed.right,
        "served_in_time": round(share, 5),
        "served_p99": None if tail is None else round(tail, 5),
        "served_replicas": data.most_up,
        "served_revocations": data.run.revocations,
        "served_cost": round(data.run.cost, 4),
        "served_cost_peak": None if data.peak is None else round(data.peak.cost, 4),
    }
    words = (
        f"{replayed.asked:,} requests, {share:.2%} answered rightly within {1000 * promised.latency:g} ms, "
        f"p99 {_milliseconds(tail)}, by at most {data.most_up} machines, {data.run.revocations} taken away; "
        f"{dollars(data.run.cost)}"
    )
    if data.peak is not None:
        words += f", and {dollars(data.peak.cost)} for the peak on demand all along (computed)"
    return Served(rented.directory, words, figures)


def _milliseconds(seconds: float | None) -> str:
    return "–" if seconds is None or math.isinf(seconds) else f"{1000 * seconds:.1f} ms"
