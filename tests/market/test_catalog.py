from __future__ import annotations

import pytest

from tradewind.errors import Misuse
from tradewind.market.catalog import Catalog, ListPrice, region_of
from tradewind.market.instances import InstanceType
from tradewind.market.resources import Resources

SMALL = InstanceType("m5.large", Resources(vcpus=2, memory_gib=8))
BIG = InstanceType("p3.2xlarge", Resources(vcpus=8, memory_gib=61, gpus=1, gpu_kind="V100"))
CATALOG = Catalog(
    "test",
    [
        ListPrice(SMALL, "us-east-1", 0.096, "2020-07-10", "a list"),
        ListPrice(SMALL, "eu-west-1", 0.107, "2020-07-10", "a list"),
        ListPrice(BIG, "us-east-1", 3.06, "2020-07-10", "a list"),
    ],
)


def test_a_catalog_knows_types_and_prices():
    assert CATALOG.type("m5.large") is SMALL
    assert CATALOG.on_demand("m5.large", "eu-west-1") == 0.107
    assert CATALOG.listing("p3.2xlarge", "us-east-1").as_of == "2020-07-10"
    assert CATALOG.regions == ("eu-west-1", "us-east-1")
    assert CATALOG.sells("m5.large", "us-east-1") and not CATALOG.sells("p3.2xlarge", "eu-west-1")


def test_types_are_found_by_what_they_have():
    assert CATALOG.types_with(Resources(vcpus=2)) == (SMALL, BIG)
    assert CATALOG.types_with(Resources(gpus=1)) == (BIG,)
    assert CATALOG.types_with(Resources(gpus=1, gpu_kind="K80")) == ()


def test_unknown_names_are_refused_with_a_suggestion():
    with pytest.raises(Misuse, match=r"Did you mean 'm5\.large'"):
        CATALOG.type("m5.larg")
    with pytest.raises(Misuse, match=r"Did you mean 'p3\.2xlarge'"):
        CATALOG.on_demand("p3.2xlrge", "us-east-1")
    with pytest.raises(Misuse, match="Did you mean 'us-east-1'"):
        CATALOG.on_demand("p3.2xlarge", "us-east-2")


def test_contradictions_are_refused():
    row = ListPrice(SMALL, "us-east-1", 0.096, "2020-07-10", "a list")
    other = ListPrice(InstanceType("m5.large", Resources(vcpus=4)), "us-east-2", 0.1, "2020-07-10", "a list")
    free = ListPrice(SMALL, "us-east-1", 0.0, "2020-07-10", "a list")
    with pytest.raises(Misuse, match="two prices"):
        Catalog("test", [row, row])
    with pytest.raises(Misuse, match="two shapes"):
        Catalog("test", [row, other])
    with pytest.raises(Misuse, match="no price"):
        Catalog("test", [free])


@pytest.mark.parametrize(
    ("zone", "region"),
    [("us-east-1a", "us-east-1"), ("eu-central-1", "eu-central-1"), ("local", "local")],
)
def test_a_zone_lies_in_its_region(zone, region):
    assert region_of(zone) == region
