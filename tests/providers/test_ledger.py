import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tradewind.errors import Corrupt
from tradewind.providers.ledger import Answered, Asked, Closed, Ledger, Opened, Over, accounts

ENTRIES = [
    Opened(at=1.0, provider="aws", driver="d", region="xx-north-1"),
    Asked(at=2.0, take="t1", pool="c9.large@xx-north-1a", terms="spot", count=2),
    Answered(at=3.0, take="t1", leases=("i-1", "i-2")),
    Over(at=4.0, lease="i-1", ending="revoked"),
    Asked(at=5.0, take="t2", pool="c9.large@xx-north-1a", terms="spot", count=1),
    Closed(at=6.0, driver="d"),
]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("ledger") / "leases.jsonl"
    for entry in ENTRIES:
        Ledger(path).write(entry)
    return path.read_bytes()


def test_an_account_adds_up(tmp_path):
    path = tmp_path / "leases.jsonl"
    assert accounts(path) == []
    ledger, seen = Ledger(path), []
    for entry in ENTRIES:
        ledger.write(entry)
        (account,) = accounts(path)
        seen.append(([each.take for each in account.unanswered], list(account.held), account.closed))
    assert seen == [
        ([], [], False),
        (["t1"], [], False),
        ([], ["i-1", "i-2"], False),
        ([], ["i-2"], False),
        (["t2"], ["i-2"], False),
        ([], [], True),
    ]
    ledger.write(Opened(at=7.0, provider="aws", driver="e", region="xx-north-1"))
    assert [(each.opened.driver, each.closed) for each in accounts(path)] == [("d", True), ("e", False)]


@settings(max_examples=60, deadline=None)
@given(cut=st.integers(0, 600))
def test_a_kill_in_the_middle_of_a_line_loses_that_line_only(whole, tmp_path_factory, cut):
    cut = min(cut, len(whole))
    path = tmp_path_factory.mktemp("cut") / "leases.jsonl"
    path.write_bytes(whole[:cut])
    lines = whole[:cut].count(b"\n")
    torn = cut < len(whole) and not whole[:cut].endswith(b"\n")
    before = accounts(path)
    assert len(before) == (1 if lines or (torn and whole[:cut].endswith(b"}")) else 0)
    # A later driver writes on, and its entry is whole.
    Ledger(path).write(Opened(at=9.0, provider="aws", driver="e", region="xx-north-1"))
    assert accounts(path)[-1].opened.driver == "e" and accounts(path)[:-1] == before


def test_a_whole_line_that_is_no_entry_is_corrupt(tmp_path):
    path = tmp_path / "leases.jsonl"
    path.write_text('{"type": "opened"}\n')
    with pytest.raises(Corrupt, match="line 1"):
        accounts(path)
