"""Five times the load that a model can bear: it answers what it can, and refuses the rest in time."""

from __future__ import annotations

import asyncio
import json
import time

import numpy as np
from real_server import FACTORS, python_model, real_server, rows_body

OBJECTIVE = 0.25
CAPACITY = 4 / 0.04
"""Requests a second of `troubled_models.Slow`, which takes 40 ms for up to 4 rows."""


class OpenLoop:
    """Asks at moments that are fixed beforehand, whatever becomes of the answers.

    Each entry of `seen`: (status, Retry-After or "").
    """

    def __init__(self, address: str) -> None:
        self._host, port = address.split(":")
        self._port = int(port)
        self._idle: list = []
        self.seen: list[tuple[int, str]] = []

    async def offer(self, moments) -> None:
        began = time.perf_counter()
        asked = []
        for number, moment in enumerate(moments):
            if (left := began + moment - time.perf_counter()) > 0:
                await asyncio.sleep(left)
            asked.append(asyncio.create_task(self._ask(number)))
        await asyncio.wait_for(asyncio.gather(*asked), 20)

    async def _ask(self, number: int) -> None:
        row = [[number % 7, number % 5, number % 3, 1]]
        body = json.dumps(rows_body(row)).encode()
        reader, writer = (
            self._idle.pop() if self._idle else await asyncio.open_connection(self._host, self._port)
        )
        head = f"POST /v2/models/slow/infer HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        lines = (await reader.readuntil(b"\r\n\r\n")).decode().lower().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines[1:] if line)
        said = json.loads(await reader.readexactly(int(headers["content-length"])))
        status = int(lines[0].split()[1])
        self.seen.append((status, headers.get("retry-after", "")))
        if status == 200:
            assert said["outputs"][0]["data"] == (np.array(row, float) @ FACTORS).tolist()
        self._idle.append((reader, writer))

    async def leave(self) -> None:
        for _, writer in self._idle:
            writer.close()
            await writer.wait_closed()


def test_under_five_times_its_capacity_it_answers_what_it_can_and_refuses_the_rest(tmp_path) -> None:
    trust = python_model(tmp_path, "slow", "Slow", max_batch=4)
    seconds = 1.5
    with real_server(tmp_path, trust, "--slo", f"p99<{1000 * OBJECTIVE:g}ms", "--no-grpc") as server:

        async def main() -> None:
            before = server.memory()
            rng = np.random.default_rng(1)
            load = OpenLoop(server.http)
            moments = np.cumsum(rng.exponential(1 / (5 * CAPACITY), int(5 * CAPACITY * seconds)))
            began = time.perf_counter()
            await load.offer(moments)
            good = [each for each in load.seen if each[0] == 200]
            refused = [each for each in load.seen if each[0] != 200]
            assert len(load.seen) == len(moments)
            # Others have the machine too: how much it is, and how quick, belongs to a benchmark; that it is
            # not nothing, and no more than what the model can do in the time until all were told, here.
            assert len(good) / moments[-1] >= 0.1 * CAPACITY
            assert len(good) <= 4 + CAPACITY * (time.perf_counter() - began)
            assert len(refused) > len(moments) / 2
            for status, retry_after in refused:
                assert status in (429, 503) and int(retry_after) >= 1
            assert server.memory() - before < 64 << 20

            load.seen.clear()  # and at once after it, all is as before
            await load.offer(np.arange(20) * 4 / CAPACITY)
            assert [status for status, _ in load.seen] == [200] * 20
            await load.leave()

        asyncio.run(main())
