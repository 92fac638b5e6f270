from __future__ import annotations

import pytest

from tradewind.market.instances import Instance, InstanceType, Pool
from tradewind.market.resources import Resources


def test_pools_are_ordered_by_type_and_zone():
    pools = [Pool("p3", "b"), Pool("p2", "c"), Pool("p3", "a")]
    assert [str(pool) for pool in sorted(pools)] == ["p2@c", "p3@a", "p3@b"]


def test_an_instance_knows_its_pool():
    assert Instance("i", InstanceType("p2", Resources()), "us-east-1a").pool == Pool("p2", "us-east-1a")


def test_values_cannot_be_altered():
    with pytest.raises(AttributeError):
        Pool("p2", "a").zone = "b"
