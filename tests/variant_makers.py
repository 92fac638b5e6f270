"""Variants made up for tests: an artefact that nobody opens, and a line for a profile."""

from tradewind.serving.batching.interface import Latency
from tradewind.serving.variants.selection.interface import Standing
from tradewind.serving.variants.states import State
from tradewind.serving.variants.variant import Profile, Rated, Variant


def rated(name, *, accuracy=0.9, per_row=0.001, fixed=0.001, price=1.0, load=1.0, **about):
    """A variant of the task `t`, with T(b) = per_row b + fixed."""
    given = {"architecture": name, "max_batch": 8, "hardware": "cpu", **about}
    memory, deviation = given.pop("memory", 100), given.pop("deviation", 0.0)
    variant = Variant(
        name=name, task="t", artefact="x", runtime="r", resource=given.pop("resource", "m"),
        accuracy=accuracy, **given,
    )  # fmt: skip
    latency = Latency(per_row, fixed, deviation)
    return Rated(variant, Profile(name, (1,), (latency.of(1),), latency, load, memory, 10, price))


def standing(one, replicas=0, **about):
    """It with so many replicas, all idle unless said."""
    state = State.ACTIVE if replicas else State.INACTIVE
    return Standing(one, **{"state": state, "replicas": replicas, "idle": replicas, **about})
