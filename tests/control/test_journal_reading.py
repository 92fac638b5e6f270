"""Reading a journal while it is written, and reading what others wrote."""

import sqlite3

import msgspec
import pytest

from tradewind.control.journal import Journal
from tradewind.control.loop import Outcome
from tradewind.control.records import header_for
from tradewind.errors import Corrupt, Misuse
from tradewind.market.decisions import Decision
from tradewind.market.views import View


class Plain:
    name = "plain"

    def recall(self):
        return None

    def decide(self, view, memory):
        return Decision((), "nothing", view.now + 1), memory


def record(journal, moment):
    view = View(moment, (), ())
    journal.record(view, None, Plain().decide(view, None)[0], None)
    journal.record_outcomes((Outcome(),))


def test_a_reader_sees_what_is_committed_while_the_writer_goes_on(tmp_path):
    path = tmp_path / "journal.sqlite"
    with Journal(path, header_for(Plain(), View, start=7.0)) as journal, Journal.read(path) as reading:
        assert reading.summary().decisions == 0
        assert (reading.summary().first, reading.summary().last) == (7.0, 7.0)
        record(journal, 8.0)
        assert [entry.moment for entry in reading.entries()] == [8.0]
        record(journal, 9.0)
        assert [entry.moment for entry in reading.entries()] == [8.0, 9.0]
        assert [row for row, _, _ in reading.rows()] == [0, 1]
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            reading._database.execute("DELETE FROM decisions")
    with Journal.read(path) as reading:
        assert [entry.memory for entry in reading.entries()] == [None, None]


def test_views_that_this_version_does_not_know_are_told(tmp_path):
    path = tmp_path / "journal.sqlite"
    header = header_for(Plain(), View, version="0.0.9")
    with Journal(path, header) as journal:
        record(journal, 1.0)
    wrong = msgspec.structs.replace(header, view="tradewind.market.leases:Lease")
    with Journal.read(path) as reading:
        reading.segments = ((0, wrong),)
        with pytest.raises(Corrupt, match=r"row 0, written by Tradewind 0\.0\.9"):
            list(reading.entries())


def test_a_view_of_others_is_not_imported_at_a_files_word(tmp_path):
    path = tmp_path / "journal.sqlite"

    class Theirs(View, frozen=True):
        pass

    header = header_for(Plain(), Theirs)
    with Journal(path, header) as journal:
        view = Theirs(1.0, (), ())
        journal.record(view, None, Decision((), "", 2.0), None)
        journal.record_outcomes(())
    with Journal.read(path) as reading, pytest.raises(Misuse, match="not part of Tradewind"):
        list(reading.entries())
    with Journal.read(path, {header.view: Theirs}) as reading:
        assert [type(entry.view) for entry in reading.entries()] == [Theirs]
