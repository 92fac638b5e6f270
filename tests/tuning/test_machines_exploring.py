"""CheapestStep measures types at the beginning, waits for what is cheap, and uses hours that are paid for."""

import math

import pytest
from simulated_studies import BIG, DAY, OTHER, SMALL, Run, market

from tradewind.errors import Misuse
from tradewind.market.billing.hourly_with_refund import HourlyWithRefund
from tradewind.market.news import Ended
from tradewind.market.recorded import RecordedMarket
from tradewind.tuning.machines.cheapest_step import CheapestStep
from tradewind.tuning.machines.modelled_trials import ModelledTrials
from tradewind.tuning.stopping.widening import Widening
from tradewind.tuning.study import Study


class BetterThanItsSize(ModelledTrials):
    """The big machine is thirty times as fast as the small one, not eight times."""

    def __init__(self, study, curve, step_seconds, **options):
        super().__init__(study, curve, lambda setting, kind: 600.0 if kind == SMALL.instance_type else 20.0)


PRICES = {SMALL: [(0, 0.02)], BIG: [(0, 0.20)]}


def test_a_type_that_is_better_than_its_size_is_found_by_measuring():
    """By its vCPUs a step costs 0.020 on the small and 0.025 on the big one; in truth three times less."""
    plain = Run(market(PRICES), policy=CheapestStep(), work=BetterThanItsSize, trials=6)
    measuring = Run(market(PRICES), policy=CheapestStep(explore=2), work=BetterThanItsSize, trials=6)
    assert plain.whole() and measuring.whole()
    assert {lease.instance.type.name for view, _ in plain.views for lease in view.market.leases} == {
        "t9.small"
    }
    assert measuring.result.cost < 0.6 * plain.result.cost
    assert measuring.views[-2][0].measured == ("t9.big", "t9.small")


def test_the_first_trials_alone_are_spent_on_measuring():
    run = Run(market(PRICES), policy=CheapestStep(explore=2), count=4, trials=4)
    first = run.views[0][1].actions
    assert [each.bid.pool for each in first] == [SMALL, BIG, SMALL, SMALL]
    patient = Run(market(PRICES), policy=CheapestStep(explore=2, waits=1.3), count=4, trials=4)
    assert patient.whole()
    assert [each.bid.pool for each in patient.views[0][1].actions] == [SMALL, BIG]
    begun = [view for view, decision in patient.views if len(view.placed) + len(decision.actions) > 2]
    assert all(view.measured == ("t9.big", "t9.small") for view in begun)


def test_rather_than_pay_much_more_a_trial_waits():
    prices = {SMALL: [(0, 0.02)], OTHER: [(0, 0.05)]}
    room = {SMALL: [(0, 2 * DAY)]}  # one machine there, any number at the dearer place
    eager = Run(market(prices, room), policy=CheapestStep(), count=3)
    patient = Run(market(prices, room), policy=CheapestStep(waits=1.5), count=3)
    assert eager.whole() and patient.whole()
    assert eager.result.leases >= 3 and patient.result.leases == 1
    assert patient.result.cost < 0.6 * eager.result.cost
    assert patient.result.seconds > eager.result.seconds
    ready = Run(market(prices, room), policy=CheapestStep(waits=3.0), count=3)
    assert ready.result.leases == eager.result.leases


def test_an_hour_that_is_paid_for_is_used():
    """Where hours are owed whole, an idle machine is kept to the end of its hour for who comes back."""
    there = market()
    hourly = RecordedMarket(
        there.history, there.catalog, boot=60.0, on_demand=(), spot_rule=HourlyWithRefund()
    )

    def compared(where):
        study = Study(
            {"x": {"low": -1.0, "high": 1.0}}, trials=8, stop=Widening(20, share=0.5, width=8)
        )  # fmt: skip
        return Run(where, study, count=4, seconds=120.0)

    run, by_seconds = compared(hourly), compared(there)
    assert run.result.leases < by_seconds.result.leases
    began = {lease.id: lease.started for view, _ in run.views for lease in view.market.leases}
    ends = [(moment - began[news.lease]) % 3600 for moment, news in run.news if isinstance(news, Ended)]
    early = [each for each in ends if each < 3590]
    assert len(early) <= 1  # the last trial's, when nothing is left to try


@pytest.mark.parametrize(
    "arguments", [{"explore": -1}, {"explore": True}, {"waits": 0.5}, {"waits": math.nan}]
)
def test_mistakes(arguments):
    with pytest.raises(Misuse):
        CheapestStep(**arguments)
