"""What a server with endpoints tells in its metrics besides.

Where traffic goes, what shadows said differently, and what was captured.

A variant is told by `endpoint`, `variant` and `version`, the number of the deployment that it is of: while an
update is under way there are two. Its latencies are among those of models, under `endpoint.variant.version`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tradewind.serving.server.deployments import VERSION
from tradewind.serving.server.endpoints.endpoint import LiveEndpoint, SideAtWork
from tradewind.serving.server.endpoints.engine import Endpoints
from tradewind.serving.server.endpoints.line_log import LineCounts
from tradewind.serving.server.endpoints.shadow import Shadow
from tradewind.serving.server.metrics.families import Family, Labels, counted, measured, outcomes_of

STATUSES = (
    "Creating", "InService", "Updating", "RollingBack", "UpdateRollbackFailed", "OutOfService", "Failed",
    "Deleting",
)  # fmt: skip
"""Of endpoints."""
_Sample = tuple[Labels, float]
_LINES: tuple[tuple[str, Callable[[LineCounts], float]], ...] = (
    ("written", lambda counts: counts.written),
    ("no_room", lambda counts: counts.no_room),
    ("no_disk", lambda counts: counts.no_disk),
    ("too_large", lambda counts: counts.too_large),
    ("faulty", lambda counts: counts.faulty),
)
_LOST = (
    "written (on the disk), no_room (lost, for too many waited already), no_disk (lost, for the disk was "
    "full), too_large (passed over), faulty (lost, for what was said cannot be written as JSON)."
)


def endpoint_families(endpoints: Endpoints) -> list[Family]:
    """The metrics of endpoints, their variants, shadows and captures."""
    live = endpoints.all()
    return [*_traffic(endpoints, live), *_shadows(live), *_captures(live)]


def _traffic(endpoints: Endpoints, live: tuple[LiveEndpoint, ...]) -> list[Family]:
    weights: list[_Sample] = []
    shares: list[_Sample] = []
    invocations: list[_Sample] = []
    replicas: list[_Sample] = []
    for each, side in _sides(live):
        whole = sum(variant.weight for variant in side.side.variants)
        part = each.share if side is each.green else 1.0 - each.share
        for variant in side.side.variants:
            labels = _labels(side, variant.name)
            weights.append((labels, variant.weight))
            shares.append((labels, part * variant.weight / whole))
        for variant in [*side.side.variants, *side.side.shadows]:
            labels = _labels(side, variant.name)
            replicas.append(({**labels, "state": "up"}, side.replicas_up(variant)))
            replicas.append(({**labels, "state": "wanted"}, variant.instances))
        for name, model in side.models.items():
            meter = endpoints.meters.model(model, VERSION)
            for outcome, count in outcomes_of(meter):
                invocations.append(({**_labels(side, name), "outcome": outcome}, count))
    return [
        measured(
            "tradewind_endpoint_status",
            "1 for the status that an endpoint has, 0 for the others.",
            [
                ({"endpoint": each.name, "status": status}, float(each.record.status == status))
                for each in live
                for status in STATUSES
            ],
        ),
        measured("tradewind_endpoint_weight", "A variant's weight, among those of its deployment.", weights),
        measured(
            "tradewind_endpoint_share",
            "Share of an endpoint's requests that a variant is given at this moment, 0 to 1: its part of the "
            "weights, of the part of the traffic that its deployment has.",
            shares,
        ),
        measured("tradewind_endpoint_replicas", "Replicas of a variant, up and wanted.", replicas),
        counted(
            "tradewind_endpoint_invocations",
            "Requests of an endpoint's callers that a variant was given, by outcome: answered, cancelled "
            "(the caller went away), or why they were refused.",
            invocations,
        ),
        measured(
            "tradewind_endpoint_alarm_ringing",
            "1 for an alarm of an update under way that rings, 0 for one that does not.",
            [
                ({"endpoint": each.name, "alarm": alarm}, float(alarm in each.alarms))
                for each in live
                if each.record.update is not None
                for alarm in sorted(set(each.record.update.plan.alarms))
            ],
        ),
    ]


def _shadows(live: tuple[LiveEndpoint, ...]) -> list[Family]:
    found = [(_labels(side, shadow.variant), shadow) for _, side in _sides(live) for shadow in side.shadows]
    compared = [(labels, shadow.counts) for labels, shadow in found if shadow.counts.compared]
    lines = [
        (labels, counts)
        for labels, shadow in found
        for place, counts in list(shadow.log.counts.items())
        if place == f"{labels['endpoint']}/{shadow.variant}"
    ]
    return [
        counted(
            "tradewind_shadow_requests",
            "Copies of requests, by what became of them: equal (a shadow answered as the production variant "
            "did), differing, failed, or dropped (not sent, for callers or other copies were waiting).",
            [
                ({**labels, "outcome": outcome}, count)
                for labels, shadow in found
                for outcome, count in _compared(shadow)
            ],
        ),
        measured(
            "tradewind_shadow_largest_difference",
            "The largest difference between two numbers that a shadow and the production variant answered.",
            [(labels, counts.largest) for labels, counts in compared],
        ),
        counted(
            "tradewind_shadow_seconds",
            "Seconds that the answers which were compared took, together, by who gave them: production, "
            "shadow.",
            [
                ({**labels, "answerer": who}, seconds)
                for labels, shadow in found
                for who, seconds in (
                    ("production", shadow.counts.production_seconds),
                    ("shadow", shadow.counts.shadow_seconds),
                )
            ],
        ),
        measured(
            "tradewind_shadow_latency_difference_seconds",
            "Seconds that a shadow's answers took longer than those of the production variant, in the mean "
            "of those compared; below 0 where it is faster.",
            [
                (labels, (counts.shadow_seconds - counts.production_seconds) / counts.compared)
                for labels, counts in compared
            ],
        ),
        counted(
            "tradewind_shadow_lines",
            f"Lines on differences of a shadow, by what became of them: {_LOST}",
            [
                ({**labels, "outcome": outcome}, of(counts))
                for labels, counts in lines
                for outcome, of in _LINES
            ],
        ),
    ]


def _compared(shadow: Shadow) -> tuple[tuple[str, int], ...]:
    counts = shadow.counts
    return (
        ("equal", counts.compared - counts.differing),
        ("differing", counts.differing),
        ("failed", counts.failed),
        ("dropped", counts.dropped),
    )


def _captures(live: tuple[LiveEndpoint, ...]) -> list[Family]:
    logs = [(side, side.capture.log) for _, side in _sides(live) if side.capture is not None]
    counts = [
        (_labels(side, variant.name), log.counts.get(f"{side.endpoint}/{variant.name}", LineCounts()))
        for side, log in logs
        for variant in side.side.variants
    ]
    return [
        counted(
            "tradewind_capture_lines",
            f"Requests captured, each a line, by what became of it: {_LOST}",
            [
                ({**labels, "outcome": outcome}, of(found))
                for labels, found in counts
                for outcome, of in _LINES
            ],
        ),
        counted(
            "tradewind_capture_bytes",
            "Bytes of the lines captured that were written.",
            [(labels, found.bytes) for labels, found in counts],
        ),
        measured(
            "tradewind_capture_files_unmoved",
            "Files of captured lines that could not be moved to the store they are for, and are tried again.",
            [
                ({"endpoint": side.endpoint, "version": str(side.side.generation)}, log.unmoved)
                for side, log in logs
            ],
        ),
    ]


def _sides(live: tuple[LiveEndpoint, ...]) -> Iterator[tuple[LiveEndpoint, SideAtWork]]:
    for each in live:
        for side in (each.blue, each.green):
            if side is not None and side.ready:
                yield each, side


def _labels(side: SideAtWork, variant: str) -> Labels:
    return {"endpoint": side.endpoint, "variant": variant, "version": str(side.side.generation)}
