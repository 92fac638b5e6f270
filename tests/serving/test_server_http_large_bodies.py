"""Large bodies are read beside the event loop, by the same handlers, with the same answers."""

from __future__ import annotations

import asyncio
import json

import pytest
from served_wires import body_of, routes_of
from small_engine import WEIGHTS, SmallEngine, made_rows

from tradewind import clock
from tradewind.serving.calls import Refusal
from tradewind.serving.server.http.large_bodies import LargeBodies, is_large
from tradewind.serving.server.http.messages import Request, Response
from tradewind.serving.server.http.routes import Routes

PATH = "/v2/models/linear/infer"


def request_of(body: bytes, **headers: str) -> Request:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Request("POST", PATH, "", named, body, 0.0, {"model": "linear"})


def test_what_is_large() -> None:
    assert not is_large(request_of(bytes(1000)))
    assert is_large(request_of(bytes(200_000)))
    assert not is_large(request_of(bytes(200_000), inference_header_content_length="100"))
    assert is_large(request_of(bytes(5_000_000), inference_header_content_length="100"))


def test_answers_and_refusals_are_those_of_the_event_loop() -> None:
    rows = made_rows(400)
    tensor = {"name": "rows", "shape": [400, 64], "datatype": "FP32", "data": rows.ravel().tolist()}

    async def main() -> None:
        engine = SmallEngine()
        large = LargeBodies(engine, routes_of(engine))
        route = routes_of(engine).find("POST", PATH).route
        assert large.takes(route)
        found = await asyncio.gather(
            *(large.answer(route, request_of(json.dumps({"inputs": [tensor]}).encode())) for _ in range(20))
        )
        for response in found:
            assert json.loads(body_of(response))["outputs"][0]["data"] == (rows @ WEIGHTS).ravel().tolist()
        assert len(engine.calls) == 20
        with pytest.raises(Refusal, match="'rows' takes"):
            await large.answer(
                route, request_of(json.dumps({"inputs": [tensor | {"name": "other"}]}).encode())
            )

    clock.run(main())


def computing(engine) -> Routes:
    """One wire that computes for long, and then asks the engine."""

    def over(engine):
        async def handler(request: Request) -> Response:
            total = sum(index * index for index in range(3_000_000))
            return Response(200, str(total + engine.live + len(engine.index())).encode())

        return handler

    routes = Routes()
    routes.add("POST", PATH, over(engine), over=over)
    return routes


def test_the_event_loop_goes_on_meanwhile_and_a_caller_may_leave() -> None:
    async def main() -> None:
        engine = SmallEngine()
        large = LargeBodies(engine, computing(engine))
        route = computing(engine).find("POST", PATH).route
        left = asyncio.create_task(large.answer(route, request_of(b"")))
        stayed = asyncio.create_task(large.answer(route, request_of(b"")))
        steps = 0
        while not stayed.done():
            await asyncio.sleep(0.001)
            steps += 1
            if steps == 3:
                left.cancel()
        assert steps > 10 and left.cancelled()
        expected = sum(index * index for index in range(3_000_000)) + 1 + len(engine.index())
        assert int(body_of(stayed.result())) == expected

    clock.run(main())
