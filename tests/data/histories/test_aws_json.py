from __future__ import annotations

import gzip
import json

import pytest

from tradewind.clock import moment
from tradewind.data.recorded_histories import history
from tradewind.errors import Misuse
from tradewind.market.instances import Pool

POOL = Pool("p2.xlarge", "us-east-1a")


def record(time, price, **changes):
    return {
        "AvailabilityZone": "us-east-1a",
        "InstanceType": "p2.xlarge",
        "ProductDescription": "Linux/UNIX",
        "SpotPrice": price,
        "Timestamp": time,
    } | changes


RECORDS = [
    record("2020-01-03T00:00:00+00:00", "0.300000"),
    record("2020-01-02T00:00:00.000Z", "0.280000"),
    record("2020-01-02T00:00:00.000Z", "0.500000", ProductDescription="Windows"),
    record("2020-01-01T00:00:00Z", "0.270000"),
]


@pytest.mark.parametrize(
    "text",
    [
        json.dumps({"SpotPriceHistory": RECORDS, "NextToken": ""}),
        json.dumps(RECORDS, indent=2),
        "\n".join(map(json.dumps, RECORDS)),
        json.dumps([{"SpotPriceHistory": RECORDS[:2]}, {"SpotPriceHistory": RECORDS[2:]}]),
        "\n".join(json.dumps({"SpotPriceHistory": RECORDS[k : k + 1]}, indent=4) for k in range(4)),
    ],
    ids=["answer", "list", "lines", "list of pages", "pages one after another"],
)
@pytest.mark.parametrize("packed", [False, True])
def test_what_aws_prints(tmp_path, text, packed):
    path = tmp_path / ("history.json.gz" if packed else "history.json")
    path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    price = history(path).price(POOL)
    assert price.times.tolist() == [moment(f"2020-01-0{day}") for day in (1, 2, 3)]
    assert price.prices.tolist() == [0.27, 0.28, 0.30]
    assert history(path, product="Windows").price(POOL).prices.tolist() == [0.5]
    with pytest.raises(Misuse, match="Did you mean 'Linux/UNIX'"):
        history(path, product="Linux/UNIX ")


@pytest.mark.parametrize(
    ("records", "where", "field", "message"),
    [
        ([record("2020-01-01T00:00:00Z", "-1")], "record 1", "SpotPrice", "no price"),
        ([record("2020-01-01T00:00:00Z", "NaN")], "record 1", "SpotPrice", "no price"),
        ([record("2020-01-01T00:00:00Z", "x")], "record 1", "SpotPrice", "no price"),
        ([RECORDS[0], record("yesterday", "1")], "record 2", "Timestamp", "no moment"),
        ([RECORDS[0], record("2020-01-01T00:00:00Z", 0.3)], "record 2", "SpotPrice", "0.3"),
        (
            [RECORDS[0], record("2020-01-01T00:00:00Z", "1", AvailabilityZone="")],
            "record 2",
            "AvailabilityZone",
            "''",
        ),
        ([RECORDS[0], RECORDS[0] | {"SpotPrice": "0.4"}], "record 2", "SpotPrice", "another price"),
        ({"SpotPriceHistory": []}, "", "SpotPriceHistory", "no record"),
        ({"Instances": []}, "", "", "neither AWS's"),
        (["text"], "", "", "neither AWS's"),
    ],
)
def test_wrong_records_of_aws_are_refused(tmp_path, records, where, field, message):
    path = tmp_path / "history.json"
    path.write_text(json.dumps(records))
    with pytest.raises(Misuse, match=message) as caught:
        history(path)
    assert str(path) in caught.value.source and where in caught.value.source
    assert caught.value.field == field
