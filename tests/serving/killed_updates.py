"""Servers with endpoints that are killed at every write to their store, and what the next server makes of it.

Run as a program: `killed_updates.py FOLDER STORY...` prints a line of JSON for each story. Every server that
is killed is a process of its own, forked from this one, in which nothing was started. A server does what is
left of the story's script; one that is to be killed kills itself by SIGKILL at its write number n: `within`,
when the transaction is made but not committed, or `behind`, when it is on the disk and nobody was told.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import shutil
import signal
import sys
import traceback
from pathlib import Path

import numpy as np
import onnxruntime  # noqa: F401 -- loaded once, before the forks, each of which needs it
import sqlalchemy
import sqlalchemy.dialects.sqlite
import uvloop  # noqa: F401 -- as well
from endpoint_stage import closed, opened, times
from msgspec.structs import replace

from tradewind import clock
from tradewind.data.endpoint_store import EndpointStore
from tradewind.errors import Misuse
from tradewind.serving.calls import Call, Refusal
from tradewind.serving.server.endpoints import control_plane, updates
from tradewind.serving.server.engine import Options

REGION = "eu-west-1"
BAKE = 0.03
"""Seconds of every wait: the API has whole seconds alone."""
AT_A_TIME = 4
"""Servers that run beside each other: mostly they wait."""


def _blue_green(kind, **more):
    return {"BlueGreenUpdatePolicy": {
        "TrafficRoutingConfiguration": {"Type": kind, "WaitIntervalInSeconds": 0, **more}
    }}  # fmt: skip


_PART = {"Type": "CAPACITY_PERCENT"}
CANARY = _blue_green("CANARY", CanarySize={**_PART, "Value": 50})
LINEAR = _blue_green("LINEAR", LinearStepSize={**_PART, "Value": 40})
ROLLING = {"RollingUpdatePolicy": {
    "MaximumBatchSize": {"Type": "INSTANCE_COUNT", "Value": 1}, "WaitIntervalInSeconds": 0,
    "RollbackMaximumBatchSize": {"Type": "INSTANCE_COUNT", "Value": 1},
}}  # fmt: skip
RINGS = {"AutoRollbackConfiguration": {"Alarms": [{"AlarmName": "p50>0.1us"}]}}
"""No answer keeps it: it rings as soon as green has answered five times."""
STORIES = {
    "canary": {"deployment": CANARY},
    "linear": {"deployment": LINEAR},
    "rolling": {"deployment": ROLLING, "counts": {"a": 2}},
    "canary back": {"deployment": {**CANARY, **RINGS}},
    "rolling back": {"deployment": {**ROLLING, **RINGS}, "counts": {"a": 2}},
    "broken": {"deployment": CANARY, "broken": True},
    "weights": {"weights": True, "within": True},
    "life": {"life": True},
}


async def script(stage, story, artefacts):
    """Do what is not done yet of a story. Every step is one that a client would send again."""
    plane = stage.plane

    async def sent(call, **told):
        try:
            await call(told, REGION)
        except Misuse as problem:
            if "already existing" not in str(problem):
                raise

    counts = story.get("counts", {})
    for config, green in (("one", False), ("two", True)):
        names = ("a", "b") if story.get("weights") else ("a",)
        for name in names:
            which = "broken" if green and story.get("broken") else 3 if green or name == "b" else 2
            container = {"ModelDataUrl": artefacts[which]}
            await sent(plane.create_model, ModelName=f"{config}-{name}", PrimaryContainer=container)
        variants = [
            {
                "VariantName": name, "ModelName": f"{config}-{name}",
                "InitialInstanceCount": counts.get(name, 1),
            }
            for name in names
        ]  # fmt: skip
        await sent(plane.create_config, EndpointConfigName=config, ProductionVariants=variants)
    find = stage.endpoints.find
    if not story.get("life") or not (stage.endpoints.folder / "deleted").exists():
        await sent(plane.create_endpoint, EndpointName="shop", EndpointConfigName="one")
        await _settled(stage)
        yield "made"
        if story.get("deployment") and find("shop").record.deployed == 1:
            await plane.update_endpoint(
                {"EndpointName": "shop", "EndpointConfigName": "two",
                 "DeploymentConfig": story["deployment"]}, REGION,
            )  # fmt: skip
        if story.get("weights") and find("shop").record.blue.variants[0].weight == 1.0:
            wanted = [
                {"VariantName": "a", "DesiredWeight": 0.25, "DesiredInstanceCount": 2},
                {"VariantName": "b", "DesiredWeight": 0.75},
            ]
            await plane.update_weights(
                {"EndpointName": "shop", "DesiredWeightsAndCapacities": wanted}, REGION
            )
    if story.get("life"):
        (stage.endpoints.folder / "deleted").touch()
        if find("shop") is not None:
            await plane.delete_endpoint({"EndpointName": "shop"}, REGION)
        while find("shop") is not None:
            await asyncio.sleep(0.005)
    else:
        await _settled(stage)


async def _settled(stage):
    """Ask again and again until the endpoint is in service; no call may fail once it was."""
    live = stage.endpoints.find("shop")
    while live.record.status != "InService" or live.record.update is not None:
        if any(side is not None and side.ready for side in (live.blue, live.green)):
            assert await _factor(stage) in (2.0, 3.0)
        await asyncio.sleep(0.003)
    while live.blue.up() < 1.0:
        await asyncio.sleep(0.003)


async def _factor(stage, **more):
    answer = await stage.endpoints.infer(Call("shop", {"x": np.ones((1, 2), np.float32)}, **more))
    return float(answer.outputs["y"][0, 0])


def said(text):
    """What a server tells its operator."""
    sys.stderr.write(f"{text}\n")


async def life(folder, story, artefacts, stop_at_made=False):
    """One server: what it is, and what its endpoint answers, in the end."""
    stage = await opened(folder, options=Options(isolation="server"), said=said)
    live = stage.endpoints.find("shop")
    if live is not None and live.record.status not in ("Creating", "Failed"):
        await _factor(stage)  # from its first moment
    async for _ in script(stage, story, artefacts):
        if stop_at_made:
            await closed(stage)
            return {}
    end = {}
    live = stage.endpoints.find("shop")
    if live is not None:
        record = live.record
        end |= {
            "status": record.status, "failure": record.failure, "config": record.blue.config,
            "generation": record.blue.generation, "deployed": record.deployed,
            "variants": [[each.name, each.weight, each.instances] for each in record.blue.variants],
            "left": [record.green is not None, record.update is not None, live.green is not None],
            "share": live.share,
            "answers": [await _factor(stage, id=str(turn)) for turn in range(12)],
        }  # fmt: skip
        while len(stage.engine.gauges().models) > len(live.blue.models):
            await asyncio.sleep(0.005)
    else:
        try:
            await _factor(stage)
        except Refusal as refusal:
            end["refused"] = refusal.kind.name
    end["models"] = sorted(each.name for each in stage.engine.gauges().models)
    await closed(stage)
    end["kept"] = sorted((row.kind, row.name) for kind in ("model", "endpoint-config", "endpoint")
                         for row in EndpointStore(folder / "endpoints.sqlite").all(kind))  # fmt: skip
    return end


def forked(works):
    """What each of `works`, by its folder, gives in a process of its own, as JSON; None if that was killed.
    A few run at a time."""
    waiting, running, found = list(works.items()), {}, {}
    while waiting or running:
        while waiting and len(running) < AT_A_TIME:
            folder, work = waiting.pop(0)
            out = folder / "told.json"
            out.unlink(missing_ok=True)
            if (pid := os.fork()) == 0:
                code = 1
                try:
                    out.write_text(json.dumps(work()))
                    code = 0
                except BaseException:
                    traceback.print_exc()
                finally:
                    os._exit(code)
            running[pid] = folder
        pid, status = os.wait()
        folder = running.pop(pid)
        if os.WIFSIGNALED(status):
            assert os.WTERMSIG(status) == signal.SIGKILL, status
            found[folder] = None
        else:
            assert os.WEXITSTATUS(status) == 0, f"{folder}: it failed"
            found[folder] = json.loads((folder / "told.json").read_text())
    return found


def counting(kill_at=0, how=""):
    """Count the writes to the store, of this process; kill it at one of them."""
    count = {"writes": 0}

    def die():
        os.kill(os.getpid(), signal.SIGKILL)

    def counted(method):
        def write(self, *told):
            count["writes"] += 1
            last = count["writes"] == kill_at
            if last and how == "within":
                sqlalchemy.event.listen(self._engine, "commit", lambda connection: die())
            method(self, *told)
            if last:
                die()

        return write

    EndpointStore.put, EndpointStore.remove = counted(EndpointStore.put), counted(EndpointStore.remove)
    return count


def told(folder, name, artefacts):
    """What became of a story that nobody disturbed, and of the same one killed at each of its writes."""
    story = STORIES[name]
    updates._POLL = 0.01
    planned = control_plane.plan_of
    control_plane.plan_of = lambda config, count: replace(
        planned(config, count), bake=BAKE, termination=BAKE
    )  # fmt: skip
    start = folder / "start"
    start.mkdir(parents=True)
    if not story.get("life"):
        forked({start: lambda: clock.serve(life(start, story, artefacts, stop_at_made=True))})

    def begin(at):
        shutil.copytree(start, at)
        return at

    def server(at, kill_at=0, how=""):
        def work():
            count = counting(kill_at, how)
            end = clock.serve(life(at, story, artefacts))
            return {"end": end, **count}

        return work

    whole = begin(folder / "undisturbed")
    undisturbed = forked({whole: server(whole)})[whole]
    kills = {
        begin(folder / f"{number}-{how}"): (number, how)
        for number in range(1, undisturbed["writes"] + 1)
        for how in (("within", "behind") if story.get("within") else ("behind",))
    }
    died = forked({at: server(at, *kill) for at, kill in kills.items()})

    async def next_servers():
        return await asyncio.gather(*(life(at, story, artefacts) for at in kills))

    # What they begin from is on the disk alone: they may be in one process.
    ends = forked({folder: lambda: clock.serve(next_servers())})[folder]
    return {
        "story": name, **undisturbed,
        "ends": [[*kill, died[at] is None, end] for (at, kill), end in zip(kills.items(), ends, strict=True)],
    }  # fmt: skip


def main():
    gc.freeze()
    folder = Path(sys.argv[1])
    (folder / "broken.onnx").write_bytes(b"\x08\x07 no model")
    artefacts = {each: times(folder / f"{each}.onnx", each) for each in (2, 3)}
    artefacts["broken"] = str(folder / "broken.onnx")
    for name in sys.argv[2:]:
        found = told(folder / name.replace(" ", "-"), name, artefacts)
        sys.stdout.write(json.dumps(found) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
