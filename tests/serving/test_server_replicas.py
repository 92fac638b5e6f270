"""Replicas in the server, in processes of their own and at an address: one law, and what each survives."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest

from tradewind import clock
from tradewind.errors import Misuse, Unreachable
from tradewind.serving.models.opening import Opening, open_model
from tradewind.serving.server.replicas import task
from tradewind.serving.server.replicas.frames import Garbled, Header, frame, receive_here
from tradewind.serving.server.replicas.in_server import InServer
from tradewind.serving.server.replicas.interface import ModelFailed, ReplicaLost
from tradewind.serving.server.replicas.own_process import OwnProcess
from tradewind.serving.server.replicas.remote import Remote

MODULE = textwrap.dedent(
    '''
    import ctypes, os, time
    import numpy as np

    class Odd:
        """Doubles; some values of the first row do other things."""
        signature = {"inputs": {"x": ["FP64", [-1, -1]]}, "outputs": {"y": ["FP64", [-1, -1]]}}
        hoard = []

        def predict(self, inputs):
            x = inputs["x"]
            first = x[0, 0]
            if first == -1:
                raise ValueError("minus one")
            if first == -2:
                ctypes.string_at(0)
            if first == -3:
                time.sleep(60)
            if first == -4:
                self.hoard.append(np.ones(40 << 17))
            if first == -5:
                os._exit(3)
            return {"y": 2 * x}
    '''
)


@pytest.fixture
def odd(tmp_path, monkeypatch):
    (tmp_path / "oddities.py").write_text(MODULE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.syspath_prepend(str(tmp_path))
    return Opening(python="oddities:Odd")


def x(*first):
    return {"x": np.array(first, np.float64).reshape(-1, 1)}


async def doubled(replica, *values):
    return (await replica.run(x(*values)))["y"].ravel().tolist()


class AtAnAddress:
    """A Remote with the task that it reaches, in a thread of this process."""

    def __init__(self, opening, address):
        self.leave = threading.Event()
        told = {"address": address, "token": "secret"}
        self.thread = threading.Thread(target=task.main, args=(told, self.leave.is_set), daemon=True)
        self.thread.start()
        self.remote = Remote(address, "secret", opening, start_within=10.0)

    async def end(self):
        self.leave.set()
        await asyncio.to_thread(self.thread.join, 5.0)
        assert not self.thread.is_alive()


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as found:
        return found.getsockname()[1]


@pytest.mark.parametrize("kind", ["in_server", "own_process", "unix", "tcp"])
def test_every_kind_runs_batches(odd, kind, tmp_path) -> None:
    async def main():
        there = None
        if kind == "in_server":
            replica = InServer(lambda: open_model(odd))
        elif kind == "own_process":
            replica = OwnProcess(odd)
        else:
            address = f"unix:{tmp_path}/replica" if kind == "unix" else f"tcp:127.0.0.1:{free_port()}"
            there = AtAnAddress(odd, address)
            replica = there.remote
        with pytest.raises(RuntimeError):
            _ = replica.signature
        await replica.open()
        assert [each.name for each in replica.signature.inputs] == ["x"]
        assert replica.signature.batched and replica.platform and replica.memory >= 0
        assert await doubled(replica, 1, 2, 3) == [2, 4, 6]
        with pytest.raises(ModelFailed, match="minus one"):
            await doubled(replica, -1)
        answers = await asyncio.gather(*(doubled(replica, n) for n in range(5)))
        assert answers == [[2 * n] for n in range(5)]
        big = np.random.default_rng(1).normal(size=(1000, 300))
        assert np.array_equal((await replica.run({"x": big}))["y"], 2 * big)
        await replica.close()
        await replica.close()
        if there is not None:
            await there.end()

    clock.run(main())


@pytest.mark.parametrize(("value", "words"), [(-2, "SIGSEGV"), (-5, "exited with 3")])
def test_a_model_that_takes_its_process_down_is_lost_alone(odd, value, words) -> None:
    async def main():
        replica = OwnProcess(odd)
        await replica.open()
        with pytest.raises(ReplicaLost, match=words):
            await doubled(replica, value)
        with pytest.raises(ReplicaLost, match=words):
            await doubled(replica, 1)
        await replica.close()

    clock.run(main())


def test_kill_9_is_seen_at_the_next_batch_and_in_the_midst_of_one(odd) -> None:
    async def main():
        for delay in (0.0, 0.1):
            replica = OwnProcess(odd)
            await replica.open()
            asyncio.get_running_loop().call_later(delay, os.kill, replica.pid, signal.SIGKILL)
            if not delay:
                await asyncio.sleep(0.05)
            with pytest.raises(ReplicaLost, match="SIGKILL"):
                await doubled(replica, -3)
            await replica.close()

    clock.run(main())


def test_one_that_hangs_is_ended(odd) -> None:
    async def main():
        replica = OwnProcess(odd, patience=0.2)
        await replica.open()
        with pytest.raises(ReplicaLost, match=r"longer than 0\.2 s"):
            await doubled(replica, -3)
        with pytest.raises(ProcessLookupError):
            os.kill(replica.pid, 0)
        await replica.close()

    clock.run(main())


def test_one_that_grew_answers_and_is_spent(odd) -> None:
    async def main():
        replica = OwnProcess(odd)
        await replica.open()
        before = replica.memory
        await replica.close()
        replica = OwnProcess(odd, memory_limit=before + (20 << 20))
        await replica.open()
        assert await doubled(replica, 1) == [2] and not replica.spent
        assert await doubled(replica, -4) == [-8] and replica.spent and replica.memory > before + (30 << 20)
        with pytest.raises(ReplicaLost, match="exited with 0"):
            await doubled(replica, 1)
        await replica.close()

    clock.run(main())


def test_a_model_that_cannot_be_opened_says_why(tmp_path) -> None:
    async def main():
        replica = OwnProcess(Opening(str(tmp_path / "nothing.onnx")))
        with pytest.raises(Misuse, match=r"nothing\.onnx"):
            await replica.open()
        with pytest.raises(ProcessLookupError):
            os.kill(replica.pid, 0)

    clock.run(main())


SERVER = """
import asyncio, os, signal
from tradewind import clock
from tradewind.serving.models.opening import Opening
from tradewind.serving.server.replicas.own_process import OwnProcess

