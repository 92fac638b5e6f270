"""The connection: what opens, what is refused, and what happens when it is lost."""

import gc
import os
import sqlite3
import threading
from pathlib import Path

import pytest

from tradewind.data import trial_database
from tradewind.data.trial_records import Report, StoredTrial
from tradewind.data.trial_store import TrialStore
from tradewind.errors import Corrupt, Misuse, Temporary, Unreachable


@pytest.fixture
def path(tmp_path):
    return tmp_path / "trials.sqlite"


@pytest.fixture
def store(path):
    with TrialStore(path) as found:
        found.create("study", {})
        yield found


def test_a_file_that_is_no_database(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("no database, but long enough to be looked at as one. " * 50)
    before = path.read_bytes()
    with pytest.raises(Misuse, match=r"notes\.txt: it is no store of trials"):
        TrialStore(path)
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["notes.txt"]


def test_a_database_that_is_damaged(store, path):
    store.add("study", {"rate": 0.1})
    store.close()
    content = bytearray(path.read_bytes())
    content[4096:] = os.urandom(len(content) - 4096)
    path.write_bytes(content)
    with pytest.raises(Corrupt, match=r"trials\.sqlite"), TrialStore(path) as found:
        found.trials("study")


def test_a_database_with_other_tables_is_shared(path):
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE trials (anything)")
    other.close()
    with TrialStore(path) as store:
        store.create("study", {})
        assert store.add("study", {}) == 0


@pytest.mark.parametrize("version", [0, 2])
def test_a_store_of_another_version(store, path, version):
    store.close()
    with sqlite3.connect(path) as other:
        other.execute("UPDATE tuning_schema SET version = ?", (version,))
    other.close()
    with pytest.raises(Misuse, match=f"it is of version {version}, and this is for version 1"):
        TrialStore(path)


def test_a_folder_that_is_a_file(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(Misuse, match="its folder cannot be made"):
        TrialStore(tmp_path / "file" / "trials.sqlite")


def test_a_folder_that_cannot_be_written():
    # The kernel's own folder refuses new files to everybody, root included.
    with pytest.raises(Misuse, match="unable to open database file"):
        TrialStore("sqlite:////proc/self/trials.sqlite")


def test_a_folder_is_read_only(tmp_path):
    if os.geteuid() == 0 and not hasattr(os, "seteuid"):
        pytest.skip("root may write everywhere")
    folder = tmp_path / "folder"
    folder.mkdir()
    folder.chmod(0o555)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            if os.geteuid() == 0:
                os.chdir(folder)
                os.seteuid(65534)
                target = "sqlite:///trials.sqlite"
            else:
                target = str(folder / "trials.sqlite")
            try:
                TrialStore(target)
            except Misuse as error:
                code = 0 if "unable to open" in str(error) else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert list(folder.iterdir()) == []
    folder.chmod(0o755)


def test_a_file_may_be_looked_at_without_writing(store, path):
    store.add("study", {"rate": 0.1})
    store.close()
    with TrialStore(f"sqlite:///file:{path}?mode=ro&uri=true") as reader:
        assert reader.trials("study")[0].setting == {"rate": 0.1}
        with pytest.raises(Misuse, match="readonly database"):
            reader.add("study", {"rate": 0.2})


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("nothing://here", "no database is known"),
        ("sqlite:://x", "it is no URL|no database is known"),
        ("postgresql+nodriver://me:secret@here/db", "no database is known"),
        ("postgresql+pg8000://me:secret@here/db", "it needs the package pg8000"),
    ],
)
def test_an_address_that_leads_nowhere(url, said):
    with pytest.raises(Misuse, match=said) as problem:
        TrialStore(url)
    assert "secret" not in str(problem.value)


@pytest.mark.parametrize(("synced", "level"), [(False, 1), (True, 2)])
def test_how_durable_a_commit_is(path, synced, level):
    with TrialStore(path, synced=synced) as store:
        connection = store._database._connection()
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == level


