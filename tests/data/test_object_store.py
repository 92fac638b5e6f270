import os
import signal
import subprocess
import sys
import time
import uuid

import pytest

from tradewind.data.durable_files import TEMPORARY
from tradewind.data.object_store import DirectoryStore, open_store, read_address
from tradewind.errors import Misuse
from tradewind.testing.stores import StoreLaws


class TestPath(StoreLaws):
    @pytest.fixture
    def store(self, tmp_path):
        return open_store(tmp_path / "store")


class TestFile(StoreLaws):
    @pytest.fixture
    def store(self, tmp_path):
        return open_store(f"file://{tmp_path}/store")


class TestMemory(StoreLaws):
    @pytest.fixture
    def store(self):
        return open_store(f"memory://{uuid.uuid4().hex}/store")


def test_an_unknown_kind_of_address_is_misuse():
    with pytest.raises(Misuse, match="no kind of store"):
        open_store("ftpx://host/a")


def test_an_address_that_holds_nothing_is_misuse():
    with pytest.raises(Misuse, match="no such file"):
        read_address(f"memory://{uuid.uuid4().hex}/nothing")


def test_a_key_cannot_be_an_object_and_a_prefix(tmp_path):
    store = DirectoryStore(tmp_path)
    store.put("a", b"x")
    with pytest.raises(Misuse, match="both"):
        store.put("a/b", b"x")
    assert store.list() == ["a"]


_WRITER = """
import sys, pathlib
from tradewind.data.object_store import DirectoryStore
store = DirectoryStore(pathlib.Path(sys.argv[1]))
turn = 0
while True:
    store.put("key", bytes([turn % 2]) * 3_000_000)
    turn += 1
    if turn == 2:
        print("writing", flush=True)
"""


def test_a_kill_leaves_a_whole_object(tmp_path):
    for pause in (0.0, 0.003, 0.011):
        writer = subprocess.Popen([sys.executable, "-c", _WRITER, tmp_path], stdout=subprocess.PIPE)
        try:
            writer.stdout.readline()
            time.sleep(pause)  # noqa: TID251 -- where the kill falls is left to chance
        finally:
            os.kill(writer.pid, signal.SIGKILL)
            writer.wait()
            writer.stdout.close()
        content = DirectoryStore(tmp_path).get("key")
        assert content in (bytes(3_000_000), b"\1" * 3_000_000)
        assert DirectoryStore(tmp_path).list() == ["key"]
    assert all(name == "key" or name.startswith(TEMPORARY) for name in os.listdir(tmp_path))
