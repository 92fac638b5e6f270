"""What a server tells in its metrics, under its own names; no word of how they are written."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from tradewind.serving.calls import RefusalKind
from tradewind.serving.server.metrics.meters import Gauges, Histogram, Meters, ModelMeter

DROPPED = (
    RefusalKind.OVERLOADED,
    RefusalKind.DEADLINE_PASSED,
    RefusalKind.NOT_READY,
    RefusalKind.NO_ROOM,
)
"""Why a call with nothing wrong in it is refused without having been run."""

Labels = dict[str, str]


class Sample(Struct, frozen=True):
    """One line of a family."""

    labels: Labels
    value: float
    suffix: str = ""
    """What follows the family's name."""


class Family(Struct, frozen=True):
    """One metric, with all its labels."""

    name: str
    """Without the suffixes that its kind asks for."""
    kind: str
    """counter, gauge, histogram, summary, or unknown: a counter that is not named like one."""
    help: str
    samples: list[Sample]


def own_families(meters: Meters, gauges: Gauges) -> list[Family]:
    """Everything that is known of a server."""
    return [*_requests(list(meters), meters), *_objectives(list(meters)), *_standing(meters, gauges)]


def labels_of(meter: ModelMeter) -> Labels:
    """The labels that every metric of a model has."""
    return {"model": meter.name, "version": meter.version}


def counted(name: str, text: str, samples: Iterable[tuple[Labels, float]]) -> Family:
    """A counter; its name is told with `_total` behind."""
    return Family(name, "counter", text, [Sample(labels, value, "_total") for labels, value in samples])


def measured(name: str, text: str, samples: Iterable[tuple[Labels, float]]) -> Family:
    """A gauge."""
    return Family(name, "gauge", text, [Sample(labels, value) for labels, value in samples])


def _requests(models: list[ModelMeter], meters: Meters) -> list[Family]:
    return [
        counted(
            "tradewind_requests",
            "Inference requests that are over, by outcome: answered, cancelled (the caller went away), or "
            "why they were refused. One that ran again, after a replica died, counts once.",
            [
                ({**labels_of(meter), "outcome": outcome}, value)
                for meter in models
                for outcome, value in outcomes_of(meter)
            ],
        ),
        counted(
            "tradewind_requests_unplaced",
            "Inference requests refused before it was clear which model would answer, by reason.",
            [({"outcome": kind.name.lower()}, count) for kind, count in meters.refusals.items()],
        ),
        counted(
            "tradewind_dropped",
            "Inference requests with nothing wrong in them that were refused without being run, by reason. "
            "They are in tradewind_requests_total as well.",
            [
                ({**labels_of(meter), "reason": kind.name.lower()}, meter.refusals[kind])
                for meter in models
                for kind in DROPPED
            ],
        ),
        measured(
            "tradewind_requests_in_progress",
            "Inference requests that wait or run at this moment.",
            [(labels_of(meter), meter.in_progress) for meter in models],
        ),
        counted(
            "tradewind_rows",
            "Rows answered; a request of a model that is not batched counts as one.",
            [(labels_of(meter), meter.rows) for meter in models],
        ),
        _histogram(
            "tradewind_queue_seconds",
            "Seconds that an answered request waited before its batch began.",
            [(labels_of(meter), meter.queue) for meter in models],
        ),
        _histogram(
            "tradewind_inference_seconds",
            "Seconds of inference of the batch that an answered request was in; every request of a batch has "
            "all of them.",
            [(labels_of(meter), meter.infer) for meter in models],
        ),
        _histogram(
            "tradewind_request_seconds",
            "Seconds from the arrival of a request to its answer, without reading it from the network and "
            "writing it there.",
            [(labels_of(meter), meter.total) for meter in models],
        ),
        _histogram(
            "tradewind_batch_rows",
            "Rows of a batch that was run.",
            [(labels_of(meter), meter.batch_rows) for meter in models],
        ),
    ]


def outcomes_of(meter: ModelMeter) -> list[tuple[str, int]]:
    """How the calls to a model ended, and how many each way."""
    refusals = [(kind.name.lower(), count) for kind, count in meter.refusals.items()]
    return [("answered", meter.answers), ("cancelled", meter.cancellations), *refusals]


def _objectives(models: list[ModelMeter]) -> list[Family]:
    held = [meter for meter in models if meter.objective is not None]
    return [
        measured(
            "tradewind_objective_seconds",
            "Seconds within which a request should be answered: the objective.",
            [(labels_of(meter), meter.objective or 0.0) for meter in held],
        ),
        counted(
            "tradewind_objective_judged",
            "Inference requests that the objective was kept or broken for: all but those that were at fault "
            "themselves and those whose callers went away.",
            [(labels_of(meter), meter.judged) for meter in held],
        ),
        counted(
            "tradewind_objective_missed",
            "Inference requests that the objective was broken for: answered late, or refused for no fault of "
            "their own.",
            [(labels_of(meter), meter.missed) for meter in held],
        ),
        measured(
            "tradewind_objective_attainment",
            "Share of the requests judged, since the model was loaded, that the objective was kept for; "
            "0 to 1. For the share of the last minutes, divide the rates of the two counters.",
            [(labels_of(meter), 1 - meter.missed / meter.judged) for meter in held if meter.judged],
        ),
    ]


def _standing(meters: Meters, gauges: Gauges) -> list[Family]:
    named = [({"model": model.name, "version": model.version}, model) for model in gauges.models]
    families = [
        measured("tradewind_ready", "1 if the server is ready for calls, 0 if not.", [({}, gauges.ready)]),
        measured("tradewind_models_loaded", "Model versions that are loaded.", [({}, len(gauges.models))]),
        measured(
            "tradewind_requests_waiting",
            "Inference requests that wait for their batch to begin.",
            [(labels, model.waiting) for labels, model in named],
        ),
        measured(
            "tradewind_replicas",
            "Replicas of a model, by state.",
            [
                ({**labels, "state": state}, count)
                for labels, model in named
                for state, count in sorted(model.replicas.items())
            ],
        ),
        measured(
            "tradewind_model_memory_bytes",
            "Bytes that a model's replicas hold together, as well as they can be told.",
            [(labels, model.memory) for labels, model in named],
        ),
    ]
    if gauges.memory_limit is not None:
        text = "Bytes that models may hold together; beyond, the least recently used are evicted."
        families.append(measured("tradewind_memory_limit_bytes", text, [({}, gauges.memory_limit)]))
    if gauges.cost_rate is not None:
        text = "Dollars an hour of the machines leased for this server, at the prices of this moment."
        families.append(measured("tradewind_cost_dollars_per_hour", text, [({}, gauges.cost_rate)]))
    return families


def _histogram(name: str, text: str, histograms: list[tuple[Labels, Histogram]]) -> Family:
    samples: list[Sample] = []
    for labels, histogram in histograms:
        below = 0
        for bound, count in zip((*histogram.bounds, None), histogram.counts, strict=True):
            below += count
            upper = "+Inf" if bound is None else repr(float(bound))
            samples.append(Sample({**labels, "le": upper}, below, "_bucket"))
        samples.append(Sample(labels, below, "_count"))
        samples.append(Sample(labels, histogram.sum, "_sum"))
    return Family(name, "histogram", text, samples)