def test_others_who_write_are_waited_for_and_not_for_ever(path):
    with TrialStore(path, wait=0.05) as store:
        store.create("study", {})
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Temporary, match="database is locked") as problem:
            store.add("study", {"rate": 0.1})
        assert problem.value.delay > 0
        assert store.trials("study").all() == ()  # reading goes on
        other.execute("COMMIT")
        other.close()
        assert store.add("study", {"rate": 0.1}) == 0


def test_a_writer_waits_until_the_other_is_done(path):
    with TrialStore(path) as store:
        store.create("study", {})
        other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        other.execute("BEGIN IMMEDIATE")
        timer = threading.Timer(0.2, other.execute, ("COMMIT",))
        timer.start()
        assert store.add("study", {}) == 0
        timer.join()
        other.close()


# A connection that is lost


class Losing:
    """Has the first commit fail on a sound database, after it was done or before."""

    def __init__(self, store, monkeypatch, done, times=1):
        self.left, self.done = times, done
        dialect = store._database._engine.dialect
        self.real = dialect.do_commit
        monkeypatch.setattr(dialect, "do_commit", self)

    def __call__(self, connection):
        if self.left == 0:
            return self.real(connection)
        self.left -= 1
        if self.done:
            self.real(connection)
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorname = "SQLITE_IOERR"
        raise error


def prepared(store):
    """One trial that runs, one that is paused and one that waits."""
    for at in range(3):
        store.add("study", {"at": at})
    running = store.claim("study", "one", moment=0.0)
    paused = store.claim("study", "one", moment=0.0)
    store.pause(paused, "low")
    return running


WRITES = {
    "create": lambda store, claim: store.create("other", {"a": 1}),
    "delete": lambda store, claim: store.delete("study"),
    "add": lambda store, claim: store.add("study", {"new": 1}),
    "add that number": lambda store, claim: store.add("study", {"new": 1}, number=3, start=(3, "place")),
    "add what is there": lambda store, claim: store.add("study", {"new": 1}, number=2),
    "insert": lambda store, claim: store.insert(
        "study", StoredTrial(9, {"a": 1}, "completed", (1, 2), (0.5, 0.25), 0.25)
    ),
    "resume": lambda store, claim: store.resume("study", 1, "good"),
    "resume what waits": lambda store, claim: store.resume("study", 2, "good"),
    "stop what runs": lambda store, claim: store.stop("study", 0, "bad"),
    "stop what waits": lambda store, claim: store.stop("study", 2, "bad"),
    "note": lambda store, claim: store.note("study", "stop", number=0, document={"rule": "asha"}),
    "claim": lambda store, claim: store.claim("study", "one", moment=0.0),
    "heartbeat": lambda store, claim: store.heartbeat("study", "one", moment=1.0, lease=5.0),
    "release": lambda store, claim: store.release("study", "one"),
    "report": lambda store, claim: store.report(claim, 1, 0.5),
    "report many": lambda store, claim: store.report_many([Report(claim, 1, 0.5), Report(claim, 2, 0.4)]),
    "checkpoint": lambda store, claim: store.checkpoint(claim, 1, "place"),
    "assign": lambda store, claim: store.assign(claim, "offer", 0.5),
    "requeue": lambda store, claim: store.requeue(claim, "taken"),
    "pause": lambda store, claim: store.pause(claim, "low"),
    "finish": lambda store, claim: store.finish(claim, "completed", 0.5),
}


def outcome(store):
    return [(row.name, row.trials, repr(store.history(row.name))) for row in store.studies()]


