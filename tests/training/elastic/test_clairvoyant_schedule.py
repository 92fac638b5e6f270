"""A schedule made with hindsight is one that a client of the market could have had, at that price."""

from clairvoyant_markets import BY_SECOND, HOURLY, A, B, C, goal_of, market_of, progress_of
from hypothesis import given, settings
from hypothesis import strategies as st

from tradewind.market.leases import Ending
from tradewind.market.news import Ended, Warned
from tradewind.market.offers import Bid
from tradewind.providers.holdings import Holdings
from tradewind.training.elastic.clairvoyant import cheapest_possible

STEPS = st.lists(
    st.tuples(st.integers(1, 400).map(lambda n: 97.0 * n), st.integers(2, 40).map(lambda n: n / 20)),
    max_size=14,
    unique_by=lambda step: step[0],
).map(lambda steps: [(0.0, 0.5), *sorted(steps)])
LIVES = st.lists(
    st.tuples(st.integers(0, 200), st.integers(5, 200)).map(lambda life: (97.0 * life[0], 97.0 * sum(life))),
    min_size=1,
    max_size=4,
    unique=True,
)


def lived(market, leases, most, startup):
    """The dollars and the vCPU-seconds of the leases, taken and left as told; checks the limit on vCPUs."""
    holdings = Holdings(market)
    moments = sorted(
        [(each.start, 1, each) for each in leases] + [(each.end, 0, each) for each in leases],
        key=lambda entry: entry[:2],
    )
    mine, work, leaving = {}, 0.0, set()
    for moment, starts, each in moments:
        vcpus = market.catalog.type(each.pool.instance_type).resources.vcpus
        if starts:
            holdings.advance(moment)
            leaving |= {news.revocation.lease for news in holdings.tell() if isinstance(news, Warned)}
            granted = holdings.take(Bid(each.pool, each.terms, each.count, each.limit), moment)
            assert len(granted) == each.count
            mine[id(each)] = granted
            held = [lease for lease in holdings.leases() if lease.held and lease.id not in leaving]
            assert sum(lease.instance.type.resources.vcpus for lease in held) <= most
            continue
        happened = holdings.advance(moment)
        for lease in mine[id(each)]:
            cut = any(isinstance(news, Ended) and news.lease == lease.id for news in happened)
            assert cut or lease.id in holdings.held() or each.revoked
            holdings.end(lease.id, moment, Ending.RELEASED)
        work += each.count * vcpus * max(0.0, each.end - each.start - startup)
    ended = [news for news in holdings.tell() if isinstance(news, Ended)]
    assert not holdings.held()
    revoked = {news.lease for news in ended if news.ending is Ending.REVOKED}
    assert revoked <= {lease.id for each in leases if each.revoked for lease in mine[id(each)]}
    return float(holdings.owed(moments[-1][0])), work


@settings(max_examples=30, deadline=None)
@given(
    prices=st.tuples(STEPS, STEPS),
    era=st.sampled_from([HOURLY, BY_SECOND]),
    refunds=st.booleans(),
    startup=st.sampled_from([60.0, 180.0]),
    hours=st.sampled_from([1.0, 3.3]),
)
def test_a_schedule_of_many_can_be_had_at_its_price(prices, era, refunds, startup, hours) -> None:
    market = market_of({A: prices[0], C: prices[1]}, era, refunds=refunds)
    work = 16 * 3600.0 * hours
    bound = cheapest_possible(market, goal_of(16.0), progress_of(work, startup), era, refunds=refunds)
    if bound.hindsight is None:
        return
    cost, done = lived(market, bound.hindsight.leases, 16.0, startup)
    assert cost <= bound.attained + 1e-6
    assert done >= work - 1e-3
    assert bound.cost <= bound.attained
    assert bound.seconds <= bound.until - era + 1e-6


@settings(max_examples=30, deadline=None)
@given(
    lives=st.tuples(LIVES, LIVES),
    notice=st.sampled_from([0.0, 120.0]),
    startup=st.sampled_from([60.0, 180.0]),
    hours=st.sampled_from([1.0, 2.5]),
    slack=st.sampled_from([1.1, 2.0]),
)
def test_a_schedule_of_one_can_be_had_at_its_price(lives, notice, startup, hours, slack) -> None:
    market = market_of(
        {A: [(0, 0.3)], B: [(0, 0.4)]}, BY_SECOND, lives={A: lives[0], B: lives[1]}, notice=notice
    )
    goal, work = goal_of(kinds=("small",)), 3600.0 * hours
    bound = cheapest_possible(
        market, goal, progress_of(work, startup), BY_SECOND, horizon=slack * work + startup
    )
    assert bound.exact
    if bound.hindsight is None:
        return
    cost, done = lived(market, bound.hindsight.leases, 1.0, startup)
    assert abs(cost - bound.attained) < 1e-6
    assert done >= work - 1e-3
    assert bound.cost <= bound.attained
