"""Forking environments from a process with the imports done: what is shared, what is not, and its end."""

import asyncio
import os
import socket
from pathlib import Path

import pytest

from function_host import until
from tradewind import clock
from tradewind.runtimes.functions.host.births import PlainChild, Unfit, Zygote
from tradewind.runtimes.functions.host.exchange import packed, receive

CODE = """
import colorsys, os, random, socket, sys
import numpy as np

def handler(event, context):
    return {"numpy": np.random.random(), "python": random.random(), "parent": os.getppid(),
            "files": len(os.listdir("/proc/self/fd"))}
"""


def begun(tmp_path, name="one"):
    (tmp_path / "app.py").write_text(CODE)
    return {
        "do": "begin", "environment": name, "name": "f", "version": "1", "memory": 1024,
        "handler": "app.handler", "code": str(tmp_path), "learn": True, "log": str(tmp_path / f"log-{name}"),
        "variables": dict(os.environ),
    }  # fmt: skip


CALL = {"request": "r", "arn": "a", "deadline": 9e9, "largest": 1000}


async def talk(child_of, told):
    ours, theirs = socket.socketpair()
    child = child_of(theirs)
    theirs.close()
    reader, writer = await asyncio.open_unix_connection(sock=ours)
    writer.write(packed(told))
    ready, _ = await asyncio.wait_for(receive(reader), 20)
    writer.write(packed(CALL, b"{}"))
    done, answer = await asyncio.wait_for(receive(reader), 20)
    assert not done["error"], answer
    return child, writer, ready, __import__("json").loads(answer)


def test_forks_share_the_imports_but_neither_chance_nor_files(tmp_path):
    async def main():
        plain, writer, ready, answer = await talk(lambda end: PlainChild(end, {}), begun(tmp_path))
        assert (
            "numpy" in ready["modules"] and "colorsys" in ready["modules"] and "app" not in ready["modules"]
        )
        assert answer["parent"] == os.getpid()
        writer.close()
        assert await plain.ended() == 0
        zygote = Zygote(tuple(ready["modules"]), {})
        await zygote.start(30.0)
        first = await talk(zygote.fork, begun(tmp_path, "two"))
        second = await talk(zygote.fork, begun(tmp_path, "three"))
        for key in ("numpy", "python"):
            assert first[3][key] != second[3][key], "siblings draw numbers of their own"
        assert first[3]["files"] <= answer["files"] + 1
        assert first[3]["parent"] == second[3]["parent"] not in (1, os.getpid())
        first[0].kill()
        assert await first[0].ended() == -9
        second[1].close()
        assert await second[0].ended() == 0
        third = await talk(zygote.fork, begun(tmp_path, "four"))
        await zygote.close()
        assert await third[0].ended() == -9 and not zygote.up
        until(lambda: not alive(third[2]["pid"]))
        with pytest.raises(OSError, match="gone"), socket.socket() as end:
            zygote.fork(end)
        third[1].close(), first[1].close()

    clock.run(main())


def alive(pid):
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False


def test_what_cannot_be_imported_is_left_out_and_threads_are_refused(tmp_path):
    (tmp_path / "starts_thread.py").write_text(
        "import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()\n"
    )
    (tmp_path / "ends.py").write_text("import os; os._exit(1)\n")

    async def main():
        path = {"PYTHONPATH": str(tmp_path)}
        zygote = Zygote(("json", "nothing_of_the_kind"), path)
        await zygote.start(30.0)
        assert zygote.left_out == ("nothing_of_the_kind",)
        await zygote.close()
        for modules, words in ((("starts_thread",), "started threads"), (("ends",), "ended while")):
            unfit = Zygote(modules, path)
            with pytest.raises(Unfit, match=words):
                await unfit.start(30.0)
            assert not unfit.up

    clock.run(main())
