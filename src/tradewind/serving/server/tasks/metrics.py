"""What a server of tasks tells in its metrics besides: who answered, and how its variants are doing."""

from __future__ import annotations

from tradewind import clock
from tradewind.serving.server.metrics.families import Family, counted, measured
from tradewind.serving.server.tasks.engine import TaskEngine
from tradewind.serving.variants.states import State


def task_families(engine: TaskEngine) -> list[Family]:
    """The metrics of tasks and variants."""
    now = clock.now()
    standing = {name: engine.fleet.standing(each, now) for name, each in engine.fleet.members.items()}
    routed = sorted(engine.routed.items())
    return [
        counted(
            "tradewind_task_requests",
            "Inference requests answered, by what was asked for (a task, an architecture or a variant) and "
            "the variant that answered.",
            [({"asked": asked, "variant": name}, each.answered) for (asked, name), each in routed],
        ),
        counted(
            "tradewind_task_late",
            "Of them, those answered later than was demanded.",
            [({"asked": asked, "variant": name}, each.late) for (asked, name), each in routed],
        ),
        counted(
            "tradewind_task_impossible",
            "Inference requests refused, for no variant gives what they demanded.",
            [({"asked": asked}, count) for asked, count in sorted(engine.impossible.items())],
        ),
        measured(
            "tradewind_variant_state",
            "1 for the state that a variant is in, 0 for the others.",
            [
                ({"variant": name, "state": state.value}, float(each.state is state))
                for name, each in sorted(standing.items())
                for state in State
            ],
        ),
        measured(
            "tradewind_variant_slowdown",
            "How many times what its profile says a variant's batches take of late; 1 at least.",
            [({"variant": name}, each.slowdown) for name, each in sorted(standing.items())],
        ),
        measured(
            "tradewind_variant_accuracy",
            "A variant's measured accuracy.",
            [({"variant": name}, each.rated.variant.accuracy) for name, each in sorted(standing.items())],
        ),
    ]
