import multiprocessing
import os
import signal
import sqlite3

import pytest

from tradewind.data.runs import (
    CRASHED,
    DONE,
    PAUSED,
    RUNNING,
    RunIndex,
    Serving,
    new_run_directory,
    process_identity,
)
from tradewind.errors import Corrupt, Misuse, Temporary


def test_a_run_is_recorded_and_found(tmp_path):
    index = RunIndex(tmp_path)
    first = index.begin("adult", '{"a": 1}', tmp_path / "adult-1")
    second = index.begin("adult", "{}", tmp_path / "adult-2")
    index.update(first.id, state=DONE, cost=1.5, cost_on_demand=3.0, quality=0.85, metric="accuracy")
    again = RunIndex(tmp_path)
    assert [run.id for run in again.list()] == [second.id, first.id]
    done = again.get(first.id)
    assert (done.state, done.cost, done.quality, done.spec) == (DONE, 1.5, 0.85, '{"a": 1}')
    assert done.ended is not None and done.ended >= done.started and again.get(second.id).state == RUNNING
    for text, run in (("latest", second), (str(first.id), first), ("adult", second), ("adult-1", first)):
        assert again.find(text).id == run.id
    assert again.find(str(tmp_path / "adult-1")).id == first.id
    assert (tmp_path / "latest").resolve() == (tmp_path / "adult-2").resolve()


def test_what_is_not_there_is_misuse(tmp_path):
    index = RunIndex(tmp_path)
    with pytest.raises(Misuse, match="no runs yet"):
        index.find("latest")
    index.begin("adult", "{}", tmp_path / "a")
    with pytest.raises(Misuse, match="Did you mean 'adult'"):
        index.find("adlt")
    for wrong in (lambda: index.get(7), lambda: index.update(7, state=DONE), lambda: index.resume(7)):
        with pytest.raises(Misuse, match="no run 7"):
            wrong()


def test_an_endpoint_is_found_by_name_and_does_not_become_the_latest(tmp_path):
    index = RunIndex(tmp_path)
    shop = index.begin("shop", "", tmp_path / "shop-1", Serving())
    assert index.find("latest").id == shop.id and not (tmp_path / "latest").exists()
    adult = index.begin("adult", "{}", tmp_path / "adult-1")
    again = index.begin("shop", "", tmp_path / "shop-2", Serving())
    assert (index.find("latest").id, index.find("shop").id) == (adult.id, again.id)
    assert (tmp_path / "latest").resolve() == tmp_path / "adult-1"
    kept = Serving("http://here", 2)
    assert index.update(again.id, cost=0.5, endpoint=kept).endpoint == kept
    assert RunIndex(tmp_path).list()[0].endpoint.replicas == 2 and index.get(adult.id).endpoint is None
    assert index.update(again.id, state=DONE).endpoint == Serving("http://here", 0)


def test_a_record_of_before_endpoints_gets_room_for_them(tmp_path):
    index = RunIndex(tmp_path)
    old = index.begin("adult", "{}", tmp_path / "adult-1")
    with sqlite3.connect(tmp_path / "index.sqlite") as connection:
        connection.execute("DROP TABLE endpoints")
    connection.close()
    index = RunIndex(tmp_path)
    assert index.get(old.id) == old
    assert index.begin("shop", "", tmp_path / "shop-1", Serving()).endpoint == Serving()


def test_a_record_that_cannot_be_written_is_temporary(tmp_path):
    index = RunIndex(tmp_path)
    run = index.begin("adult", "{}", tmp_path / "adult-1")
    with sqlite3.connect(tmp_path / "index.sqlite") as connection:
        connection.execute("DROP TABLE runs")
    connection.close()
    with pytest.raises(Temporary, match="no such table"):
        index.update(run.id, state=DONE)


def _drive(root, connection):
    run = RunIndex(root).begin("adult", "{}", root / "a")
    connection.send(run.id)
    connection.recv()


def test_a_run_whose_driver_was_killed_is_crashed_and_can_be_resumed(tmp_path):
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    driver = context.Process(target=_drive, args=(tmp_path, theirs))
    driver.start()
    assert ours.poll(30)
    number = ours.recv()
    index = RunIndex(tmp_path)
    assert index.get(number).state == RUNNING
    with pytest.raises(Misuse, match=f"process {driver.pid} is driving it"):
        index.resume(number)
    os.kill(driver.pid, signal.SIGKILL)
    driver.join()
    crashed = index.get(number)
    assert crashed.state == CRASHED and str(driver.pid) in crashed.reason
    resumed = index.resume(number)
    assert resumed.state == RUNNING and resumed.pid == os.getpid()
    assert index.update(number, state=PAUSED).state == PAUSED
    ours.close()
    theirs.close()


def test_a_later_process_with_the_number_is_another():
    assert process_identity(os.getpid()) == process_identity(os.getpid()) != ""
    assert process_identity(os.getpid()) != process_identity(1)
    assert process_identity(2**22 + 1) == ""


def test_a_file_that_is_no_record_is_corrupt(tmp_path):
    (tmp_path / "index.sqlite").write_bytes(b"not a database, certainly not" * 100)
    with pytest.raises(Corrupt, match=r"index\.sqlite"):
        RunIndex(tmp_path)


def _add(root, count):
    for number in range(count):
        RunIndex(root).begin("x", "{}", root / f"{os.getpid()}-{number}")


def test_processes_write_at_once(tmp_path):
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_add, args=(tmp_path, 8)) for _ in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
        assert writer.exitcode == 0
    assert len(RunIndex(tmp_path).list()) == 24
    with sqlite3.connect(tmp_path / "index.sqlite") as connection:
        assert connection.execute("pragma integrity_check").fetchone() == ("ok",)
    connection.close()


def test_run_directories_are_new_each_time(tmp_path):
    made = {new_run_directory(tmp_path / "runs", "adult") for _ in range(5)}
    assert len(made) == 5 and all(path.is_dir() and path.name.startswith("adult-") for path in made)
    for name in ("", "a/b", "../a", ".hidden", "a b"):
        with pytest.raises(Misuse, match="no name for a run"):
            new_run_directory(tmp_path, name)
