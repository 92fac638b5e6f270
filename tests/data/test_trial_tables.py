"""The tables and statements, as databases get them."""

import re
import sqlite3

import pytest
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.schema import CreateTable

from tradewind.data import trial_tables
from tradewind.data.trial_store import TrialStore


@pytest.mark.parametrize("dialect", [sqlite.dialect(), postgresql.dialect(), mysql.dialect()])
def test_other_databases_have_words_for_them(dialect):
    tables = trial_tables._tables.sorted_tables
    said = {table.name: str(CreateTable(table).compile(dialect=dialect)) for table in tables}
    assert set(said) == {"tuning_schema", "tuning_studies", "tuning_trials", "tuning_events"}
    assert ("WITHOUT ROWID" in said["tuning_events"]) == (dialect.name == "sqlite")
    double = {"sqlite": "DOUBLE", "postgresql": "DOUBLE PRECISION", "mysql": "DOUBLE"}[dialect.name]
    assert re.search(rf"value {double}", said["tuning_events"])
    hot = trial_tables.Hot(dialect)
    # MySQL reads from the table that it inserts into only through a table of its own.
    assert re.search(r"FROM \(SELECT", hot.insertion._words)
    assert "RETURNING" not in hot.insertion._words
    assert hot.advancing._words.startswith("UPDATE tuning_trials SET")


def test_the_last_event_is_found_without_reading_them_all(tmp_path):
    with TrialStore(tmp_path / "trials.sqlite") as store:
        store.create("study", {})
        words = store._database._hot.insertion._words
    with sqlite3.connect(tmp_path / "trials.sqlite") as other:
        plan = [row[3] for row in other.execute("EXPLAIN QUERY PLAN " + words, [None] * words.count("?"))]
    other.close()
    assert any("SEARCH earlier USING PRIMARY KEY (study=?)" in step for step in plan), plan
    assert not any(step.startswith("SCAN") and "places" not in step for step in plan), plan


def test_sequences_have_no_gaps_also_between_studies(tmp_path):
    with TrialStore(tmp_path / "trials.sqlite") as store:
        for name in ("one", "two"):
            store.create(name, {})
        for at in range(10):
            store.add("one" if at % 3 else "two", {"at": at})
        for name, count in (("one", 7), ("two", 5)):
            assert [event.sequence for event in store.history(name)] == list(range(1, count + 1))
        assert [event.sequence for event in store.history("one", after=2, limit=3)] == [3, 4, 5]