async def main():
    replica = OwnProcess(Opening(python="oddities:Odd"))
    await replica.open()
    print(replica.pid, flush=True)
    await asyncio.sleep(60)

clock.serve(main())
"""


def test_a_replica_ends_with_a_server_that_is_killed(odd) -> None:
    with subprocess.Popen([sys.executable, "-c", SERVER], stdout=subprocess.PIPE) as server:
        pid = int(server.stdout.readline())
        os.kill(pid, 0)
        server.kill()
    until = time.monotonic() + 10.0  # noqa: TID251
    with pytest.raises(ProcessLookupError):
        while time.monotonic() < until:  # noqa: TID251
            os.kill(pid, 0)
            threading.Event().wait(0.02)


def test_whoever_has_not_the_token_is_turned_away(odd, tmp_path) -> None:
    async def main():
        there = AtAnAddress(odd, f"unix:{tmp_path}/replica")
        stranger = Remote(f"unix:{tmp_path}/replica", "wrong", odd, start_within=5.0)
        with pytest.raises(ReplicaLost):
            await stranger.open()
        await there.remote.open()
        assert await doubled(there.remote, 4) == [8]
        there.leave.set()
        assert await doubled(there.remote, 5) == [10] and there.remote.spent
        await there.remote.close()
        await there.end()
        alone = Remote(f"unix:{tmp_path}/nobody", "secret", odd, start_within=0.1)
        with pytest.raises(Unreachable, match="nobody"):
            await alone.open()
        with pytest.raises(Misuse, match="no address"):
            Remote("http://here", "secret", odd)

    clock.run(main())


def test_frames_carry_every_datatype() -> None:
    ours, theirs = socket.socketpair()
    rng = np.random.default_rng(3)
    tensors = {
        dtype: rng.integers(0, 2, (2, 3)).astype(dtype)
        for dtype in ("bool", "u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8")
    }
    tensors["texts"] = np.array([[b"", b"a\0b"]], object)
    tensors["empty"] = np.zeros((0, 4))
    with ours, theirs:
        for piece in frame(Header("run", {"k": [1]}, "why", 7, True), tensors):
            ours.sendall(piece)
        header, found = receive_here(theirs)
        assert (header.do, header.told, header.reason, header.memory, header.leaving) == (
            "run", {"k": [1]}, "why", 7, True
        )  # fmt: skip
        assert list(found) == list(tensors)
        for name, array in tensors.items():
            assert np.array_equal(found[name], array) and found[name].shape == array.shape
        ours.sendall(b"\x03\x00\x00\x00abc")
        with pytest.raises(Garbled):
            receive_here(theirs)
        ours.sendall(b"\xff\xff\xff\xff")
        with pytest.raises(Garbled, match="bytes"):
            receive_here(theirs)
        ours.close()
        assert receive_here(theirs) is None
