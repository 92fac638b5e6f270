"""Bills reckoned once for leases that are alike are those of each lease by itself."""

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from tradewind.market.charges import add_up
from tradewind.market.instances import Instance
from tradewind.market.leases import Ending, Lease, LeaseId
from tradewind.market.offers import Bid, Terms
from tradewind.providers.bills import Bills
from tradewind.testing.providers import START, A, B, market

STEPS = st.lists(
    st.tuples(st.sampled_from(["begin", "end", "ask"]), st.integers(0, 4000), st.integers(1, 5)), max_size=25
)


def leases_of(here, bid, now, first):
    kinds = [grant.type for grant in here.grant(bid, now)]
    return [
        Lease(LeaseId(f"l{first + n:03d}"), Instance("i", kind, bid.pool.zone), bid.terms, now, bid.limit)
        for n, kind in enumerate(kinds)
    ]


@settings(max_examples=60, deadline=None)
@given(steps=STEPS, endings=st.lists(st.sampled_from(Ending), min_size=25, max_size=25))
def test_bills_are_those_of_each_lease_by_itself(steps, endings) -> None:
    here = market({A: [(0, 1.0), (2000, 1.5), (9000, 0.7)], B: [(0, 0.9)]}, {})
    bills, begun, now = Bills(here), {}, START
    for (step, wait, number), ending in zip(steps, endings, strict=False):
        now += wait
        if step == "begin":
            terms = Terms.ON_DEMAND if number == 5 else Terms.SPOT
            new = leases_of(here, Bid(A if number % 2 else B, terms, number, 5.0), now, len(begun))
            if new:
                bills.begin(new)
                begun |= {lease.id: lease for lease in new}
        elif step == "end":
            held = [lease for lease in begun.values() if lease.held]
            for lease in held[:number]:
                over = msgspec.structs.replace(lease, ended=now, ending=ending)
                bills.end(over, now)
                begun[lease.id] = over
        expected = [charge for lease in begun.values() for charge in here.charges(lease, now)]
        assert bills.owed(now) == add_up(charge.amount for charge in expected)
        invoice = bills.invoice(now)
        assert list(invoice.charges) == expected
        assert invoice.total == bills.owed(now)


def test_two_clients_of_one_market_are_billed_apart() -> None:
    """Their leases have the same names."""
    here = market({A: [(0, 1.0), (2000, 3.0)], B: [(0, 0.5)]}, {})
    one, other = Bills(here), Bills(here)
    (cheap,) = leases_of(here, Bid(B, Terms.SPOT, 1), START, 0)
    (dear,) = leases_of(here, Bid(A, Terms.SPOT, 1, 5.0), START + 2500, 0)
    assert cheap.id == dear.id
    one.begin([cheap])
    other.begin([dear])
    for now in (START + 3000, START + 9000, START + 20_000):
        assert one.invoice(now).charges == here.charges(cheap, now)
        assert other.invoice(now).charges == here.charges(dear, now)


def test_a_look_ahead_changes_no_bill() -> None:
    here = market({A: [(0, 1.0), (2000, 1.5)], B: [(0, 0.9)]}, {})
    bills = Bills(here)
    (lease,) = leases_of(here, Bid(A, Terms.SPOT, 1, 5.0), START, 0)
    bills.begin([lease])
    later = bills.invoice(START + 90_000)
    assert bills.invoice(START + 100).charges == here.charges(lease, START + 100)
    assert bills.invoice(START + 90_000) == later
    over = msgspec.structs.replace(lease, ended=START + 5000, ending=Ending.RELEASED)
    bills.end(over, START + 90_000)
    assert bills.invoice(START + 90_000).charges == here.charges(over, START + 5000)
