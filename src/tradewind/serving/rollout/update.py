"""An update of an endpoint as a state machine: from blue to green step by step, or back to blue.

Amazon SageMaker, "Deployment guardrails" and the service model's words for states: Updating and RollingBack,
UpdateRollbackFailed, InService; of a variant Creating, Baking, Updating, Deleting.

    PROVISIONING -> BAKING -> ... -> WAITING -> DONE       green has everything, blue goes
         |             |               |
         +-------------+---------------+-> RETURNING -> BACK    blue has everything, green goes
                                              |  ^
                                              v  |
                                             STUCK          blue does not come up: it is tried on

1. Blue and green together always have all the traffic.
2. An alarm before blue is let go of, green that fails, and the maximum time all end with everything on blue.
3. Traffic never goes to instances that were not seen up, while others are.
"""

from __future__ import annotations

import math
from enum import StrEnum

from msgspec import Struct
from msgspec.structs import replace

from tradewind.serving.rollout.plans import Plan

_ALMOST = 1e-9


class Phase(StrEnum):
    """Where an update stands."""

    PROVISIONING = "provisioning"
    BAKING = "baking"
    WAITING = "waiting"
    DONE = "done"
    RETURNING = "returning"
    STUCK = "stuck"
    BACK = "back"


class UpdateView(Struct, frozen=True):
    """All that an update may know at a moment."""

    now: float
    green: float = 0.0
    """The fraction of green's instances that are up."""
    blue: float = 1.0
    """Of blue's."""
    green_failed: str = ""
    """Why green cannot come up; empty where it may."""
    blue_failed: str = ""
    """Why blue's instances, wanted again, do not come up."""
    alarms: tuple[str, ...] = ()
    """Those of the plan that are ringing."""


class Memory(Struct, frozen=True):
    """What an update remembers; kept on disk, so that it goes on after a kill."""

    plan: Plan
    began: float
    phase: Phase = Phase.PROVISIONING
    step: int = 0
    """The step that is being provisioned for, or bakes."""
    since: float = 0.0
    """When the phase began."""
    share: float = 0.0
    """Of the traffic that green has now."""
    blue: float = 1.0
    """Of blue's instances that are wanted."""
    reason: str = ""
    """Why it goes back, or went."""


class UpdateDecision(Struct, frozen=True):
    """What is wanted from now on."""

    share: float
    """Of the traffic, to green; all the rest is blue's."""
    green: float
    """Of green's instances that should be kept up; with 0 it is let go of."""
    blue: float
    """Of blue's."""
    endpoint: str
    """The endpoint's status."""
    variant: str
    """The status of green's variants; empty for none."""
    over: str = ""
    """`green` or `blue`, which has everything in the end; empty while it goes on."""
    ask_at: float = math.inf
    """When to ask again though nothing happened."""
    reason: str = ""
    """In words."""


def begun(plan: Plan, now: float) -> Memory:
    """An update at its beginning."""
    return Memory(plan, now, since=now)


def resumed(memory: Memory, now: float) -> Memory:
    """The update after the server was away: green must come up again for the step that was taken, and its
    bake is begun anew, for nobody watched meanwhile."""
    if memory.phase in (Phase.BAKING, Phase.WAITING):
        return replace(memory, phase=Phase.PROVISIONING, since=now)
    return replace(memory, since=now)


def decide(view: UpdateView, memory: Memory) -> tuple[UpdateDecision, Memory]:
    """What to do at this moment; called again at every change, and at `ask_at`."""
    for _ in range(2 * len(memory.plan.steps) + 4):
        after = _next(view, memory)
        if after == memory:
            break
        memory = after
    return _decision(view, memory), memory


def _next(view: UpdateView, memory: Memory) -> Memory:
    """The memory one transition on; the same where there is none."""
    plan, phase = memory.plan, memory.phase
    if phase in (Phase.DONE, Phase.BACK):
        return memory
    if phase in (Phase.RETURNING, Phase.STUCK):
        return _going_back(view, memory)
    if reason := _trouble(view, memory):
        back = min(1.0, memory.blue + plan.back) if memory.blue < 1.0 else 1.0
        share = 0.0 if memory.blue >= 1.0 else memory.share
        return replace(
            memory, phase=Phase.RETURNING, since=view.now, reason=reason, blue=back, share=share
        )  # fmt: skip
    step = plan.steps[memory.step]
    if phase is Phase.PROVISIONING:
        if view.green < step.green - _ALMOST:
            return memory
        return replace(memory, phase=Phase.BAKING, since=view.now, share=step.share)
    if phase is Phase.BAKING:
        if view.now < memory.since + plan.bake:
            return memory
        if memory.step + 1 < len(plan.steps):
            following = plan.steps[memory.step + 1]
            return replace(
                memory, phase=Phase.PROVISIONING, step=memory.step + 1, since=view.now, blue=following.blue
            )
        return replace(memory, phase=Phase.WAITING, since=view.now)
    if view.now < memory.since + plan.termination:
        return memory
    return replace(memory, phase=Phase.DONE, since=view.now, blue=0.0)


def _trouble(view: UpdateView, memory: Memory) -> str:
    if view.alarms:
        return f"alarm {', '.join(view.alarms)}"
    if view.green_failed:
        return view.green_failed
    if view.now >= memory.began + memory.plan.maximum:
        return f"it was not done within {memory.plan.maximum:g} s"
    return ""


def _going_back(view: UpdateView, memory: Memory) -> Memory:
    # Blue takes what its instances that are up again can carry.
    up = view.blue >= memory.blue - _ALMOST
    if not up:
        phase = Phase.STUCK if view.blue_failed else Phase.RETURNING
        return memory if phase is memory.phase else replace(memory, phase=phase, since=view.now)
    if memory.blue >= 1.0 - _ALMOST:
        return replace(memory, phase=Phase.BACK, since=view.now, share=0.0, blue=1.0)
    share = min(memory.share, 1.0 - memory.blue)
    blue = min(1.0, memory.blue + memory.plan.back)
    return replace(memory, phase=Phase.RETURNING, since=view.now, share=share, blue=blue)


_ENDPOINT = {
    Phase.DONE: "InService",
    Phase.BACK: "InService",
    Phase.RETURNING: "RollingBack",
    Phase.STUCK: "UpdateRollbackFailed",
}
_VARIANT = {
    Phase.BAKING: "Baking",
    Phase.RETURNING: "Deleting",
    Phase.STUCK: "Deleting",
}


def _decision(view: UpdateView, memory: Memory) -> UpdateDecision:
    plan, phase = memory.plan, memory.phase
    step = plan.steps[memory.step]
    green, variant = step.green, _VARIANT.get(phase, "")
    ask_at = memory.began + plan.maximum
    if phase is Phase.PROVISIONING:
        variant = "Creating" if memory.step == 0 else "Updating"
    elif phase is Phase.BAKING:
        ask_at = min(ask_at, memory.since + plan.bake)
    elif phase is Phase.WAITING:
        ask_at = min(ask_at, memory.since + plan.termination)
    elif phase in (Phase.RETURNING, Phase.STUCK):
        green, ask_at = memory.share and max(memory.share, green), math.inf
    elif phase is Phase.DONE:
        green, ask_at = 1.0, math.inf
    elif phase is Phase.BACK:
        green, ask_at = 0.0, math.inf
    return UpdateDecision(
        memory.share, green, memory.blue, _ENDPOINT.get(phase, "Updating"), variant,
        {Phase.DONE: "green", Phase.BACK: "blue"}.get(phase, ""), ask_at, memory.reason,
    )  # fmt: skip
