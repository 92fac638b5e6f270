"""Which billing rule holds for a lease: by its terms and the moment of its start."""

from __future__ import annotations

import msgspec

from tradewind.errors import Misuse
from tradewind.market.billing.burst_credits import BurstCredits
from tradewind.market.billing.functions import BY_MILLISECONDS, BY_TENTHS
from tradewind.market.billing.hourly_with_refund import HourlyWithRefund
from tradewind.market.billing.interface import BillingRule
from tradewind.market.billing.on_demand import BY_THE_SECOND, HOURLY
from tradewind.market.billing.per_second import PerSecond
from tradewind.market.billing.reserved import Reserved
from tradewind.market.offers import Terms

RULES: dict[Terms, tuple[BillingRule, ...]] = {
    Terms.SPOT: (HourlyWithRefund(), PerSecond()),
    Terms.ON_DEMAND: (HOURLY, BY_THE_SECOND),
    Terms.RESERVED: (Reserved(),),
    Terms.BURSTABLE: (BurstCredits(),),
    Terms.FUNCTION: (BY_TENTHS, BY_MILLISECONDS),
}
"""AWS's rules for Linux, by terms and in the order of their years."""


def spot_without_refunds(moment: float) -> BillingRule:
    """The rule for spot leases that start at `moment`, were nothing forgiven when the provider ends one."""
    rule = rule_for(Terms.SPOT, moment)
    assert isinstance(rule, HourlyWithRefund | PerSecond)
    return msgspec.structs.replace(rule, refunds=False)


def rule_for(terms: Terms, moment: float) -> BillingRule:
    """The rule for a lease under `terms` that starts at `moment`. Raises Misuse if there is none."""
    for rule in RULES[terms]:
        if rule.valid_from <= moment < rule.valid_to:
            return rule
    raise Misuse(f"no billing rule for {terms} at {moment!r}", field="started", fix="Give a finite moment.")
