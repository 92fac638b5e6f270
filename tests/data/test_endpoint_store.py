"""The store of endpoints outlasts whoever wrote it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from tradewind.data.endpoint_store import EndpointStore
from tradewind.errors import Corrupt, Misuse, Temporary


def test_documents_are_kept_replaced_and_removed(tmp_path) -> None:
    with EndpointStore(tmp_path / "deep" / "store.sqlite") as store:
        store.put("model", "b", b"\x00one")
        store.put("model", "a", b"two")
        store.put("endpoint", "a", b"three")
        store.put("model", "b", b"four")
        store.remove("model", "none")
    with EndpointStore(tmp_path / "deep" / "store.sqlite") as store:
        assert [(each.kind, each.name, each.document) for each in store.all("model")] == [
            ("model", "a", b"two"), ("model", "b", b"four"),
        ]  # fmt: skip
        store.remove("model", "a")
        assert [each.name for each in store.all("model")] == ["b"] and len(store.all("endpoint")) == 1


WRITER = """
import sys
from tradewind.data.endpoint_store import EndpointStore
store = EndpointStore(sys.argv[1])
for number in range(10**6):
    store.put("k", "n", b"%d " % number * 2000)
    print(number, flush=True)
"""


def test_what_a_killed_writer_said_was_kept_is_there_whole(tmp_path) -> None:
    file = tmp_path / "store.sqlite"
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(file)], stdout=subprocess.PIPE)
    for _ in range(10):
        writer.stdout.readline()
    os.kill(writer.pid, signal.SIGKILL)
    last = 9 + len(writer.communicate()[0].split())
    with EndpointStore(file) as store:
        (found,) = store.all("k")
    numbers = found.document.split()
    assert len(set(numbers)) == 1 and len(numbers) == 2000
    assert int(numbers[0]) in (last, last + 1)


def test_what_is_no_store_is_named(tmp_path) -> None:
    (tmp_path / "text").write_text("no database " * 200)
    with pytest.raises(Misuse, match="no store of endpoints"):
        EndpointStore(tmp_path / "text")
    (tmp_path / "file").write_text("")
    with pytest.raises(Misuse, match="folder"):
        EndpointStore(tmp_path / "file" / "store")
    with EndpointStore(tmp_path / "new") as store, store._transaction() as at:
        at.exec_driver_sql("UPDATE endpoint_schema SET version = 9")
    with pytest.raises(Misuse, match="version 9"):
        EndpointStore(tmp_path / "new")
    with EndpointStore(tmp_path / "gone") as store:
        with store._transaction() as at:
            at.exec_driver_sql("DROP TABLE endpoint_records")
        with pytest.raises(Corrupt):
            store.all("k")


def test_while_others_write_it_waits_and_then_says_so(tmp_path) -> None:
    with EndpointStore(tmp_path / "s") as one, EndpointStore(tmp_path / "s", wait=0.05) as other:
        with one._transaction(), pytest.raises(Temporary, match="locked"):
            other.put("k", "n", b"")
        other.put("k", "n", b"")
