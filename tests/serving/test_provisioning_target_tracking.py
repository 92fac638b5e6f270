"""SageMaker's rule, decision by decision."""

from serving_worlds import lease, offer, view_of

from tradewind.market.decisions import Release, Take
from tradewind.serving.provisioning.target_tracking import TargetTracking
from tradewind.testing.provisioning import ProvisioningLaws

OFFERS = [offer("small", 0.1)]


class TestLaws(ProvisioningLaws):
    def policy(self):
        return TargetTracking(0.7)


def play(policy, rates, leases, hourly=False):
    """One minute after the other over the same leases: the last decision and every number of actions."""
    memory, counts, decision = policy.recall(), [], None
    for at, _ in enumerate(rates):
        view = view_of(OFFERS, leases, rates[: at + 1], at=60.0 * at, hourly=hourly)
        decision, memory = policy.decide(view, memory)
        counts.append(len(decision.actions))
    return decision, counts, memory


def test_it_begins_with_what_the_last_minute_needs():
    """12 requests a second at 5 a replica times 0.5: ceil(12 / 2.5) = 5."""
    decision, _ = TargetTracking().decide(view_of(OFFERS, (), [3.0, 12.0]), TargetTracking().recall())
    assert decision.actions[0].bid.count == 5


def test_out_after_three_minutes_above_the_target():
    held = [lease(1), lease(2)]
    decision, counts, _ = play(TargetTracking(), [5.5, 6.0, 9.0], held)
    assert counts == [0, 0, 1]
    assert isinstance(decision.actions[0], Take) and decision.actions[0].bid.count == 2  # ceil(9 / 2.5) = 4
    _, counts, _ = play(TargetTracking(), [5.5, 4.9, 9.0], held)
    assert counts == [0, 0, 0]


def test_not_out_again_within_the_cooldown():
    _, counts, _ = play(TargetTracking(), [9.0] * 10, [lease(1), lease(2)])
    assert counts == [0, 0, 1, 0, 0, 0, 0, 1, 0, 0]


def test_in_after_fifteen_minutes_below_nine_tenths_of_it():
    held = [lease(number, started=-1000.0 - number) for number in range(4)]
    decision, counts, _ = play(TargetTracking(), [4.0] * 15, held)
    assert counts == [0] * 14 + [2]  # ceil(4 / 2.5) = 2
    assert decision.actions == (Release(held[0].id), Release(held[1].id))  # the youngest two
    _, counts, _ = play(TargetTracking(), [4.0] * 7 + [9.5] + [4.0] * 7, held)
    assert counts == [0] * 15


def test_where_hours_are_billed_the_one_whose_hour_ends_goes():
    held = [lease(1, started=-1000.0), lease(2, started=-2500.0), lease(3, started=-4000.0)]
    decision, _, _ = play(TargetTracking(), [4.0] * 15, held, hourly=True)
    # 840 s later, 3340 of lease 2's hour are over, 1840 and 1240 of the others'.
    assert decision.actions == (Release(held[1].id),)


def test_a_replica_that_starts_does_not_count_in_the_metric():
    """5 a second over one ready of two: 5 an instance, above 2.5, three times: ceil(5 / 2.5) = 2 are held."""
    held = [lease(1), lease(2, started=-1.0)]
    decision, _, memory = play(TargetTracking(), [5.0], held)
    assert memory.metrics == (5.0,) and decision.actions == ()


def test_never_more_than_the_most():
    decision, _ = TargetTracking(most=3).decide(view_of(OFFERS, (), [100.0]), TargetTracking().recall())
    assert decision.actions[0].bid.count == 3
