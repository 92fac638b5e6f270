"""From a journal to a report: nothing is lost on the way, and only the journal is needed."""

import pytest

from tradewind import clock
from tradewind.control.journal import Journal
from tradewind.errors import Misuse
from tradewind.session.report.page import page
from tradewind.session.report.reading import journal_in, report_data

START = clock.moment("2020-01-05T00:00:00Z")
POOL = "p2.xlarge@us-east-1a"


def test_a_whole_run(tmp_path, write_run):
    write_run(tmp_path / "journal.sqlite")
    data = report_data(tmp_path)
    assert (data.title, data.outcome, data.policy) == ("a small run", "done", "cheapest_spot")
    assert (data.started, data.ended) == (START, START + 7200)
    assert data.cost == pytest.approx(0.57) and data.cost_on_demand == 1.5
    assert data.revocations == 1 and data.quality == 0.85
    assert [(bar.id, bar.ending, bar.warned, bar.cost) for bar in data.leases] == [
        ("a", "revoked", START + 3480, 0.0),
        ("b", "released", None, pytest.approx(0.57)),
    ]
    (line,) = data.prices
    assert line.pool == POOL and line.prices == (0.27, 0.30), "pools without a lease are not drawn"
    assert line.times == (START, START + 3480) and line.on_demand == 0.9
    assert [row.reason for row in data.decisions] == ["p2 is cheapest at $0.27", "nothing cheaper", "done"]
    assert data.decisions[0].actions == ("take 2 p2.xlarge@us-east-1a spot (work, limit $0.9)",)
    assert data.decisions[0].outcome == "granted 2 of 2: a, b"
    assert data.decisions[2].actions == ("release b",) and data.decisions[2].outcome == "released"
    assert data.real == ("Nothing ran.",) and data.sources[0].licence == "MIT"
    assert ("seed", "3") in data.facts and ("rows read", "300 of 300") in data.facts
    assert ("policy", "cheapest_spot(margin=2)") in data.facts
    text = page(data)
    assert "a small run" in text and "p2 is cheapest at $0.27" in text and "revoked" in text


def test_a_run_that_was_cut_off_is_told_as_far_as_it_went(tmp_path, write_run):
    write_run(tmp_path / "journal.sqlite", finished=False)
    data = report_data(tmp_path / "journal.sqlite")
    assert data.outcome == "running" and data.cost == 0.5, "what the last sample says"
    assert data.decisions[-1].outcome.startswith("not known")
    assert [bar.ending for bar in data.leases] == ["revoked", None]
    assert "a small run" in page(data)


def test_where_there_is_no_journal(tmp_path):
    (tmp_path / "journal.sqlite.txt").write_text("x")
    for path in (tmp_path, tmp_path / "absent"):
        with pytest.raises(Misuse, match="no journal"):
            journal_in(path)
    with pytest.raises(Misuse, match="it is no journal"):
        report_data(tmp_path / "journal.sqlite.txt")


def test_a_resumed_run_is_one_story(tmp_path, write_run, resume_run):
    path = tmp_path / "journal.sqlite"
    write_run(path)
    resume_run(path)
    with Journal.read(path) as reading:
        header = reading.segments[-1][1]
    Journal(path, header).close()  # opened once more, and nothing decided
    data = report_data(path)
    assert [(bar.id, bar.started, bar.ending) for bar in data.leases] == [
        ("a", START + 10, "revoked"),
        ("b", START + 10, "released"),
        ("a", START + 7200, "released"),
    ]
    assert [bar.cost for bar in data.leases] == [None, None, pytest.approx(0.2)], "one invoice a stretch"
    assert data.cost == pytest.approx(0.5 + 0.2), "what was spent when it was left, and since"
    assert [sample.spent for sample in data.samples] == pytest.approx([0.1, 0.5, 0.5, 0.7])
    assert data.outcome == "done" and data.title == "a small run" and len(data.decisions) == 4
    assert (data.started, data.ended) == (START, START + 10800)
