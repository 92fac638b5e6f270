from __future__ import annotations

import msgspec
import pytest

from tradewind.market.resources import Resources

BIG = Resources(
    vcpus=8,
    memory_gib=61,
    gpus=1,
    gpu_kind="V100",
    enclave_memory_gib=2,
    bandwidth_gbps=10,
    burst_credits_per_hour=5,
)


def test_an_amount_covers_itself_and_nothing():
    assert BIG.covers(BIG)
    assert BIG.covers(Resources())
    assert Resources().covers(Resources())


@pytest.mark.parametrize("field", ["vcpus", "memory_gib", "gpus", "enclave_memory_gib", "bandwidth_gbps"])
def test_less_of_anything_does_not_cover(field):
    more = msgspec.structs.replace(BIG, **{field: getattr(BIG, field) + 0.5})
    assert more.covers(BIG) and not BIG.covers(more)


def test_the_kind_of_gpu_counts_only_where_it_is_asked_for():
    assert BIG.covers(Resources(gpus=0.5))
    assert not BIG.covers(Resources(gpus=0.5, gpu_kind="K80"))
