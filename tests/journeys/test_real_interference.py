"""Interference for real: processes that do nothing but compute, on the core of a variant's replica."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tradewind import clock
from tradewind.serving.server.engine import PROCESS
from tradewind.serving.variants.scaling.interface import Plan
from tradewind.serving.variants.states import State
from variant_stage import asked, chain, engine_of, rated, running

HOGS = 16
BOUND = 30
"""Milliseconds."""
SPIN = "import os, sys\nos.sched_setaffinity(0, {int(sys.argv[1])})\nprint(flush=True)\nwhile True: pass"


@pytest.fixture
def hogs():
    """Start processes that compute on a core; they end with the test."""
    running = []

    def start(core: int) -> None:
        # Each in a session of its own, as the replica is: the scheduler shares a core among sessions.
        running.extend(
            subprocess.Popen(
                [sys.executable, "-IS", "-c", SPIN, str(core)], stdout=subprocess.PIPE, start_new_session=True
            )
            for _ in range(HOGS)
        )
        for each in running:
            each.stdout.readline()

    def end() -> None:
        while running:
            each = running.pop()
            each.send_signal(signal.SIGKILL)
            each.wait()
            each.stdout.close()

    def pause(so: bool) -> None:
        for each in running:
            each.send_signal(signal.SIGSTOP if so else signal.SIGCONT)

    start.pause = pause
    yield start
    end()


def pinned(pid: int, core: int) -> None:
    for task in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(task.name), {core})


class AsItIs:
    """Scales nothing, so that only the choices move."""

    name = "as_it_is"

    def recall(self):
        return None

    def scale(self, fleet, memory):
        return Plan({each.name: 1 for each in fleet.standings}, "as it is"), None


def test_a_hog_makes_a_variant_interfered_and_choices_move_and_come_back(tmp_path, hogs):
    # Really 4 to 5 ms a row, where nothing disturbs; six times that is still in time.
    two = [
        rated(chain(tmp_path / "cheap.onnx", 300), accuracy=0.9, per_row=1e-3, fixed=4e-3, price=1.0),
        rated(chain(tmp_path / "other.onnx", 310), accuracy=0.9, per_row=1e-3, fixed=4e-3, price=5.0),
    ]

    async def main(engine):
        fleet = engine.fleet
        cheap, other = fleet.members["cheap"], fleet.members["other"]
        await asyncio.gather(
            fleet.ensure(other), asyncio.to_thread(hogs, core := min(os.sched_getaffinity(0)))
        )
        hogs.pause(True)

        async def asking(condition, seconds):
            """Ask until something is so; who answered."""
            who, end = [], clock.now() + seconds
            while not condition(who):
                assert clock.now() < end, (who[-20:], cheap.watched, other.watched)
                who.append((await asked(engine, "double", max_latency_ms=BOUND))[0])
                await asyncio.sleep(0.005)

        await asking(lambda who: who[-10:] == ["cheap"] * 10, 20)
        (replica,) = engine.models.served("cheap").fleet.replicas
        pinned(replica.pid, core)
        hogs.pause(False)

        def moved(who):
            interfered = fleet.standing(cheap, clock.now()).state is State.INTERFERED
            return interfered and who[-10:] == ["other"] * 10

        await asking(moved, 20)
        assert "interfered" in engine.state_of(cheap) and "times what its profile says" in engine.state_of(
            cheap
        )
        index = {each.name: each for each in engine.index()}
        assert "interfered" in index["cheap"].reason and index["cheap"].state == "READY"
        hogs.pause(True)
        # That it has recovered is seen by batches of ours: no caller is sent to it to find out.
        in_time = 0.9 * BOUND / 5
        await asking(lambda who: who[-10:] == ["cheap"] * 10 and cheap.watched.slowdown < in_time, 20)

    running(engine_of(two, isolation=PROCESS, period=0.2, scaling=AsItIs()), main)
