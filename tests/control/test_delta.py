"""Views as differences: the same bytes come back."""

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct

from tradewind.control.delta import Packer, Unpacker
from tradewind.market.instances import InstanceType
from tradewind.market.leases import Revocation
from tradewind.market.offers import Offer, Price, Terms
from tradewind.market.resources import Resources
from tradewind.market.views import View

encode = msgspec.json.Encoder(order="deterministic").encode
finite = st.floats(allow_nan=False, allow_infinity=False)
OFFERS = [
    Offer(InstanceType(f"type{n}", Resources(vcpus=float(n))), "zone", Price(n / 7, Terms.SPOT), n)
    for n in range(8)
]


class Inner(Struct, frozen=True):
    offers: tuple[Offer, ...]
    note: str | None
    forecasts: dict[str, float] = {}


class Outer(Struct, frozen=True):
    now: float
    inner: Inner | None
    pairs: tuple[float, ...] | None
    flag: bool = False


inners = st.builds(
    Inner,
    offers=st.lists(st.sampled_from(OFFERS), max_size=8).map(tuple),
    note=st.none() | st.text(max_size=6),
    forecasts=st.dictionaries(st.text(max_size=3), finite, max_size=3),
)
outers = st.builds(
    Outer,
    now=finite,
    inner=st.none() | inners,
    pairs=st.none() | st.lists(finite, max_size=3).map(tuple),
    flag=st.booleans(),
)


@given(st.lists(st.one_of(outers, inners), max_size=12), st.integers(1, 5))
@settings(max_examples=200, deadline=None)
def test_every_view_comes_back_byte_for_byte(views, every):
    packer, unpacker = Packer(), Unpacker()
    for at, view in enumerate(views):
        packed, whole, complete = packer.pack(view, at % every == 0)
        assert whole == encode(view)
        assert unpacker.unpack(packed, complete) == whole


def view(offers, now=0.0):
    return View(now, tuple(offers), (), (Revocation("a", 1.0, 2.0),))


def test_what_has_not_changed_is_not_written_again():
    packer = Packer()
    first, _, _ = packer.pack(view(OFFERS), True)
    changed = [*OFFERS[:3], msgspec.structs.replace(OFFERS[3], available=99), *OFFERS[4:]]
    one, _, complete = packer.pack(view(changed, 5.0), False)
    assert not complete
    assert len(one) < len(first) / 4
    assert b"type4" not in one and b"type3" in one
    same, _, _ = packer.pack(view(changed, 6.0), False)
    assert len(same) < 20


def test_equal_values_that_read_differently_are_kept_apart():
    packer, unpacker = Packer(), Unpacker()
    for number in (0.0, -0.0, 1, 1.0, True):
        packed, whole, complete = packer.pack(view((), now=number), False)
        assert whole == encode(view((), now=number))
        assert unpacker.unpack(packed, complete) == whole


def test_a_tuple_that_shrinks_and_grows_is_followed():
    packer, unpacker = Packer(), Unpacker()
    for offers in (OFFERS, OFFERS[1:], OFFERS[:0], OFFERS[::-1], OFFERS[2:5] * 2):
        packed, whole, complete = packer.pack(view(offers), False)
        assert unpacker.unpack(packed, complete) == whole == encode(view(offers))
