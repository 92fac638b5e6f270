"""Values of model-less serving: what is refused, the line through times, the bound on accuracy."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from tradewind.errors import Misuse
from tradewind.serving.batching.interface import Latency
from tradewind.serving.variants.variant import (
    Profile,
    Task,
    check_profile,
    check_task,
    check_variant,
    fitted,
)
from variant_makers import rated

GOOD = rated("a", max_batch=4)


def test_what_is_well_said_passes():
    check_task(Task("digits"))
    check_variant(GOOD.variant)
    check_profile(GOOD.profile, GOOD.variant)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("accuracy", 1.01), ("accuracy", -0.01), ("accuracy", math.nan), ("name", ""), ("task", ""),
        ("architecture", ""), ("artefact", ""), ("runtime", ""), ("resource", ""), ("precision", ""),
        ("max_batch", 0), ("tested", -1), ("hardware", "tpu"),
    ],
)  # fmt: skip
def test_a_variant_that_is_not_is_refused_by_the_field(field, value):
    with pytest.raises(Misuse) as caught:
        check_variant(replace(GOOD.variant, **{field: value}))
    assert caught.value.field == field and caught.value.fix


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("variant", {"variant": "b"}), ("seconds", {"seconds": ()}), ("batches", {"batches": (0,)}),
        ("batches", {"batches": (2, 1), "seconds": (1.0, 1.0)}), ("batches", {"batches": (5,)}),
        ("seconds", {"seconds": (-1.0,)}), ("load", {"load": math.nan}), ("memory", {"memory": -1}),
        ("size", {"size": -1}), ("per_hour", {"per_hour": math.inf}),
        ("latency", {"latency": Latency(0.0, 0.0)}), ("latency.fixed", {"latency": Latency(1.0, -0.1)}),
    ],
)  # fmt: skip
def test_a_profile_that_is_not_is_refused_by_the_field(field, changes):
    with pytest.raises(Misuse) as caught:
        check_profile(replace(GOOD.profile, **changes), GOOD.variant)
    assert caught.value.field == field


def test_a_task_without_a_name_is_refused():
    with pytest.raises(Misuse, match="it has no name"):
        check_task(Task(""))


def test_the_line_goes_through_points_that_lie_on_one():
    found = fitted((1, 2, 4, 8), [0.003 + 0.002 * b for b in (1, 2, 4, 8)])
    assert found.per_row == pytest.approx(0.002) and found.fixed == pytest.approx(0.003)
    assert found.deviation == pytest.approx(0.0, abs=1e-12)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(0.1, 10.0), min_size=2, max_size=6))
def test_the_line_is_numpys_where_no_part_is_below_zero(seconds):
    batches = [2**at for at in range(len(seconds))]
    slope, intercept = np.polyfit(batches, seconds, 1, w=1.0 / np.array(seconds))
    found = fitted(batches, seconds)
    assert found.per_row >= 0 and found.fixed >= 0
    if slope >= 0 and intercept >= 0:
        assert found.per_row == pytest.approx(slope, rel=1e-6, abs=1e-9)
        assert found.fixed == pytest.approx(intercept, rel=1e-6, abs=1e-9)


def test_the_line_at_its_edges():
    assert fitted((1,), (0.5,)) == Latency(0.5, 0.0)
    falling = fitted((1, 2), (2.0, 1.0))  # weights 1/4 and 1: the mean is (2/4 + 1) / (5/4)
    assert falling.per_row == 0.0 and falling.fixed == pytest.approx(1.2)
    steep = fitted((1, 2), (1.0, 3.0))  # through the origin: (1 * 1 + 2 * 3 / 9) / (1 + 4 / 9)
    assert steep.fixed == 0.0 and steep.per_row == pytest.approx((1 + 6 / 9) / (1 + 4 / 9))
    with pytest.raises(Misuse):
        fitted((), ())
    with pytest.raises(Misuse):
        fitted((1,), (0.0,))


def test_accuracy_with_confidence_is_wilsons_bound():
    # 90 of 100, one-sided 97.5 %: the lower end of the two-sided 95 % interval, 0.8256 in the literature.
    variant = replace(GOOD.variant, accuracy=0.9, tested=100)
    assert variant.accuracy_at(0.975) == pytest.approx(0.8256, abs=1e-4)
    assert variant.accuracy_at(0.5) == 0.9
    assert replace(variant, tested=0).accuracy_at(0.975) == 0.9
    assert replace(variant, accuracy=0.0).accuracy_at(0.99) == 0.0


def test_throughput_and_dollars():
    profile: Profile = rated("a", per_row=0.002, fixed=0.006, price=3.6).profile
    assert profile.throughput(2) == pytest.approx(200.0)  # 2 rows in 10 ms
    assert profile.per_request(2) == pytest.approx(0.001 * 0.005)  # 0.1 cents a second, 5 ms a row
    assert profile.per_request(4, 2) == pytest.approx(0.001 * 0.007)
