"""Ray Serve's rule, decision by decision."""

from serving_worlds import lease, offer, view_of

from tradewind.serving.provisioning.ray_serve import RayServe, Wish
from tradewind.testing.policies import NOW
from tradewind.testing.provisioning import ProvisioningLaws

OFFERS = [offer("small", 0.1)]


class TestLaws(ProvisioningLaws):
    def policy(self):
        return RayServe(1.5, up_factor=0.5)


def test_it_begins_at_once():
    decision, _ = RayServe().decide(view_of(OFFERS, (), [10.0], ongoing=[7.0]), Wish())
    assert decision.actions[0].bid.count == 4


def test_out_once_the_wish_has_lasted():
    held = [lease(1), lease(2)]
    busy = {"offers": OFFERS, "leases": held, "rates": [10.0], "ongoing": [7.0]}
    decision, memory = RayServe().decide(view_of(**busy), Wish())
    assert decision.actions == () and memory == Wish(1, NOW) and decision.wake_at == NOW + 30
    decision, memory = RayServe().decide(view_of(**busy, at=30.0), memory)
    assert decision.actions[0].bid.count == 2 and memory == Wish()


def test_a_break_begins_anew():
    held = [lease(1), lease(2)]
    decision, memory = RayServe().decide(view_of(OFFERS, held, [1.0], ongoing=[4.0], at=20.0), Wish(1, NOW))
    assert decision.actions == () and memory.side == 0
    _, memory = RayServe().decide(view_of(OFFERS, held, [1.0], ongoing=[7.0], at=40.0), memory)
    assert memory == Wish(1, NOW + 40)


def test_in_after_ten_minutes():
    held = [lease(number) for number in range(6)]
    quiet = {"offers": OFFERS, "leases": held, "rates": [1.0], "ongoing": [3.0]}
    memory, counts = Wish(), []
    for at in range(11):
        decision, memory = RayServe().decide(view_of(**quiet, at=60.0 * at), memory)
        counts.append(len(decision.actions))
    assert counts == [0] * 10 + [4]


def test_factors_smooth():
    """From 2 towards 7 / 2 = 3.5 by half: ceil(2.75) = 3."""
    held = [lease(1), lease(2)]
    policy = RayServe(up_factor=0.5, upscale_delay=0.0)
    decision, _ = policy.decide(view_of(OFFERS, held, [1.0], ongoing=[7.0]), Wish())
    assert decision.actions[0].bid.count == 1


def test_the_mean_is_over_the_look_back():
    policy = RayServe(upscale_delay=0.0)
    view = view_of(OFFERS, [lease(1)], [1.0] * 4, ongoing=[90.0, 1.0, 4.0, 7.0], interval=10.0)
    assert policy.decide(view, Wish())[0].actions[0].bid.count == 1  # 12 / 3 / 2 = 2
    assert RayServe(most=1).decide(view, Wish())[0].actions == ()
