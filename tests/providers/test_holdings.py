from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from tradewind.market.charges import add_up
from tradewind.market.leases import Ending
from tradewind.market.news import Ended, Warned
from tradewind.market.offers import Bid, Terms
from tradewind.providers.holdings import Holdings
from tradewind.testing.providers import START, A, B, market

LIVES = st.lists(
    st.tuples(st.integers(0, 5000), st.integers(1, 4000)).map(lambda life: (life[0], life[0] + life[1])),
    min_size=1,
    max_size=5,
    unique=True,
)
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["take", "take on demand", "release", "fail", "tell", "invoice"]),
        st.integers(0, 1500),
        st.integers(1, 4),
    ),
    max_size=25,
)


@settings(max_examples=35, deadline=None)
@given(lives=LIVES, notice=st.sampled_from([0.0, 30.0, 900.0]), steps=STEPS)
def test_whatever_happens_every_lease_ends_once_and_is_billed_once(lives, notice, steps) -> None:
    holdings = Holdings(
        market({A: [(0, 1.0), (2000, 3.5), (2500, 0.5)], B: [(0, 0.9)]}, {A: lives}, notice=notice)
    )
    now, granted, told = START, {}, []
    for step, wait, count in steps:
        now += wait
        holdings.advance(now)
        if step.startswith("take"):
            terms = Terms.ON_DEMAND if "demand" in step else Terms.SPOT
            leases = holdings.take(Bid(A, terms, count), now)
            assert len(leases) <= count and not granted.keys() & {lease.id for lease in leases}
            granted |= {lease.id: lease for lease in leases}
        elif step in ("release", "fail") and granted:
            lease = sorted(granted)[count % len(granted)]
            held = lease in holdings.held()
            assert holdings.end(lease, now, Ending.RELEASED) == held
            assert not holdings.end(lease, now, Ending.FAILED)
        elif step == "tell":
            told += holdings.tell()
        invoice = holdings.invoice(now)
        assert invoice.total == add_up(charge.amount for charge in invoice.charges)
        assert {charge.lease for charge in invoice.charges} <= granted.keys()
        untold = granted.keys() - {news.lease for news in told if isinstance(news, Ended)}
        assert [lease.id for lease in holdings.leases()] == [lease for lease in granted if lease in untold]
        assert {lease.id for lease in holdings.leases() if lease.held} == set(holdings.held())
        for revocation in holdings.revocations():
            assert revocation.lease in holdings.held()
            assert revocation.warned <= now < revocation.due
        # A slot is held by one lease at a time.
        free = [offer for offer in holdings.offers(now) if offer.pool == A and offer.terms is Terms.SPOT]
        alive = sum(start <= now - START < end for start, end in lives)
        spot = sum(granted[lease].terms is Terms.SPOT for lease in holdings.held())
        assert spot <= alive
        assert [offer.available for offer in free] == ([alive - spot] if alive > spot else [])
    for lease in holdings.held():
        holdings.end(lease, now, Ending.RELEASED)
    told += holdings.tell()
    assert Counter(news.lease for news in told if isinstance(news, Ended)) == dict.fromkeys(granted, 1)
    warned = Counter(news.revocation.lease for news in told if isinstance(news, Warned))
    assert set(warned.values()) <= {1}
    for n, news in enumerate(told):
        if isinstance(news, Ended) and news.ending is Ending.REVOKED and notice > 0:
            lease = granted[news.lease]
            if lease.started < news.at:
                assert any(
                    isinstance(before, Warned) and before.revocation.lease == lease.id for before in told[:n]
                )
    assert holdings.leases() == ()
    assert holdings.next_moment() == float("inf")
