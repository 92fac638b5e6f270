"""Which names a search space for one of our learners may have, and what a setting of it makes of a spec."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from typing import Any

from msgspec.structs import replace

from tradewind.algorithms.catalogue import LEARNERS, resolved
from tradewind.errors import Misuse, suggestion
from tradewind.session.spec import TrainSpec
from tradewind.training.job import Learner, build_algorithm
from tradewind.tuning.space import Choice, Parameter, Space
from tradewind.tuning.trial import Value

JOB = {"batch": 1, "epochs": 1, "parts": 1, "staleness": 0, "consistency": None, "seed": None}
"""Fields of a job that may be searched, with the least whole number that each may be."""
CONSISTENCIES = ("bulk_synchronous", "stale_synchronous", "asynchronous")
ALIASES = {"batch_size": "batch", "minibatch_size": "batch", "learning_rate": "rate"}
"""Names that others use, for those that a job or a learner has; a learner's own argument comes first, but
for `batch_size`, which with our learners belongs to scikit-learn's `fit` and means nothing in a job."""


def check_space(
    space: Space | Mapping[str, Any], learner: str | Mapping[str, Any] | Learner, source: str = "space"
) -> Space:
    """The space, whose names are all arguments of the learner or fields of the job.

    The fields are batch, epochs, parts, consistency, staleness and seed. `batch_size` and `minibatch_size`
    are batch; `learning_rate` is rate where the learner has that. A name with a dot is a key in an argument
    that is a table, such as `arguments.alpha`. Misuse, with the name that was probably meant, for any other;
    for two names of one thing; and for a field of the job that cannot have such values.
    """
    found = space if isinstance(space, Space) else Space.of(space, source)
    own = _arguments(learner)
    meant: dict[str, str] = {}
    for each in found.parameters:
        place = _place(each.name, own, source)
        if place in meant:
            raise Misuse(f"{meant[place]!r} is the same", source=source, field=each.name, fix="Name it once.")
        meant[place] = each.name
        if place in JOB:
            _check_values(each, place, source)
    return found


def spec_with(spec: TrainSpec, setting: Mapping[str, Value]) -> TrainSpec:
    """The spec with a setting's values in place of its own; Misuse for a name that is none of it.

    `epochs`, `batch` and the like are the job's, also where the learner has an argument of that name, which
    is for scikit-learn's `fit`; a seed is both's. Everything else is the learner's.
    """
    own = _arguments(spec.learner)
    fields: dict[str, Any] = {}
    arguments = dict(spec.learner.arguments)
    for name, value in setting.items():
        place = _place(name, own, "setting")
        if place in JOB:
            fields[place] = _checked(place, value, name)
        if place not in JOB or (place == "seed" and place in own):
            outer, dot, inner = place.partition(".")
            arguments[outer] = {**(arguments.get(outer) or {}), inner: value} if dot else value
    learner = Learner(spec.learner.kind, arguments)
    build_algorithm(learner)
    return replace(spec, learner=learner, **fields)


def field_of(name: str, learner: str | Mapping[str, Any] | Learner) -> str:
    """The field of a spec that a name in a space means, such as `learner.rate`; Misuse if it means none."""
    place = _place(name, _arguments(learner), "space")
    return place if place in JOB else f"learner.{place}"


def _arguments(learner: str | Mapping[str, Any] | Learner) -> tuple[str, ...]:
    """The names of the learner's arguments."""
    if not isinstance(learner, Learner):
        told = {"kind": learner} if isinstance(learner, str) else dict(learner)
        learner = Learner(str(told.pop("kind", "")), told)
    home = LEARNERS.get(learner.kind, learner.kind)
    try:
        kind = resolved(home) if ":" in home else type(build_algorithm(learner))
    except (ImportError, AttributeError):
        kind = type(build_algorithm(learner))  # which says what is wrong with it
    return tuple(name for name in inspect.signature(kind).parameters if name != "self")


def _place(name: str, own: Iterable[str], source: str) -> str:
    """The job's field or the learner's argument that a name means."""
    own = tuple(own)
    if name in JOB:
        return name
    if name in own and name != "batch_size":
        return name
    meant = ALIASES.get(name)
    if meant is not None and (meant in JOB or meant in own):
        return meant
    if name.partition(".")[0] in own and not name.endswith("."):
        return name
    aliases = {each for each, to in ALIASES.items() if to in JOB or to in own}
    raise Misuse(
        "is neither an argument of the learner nor a field of the job", source=source, field=name,
        fix=suggestion(name, {*own, *JOB, *aliases}),
    )  # fmt: skip


def _check_values(parameter: Parameter, place: str, source: str) -> None:
    of = parameter.of
    for value in of.values if isinstance(of, Choice) else (of.low, of.high):
        _checked(place, value, parameter.name, source)


def _checked(place: str, value: Value, name: str, source: str = "setting") -> Any:
    """The value, if the job's field may have it."""
    if place == "consistency":
        if value not in CONSISTENCIES:
            fix = suggestion(str(value), CONSISTENCIES)
            raise Misuse(f"{value!r} is none", source=source, field=name, fix=fix)
        return value
    least = JOB[place]
    whole = not isinstance(value, bool) and isinstance(value, int)
    if not whole or (least is not None and isinstance(value, int) and value < least):
        above = "" if least is None else f" from {least}"
        raise Misuse(f"{value!r} cannot be it", source=source, field=name, fix=f"Give whole numbers{above}.")
    return value
