from __future__ import annotations

import pytest

from tradewind.market.instances import InstanceType, Pool
from tradewind.market.offers import Offer, Price, Terms
from tradewind.market.resources import Resources


def test_an_offer_knows_its_pool_and_terms():
    offer = Offer(InstanceType("p2", Resources()), "a", Price(0.27, Terms.SPOT), 3, 30.0)
    assert offer.pool == Pool("p2", "a")
    assert offer.terms is Terms.SPOT


@pytest.mark.parametrize("terms", Terms)
def test_only_spot_is_revocable(terms):
    assert terms.revocable == (terms is Terms.SPOT)
