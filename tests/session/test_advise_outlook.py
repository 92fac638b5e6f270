"""What is said of candidates and of the recommendation."""

import pytest
from msgspec.structs import replace

from made_advice import CHOSEN, over
from tradewind.session.advise_outlook import against_current, money, rows_of, sentence, settings_of


def test_rows_tell_what_was_measured_before_what_is_believed():
    ended = over()
    rows = rows_of(ended, CHOSEN, ended.over.recommendation)
    by_name = {row.name: row for row in rows}
    assert rows[0].name == "c" and rows[0].recommended and rows[0].probes == (3,)
    assert by_name["a"].current and by_name["a"].seconds == 100.0 and by_name["a"].works == 0.0
    assert by_name["c"].dollars == pytest.approx(120 / 3600) and by_name["c"].low <= by_name["c"].value
    assert by_name["e"].status == "" and by_name["e"].low < by_name["e"].high
    assert {row.name for row in rows[-2:]} == {"b", "d"}
    assert settings_of(ended, ended.over.recommendation) == {"workers.count": 3, "workers.vcpus": 2.0}


def test_money_and_words():
    assert (money(0.5), money(0.0), money(1.23e-5)) == ("$0.50", "$0.00", "$1.23e-05")


def test_what_it_saves_is_said():
    best, rows = over().over.recommendation, rows_of(over(), CHOSEN, None)
    assert "measured" in sentence(best, "cost") and "40s" in sentence(best, "cost")
    assert "25% cheaper than a" in against_current(replace(best, saving=0.25), rows, "cost")
    assert "25% slower than a" in against_current(replace(best, saving=-0.25), rows, "run_time")
    assert "what runs now, a." in against_current(replace(best, name="a"), rows, "cost")
    assert "does not do what is asked" in against_current(replace(best, saving=None), rows, "cost")
    others = [replace(row, current=row.status == "stopped") for row in rows]
    assert "d, which runs now, was ended early" in against_current(replace(best, saving=None), others, "cost")
    assert "name it" in against_current(best, [replace(row, current=False) for row in rows], "cost")
