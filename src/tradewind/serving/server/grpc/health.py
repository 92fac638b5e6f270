"""gRPC's health checking protocol, `grpc.health.v1.Health`, as load balancers and Kubernetes ask it.

The service `liveness` is served while the server runs; the others known, which are the empty name,
`readiness` and `inference.GRPCInferenceService`, while it is ready for calls.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from tradewind.serving.calls import Engine, Refusal, RefusalKind
from tradewind.serving.server.grpc.messages import Messages

NAME = "grpc.health.v1.Health"
"""Of the service, in full."""
_READINESS = ("", "readiness", "inference.GRPCInferenceService")
_LIVENESS = "liveness"
_PERIOD = 0.1
"""Seconds between two looks at the engine, for those who watch."""


class HealthService:
    """Answers for `engine`; once `draining` is set, nothing but `liveness` is served."""

    def __init__(self, engine: Engine, messages: Messages) -> None:
        self._engine = engine
        self._request = messages["grpc.health.v1.HealthCheckRequest"]
        self._response = messages["grpc.health.v1.HealthCheckResponse"]
        self._list_request = messages["grpc.health.v1.HealthListRequest"]
        self._list_response = messages["grpc.health.v1.HealthListResponse"]
        self.draining = False

    def methods(self) -> dict[str, tuple[Any, Any]]:
        """By the name of each method that answers one request: the request's class, and the method."""
        return {"Check": (self._request, self._check), "List": (self._list_request, self._list)}

    async def watch(self, data: bytes) -> AsyncIterator[bytes]:
        """The state of a service, given in a HealthCheckRequest's bytes: now, and whenever it has changed.

        It ends once `draining` is set, so that who watches does not hold up the end.
        """
        service = self._request.FromString(data).service
        last = ""
        while True:
            draining = self.draining
            state = self._state(service)
            if state != last:
                yield self._response(status=state).SerializeToString()
                last = state
            if draining:
                return
            await asyncio.sleep(_PERIOD)

    def _state(self, service: str) -> str:
        if service == _LIVENESS:
            return "SERVING" if self._engine.live else "NOT_SERVING"
        if service in _READINESS:
            return "SERVING" if self._engine.ready and not self.draining else "NOT_SERVING"
        return "SERVICE_UNKNOWN"

    async def _check(self, request: Any, left: float | None) -> Any:
        state = self._state(request.service)
        if state == "SERVICE_UNKNOWN":
            raise Refusal(RefusalKind.NOT_FOUND, f"there is no service {request.service!r} here")
        return self._response(status=state)

    async def _list(self, request: Any, left: float | None) -> Any:
        response = self._list_response()
        for service in (*_READINESS, _LIVENESS):
            response.statuses[service].CopyFrom(self._response(status=self._state(service)))
        return response
