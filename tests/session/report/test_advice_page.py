"""The page of a search: from records to figures, tables and pictures, drawn by a real browser."""

import re

import pytest
from msgspec.structs import replace

from drawn_pages import CHROMIUM, Outline, browser
from made_advice import CHOSEN, over
from tradewind.session.report.advice.page import advice_page, write_advice_page
from tradewind.session.report.advice.pictures import course, frontier, scatter
from tradewind.session.report.advice.reading import advice_data


@pytest.fixture
def ended():
    return over()


def test_probes_are_told_in_their_order(ended):
    data = advice_data(ended, CHOSEN)
    assert [(each.number, each.name) for each in data.probes] == [
        (1, "a"),
        (2, "b"),
        (2, "b"),
        (3, "c"),
        (4, "d"),
    ]
    assert [each.best for each in data.probes] == [None, None, None, *[pytest.approx(120 / 3600)] * 2]
    assert data.probes[1].reason == data.probes[2].reason == "because 1"
    # a was whole, if late: none is quicker and cheaper.
    assert [row.name for row in frontier(list(data.rows))] == ["c", "a"]


def test_the_page_says_it_all_and_fetches_nothing(ended):
    data = advice_data(ended, CHOSEN)
    page, seen = advice_page(data), Outline()
    seen.feed(page)
    text = " ".join(seen.text)
    assert not seen.fetched and "script" not in seen.tags and seen.tags.count("svg") == 2
    for part in ("Advice for <job>", "It is <enough>.", "in <words>", "<b>no</b>", "[workers]", "count = 3"):
        assert part in text, part
    assert "a, does not do what is asked" in text and data.recommendation.name == "c"
    assert advice_page(data) == page
    empty = replace(data, probes=(), recommendation=None)
    assert "Nothing can be recommended" in advice_page(empty) and "None was made." in advice_page(empty)


def test_pictures_of_many_candidates_are_thinned(ended):
    data = advice_data(ended, CHOSEN)
    row = data.rows[-1]
    many = replace(data, rows=(*data.rows, *(replace(row, name=f"n{k}", status="") for k in range(700))))
    picture, left = scatter(many)
    assert picture.count("<circle") < 420 and "305 more" in left
    long = replace(data, probes=data.probes * 20)
    assert "the first 40" in course(long)[1]
    assert re.search(r"probe 2, b: failed", course(data)[0])


def test_a_browser_draws_it(tmp_path, ended):
    write_advice_page(advice_data(ended, CHOSEN), tmp_path / "page.html")
    assert CHROMIUM is not None, "install chromium"
    done = browser(
        tmp_path, "--window-size=1100,2000", f"--screenshot={tmp_path / 'page.png'}",
        url=(tmp_path / "page.html").as_uri(),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "page.png").stat().st_size > 20_000
