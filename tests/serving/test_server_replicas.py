"""Replicas in the server, in processes of their own and at an address: one law, and what each survives."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import ssl
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest

from tradewind import clock
from tradewind.errors import MissingExtra, Misuse, Unreachable
from tradewind.serving.models.opening import Opening, open_model
from tradewind.serving.server.replicas import task
from tradewind.serving.server.replicas.frames import Garbled, Header, frame, receive_here
from tradewind.serving.server.replicas.in_server import InServer
from tradewind.serving.server.replicas.interface import ModelFailed, ReplicaLost
from tradewind.serving.server.replicas.own_process import OwnProcess
from tradewind.serving.server.replicas.remote import Remote, greeting
from tradewind.serving.server.replicas.secured import front_side, new_identity, replica_side

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

    def __init__(self, opening, address, seen_at=""):
        self.leave = threading.Event()
        self.identity = new_identity() if address.startswith("tcp:") else ""
        told = {"address": address, "token": "secret", "identity": self.identity}
        self.thread = threading.Thread(target=task.main, args=(told, self.leave.is_set), daemon=True)
        self.thread.start()
        self.opening, self.address = opening, seen_at or address
        self.remote = self.another()

    def another(self, token="secret", **told):
        """A server that connects to it."""
        told = {"identity": self.identity, "start_within": 10.0, **told}
        return Remote(self.address, token, self.opening, **told)

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


class Middle:
    """Between a server and a replica, at TCP: passes bytes on, as `change(upwards, bytes)` has them, and
    keeps what went up."""

    def __init__(self, port):
        self.change = lambda upwards, content: content
        self.went_up = []
        self._door, self._port = socket.create_server(("127.0.0.1", 0)), port
        self.address = f"tcp:127.0.0.1:{self._door.getsockname()[1]}"
        self._threads = [threading.Thread(target=self._accept)]
        self._ends = []
        self._threads[0].start()

    def _accept(self):
        while True:
            try:
                front, _ = self._door.accept()
            except OSError:
                return
            try:
                replica = socket.create_connection(("127.0.0.1", self._port))
            except OSError:  # not there yet, or no more
                front.close()
                continue
            self._ends += [front, replica]
            self.replica = replica
            for upwards, here, there in ((True, front, replica), (False, replica, front)):
                self._threads.append(threading.Thread(target=self._pass, args=(upwards, here, there)))
                self._threads[-1].start()

    def _pass(self, upwards, here, there):
        with contextlib.suppress(OSError):
            while content := here.recv(1 << 16):
                if upwards:
                    self.went_up.append(content)
                there.sendall(self.change(upwards, content))
        with contextlib.suppress(OSError):
            there.shutdown(socket.SHUT_WR)

    def close(self):
        with contextlib.suppress(OSError):
            self._door.shutdown(socket.SHUT_RDWR)
        self._door.close()
        self._threads[0].join(5.0)
        for each in self._ends:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        for each in self._threads:
            each.join(5.0)
            assert not each.is_alive()


@contextlib.contextmanager
def in_the_middle(odd):
    port = free_port()
    middle = Middle(port)
    there = AtAnAddress(odd, f"tcp:127.0.0.1:{port}", middle.address)
    try:
        yield middle, there
    finally:
        there.leave.set()
        middle.close()


def flipped(content):
    """One bit of the last byte but twenty is another: within the frame, not in TLS's own length."""
    changed = bytearray(content)
    changed[-20] ^= 1
    return bytes(changed)


@pytest.mark.parametrize("upwards", [True, False])
def test_a_byte_that_is_changed_on_the_way_ends_the_link(odd, upwards) -> None:
    async def main():
        with in_the_middle(odd) as (middle, there):
            await there.remote.open()
            assert await doubled(there.remote, 1, 2) == [2, 4]
            plain = np.array([1.0, 2.0]).tobytes()
            assert not any(b"secret" in each or plain in each for each in middle.went_up)
            middle.change = lambda up, content: flipped(content) if up is upwards else content
            with pytest.raises(ReplicaLost):
                await doubled(there.remote, 3, 4)
            with pytest.raises(ReplicaLost):
                await doubled(there.remote, 3, 4)
            await there.remote.close()
            await there.end()

    clock.serve(main())


