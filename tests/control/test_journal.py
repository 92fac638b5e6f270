"""The journal: what was written is read back, whatever killed the writer."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from decimal import Decimal

import pytest
from msgspec import Struct
from msgspec.structs import replace

from tradewind.control.journal import Journal
from tradewind.control.loop import Outcome
from tradewind.control.records import Sample, header_for
from tradewind.errors import Corrupt, Misuse
from tradewind.market.charges import Charge, Invoice
from tradewind.market.decisions import Decision, PriceAbove, Release, Take
from tradewind.market.instances import Instance, InstanceType, Pool
from tradewind.market.leases import Ending, Lease, LeaseId
from tradewind.market.news import Crossed, Ended
from tradewind.market.offers import Bid, Offer, Price, Terms
from tradewind.market.resources import Resources
from tradewind.market.views import View

POOL = Pool("c3.xlarge", "us-east-1a")
TYPE = InstanceType("c3.xlarge", Resources(vcpus=4.0, memory_gib=7.5))


class Memory(Struct, frozen=True):
    seen: int = 0


class Counting:
    name = "counting"

    def __init__(self, factor: float = 2.0) -> None:
        self.factor = factor

    def recall(self):
        return Memory()

    def decide(self, view, memory):
        bid = Bid(POOL, Terms.SPOT, limit=view.offers[0].price.per_hour * self.factor)
        return (
            Decision((Take(bid),), f"row {memory.seen}", view.now + 1, (PriceAbove(POOL, 1.0),)),
            Memory(memory.seen + 1),
        )


KNOWN = {
    f"{module}:{kind.__name__}": kind for module in (__name__, "test_journal") for kind in (Counting, Memory)
}


def header(**fields):
    return header_for(Counting(), View, history="made up", seed=3, start=0.0, **fields)


def views(count, start=0):
    for at in range(start, start + count):
        offers = tuple(Offer(TYPE, zone, Price(0.05 + 0.001 * at, Terms.SPOT)) for zone in "abc")
        granted = [each for each in range(at + 1) if each % 7 == 3][-4:]
        leases = tuple(
            Lease(LeaseId(f"l{each}"), Instance(f"i{each}", TYPE, "a"), Terms.SPOT, float(each))
            for each in granted
        )
        yield View(float(at), offers, leases, forecasts={"price": at / 3})


def write(journal, count, start=0, memory=None):
    policy = Counting()
    memory = memory or policy.recall()
    for view in views(count, start):
        decision, recalled = policy.decide(view, memory)
        journal.record(view, memory, decision, recalled)
        journal.record_outcomes((Outcome(granted=(LeaseId(f"l{view.now:.0f}"),)),))
        memory = recalled
    return memory


@pytest.mark.parametrize("commit_every", [1, 10, 1000])
def test_what_was_recorded_is_read_back(tmp_path, commit_every):
    path = tmp_path / "journal.sqlite"
    with Journal(path, header(), commit_every=commit_every) as journal:
        write(journal, 250)
        digest = journal.digest
    assert [each.name for each in tmp_path.iterdir()] == ["journal.sqlite"]
    with Journal.read(path, KNOWN) as reading:
        entries = list(reading.entries())
        summary = reading.summary()
        assert reading.header == header()
    assert [entry.view for entry in entries] == list(views(250))
    policy, memory = Counting(), Memory()
    for at, entry in enumerate(entries):
        decision, recalled = policy.decide(entry.view, memory)
        assert (entry.row, entry.moment, entry.memory) == (at, float(at), memory)
        assert (entry.decision, entry.recalled) == (decision, recalled)
        assert entry.outcomes == (Outcome(granted=(LeaseId(f"l{at}"),)),)
        memory = recalled
    assert (summary.decisions, summary.first, summary.last) == (250, 0.0, 249.0)
    assert summary.digest == entries[-1].digest.hex()
    assert digest != summary.digest  # it covers the last outcomes too


def test_the_digest_is_that_of_the_decisions_not_of_the_writing(tmp_path):
    digests = set()
    for at, commit_every in enumerate((1, 3, 500)):
        with Journal(tmp_path / f"{at}.sqlite", header(), commit_every=commit_every) as journal:
            write(journal, 120)
            digests.add(journal.digest)
    with Journal(tmp_path / "other.sqlite", header()) as journal:
        write(journal, 119)
        assert journal.digest not in digests
    assert len(digests) == 1


def test_the_rest_of_a_run_is_kept_too(tmp_path):
    path = tmp_path / "journal.sqlite"
    ended = Ended(LeaseId("a"), 5.0, Ending.REVOKED)
    crossed = Crossed(PriceAbove(POOL, 0.1), 6.0)
    charge = Charge(LeaseId("a"), POOL, Terms.SPOT, 0.0, 5.0, Decimal("0.1234567890123456789"), "refund")
    samples = [Sample(float(at), at * 2.0, 100.0, None if at == 0 else 0.5, at, 0.1, 0.3) for at in range(3)]
    with Journal(path, header(), commit_every=50) as journal:
        for sample in samples:
            journal.record_sample(sample)
        journal.record_news(5.0, ended)
        journal.record_news(6.0, crossed)
        journal.record_invoice(Invoice((charge, charge)))
        journal.record_invoice(Invoice((charge,)))
        journal.record_result("run", {"done": False})
        journal.record_result("run", {"done": True})
        journal.note("a word")
    with Journal.read(path) as reading:
        assert reading.samples() == tuple(samples)
        assert reading.news() == ((5.0, ended), (6.0, crossed))
        assert reading.invoice() == Invoice((charge,))
        assert reading.result("run") == {"done": True}
        assert reading.result("nothing") is None
        assert reading.notes() == ("a word",)
        assert reading.summary().sample == samples[-1]
        assert reading.summary().last == 2.0


KILLED = """
import sys
sys.path.insert(0, {here!r})
from test_journal import *
journal = Journal({path!r}, header(), commit_every={commit_every})
memory = Memory()
for at in range(10**6):
    memory = write(journal, 1, at, memory)
    print(at, flush=True)
