"""The time of a pull and the dollars of a month, against figures worked by hand."""

import math

import pytest
from msgspec.structs import replace

from tradewind.audit.bloat.provisioning import (
    Layer,
    Moved,
    Prices,
    Rates,
    Span,
    Use,
    break_even,
    fleet_bytes,
    fleet_cost,
    monthly_cost,
    pull_in_turn,
    pull_overlapping,
)
from tradewind.errors import Misuse

ORIGINAL = Moved("original", (Layer("o", 220_000_000, 671_000_000),), (11.6, 17.8))
SLIM = Moved("slim", (Layer("s", 68_750_000, 202_000_000),), (2.65, 2.25))
PRICES = Prices(egress=0.09, disk=0.1, store=0.02, instance_second=0.001, source="made up")


@pytest.mark.parametrize(
    ("bits", "before", "after", "ratio"), [(100e6, 29.2, 7.8, 3.7), (1e9, 13.4, 2.8, 4.8)]
)
def test_the_worked_figures_of_a_slim_image(bits, before, after, ratio):
    rates = Rates((bits / 8,))
    original, slim = pull_in_turn(ORIGINAL, rates), pull_in_turn(SLIM, rates)
    assert original.low == pytest.approx(before, abs=0.06) and slim.low == pytest.approx(after, abs=0.06)
    assert original.low / slim.low == pytest.approx(ratio, abs=0.1)
    between = original.over(slim)
    assert between.low < original.low / slim.low < between.high
    assert original.high - original.low == pytest.approx(17.8 - 11.6)


def test_download_and_inflation_overlap():
    rates = Rates((1e6, 2e6), inflate=(1.5e6,), write=(4e6,), round_trip=0.1, authentication=0.3)
    image = Moved("two", (Layer("a", 3_000_000, 8_000_000), Layer("b", 3_000_000, 4_000_000)))
    assert pull_overlapping(image, rates) == Span(0.5 + 4.0 + 3.0, 0.5 + 6.0 + 3.0)
    with pytest.raises(Misuse, match="unpack: is not known"):
        pull_in_turn(image, rates)
    assert pull_in_turn(image, replace(rates, unpack=(6e6,))).low == pytest.approx(0.5 + 3.0 + 2.0)
    with pytest.raises(Misuse, match="inflate: is not known"):
        pull_overlapping(image, Rates((1e6,)))
    for wrong in (Rates(()), Rates((0.0,)), Rates((math.nan,)), Rates((1.0,), round_trip=-1.0)):
        with pytest.raises(Misuse):
            pull_in_turn(ORIGINAL, wrong)
    with pytest.raises(Misuse, match="egress"):
        monthly_cost(SLIM, Use(1, 1), replace(PRICES, egress=-1.0), Span(1, 1))


def test_a_month_in_dollars():
    cost = monthly_cost(ORIGINAL, Use(pulls=1000, nodes=10, cold_starts=200), PRICES, Span(10.0, 20.0))
    assert cost.egress == pytest.approx(0.22 * 1000 * 0.09)
    assert cost.disk == pytest.approx(10 * 0.671 * 0.1) and cost.store == pytest.approx(0.22 * 0.02)
    assert cost.waiting == Span(2.0, 4.0)
    assert cost.total.low == pytest.approx(19.8 + 0.671 + 0.0044 + 2.0)


def test_a_shared_base_lies_once():
    base = Layer("base", 100, 300)
    fleet = [Moved(f"i{k}", (base, Layer(f"own{k}", 10, 30))) for k in range(3)]
    assert fleet_bytes(fleet).compressed == 130 and fleet_bytes(fleet).unpacked == 390
    free = Span(0.0, 0.0)
    shared = fleet_cost([(each, Use(1, nodes) , free) for each, nodes in zip(fleet, (2, 5, 1), strict=True)],
                        replace(PRICES, disk=1e9, store=1e9))  # fmt: skip
    assert shared.store == pytest.approx(130.0) and shared.disk == pytest.approx(5 * 300 + (2 + 5 + 1) * 30)


def test_from_how_many_images_on_a_shared_base_wins():
    # 100 shared and 10 each against 60 each: two originals take 120 as two slim ones do.
    assert break_even(100, 10, 60) == 2.0
    assert break_even(100, 10, 10) == math.inf
