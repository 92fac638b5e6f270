"""GET /v2/variants: the variants of each task, how they stand, what is asked of them, and the plan."""

from __future__ import annotations

import math
from typing import Any

from msgspec import json

from tradewind import clock
from tradewind.serving.server.http.messages import Request, Response
from tradewind.serving.server.http.routes import Routes
from tradewind.serving.server.tasks.engine import TaskEngine
from tradewind.serving.server.tasks.fleet import Member


def add_routes(routes: Routes, engine: TaskEngine) -> None:
    """Add the path; errors are in the shape of /v2."""

    async def variants(request: Request) -> Response:
        now = clock.now()
        fleet, scaler = engine.fleet, engine.scaler
        said = {
            "variants": [_told(engine, each, now) for _, each in sorted(fleet.members.items())],
            "classes": [
                {
                    "asked": each.query.task or each.query.architecture or each.query.variant,
                    "min_accuracy": each.query.accuracy,
                    "max_latency_ms": 1e3 * each.query.latency,
                    "rows": each.query.rows,
                    "rows_per_second": engine.traffic.rate(each.query),
                }
                for each in scaler.classes
            ],
            "plan": {"replicas": scaler.plan.replicas, "reason": scaler.plan.reason},
            "limits": {"replicas": fleet.limit.replicas, "memory": fleet.limit.memory},
            "dollars_per_hour": engine.gauges().cost_rate,
        }
        return Response(200, json.encode(said))

    routes.add("GET", "/v2/variants", variants)


def _told(engine: TaskEngine, member: Member, now: float) -> dict[str, Any]:
    variant, profile = member.rated.variant, member.rated.profile
    standing = engine.fleet.standing(member, now)
    return {
        "name": variant.name,
        "task": variant.task,
        "architecture": variant.architecture,
        "precision": variant.precision,
        "runtime": variant.runtime,
        "resource": member.resource,
        "accuracy": variant.accuracy,
        "tested": variant.tested,
        "max_batch": variant.max_batch,
        "latency_ms": 1e3 * profile.latency.of(1),
        "dollars_per_million_rows": 1e6 * profile.per_request(variant.max_batch),
        "memory": engine.fleet.memory_of(member),
        "state": standing.state.value,
        "told": engine.state_of(member),
        "replicas": standing.replicas,
        "wanted": member.wanted,
        "starting_in": None if math.isinf(standing.starting) else standing.starting,
        "slowdown": standing.slowdown,
        "rows_per_second": standing.rate,
        "waiting": standing.waiting,
    }