"""


@pytest.mark.parametrize("commit_every", [1, 16])
def test_acknowledged_rows_outlast_a_kill(tmp_path, commit_every):
    path = tmp_path / "journal.sqlite"
    program = KILLED.format(here=os.path.dirname(__file__), path=str(path), commit_every=commit_every)
    writer = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    acknowledged = -1
    for line in writer.stdout:
        acknowledged = int(line)
        if acknowledged >= 150:
            break
    writer.send_signal(signal.SIGKILL)
    writer.stdout.close()
    writer.wait()
    with Journal.read(path, KNOWN) as reading:
        entries = list(reading.entries())
    assert len(entries) >= acknowledged + 1 - (commit_every - 1)
    assert [entry.view for entry in entries] == list(views(len(entries)))
    # and the run goes on in the same file
    with Journal(path, header()) as journal:
        assert journal.rows == len(entries)
        write(journal, 5, len(entries), Memory(len(entries)))
    with Journal.read(path, KNOWN) as reading:
        assert len(list(reading.entries())) == len(entries) + 5
        assert [first for first, _ in reading.segments] == [0, len(entries)]


def test_a_decision_that_was_not_carried_out_has_no_outcomes(tmp_path):
    path = tmp_path / "journal.sqlite"
    for commit_every in (1, 100):
        path.unlink(missing_ok=True)
        journal = Journal(path, header(), commit_every=commit_every)
        memory = write(journal, 3)
        view = next(views(1, 3))
        decision, recalled = Counting().decide(view, memory)
        journal.record(view, memory, decision, recalled)
        journal.close()
        with Journal.read(path, KNOWN) as reading:
            assert [entry.outcomes is None for entry in reading.entries()] == [False] * 3 + [True]
        with Journal(path, header()) as journal:
            assert journal.rows == 4
        with Journal.read(path) as reading:
            assert reading.notes() == ("the run before ended while row 3 was being carried out",)


def alter(path, statement, *values):
    database = sqlite3.connect(path)
    database.execute(statement, values)
    database.commit()
    database.close()


@pytest.fixture
def written(tmp_path):
    path = tmp_path / "journal.sqlite"
    with Journal(path, header(), commit_every=64) as journal:
        write(journal, 150)
    return path


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE decisions SET decision = replace(decision, 'row 120', 'row 121') WHERE row = 120",
        "UPDATE decisions SET view = x'80' WHERE row = 120 AND length(view) > 1",
        "UPDATE decisions SET view = x'ffff' WHERE row = 120",
        "UPDATE decisions SET memory = '{\"seen\":0}' WHERE row = 120",
        "UPDATE decisions SET outcomes = '[]' WHERE row = 119",
        "UPDATE decisions SET digest = zeroblob(16) WHERE row = 120",
        "DELETE FROM decisions WHERE row = 120",
    ],
)
def test_an_altered_row_is_found_and_cut(written, statement):
    alter(written, statement)
    with Journal.read(written, KNOWN) as reading, pytest.raises(Corrupt, match="row 120"):
        list(reading.entries())
    with Journal(written, header()) as journal:
        assert journal.rows == 120
        write(journal, 10, 120, Memory(120))
    with Journal.read(written, KNOWN) as reading:
        assert len(list(reading.entries())) == 130
        assert "torn tail" in reading.notes()[0]


def test_a_log_cut_anywhere_leaves_whole_rows(tmp_path):
    # What a power cut may leave: the file as it was, and the first part of the log.
    path = tmp_path / "journal.sqlite"
    journal = Journal(path, header())
    write(journal, 20)
    log = tmp_path / "journal.sqlite-wal"
    size = log.stat().st_size
    seen = []
    for at, share in enumerate((0.0, 0.3, 0.55, 0.9, 0.99)):
        folder = tmp_path / f"cut{at}"
        folder.mkdir()
        shutil.copy(path, folder / path.name)
        (folder / log.name).write_bytes(log.read_bytes()[: int(size * share)])
        try:
            with Journal.read(folder / path.name, KNOWN) as reading:
                seen.append(len(list(reading.entries())))
        except (Misuse, Corrupt):
            seen.append(-1)  # not even the header was there yet
        with Journal(folder / path.name, header()) as again:
            assert again.rows == max(seen[-1], 0)
    journal.close()
    assert seen == sorted(seen) and seen[0] == -1 and 0 < seen[-2] <= seen[-1] <= 20


def test_what_is_no_journal_is_refused(tmp_path):
    text = tmp_path / "notes.txt"
    text.write_text("a long enough text that is no database at all\n" * 20)
    other = tmp_path / "other.sqlite"
    alter(other, "CREATE TABLE decisions (a)")
    for path in (text, other):
        before = path.read_bytes()
        with pytest.raises(Misuse, match="no journal"):
            Journal.read(path)
        with pytest.raises(Misuse, match="no journal"):
            Journal(path, header())
        assert path.read_bytes() == before
    with pytest.raises(Misuse, match="no such file"):
        Journal.read(tmp_path / "absent.sqlite")
    with pytest.raises(Misuse, match=r"absent/journal.sqlite"):
        Journal(tmp_path / "absent" / "journal.sqlite", header())
    assert not (tmp_path / "absent.sqlite").exists()


def test_a_damaged_file_is_corrupt(written):
    content = bytearray(written.read_bytes())
    content[4096 : 4096 * 6] = b"\xa5" * (4096 * 5)
    written.write_bytes(content)
    with pytest.raises(Corrupt), Journal.read(written, KNOWN) as reading:
        list(reading.entries())


def test_a_journal_of_another_layout_is_refused(written):
    alter(written, "PRAGMA user_version = 99")
    with pytest.raises(Misuse, match="layout is 99"):
        Journal.read(written)


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_what_json_cannot_hold_is_told_at_once(tmp_path, value):
    journal = Journal(tmp_path / "journal.sqlite", header())
    policy = Counting()
    view = replace(next(views(1)), forecasts={"price": value})
    decision, recalled = policy.decide(view, policy.recall())
    with pytest.raises(Misuse, match="policy counting"):
        journal.record(view, policy.recall(), decision, recalled)
    journal.close()


def test_outcomes_without_a_decision_are_refused(tmp_path):
    with Journal(tmp_path / "journal.sqlite", header()) as journal, pytest.raises(Misuse):
        journal.record_outcomes(())
    with pytest.raises(Misuse, match="commit_every"):
        Journal(tmp_path / "other.sqlite", header(), commit_every=0)


def test_an_action_of_every_kind_is_decoded(tmp_path):
    path = tmp_path / "journal.sqlite"
    decision = Decision((Release(LeaseId("a")), Take(Bid(POOL, Terms.ON_DEMAND))), "both", 9.0)
    with Journal(path, header()) as journal:
        journal.record(next(views(1)), Memory(), decision, Memory())
        journal.record_outcomes((Outcome(), Outcome(problem="sold out")))
    with Journal.read(path, KNOWN) as reading:
        (entry,) = reading.entries()
    assert entry.decision == decision and entry.recalled == Memory()
    assert entry.outcomes == (Outcome(), Outcome(problem="sold out"))


MEASURING = """
import sys
sys.path.insert(0, {here!r})
from test_journal import header
from tradewind.control.journal import Journal
with Journal({path!r}, header()) as journal:
    for at in range(10_000):
        journal.record_measurement(float(at), "course", [at, at / 2])
        print(at, flush=True)
