from __future__ import annotations

import bisect
import csv
import gzip
import json
import math
from datetime import datetime
from pathlib import Path

import pytest

import tradewind
from tradewind.clock import moment
from tradewind.data.catalogs import aws_catalog
from tradewind.data.recorded_histories import DEMO_START, demo_history, history, names
from tradewind.errors import Misuse
from tradewind.market.instances import Pool
from tradewind.market.recorded import RecordedMarket

SAMPLES = Path(tradewind.__file__).parent / "data" / "samples"
POOL = Pool("p2.xlarge", "us-east-1a")


def by_pool(path):
    """The records of a price file by other means: plain csv and datetime."""
    records = {}
    with gzip.open(path, "rt") as file:
        for row in csv.DictReader(file):
            when = datetime.fromisoformat(row["time"]).timestamp()
            pool = Pool(row["instance_type"], row["zone"])
            records.setdefault(pool, []).append((when, float(row["price"])))
    return records


def check_against(market, records):
    assert set(market.prices) == set(records)
    for pool, rows in records.items():
        times, prices = [row[0] for row in rows], [row[1] for row in rows]
        price = market.price(pool)
        assert (price.start, price.end) == (times[0], times[-1])
        for k in range(0, len(rows), max(1, len(rows) // 40)):
            for when in (times[k], times[k] + 0.25, times[k] + 1801.5):
                expected = prices[bisect.bisect_right(times, when) - 1]
                assert price.at(when) == expected
                later = [t for t, p in zip(times[k:], prices[k:], strict=True) if t > when and p != expected]
                assert price.next_change(when) == (later[0] if later else None)


def test_the_shipped_prices_of_2020():
    records = by_pool(SAMPLES / "spot-prices-2019-2020.csv.gz")
    market = history("aws-2020")
    assert len(market.pools) == 82
    assert sum(map(len, records.values())) == 14_800
    check_against(market, records)
    assert market.price(Pool("p3.2xlarge", "us-east-1b")).at(moment("2020-02-01")) == 1.0033


def test_the_prices_of_2015(bench_data):
    path = bench_data("spot/prices-2015.csv.gz")
    market = history(path)
    records = by_pool(path)
    assert sum(map(len, records.values())) == 184_451
    check_against(market, records)
    assert RecordedMarket(market, aws_catalog(), boot=60.0).offers(moment("2015-06-01"))


def test_first_above_on_real_prices_is_that_of_a_plain_loop(bench_data):
    path = bench_data("spot/prices-2015.csv.gz")
    pool = Pool("c3.xlarge", "us-east-1a")
    rows = by_pool(path)[pool]
    price = history(path, types=[pool.instance_type], zones=[pool.zone]).price(pool)
    for start in range(0, len(rows), 4001):
        after = rows[start][0]
        for level in (0.033, 0.05, 0.21, 1.0, 50.0):
            before_that = None
            expected = None
            for when, value in rows[max(0, start - 1) :]:
                if when > after and value > level and value != before_that:
                    expected = when
                    break
                before_that = value
            assert price.first_above(level, after) == expected


def test_the_demo_lays_real_lives_into_real_prices():
    market = demo_history()
    events = [line.split(",") for line in (SAMPLES / "bamboo-p3.csv").read_text().splitlines()]
    assert {pool.instance_type for pool in market.pools} == {"p2.xlarge", "p3.2xlarge"}
    assert {pool.zone[:-1] for pool in market.pools} == {"us-east-1"}
    for seconds in (0, 59, 60, 1500, 2039, 2040, 3060, 20_000, 40_919):
        alive = 0
        for ms, event, _ in events:
            if int(ms) <= seconds * 1000:
                alive += 1 if event == "add" else -1
        assert sum(c.available(DEMO_START + seconds) for c in market.capacities.values()) == alive
    slots = [slot for capacity in market.capacities.values() for slot in capacity.all_slots()]
    assert len(slots) == 177
    assert sum(math.isfinite(slot.end) for slot in slots) == 167
    prices = history("aws-2020")
    for pool in market.pools:
        assert market.price(pool).at(DEMO_START + 3600) == prices.price(pool).at(DEMO_START + 3600)
    assert history("demo").pools == market.pools


def test_the_demo_can_be_laid_elsewhere():
    pools = (Pool("p2.xlarge", "us-east-1c"), Pool("p3.2xlarge", "us-east-1d"))
    market = demo_history(moment("2020-03-01"), pools)
    assert market.pools == pools
    assert [c.available(moment("2020-03-01")) for c in market.capacities.values()] == [9, 9]
    for day in ("2019-12-01", "2020-03-24", "2021-03-01"):
        with pytest.raises(Misuse, match="has no prices then"):
            demo_history(moment(day), pools)
    with pytest.raises(Misuse, match="no prices of"):
        demo_history(pools=[Pool("p2.xlarge", "us-west-2a")])


def test_lives_are_dealt_to_the_pools_that_are_told():
    path = SAMPLES / "bamboo-p3.csv"
    market = history(path, pools=[POOL], start=1000.0)
    assert market.capacities[POOL].available(1000.0) == 18
    assert [slot.id for slot in market.capacities[POOL].slots(1000.0)][:3] == ["node1", "node2", "node3"]
    with pytest.raises(Misuse) as caught:
        history(path)
    assert caught.value.field == "pools"
    with pytest.raises(Misuse) as caught:
        history(path, pools=[POOL])
    assert caught.value.field == "start"


def test_every_file_of_the_bench_is_read(bench_data):
    folder = bench_data("availability")
    files = [path for path in folder.iterdir() if path.name.endswith(".json.gz")]
    assert files
    for path in files:
        assert len(history(path).pools) == 1


def test_a_folder_is_one_market(tmp_path):
    zones = ("us-east-1b", "us-east-1c", "us-east-1d")
    for zone in zones:
        name = f"preemption_1-node_aws-04-19-2023_{zone}_intel_64.json"
        content = {"metadata": {"gap_seconds": 34}, "data": [0, 1, 1, 0], "prices": [1.2, 1.2, 1.3, 1.3]}
        (tmp_path / name).write_text(json.dumps(content))
    (tmp_path / "README.md").write_text("not a recording")
    market = history(tmp_path, notice=30.0)
    assert {pool.zone for pool in market.capacities} == set(zones)
    assert market.notice == 30.0
    assert history(tmp_path, zones=["us-east-1c"]).pools == (Pool("m6i.16xlarge", "us-east-1c"),)
    (tmp_path / "again_aws-04-19-2023_us-east-1b_intel_64.json").write_text(
        '{"metadata": {"gap_seconds": 34}, "data": [1]}'
    )
    with pytest.raises(Misuse, match="recorded in an earlier file"):
        history(tmp_path)


HEADER = "zone,instance_type,time,price\n"
FIRST = "us-east-1a,p2.xlarge,2020-01-01T00:00:00Z,0.27\n"


@pytest.mark.parametrize(
    ("text", "where", "field", "message"),
    [
        ("", "", "", "the file is empty"),
        ("  \n", "", "", "the file is empty"),
        (HEADER, "", "", "a header and no record"),
        (HEADER.replace("price", "cost") + FIRST, "line 1", "cost", "unknown column"),
        (HEADER.replace("price", "prices") + FIRST, "line 1", "prices", "Did you mean 'price'"),
        (HEADER.replace(",price", "") + FIRST, "line 1", "price", "needed once"),
        (HEADER.replace("zone", "price") + FIRST, "line 1", "zone", "needed once"),
        (HEADER + FIRST + FIRST.replace(",0.27", ""), "line 3", "", "3 fields, not 4"),
        (HEADER + FIRST + "\n" + FIRST, "line 3", "", "0 fields, not 4"),
        (HEADER + FIRST.replace("0.27", "-0.27"), "line 2", "price", "no price"),
        (HEADER + FIRST.replace("0.27", "0"), "line 2", "price", "no price"),
        (HEADER + FIRST.replace("0.27", "nan"), "line 2", "price", "no price"),
        (HEADER + FIRST.replace("0.27", "inf"), "line 2", "price", "no price"),
        (HEADER + FIRST.replace("0.27", "cheap"), "line 2", "price", "no price"),
        (HEADER + FIRST + FIRST.replace("01-01", "02-30"), "line 3", "time", "no moment"),
        (HEADER + FIRST + FIRST.replace("2020-01-01T00:00:00Z", "noon"), "line 3", "time", "no moment"),
        (HEADER + FIRST + FIRST.replace("2020-01-01T00:00:00Z", ""), "line 3", "time", "no moment"),
        (HEADER + FIRST + FIRST.replace("2020", "2019"), "line 3", "time", "earlier than line 2"),
        (HEADER + FIRST + FIRST.replace("0.27", "0.28"), "line 3", "price", "another price than line 2"),
        (HEADER + FIRST + FIRST.replace("us-east-1a", ""), "line 3", "zone", "nothing stated"),
        (HEADER + FIRST + 'us-east-1a,"p2.xlarge', "line 3", "", "unexpected end of data"),
        ("0,add,node1\n0,grow,node2\n", "line 2", "event", "'grow'"),
        ("0,add,node1\n5,add,node1\n", "line 2", "name", "added twice"),
        ("0,add,node1\n5,remove,node2\n", "line 2", "name", "never added"),
        ("9,add,node1\n5,add,node2\n", "line 2", "time", "earlier than the line before"),
        ("0,add,node1\nx,add,node2\n", "line 2", "", "no event"),
        ('{"metadata": {"gap_seconds": 5}, "data": [1, 2', "line 1", "", "broken JSON"),
        ('{"metadata": {"gap_seconds": 5}, "data": [1, -2]}', "", "data[1]", "no count"),
        ('{"metadata": {"gap_seconds": 5}, "data": [1.5]}', "", "data[0]", "no count"),
        ('{"metadata": {"gap_seconds": 0}, "data": [1]}', "", "metadata.gap_seconds", "no gap"),
        ('{"metadata": {}, "data": [1]}', "", "metadata.gap_seconds", "no gap"),
        ('{"metadata": {"gap_seconds": 5}, "data": []}', "", "data", "no samples"),
        ('{"metadata": {"gap_seconds": 5}, "data": [1], "price": [1]}', "", "price", "Did you mean 'prices'"),
        ('{"metadata": {"gap_seconds": 5}, "data": [1], "prices": []}', "", "prices", "not one price"),
        ('{"metadata": {"gap_seconds": 5}, "data": [1], "prices": [0]}', "", "prices[0]", "no price"),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_a_wrong_file_is_refused_with_line_and_field(tmp_path, text, where, field, message, packed):
    path = tmp_path / ("recorded.gz" if packed else "recorded")
    path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    with pytest.raises(Misuse) as caught:
        history(path, pools=[POOL], start=0.0)
    assert message in str(caught.value)
    assert str(path) in caught.value.source and where in caught.value.source
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (gzip.compress((HEADER + FIRST * 2000).encode())[:-9], "broken gzip"),
        (gzip.compress((HEADER + FIRST).encode())[:-8] + b"12345678", "broken gzip"),
        (b"\x1f\x8bnonsense", "broken gzip"),
        (b"\xff\xfe\x00\x01", "no text"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path, content, message):
    path = tmp_path / "prices.csv.gz"
    path.write_bytes(content)
    with pytest.raises(Misuse, match=message) as caught:
        history(path)
    assert str(path) in caught.value.source


def test_an_unknown_name_is_refused_with_a_suggestion(tmp_path):
    assert names() == ("aws-2020", "demo")
    with pytest.raises(Misuse, match="Did you mean 'aws-2020'"):
        history("aws-2002")
    with pytest.raises(Misuse, match="no file of prices"):
        history(tmp_path)
    with pytest.raises(Misuse, match="Did you mean 'us-east-1"):
        history("demo", zones=["us-east-1z"])
