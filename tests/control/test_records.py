"""How a header names the classes that made a journal."""

import pytest
from msgspec import Struct

from tradewind.control.records import arguments_of, header_for, home_of, next_digest, resolve
from tradewind.errors import Misuse
from tradewind.market.views import View
from tradewind.training.elastic.bidding.cheapest_spot import CheapestSpot, SpotMemory


class Forgets:
    name = "forgets"

    def __init__(self, share):
        self.part = share

    def recall(self):
        return None


class Frozen(Struct, frozen=True):
    share: float = 0.5
    name = "frozen"


def test_arguments_are_read_back_from_the_attributes():
    assert arguments_of(CheapestSpot(move_when=0.25)) == {
        "move_when": 0.25,
        "back_below": 0.9,
        "slack": 0.05,
    }
    assert arguments_of(Frozen(0.25)) == {"share": 0.25}
    with pytest.raises(Misuse, match="'share' is not kept"):
        arguments_of(Forgets(1))


def test_a_header_tells_how_to_build_the_policy_again():
    header = header_for(CheapestSpot(slack=0.1), View, seed=4)
    assert resolve(header.policy_home, {}) is CheapestSpot
    assert resolve(header.memory, {}) is SpotMemory
    assert (header.policy, header.seed, header.arguments["slack"]) == ("cheapest_spot", 4, 0.1)


@pytest.mark.parametrize(
    "home", ["os:system", "tradewind_evil:Class", "tradewind.market.views:Nothing", "tradewind.nowhere:View"]
)
def test_only_what_is_ours_is_imported(home):
    with pytest.raises(Misuse):
        resolve(home, {})


def test_functions_are_no_classes():
    with pytest.raises(Misuse, match="no class"):
        resolve("tradewind.clock:simulate", {})
    assert resolve("anything:Mine", {"anything:Mine": Frozen}) is Frozen
    assert home_of(View) == "tradewind.market.views:View"


def test_a_digest_tells_where_one_part_ends_and_the_next_begins():
    zero = bytes(16)
    assert next_digest(zero, b"ab", b"c") != next_digest(zero, b"a", b"bc")
    assert next_digest(zero, b"ab") != next_digest(zero, b"ab", b"")