"""


def test_acknowledged_measurements_outlast_a_kill(tmp_path):
    path = tmp_path / "journal.sqlite"
    program = MEASURING.format(here=os.path.dirname(__file__), path=str(path))
    writer = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    with writer.stdout:
        acknowledged = next(int(line) for line in writer.stdout if int(line) >= 100)
        writer.send_signal(signal.SIGKILL)
        acknowledged = max([acknowledged, *map(int, writer.stdout.read().split())])
    writer.wait()
    with Journal.read(path, KNOWN) as reading:
        found = reading.measurements("course", list[float])
        assert reading.measurements("another") == ()
    assert len(found) >= acknowledged + 1
    assert found == tuple((float(at), [float(at), at / 2]) for at in range(len(found)))


def test_a_journal_of_before_there_were_measurements(tmp_path):
    path = tmp_path / "journal.sqlite"
    with Journal(path, header()) as journal:
        write(journal, 2)
    with sqlite3.connect(path) as database:
        database.execute("DROP TABLE measurements")
    database.close()
    with Journal.read(path, KNOWN) as reading:
        assert reading.measurements("course") == ()
    with Journal(path, header()) as journal:
        journal.record_measurement(1.0, "course", {"a": 1})
    with Journal.read(path, KNOWN) as reading:
        assert reading.measurements("course", dict[str, int]) == ((1.0, {"a": 1}),)
        with pytest.raises(Corrupt, match="course"):
            reading.measurements("course", int)
