"""Sizes, prices and limits of functions."""

import pytest

from tradewind.errors import Misuse
from tradewind.market.offers import Terms
from tradewind.providers.functions import LAMBDA, break_even, cost_of_call, function_offer, function_type


def test_a_size_is_memory_with_its_share_of_processors():
    kind = function_type(1769)
    assert kind.resources.vcpus == 1.0 and kind.resources.memory_gib == 1769 / 1024
    for memory in (127, 10241):
        with pytest.raises(Misuse, match="128 to 10240"):
            function_type(memory)


def test_an_offer_says_what_an_hour_of_calls_costs():
    offer = function_offer(1024, "us-east-1a", cold=0.4)
    assert offer.terms is Terms.FUNCTION and not offer.terms.revocable
    assert offer.price.per_hour == pytest.approx(0.06000012)
    assert (offer.wait, offer.available) == (0.4, LAMBDA.concurrency)


def test_calls_are_paid_by_started_milliseconds():
    assert cost_of_call(0.1, 2048) == pytest.approx(0.2 * 0.0000166667 + 2e-7)
    assert cost_of_call(0.0001, 1024) == cost_of_call(0.001, 1024) < cost_of_call(0.0011, 1024)


def test_the_share_at_which_a_machine_pays():
    # 0.0864 dollars an hour are 2.4e-5 a second: twelve calls of two millionths.
    assert break_even(0.0864, 100.0, 2e-6) == pytest.approx(0.12)
    with pytest.raises(Misuse):
        break_even(0.0864, 0.0, 2e-6)
