import multiprocessing
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from tradewind.errors import Misuse
from tradewind.state.shared_memory import InPlaceState, SequencedState
from tradewind.state.shared_tables import SharedTables

_HOLDER = """
import sys
from tradewind.state.shared_tables import SharedTables
tables = SharedTables.create(workers=1, sequenced=False, directory=sys.argv[1])
tables.initialize("w", [1.0, 2.0])
print(tables.path, flush=True)
sys.stdin.read()
"""


def test_tables_go_when_their_creator_closes(tmp_path):
    with SharedTables.create(workers=1, sequenced=False, directory=tmp_path) as tables:
        InPlaceState(tables).initialize("w", np.zeros(3))
        other = SharedTables.attach(tables.path)
        kept = InPlaceState(other).live("w")
    assert list(tmp_path.iterdir()) == []
    kept[0] = 7
    assert kept.tolist() == [7, 0, 0]
    other.close()
    other.close()


def test_a_crashed_jobs_tables_are_swept_but_a_live_ones_are_not(tmp_path):
    holder = subprocess.Popen(
        [sys.executable, "-c", _HOLDER, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    path = holder.stdout.readline().strip()
    SharedTables.create(workers=1, sequenced=False, directory=tmp_path).close()
    assert os.path.exists(path)
    user = SharedTables.attach(path)
    os.kill(holder.pid, signal.SIGKILL)
    _, noise = holder.communicate()
    assert noise == ""
    SharedTables.create(workers=1, sequenced=False, directory=tmp_path).close()
    assert InPlaceState(user).pull("w").tolist() == [1, 2]  # one that has them open goes on
    user.close()
    SharedTables.create(workers=1, sequenced=False, directory=tmp_path).close()
    assert list(tmp_path.iterdir()) == []


def _in_child(tables, connection):
    try:
        tables.table("w")
    except Misuse as error:
        connection.send(str(error))


def test_a_forked_child_is_told_to_attach(tmp_path):
    context = multiprocessing.get_context("fork")
    with SharedTables.create(workers=1, sequenced=True, directory=tmp_path) as tables:
        state = SequencedState(tables, 0)
        state.initialize("w", np.zeros(3))
        ours, theirs = context.Pipe()
        child = context.Process(target=_in_child, args=(tables, theirs))
        child.start()
        assert ours.poll(30) and "Attach in the child" in ours.recv()
        child.join()
        state.push("w", np.ones(3))
        assert state.pull("w").tolist() == [1, 1, 1]


def test_no_room_is_told_before_anything_is_registered(tmp_path, monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    with SharedTables.create(workers=1, sequenced=False, directory=tmp_path) as tables:
        monkeypatch.setattr(os, "posix_fallocate", full)
        with pytest.raises(Misuse, match="No space left on device"):
            tables.initialize("w", np.zeros(100_000))
        monkeypatch.undo()
        assert tables.layouts() == {}
        tables.initialize("w", np.zeros(10))
        assert list(tables.layouts()) == ["w"]


def test_one_number_and_many_tables(tmp_path):
    with SharedTables.create(workers=2, sequenced=True, partitions=5, directory=tmp_path) as tables:
        state = SequencedState(tables, 1)
        for number in range(4):
            state.initialize(f"t{number}", np.full(number + 1, number))
        state.initialize("one", 2.5)
        state.push("one", 1.0)
        assert state.pull("one") == 3.5 and state.pull("one").shape == ()
        other = SequencedState(SharedTables.attach(tables.path))
        assert [other.pull(f"t{number}").tolist() for number in range(4)] == [[n] * (n + 1) for n in range(4)]
        assert other.pull("t3").dtype == np.int64
        other.tables.close()