@pytest.mark.parametrize("done", [True, False], ids=["after", "before"])
@pytest.mark.parametrize("name", WRITES)
def test_a_write_whose_connection_is_lost_is_done_once(tmp_path, monkeypatch, name, done):
    found = []
    for lost in (False, True):
        with TrialStore(tmp_path / f"{lost}.sqlite") as store:
            store.create("study", {})
            claim = prepared(store)
            losing = Losing(store, monkeypatch, done) if lost else None
            answer = WRITES[name](store, claim)
            assert losing is None or losing.left == 0
            found.append((answer, outcome(store)))
    if done and name.startswith("report"):
        # What was committed is found on record.
        assert found[1][0] in ("again", ("again", "again")) and found[0][1] == found[1][1]
    else:
        assert found[0] == found[1]


def test_a_connection_that_stays_lost_is_an_error_to_wait_on(store, monkeypatch):
    Losing(store, monkeypatch, done=False, times=3)
    with pytest.raises(Temporary, match="disk I/O error"):
        store.add("study", {})
    assert store.add("study", {}) == 0


def test_with_patience_a_connection_that_stays_lost_is_waited_for_as_long(path, monkeypatch):
    monkeypatch.setattr(trial_database, "_PAUSE", 0.001)
    with TrialStore(path, patience=60.0) as store:
        store.create("study", {})
        Losing(store, monkeypatch, done=True, times=9)
        assert store.add("study", {}) == 0 and len(store.trials("study")) == 1
    monkeypatch.undo()
    with TrialStore(path, patience=0.05) as store:
        losing = Losing(store, monkeypatch, done=False, times=1_000_000)
        with pytest.raises(Temporary, match="disk I/O error"):
            store.add("study", {})
        assert losing.left < 1_000_000 - 3


def test_a_wanted_end_does_not_hide_how_the_attempt_ended(store, monkeypatch):
    claim = prepared(store)
    store.stop("study", 0, "bad")
    Losing(store, monkeypatch, done=True)
    store.requeue(claim, "taken")
    trial = store.trials("study")[0]
    assert (trial.state, trial.reason, trial.revocations) == ("stopped", "bad", 1)


def test_a_server_that_is_not_there_is_unreachable(store, monkeypatch):
    """What other databases' errors mean, told with SQLite's: no server is started here."""
    monkeypatch.setattr(store._database, "_sqlite", False)
    Losing(store, monkeypatch, done=False, times=3)
    with pytest.raises(Unreachable, match="disk I/O error"):
        store.add("study", {})


# Threads and processes


def test_each_thread_has_a_connection_and_gives_it_back(store):
    found = []

    def work():
        found.append(store.add("study", {}))

    for _ in range(3):
        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(found) == list(range(24))
    del threads, thread
    gc.collect()
    last = threading.Thread(target=work)
    last.start()
    last.join()
    assert len(store._database._connections) <= 2


def test_threads_share_a_store_in_memory():
    with TrialStore("sqlite://") as store:
        store.create("study", {})
        threads = [
            threading.Thread(target=lambda: [store.add("study", {}) for _ in range(20)]) for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        trials = store.trials("study")
        assert [trial.number for trial in trials.all()] == list(range(80))
        assert store.history("study")[-1].sequence == 81


def test_a_forked_process_opens_its_own_connection(store, path):
    store.add("study", {"by": "parent"})
    parents = store._database._connection().connection.dbapi_connection
    child = os.fork()
    if child == 0:
        code = 1
        try:
            own = store._database._connection().connection.dbapi_connection
            code = 0 if own is not parents and store.add("study", {"by": "child"}) == 1 else 2
            store.close()
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert store.add("study", {"by": "parent"}) == 2
    assert [trial.setting["by"] for trial in store.trials("study").all()] == ["parent", "child", "parent"]


def test_many_may_open_a_new_file_at_a_time(path):
    problems = []

    def work():
        try:
            with TrialStore(path) as store:
                store.create("study", {"a": 1})
        except Exception as error:
            problems.append(error)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not problems
    with TrialStore(path) as store:
        assert [row.name for row in store.studies()] == ["study"]
    assert Path(path).exists()
