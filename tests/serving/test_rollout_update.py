"""An update as a state machine: golden walks, and what holds on every walk."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import json

from tradewind.serving.rollout import plans
from tradewind.serving.rollout.plans import PERCENT, Plan, Size
from tradewind.serving.rollout.update import Memory, Phase, UpdateView, begun, decide, resumed

CANARY = Plan(
    steps=plans.canary(Size(PERCENT, 20), 5), bake=60, termination=30, maximum=600, alarms=("errors>5%",)
)
ROLLING = Plan(steps=plans.rolling(Size(PERCENT, 50), 2), bake=10, maximum=600, back=0.5)


def walked(plan, views):
    """What is decided at each view, as (share, status, variant's, over)."""
    memory, found = begun(plan, 0.0), []
    for view in views:
        decision, memory = decide(view, memory)
        found.append((decision.share, decision.endpoint, decision.variant, decision.over))
    return found


def test_a_canary_that_goes_well() -> None:
    up = dict(green=1.0, blue=1.0)
    assert walked(CANARY, [
        UpdateView(0), UpdateView(5, green=0.9), UpdateView(6, **up), UpdateView(65, **up),
        UpdateView(66, **up), UpdateView(125, **up), UpdateView(126, **up), UpdateView(155, **up),
        UpdateView(156, **up),
    ]) == [
        (0.0, "Updating", "Creating", ""), (0.0, "Updating", "Creating", ""),
        (0.2, "Updating", "Baking", ""), (0.2, "Updating", "Baking", ""),
        (1.0, "Updating", "Baking", ""), (1.0, "Updating", "Baking", ""),
        (1.0, "Updating", "", ""), (1.0, "Updating", "", ""), (1.0, "InService", "", "green"),
    ]  # fmt: skip


@pytest.mark.parametrize("moment", [10, 80, 140])
def test_an_alarm_in_any_bake_and_in_the_wait_sends_everything_back_at_once(moment) -> None:
    up = dict(green=1.0, blue=1.0)
    views = [UpdateView(6, **up), UpdateView(67, **up), UpdateView(128, **up)]
    seen = [view for view in views if view.now < moment]
    found = walked(CANARY, [*seen, UpdateView(moment, **up, alarms=("errors>5%",))])
    assert found[-1] == (0.0, "InService", "", "blue") and all(share > 0 for share, *_ in found[:-1])


def test_green_that_fails_and_time_that_runs_out_go_back_too() -> None:
    for view, said in (
        (UpdateView(3, green_failed="no such file"), "no such file"),
        (UpdateView(600, green=0.5), "not done within 600 s"),
    ):
        decision, memory = decide(view, begun(CANARY, 0.0))
        assert decision.over == "blue" and said in decision.reason and memory.phase is Phase.BACK


def test_it_asks_again_when_something_is_due() -> None:
    decision, memory = decide(UpdateView(0), begun(CANARY, 0.0))
    assert decision.ask_at == 600
    decision, memory = decide(UpdateView(6, green=1.0), memory)
    assert decision.ask_at == 66
    decision, memory = decide(UpdateView(66, green=1.0), memory)
    decision, memory = decide(UpdateView(126, green=1.0), memory)
    assert decision.ask_at == 156


def test_a_rolling_update_replaces_and_comes_back_batch_by_batch() -> None:
    memory = begun(ROLLING, 0.0)
    decision, memory = decide(UpdateView(0, green=0.0, blue=1.0), memory)
    assert (decision.share, decision.green, decision.blue) == (0.0, 0.5, 1.0)
    decision, memory = decide(UpdateView(1, green=0.5, blue=1.0), memory)
    assert (decision.share, decision.variant) == (0.5, "Baking")
    decision, memory = decide(UpdateView(11, green=0.5, blue=1.0), memory)
    assert (decision.share, decision.green, decision.blue, decision.variant) == (0.5, 1.0, 0.5, "Updating")
    decision, memory = decide(UpdateView(12, green=1.0, blue=0.5), memory)
    assert (decision.share, decision.variant) == (1.0, "Baking")
    # Green has everything, and half of blue is there: it is brought up before it gets anything.
    decision, memory = decide(UpdateView(13, green=1.0, blue=0.5, alarms=("a",)), memory)
    assert (decision.share, decision.blue, decision.endpoint) == (1.0, 1.0, "RollingBack")
    decision, memory = decide(UpdateView(14, green=1.0, blue=0.5, blue_failed="no memory"), memory)
    assert (decision.share, decision.endpoint, decision.over) == (1.0, "UpdateRollbackFailed", "")
    decision, memory = decide(UpdateView(15, green=1.0, blue=1.0), memory)
    assert (decision.share, decision.endpoint, decision.over) == (0.0, "InService", "blue")


def test_after_an_absence_a_bake_begins_anew_and_memory_reads_back() -> None:
    _, memory = decide(UpdateView(6, green=1.0), begun(CANARY, 0.0))
    again = resumed(json.decode(json.encode(memory), type=Memory), 500.0)
    # Green keeps its callers, but nothing is counted as baked while it is not up.
    decision, again = decide(UpdateView(505, green=0.0), again)
    assert decision.share == 0.2 and decision.variant == "Creating" and not decision.over
    decision, _ = decide(UpdateView(510, green=1.0), again)
    assert decision.share == 0.2 and decision.variant == "Baking" and decision.ask_at == 570


@pytest.mark.parametrize("steps", [plans.all_at_once(), plans.rolling(Size(PERCENT, 50), 2)])
def test_after_an_absence_an_update_is_not_over_before_green_is_up_again(steps) -> None:
    memory, seen = begun(Plan(steps=steps, bake=1.0, termination=1.0), 0.0), set()
    for now in range(20):
        view = UpdateView(now, green=1.0, blue=1.0)
        seen.add(memory.phase)
        away = resumed(memory, now)
        for later in range(now, now + 100):
            decision, away = decide(UpdateView(later, green=0.0, blue=0.0), away)
            assert not decision.over
        decision, memory = decide(view, memory)
        if decision.over:
            break
    assert seen == {Phase.PROVISIONING, Phase.BAKING, Phase.WAITING} and decision.over == "green"


moments = st.lists(
    st.tuples(
        st.floats(0, 90), st.floats(0, 1), st.floats(0, 1), st.sampled_from(["", "", "", "broken"]),
        st.sampled_from(["", "", "broken"]), st.sampled_from([(), (), (), ("a",)]),
    ),
    max_size=20,
)  # fmt: skip
every_plan = st.builds(
    lambda steps, bake, termination, maximum, back: Plan(
        steps=steps, bake=bake, termination=termination, maximum=maximum, back=back
    ),
    st.sampled_from([
        plans.all_at_once(), plans.canary(Size(PERCENT, 10), 3), plans.linear(Size(PERCENT, 30), 3),
        plans.rolling(Size(PERCENT, 34), 3), plans.rolling(Size(PERCENT, 5), 20),
    ]),
    st.sampled_from([0.0, 10.0]), st.sampled_from([0.0, 20.0]), st.sampled_from([50.0, 400.0]),
    st.sampled_from([0.2, 1.0]),
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(every_plan, moments)
def test_on_every_walk_traffic_is_whole_and_there_is_a_way_out(plan, given_moments) -> None:
    memory, now, troubled, share = begun(plan, 0.0), 0.0, False, 0.0
    for wait, green, blue, green_failed, blue_failed, alarms in given_moments:
        now += wait
        before = memory
        decision, memory = decide(UpdateView(now, green, blue, green_failed, blue_failed, alarms), memory)
        assert 0.0 <= decision.share <= 1.0 and decision.green >= decision.share - 1e-9
        over = before.phase in (Phase.DONE, Phase.BACK)
        troubled = troubled or (not over and bool(alarms or green_failed or now >= plan.maximum))
        if troubled:
            assert decision.share <= share + 1e-9 and decision.over != "green"
            assert decision.endpoint in ("RollingBack", "UpdateRollbackFailed", "InService")
        elif decision.share > share:
            # It is given no more than was seen up.
            assert green >= decision.share - 1e-9 or green >= plan.steps[memory.step].green - 1e-9
        share = decision.share
        # What is decided twice at one moment is the same.
        assert decide(UpdateView(now, green, blue, green_failed, blue_failed, alarms), memory)[1] == memory
    # Whatever happened, all being well from now on ends it; an alarm that stays ends it on blue.
    for alarms in ((), ("a",)):
        later, end = memory, now
        for _ in range(80):
            decision, later = decide(UpdateView(end, green=1.0, blue=1.0, alarms=alarms), later)
            if decision.over:
                break
            end = end + 1.0 if math.isinf(decision.ask_at) else decision.ask_at
        assert decision.over and decision.endpoint == "InService"
        assert decision.share == (1.0 if decision.over == "green" else 0.0)
        if (alarms or troubled) and memory.phase is not Phase.DONE:
            assert decision.over == "blue"
