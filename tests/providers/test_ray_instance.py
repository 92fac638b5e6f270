"""The far end of a lease, called as Ray calls it; that it works as an actor, the laws on a cluster show."""

import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tradewind import __version__
from tradewind.providers import ray_instance
from tradewind.providers.ray_instance import RayInstance
from tradewind.runtimes.wire import Inbox, line

AGENT = ("python", "-m", "tradewind.runtimes.agent", "--listen", "{address}")


def run(story: Callable[[RayInstance], Any], command: tuple[str, ...] = AGENT) -> None:
    async def main() -> None:
        instance = RayInstance(command)
        try:
            await asyncio.wait_for(story(instance), 30)
        finally:
            await instance.end()
            instance._process.stdin.close()
        assert not instance._folder.exists()

    asyncio.run(main())


def start(name: str, folder: Path, chore: str, **more: Any) -> bytes:
    arguments = {"chore": chore, "path": str(folder / name), **more}
    order = {"do": "start", "task": name, "module": "tradewind.testing.chores", "arguments": arguments}
    return line({**order, "log": f"logs/{name}.log"})


async def hear(instance: RayInstance, session: str, until: str, have: dict[str, int]) -> tuple[list, dict]:
    """What is told up to an event, and the output that came; every call is made twice, as if one was lost."""
    inbox, at, told, output = Inbox(), 0, [], {}
    while not any(each["event"] == until for each in told):
        await instance.receive(session, at, dict(have))
        data, fresh, over = await instance.receive(session, at, dict(have))
        assert not over
        at += len(data)
        told += inbox.feed(data)
        for name, text in fresh.items():
            have[name] = have.get(name, 0) + len(text)
            output[name] = output.get(name, b"") + text
    return told, output


def test_calls_whose_answers_were_lost_are_repeated_without_harm(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(ray_instance, "_MOST", 1000)

    async def story(instance: RayInstance) -> None:
        assert (await instance.hello())[0] == __version__
        assert await instance.answers() and await instance.answers()
        assert await instance.connect("s") and await instance.connect("s")
        order = start("t", tmp_path, "raise", text="no luck " * 1000)
        # In pieces, of which each comes again, and with what came before once more.
        assert await instance.send("s", 0, order[:50])
        assert await instance.send("s", 0, order[:50])
        assert await instance.send("s", 20, order[20:])
        assert await instance.send("s", 0, order)
        told, output = await hear(instance, "s", "ended", {})
        assert [each["event"] for each in told] == ["accepted", "ended"]
        assert "no luck" in told[-1]["reason"]
        text = output["t.log"].decode()
        assert text.startswith("doing raise\n") and text.endswith("no luck \n") and len(text) > 8000

    run(story)


def test_what_was_sent_out_of_order_is_refused(tmp_path: Path) -> None:
    async def story(instance: RayInstance) -> None:
        while not await instance.connect("s"):
            pass
        assert not await instance.send("s", 5, b"late")
        assert not await instance.send("nobody", 0, b"x")
        assert await instance.receive("nobody", 0, {}) == (b"", {}, True)

    run(story)


def test_hanging_up_kills_the_tasks_and_a_late_connect_opens_nothing(tmp_path: Path) -> None:
    async def story(instance: RayInstance) -> None:
        while not await instance.connect("s"):
            pass
        await instance.send("s", 0, start("t", tmp_path, "linger"))
        while not (tmp_path / "t").exists():
            await asyncio.sleep(0.02)
        pid = int((tmp_path / "t").read_text())
        await instance.hang_up("s")
        await instance.hang_up("nobody")
        while Path(f"/proc/{pid}").exists():
            await asyncio.sleep(0.02)
        assert await instance.connect("s")
        assert (await instance.receive("s", 0, {}))[2]

    run(story)


def test_the_end_of_the_program_is_told(tmp_path: Path) -> None:
    async def story(instance: RayInstance) -> None:
        while not await instance.connect("s"):
            pass
        living = asyncio.create_task(instance.outlive())
        await asyncio.sleep(0.2)
        assert not living.done()
        os.kill(instance._process.pid, 9)
        assert await living == ""
        assert await instance.receive("s", 0, {}) == (b"", {}, True)

    run(story)


def test_a_program_that_fails_says_why() -> None:
    async def story(instance: RayInstance) -> None:
        with pytest.raises(ChildProcessError, match="no luck"):
            await instance.answers()
        assert "no luck" in await instance.outlive()
        with pytest.raises(ChildProcessError, match="no luck"):
            await instance.connect("s")

    run(story, (sys.executable, "-c", "raise SystemExit('no luck')"))


def test_without_its_raylet_an_instance_ends_itself() -> None:
    """In a process of its own, whose parent goes away."""
    program = (
        "import asyncio, os, sys, time\n"
        "from tradewind.providers.ray_instance import RayInstance\n"
        "if os.fork():\n"
        "    time.sleep(1.0)\n"
        "    os._exit(0)\n"
        "instance = RayInstance(('python', '-c', 'import time; time.sleep(60)'))\n"
        "print(instance._process.pid, flush=True)\n"
        "asyncio.run(instance.outlive())\n"
    )

    async def main() -> None:
        raylet = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stdout=-1)
        assert raylet.stdout is not None
        pid = int(await raylet.stdout.readline())
        assert Path(f"/proc/{pid}").exists()
        await raylet.wait()
        async with asyncio.timeout(20):
            while Path(f"/proc/{pid}").exists():
                await asyncio.sleep(0.05)

    asyncio.run(main())
