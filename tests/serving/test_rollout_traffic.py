"""Which variant answers."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tradewind.errors import Misuse
from tradewind.serving.rollout.traffic import part_of, place_in_turn, place_of, split_by

places = st.floats(0, 1, exclude_max=True)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.text("abcdef", min_size=1, max_size=2), st.floats(0, 1e308), min_size=1), places)
def test_every_place_has_one_variant_and_none_of_weight_zero(weights, place) -> None:
    if not any(weights.values()):
        with pytest.raises(Misuse, match="above 0"):
            split_by(weights)
        return
    split = split_by(weights)
    assert weights[split.at(place)] > 0 and split.at(math.nextafter(1, 0)) in weights
    assert split.ends[-1] == 1.0 and list(split.ends) == sorted(split.ends)


@pytest.mark.parametrize("wrong", [{"a": -1.0}, {"a": math.nan}, {"a": math.inf}, {}])
def test_wrong_weights(wrong) -> None:
    with pytest.raises(Misuse):
        split_by(wrong)


def test_shares_are_kept_by_turns_and_by_ids() -> None:
    split = split_by({"a": 7.0, "b": 2.0, "c": 1.0})
    turns = [split.at(place_in_turn(turn)) for turn in range(1, 1001)]
    for name, share in (("a", 700), ("b", 200), ("c", 100)):
        assert abs(turns.count(name) - share) <= 3
        assert abs(turns[:100].count(name) - share / 10) <= 2
    ids = [split.at(place_of(f"request {number}")) for number in range(4000)]
    # Four standard deviations of a binomial with 4000 draws.
    for name, share in (("a", 0.7), ("b", 0.2), ("c", 0.1)):
        assert abs(ids.count(name) - 4000 * share) < 4 * math.sqrt(4000 * share * (1 - share))


def test_an_id_has_one_place_and_another_by_another_seed() -> None:
    # BLAKE2b of "a" with 8 bytes and a key of 8 zero bytes, by b2sum's own reference, shifted to 53 bits.
    assert place_of("a") == place_of("a") != place_of("b")
    assert place_of("a", 1) != place_of("a", 2)
    assert 0 <= place_of("\udc80 lone") < 1


@settings(max_examples=60, deadline=None)
@given(places, st.lists(st.floats(0, 1), min_size=2, max_size=6))
def test_whoever_moved_to_green_stays_while_its_share_grows(place, shares) -> None:
    sides = [part_of(place, share) for share in sorted(shares)]
    assert [newer for newer, _ in sides] == sorted(newer for newer, _ in sides)
    assert all(0 <= within < 1 for _, within in sides)


def test_a_side_splits_its_own_part_as_it_splits_the_whole() -> None:
    split = split_by({"a": 3.0, "b": 1.0})
    found = {True: [], False: []}
    for number in range(10_000):
        newer, within = part_of(number / 10_000, 0.3)
        found[newer].append(split.at(within))
    for side in found.values():
        assert side.count("a") / len(side) == pytest.approx(0.75, abs=1e-3)
    assert len(found[True]) == 3000
