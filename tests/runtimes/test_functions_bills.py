"""Records of calls, and the bill for them."""

from decimal import Decimal

import msgspec
import pytest

from tradewind.errors import Corrupt
from tradewind.market.billing.functions import BY_TENTHS
from tradewind.market.offers import Terms
from tradewind.runtimes.functions.bills import CallRecord, invoice, records

CALLS = (
    CallRecord("score", "1-a", 100.0, 1000, 1024, 200.0),
    CallRecord("score", "1-a", 102.0, 20, 1024),
    CallRecord("rank", "2-b", 101.0, 500, 512, error="Unhandled"),
)


def test_each_call_is_a_charge():
    bill = invoice(CALLS)
    # 1.02 GB-seconds in one environment, a quarter in the other, and three calls.
    assert bill.total == pytest.approx(Decimal("0.0000166667") * Decimal("1.27") + 3 * Decimal("0.0000002"))
    assert [(each.lease, each.start) for each in bill.charges] == [
        ("1-a", 100.0),
        ("1-a", 102.0),
        ("2-b", 101.0),
    ]
    assert {each.terms for each in bill.charges} == {Terms.FUNCTION}
    assert str(bill.charges[0].pool) == "function-1024@local"


def test_another_rule_rounds_otherwise():
    # The 20 ms are a tenth of a second.
    later = invoice(CALLS[:2], BY_TENTHS).total - invoice(CALLS[:1], BY_TENTHS).total
    assert later == pytest.approx(Decimal("0.00000166667") + Decimal("0.0000002"))


def test_a_line_that_was_cut_off_is_left_out_but_only_the_last(tmp_path):
    path = tmp_path / "calls.jsonl"
    whole = b"".join(msgspec.json.encode(each) + b"\n" for each in CALLS)
    path.write_bytes(whole + b'{"function": "sco')
    assert records(path) == CALLS
    path.write_bytes(b'{"function": "sco\n' + whole)
    with pytest.raises(Corrupt, match="line 1"):
        records(path)
