from machine_views import BIG, lease, offer

from tradewind.market.demands import Demand
from tradewind.market.instances import Pool
from tradewind.market.offers import Terms
from tradewind.market.resources import Resources
from tradewind.tuning.machines.quotes import Quotes


def test_a_price_is_that_of_the_last_offer():
    quotes = Quotes(Demand(resources=Resources(vcpus=1.0)))
    assert quotes.price(lease(limit=0.3)) == 0.3 and quotes.price(lease()) == 0.0
    quotes.see((offer(0.1), offer(0.5, terms=Terms.ON_DEMAND)))
    assert quotes.price(lease(limit=0.3)) == 0.1 and quotes.price(lease(terms=Terms.ON_DEMAND)) == 0.5
    quotes.see((offer(0.2, zone="b"),))
    assert quotes.price(lease()) == 0.1 and quotes.price(lease(zone="b")) == 0.2


def test_spot_pools_that_fit_and_are_gone():
    quotes = Quotes(Demand(resources=Resources(vcpus=4.0)))
    asked = offer(1.0, BIG, terms=Terms.ON_DEMAND)
    quotes.see((offer(0.1), offer(0.2, BIG), offer(0.2, BIG, zone="b"), asked))
    assert quotes.gone == ()
    quotes.see((offer(0.2, BIG, zone="b"),))
    assert quotes.gone == (Pool("big", "a"),)
    quotes.see((asked,))
    assert quotes.gone == (Pool("big", "a"), Pool("big", "b"))
