from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest

import tradewind
from tradewind.data.catalogs import COLUMNS, aws_catalog, read_catalog
from tradewind.data.recorded_histories import history
from tradewind.errors import Misuse
from tradewind.market.catalog import region_of
from tradewind.market.resources import Resources

BOOK = Path(tradewind.__file__).parent / "market" / "books" / "aws-on-demand.csv"
HEADER = ",".join(COLUMNS)
ROW = "m5.large,2,8,0,,0,10,us-east-1,0.096,2020-07-10,a list"


def test_the_shipped_prices_are_those_of_the_book():
    with BOOK.open(newline="") as file:
        rows = list(csv.DictReader(file))
    catalog = aws_catalog()
    assert len(rows) > 250
    for row in rows:
        listing = catalog.listing(row["type"], row["region"])
        assert listing.per_hour == float(row["price"])
        assert listing.type.resources.vcpus == float(row["vcpus"])
        assert listing.type.resources.memory_gib == float(row["memory_gib"])


def test_every_price_has_a_day_and_a_source():
    catalog = aws_catalog()
    for kind in catalog.types:
        for region in catalog.regions:
            if catalog.sells(kind.name, region):
                listing = catalog.listing(kind.name, region)
                assert re.fullmatch(r"20\d\d-\d\d-\d\d", listing.as_of)
                assert "AWS price list" in listing.source


@pytest.mark.parametrize(
    ("kind", "region", "price"),
    [
        ("p2.xlarge", "us-east-1", 0.90),
        ("p3.2xlarge", "us-east-1", 3.06),
        ("p3.16xlarge", "eu-west-1", 26.44),
        ("c3.xlarge", "us-east-1", 0.21),
        ("m5.large", "us-west-2", 0.096),
    ],
)
def test_well_known_prices(kind, region, price):
    assert aws_catalog().on_demand(kind, region) == price


def test_prices_within_a_family_grow_with_its_size():
    for family, region in (
        ("p2", "us-east-1"),
        ("m5", "us-east-2"),
        ("c3", "us-east-1"),
        ("r4", "eu-west-1"),
    ):
        kinds = [kind for kind in aws_catalog().types if kind.name.startswith(f"{family}.")]
        assert len(kinds) > 2
        rates = {
            round(aws_catalog().on_demand(kind.name, region) / kind.resources.vcpus, 2) for kind in kinds
        }
        assert max(rates) - min(rates) <= 0.02


def test_every_pool_of_the_shipped_history_has_an_on_demand_price():
    for pool in history("aws-2020").pools:
        assert aws_catalog().on_demand(pool.instance_type, region_of(pool.zone)) > 0


def test_a_gpu_can_be_asked_for():
    kinds = aws_catalog().types_with(Resources(gpus=1, gpu_kind="V100"))
    assert [kind.name for kind in kinds][:2] == ["p3.16xlarge", "p3.2xlarge"]


def test_a_catalog_of_ones_own_is_read(tmp_path):
    path = tmp_path / "prices.csv"
    path.write_text(f"{HEADER}\n{ROW}\n")
    assert read_catalog(path).on_demand("m5.large", "us-east-1") == 0.096


@pytest.mark.parametrize(
    ("text", "line", "field", "message"),
    [
        ("", "", "", "the file is empty"),
        (HEADER.replace("price", "prise") + "\n", "", "prise", "Did you mean 'price'"),
        (HEADER.replace(",price", "") + "\n", "", "price", "missing"),
        (f"{HEADER}\n{ROW},more\n", "line 2", "", "12 fields, not 11"),
        (f"{HEADER}\n{ROW}\n{ROW.replace('0.096', '-1')}\n", "line 3", "price", "no amount"),
        (f"{HEADER}\n{ROW.replace('0.096', 'nan')}\n", "line 2", "price", "no amount"),
        (f"{HEADER}\n{ROW.replace('0.096', '0')}\n", "line 2", "price", "no price"),
        (f"{HEADER}\n{ROW.replace(',8,', ',eight,')}\n", "line 2", "memory_gib", "'eight' is no amount"),
        (f"{HEADER}\n{ROW.replace('a list', '')}\n", "line 2", "source", "nothing stated"),
        (f"{HEADER}\n{ROW}\n{ROW}\n", "", "price", "two prices"),
    ],
)
def test_a_wrong_catalog_is_refused_with_line_and_field(tmp_path, text, line, field, message):
    path = tmp_path / "prices.csv"
    path.write_text(text)
    with pytest.raises(Misuse, match=message) as caught:
        read_catalog(path)
    assert str(path) in caught.value.source
    assert line in caught.value.source
    assert caught.value.field == field


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(Misuse, match="cannot be read"):
        read_catalog(tmp_path / "none.csv")
