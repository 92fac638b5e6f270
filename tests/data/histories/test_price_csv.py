from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given, settings
from hypothesis import strategies as st

from tradewind.clock import moment
from tradewind.data.recorded_histories import history
from tradewind.market.instances import Pool

POOL = Pool("p2.xlarge", "us-east-1a")
HEADER = "zone,instance_type,time,price\n"


def test_columns_may_come_in_any_order_and_moments_in_any_zone(tmp_path):
    path = tmp_path / "prices.csv"
    path.write_text(
        "price,time,zone,instance_type\n"
        "0.27,2020-01-01T00:00:00Z,us-east-1a,p2.xlarge\n"
        "0.28,2020-01-01T02:00:00+01:00,us-east-1a,p2.xlarge\n"
        "0.28,2020-01-01T02:00:00+01:00,us-east-1a,p2.xlarge\n"
        "0.29,2019-12-31T22:00:00-04:00,us-east-1a,p2.xlarge\n"
        "0.30,2020-01-01T03:00:00.5,us-east-1a,p2.xlarge\n"
    )
    price = history(path).price(POOL)
    assert [when - moment("2020-01-01") for when in price.times] == [0, 3600, 7200, 10800.5]
    assert price.prices.tolist() == [0.27, 0.28, 0.29, 0.30]


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from("ab"), st.integers(1, 10**9), st.integers(1, 10**7)),
        min_size=1,
        max_size=20,
    )
)
def test_what_is_written_is_read_back(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("prices") / "prices.csv"
    lines, when, expected = [], 1_500_000_000_000_000, {}
    for zone, step, price in rows:
        when += step
        lines.append((zone, when, price / 10**6))
        expected.setdefault(zone, []).append((when / 1e6, price / 10**6))
    text = "".join(
        f"us-east-1{zone},p2.xlarge,"
        f"{datetime.fromtimestamp(when // 10**6, UTC):%Y-%m-%dT%H:%M:%S}.{when % 10**6:06d}Z,{price!r}\n"
        for zone, when, price in lines
    )
    path.write_text(HEADER + text)
    market = history(path)
    for zone, records in expected.items():
        price = market.price(Pool("p2.xlarge", f"us-east-1{zone}"))
        assert [price.at(when) for when, _ in records] == [value for _, value in records]
        assert (price.start, price.end) == (records[0][0], records[-1][0])
