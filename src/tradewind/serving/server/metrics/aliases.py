"""The same metrics under the names of Triton and MLServer, so that their dashboards show a Tradewind server.

Triton's user guide, "Metrics", inference request metrics; the names of MLServer's inference metrics.
"""

from __future__ import annotations

from collections.abc import Callable

from tradewind.serving.calls import RefusalKind
from tradewind.serving.server.metrics.families import (
    DROPPED,
    Family,
    Sample,
    counted,
    labels_of,
    measured,
)
from tradewind.serving.server.metrics.meters import Gauges, Meters, ModelMeter

_COUNTS: tuple[tuple[str, str, Callable[[ModelMeter], float]], ...] = (
    ("request_success", "Inference requests answered.", lambda meter: meter.answers),
    (
        "count",
        "Rows answered; a request of a model that is not batched counts as one.",
        lambda meter: meter.rows,
    ),
    ("exec_count", "Batches run.", lambda meter: meter.batch_rows.count),
    (
        "request_duration_us",
        "Microseconds from arrival to answer, of all answered requests together.",
        lambda meter: meter.total.sum * 1e6,
    ),
    (
        "queue_duration_us",
        "Microseconds that answered requests waited before their batches began, together.",
        lambda meter: meter.queue.sum * 1e6,
    ),
    (
        "compute_input_duration_us",
        "Microseconds that batches took to be put together, added up by batches (by requests in Triton).",
        lambda meter: meter.compute_input * 1e6,
    ),
    (
        "compute_infer_duration_us",
        "Microseconds of inference of the batches that answered requests were in, added up by requests.",
        lambda meter: meter.infer.sum * 1e6,
    ),
    (
        "compute_output_duration_us",
        "Microseconds that batches took to be cut apart, added up by batches (by requests in Triton).",
        lambda meter: meter.compute_output * 1e6,
    ),
)


def triton_families(meters: Meters, gauges: Gauges) -> list[Family]:
    """Triton's inference metrics. Its counters have no `_total`, so their kind is told as unknown."""
    models = list(meters)
    families = [
        Family(f"nv_inference_{name}", "unknown", text, [Sample(labels_of(m), of(m)) for m in models])
        for name, text, of in _COUNTS
    ]
    text = (
        "Inference requests not answered, by reason: REJECTED (for want of room, time or a replica), "
        "CANCELED (the caller went away), BACKEND (the model failed), OTHER (the request was wrong)."
    )
    samples = [
        Sample({**labels_of(meter), "reason": reason}, count)
        for meter in models
        for reason, count in _reasons(meter).items()
    ]
    waiting = [({"model": model.name, "version": model.version}, model.waiting) for model in gauges.models]
    return [
        *families,
        Family("nv_inference_request_failure", "unknown", text, samples),
        measured(
            "nv_inference_pending_request_count",
            "Inference requests that wait for their batch to begin.",
            waiting,
        ),
    ]


def mlserver_families(meters: Meters) -> list[Family]:
    """MLServer's inference metrics."""
    models = list(meters)
    durations: list[Sample] = []
    for meter in models:
        durations.append(Sample(labels_of(meter), meter.answers, "_count"))
        durations.append(Sample(labels_of(meter), meter.total.sum, "_sum"))
    return [
        counted(
            "model_infer_request_success",
            "Inference requests answered.",
            [(labels_of(meter), meter.answers) for meter in models],
        ),
        counted(
            "model_infer_request_failure",
            "Inference requests refused, failed or cancelled.",
            [(labels_of(meter), meter.failures) for meter in models],
        ),
        Family(
            "model_infer_request_duration",
            "summary",
            "Seconds from the arrival of a request to its answer, of answered requests.",
            durations,
        ),
    ]


def _reasons(meter: ModelMeter) -> dict[str, int]:
    rejected = sum(meter.refusals[kind] for kind in DROPPED)
    backend = meter.refusals[RefusalKind.FAILED]
    return {
        "REJECTED": rejected,
        "CANCELED": meter.cancellations,
        "BACKEND": backend,
        "OTHER": meter.failures - meter.cancellations - rejected - backend,
    }