def test_what_is_sent_again_is_not_run_again(odd) -> None:
    async def main():
        with in_the_middle(odd) as (middle, there):
            await there.remote.open()
            before = len(middle.went_up)
            assert await doubled(there.remote, 1) == [2]
            batch = b"".join(middle.went_up[before:])
            middle.replica.sendall(batch)
            with pytest.raises(ReplicaLost):
                await doubled(there.remote, 3)
            await there.remote.close()
            await there.end()
            # Nor is a whole conversation, to a replica that has the same key and token.
            whole = b"".join(middle.went_up[: before + 1])
            port = free_port()
            again = AtAnAddress.__new__(AtAnAddress)
            again.leave = threading.Event()
            told = {"address": f"tcp:127.0.0.1:{port}", "token": "secret", "identity": there.identity}
            again.thread = threading.Thread(target=task.main, args=(told, again.leave.is_set), daemon=True)
            again.thread.start()
            answer = await asyncio.to_thread(_said, port, whole)
            # Hello and the server's own part of the handshake, then the alert; no frame.
            assert b"opened" not in answer and len(answer) < 4096
            fresh = Remote(told["address"], "secret", odd, identity=there.identity, start_within=10.0)
            await fresh.open()
            assert await doubled(fresh, 4) == [8]
            await fresh.close()
            await again.end()

    clock.serve(main())


def _said(port, content):
    """What is answered to bytes, until the end."""
    for _ in range(500):
        with contextlib.suppress(ConnectionRefusedError):
            link = socket.create_connection(("127.0.0.1", port))
            break
        threading.Event().wait(0.01)
    answer = b""
    with link, contextlib.suppress(OSError):
        link.settimeout(5.0)
        link.sendall(content)
        while more := link.recv(1 << 16):
            answer += more
    return answer


def test_whoever_has_another_key_is_refused_on_either_side(odd, tmp_path) -> None:
    async def main():
        there = AtAnAddress(odd, f"tcp:127.0.0.1:{free_port()}")
        with pytest.raises(ReplicaLost, match=r"not the replica that was started.*VERIFY_FAILED"):
            await there.another(identity=new_identity()).open()
        with pytest.raises(ReplicaLost, match="token or key"):
            await there.another("wrong").open()
        host, port = there.address.removeprefix("tcp:").split(":")
        # One that speaks no TLS, and one that takes the replica's key on trust and shows none of its own.
        assert b"opened" not in await asyncio.to_thread(_said, int(port), greeting("secret") + bytes(64))
        trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
        with (
            socket.create_connection((host, int(port))) as link,
            pytest.raises(OSError),
            trusting.wrap_socket(link) as stranger,
        ):
            stranger.sendall(greeting("secret"))
            if not stranger.recv(1):
                raise ConnectionResetError
        await there.remote.open()
        assert await doubled(there.remote, 4) == [8]
        await there.remote.close()
        await there.end()
        # A stranger at the replica's port.
        with socket.create_server(("127.0.0.1", 0)) as door:
            answering = threading.Thread(target=_greets, args=(door,))
            answering.start()
            address = f"tcp:127.0.0.1:{door.getsockname()[1]}"
            with pytest.raises(ReplicaLost, match="not the replica that was started"):
                await Remote(address, "secret", odd, identity=there.identity).open()
            await asyncio.to_thread(answering.join, 5.0)

    clock.serve(main())


def _greets(door):
    link, _ = door.accept()
    with link:
        link.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        link.recv(1 << 16)


def test_nothing_goes_over_tcp_in_the_clear(odd, monkeypatch) -> None:
    with pytest.raises(Misuse, match="identity"):
        Remote("tcp:127.0.0.1:1", "secret", odd)
    with pytest.raises(Misuse, match="identity"):
        task.main({"address": "tcp:127.0.0.1:0", "token": "secret"}, lambda: True)
    for side in (front_side, replica_side):
        for none in ("", "-----BEGIN CERTIFICATE-----", new_identity()[:300]):
            with pytest.raises(Misuse, match="no identity"):
                side(none)
    assert new_identity() != new_identity()
    monkeypatch.setitem(sys.modules, "cryptography", None)
    with pytest.raises(MissingExtra, match=r"cryptography.*tradewind\[ray\]"):
        new_identity()


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
