"""From a store of trials to what a study's report tells, with nothing else at hand."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from msgspec.structs import replace

from tradewind import __version__
from tradewind.data.trial_records import (
    COMPLETED,
    FAILED,
    Event,
    StoredTrial,
    digest,
)
from tradewind.data.trial_store import TrialStore
from tradewind.estimates.importance import LEAST, Column, Importance, importance
from tradewind.estimates.learning_curve import forecasts
from tradewind.session.report.study.data import (
    BECAME,
    RULE,
    Axis,
    Ending,
    Predicted,
    Progress,
    StudyData,
    TrialLine,
)
from tradewind.session.report.study.history import Walked
from tradewind.tuning.space import Choice, Float, Integer, Parameter, Space
from tradewind.tuning.space_documents import space_of
from tradewind.tuning.study_record import StudyRecord
from tradewind.tuning.trial import Value

LEVEL = 0.8
"""How often the interval of a forecast should hold."""


def study_data(store: TrialStore, name: str, *, steps: int | None = None) -> StudyData:
    """All that the study of that name tells; reads the store and writes nothing.

    `steps` are those of a whole trial, where the caller knows them; otherwise they are those of the longest
    completed one. Misuse where there is no such study.
    """
    description, events = store.description(name), store.history(name)
    direction = str(description.get("direction", "minimize"))
    sign = -1.0 if direction == "maximize" else 1.0
    known, walked = StudyRecord(sign), Walked(events)
    known.follow(events, 0.0)
    stored = known.trials.all()
    space = _space(description, name)
    whole, whole_from = _whole(stored, steps)
    lines = tuple(_line(each, walked.began.get(each.number, 0), space) for each in stored)
    lines = _foretold(lines, sign, whole)
    found, found_of = _importance(lines, sign, space)
    endings = tuple(
        _priced(_told(walked.endings[number], known), lines[number], whole)
        for number in sorted(walked.endings)
    )
    saved = [each.saved_dollars for each in endings if each.saved_dollars is not None]
    cost = _cost(lines)
    return StudyData(
        name=name,
        direction=direction,
        trials=lines,
        best=_best(lines, sign),
        whole=whole,
        whole_from=whole_from,
        axes=tuple(_axis(each) for each in space.parameters) if space is not None else (),
        importance=found,
        importance_of=found_of,
        endings=endings,
        stretches=walked.stretches,
        machines=walked.machines,
        frontier=_frontier(lines, sign, cost),
        cost=cost,
        progress=_progress(lines, sign, events),
        notes=tuple(walked.notes),
        earlier=tuple(each.said for each in known.earlier.known.values()),
        drivers=walked.drivers,
        began=walked.first,
        ended=walked.last,
        dollars=sum(each.dollars for each in lines),
        seconds=sum(each.seconds for each in lines),
        steps=sum(each.ran for each in lines),
        again=walked.again,
        saved_steps=sum(each.saved_steps for each in endings),
        saved_dollars=sum(saved) if saved else None,
        digest=digest(description, events),
        version=__version__,
    )


def cost_of(trial: TrialLine, cost: str) -> float:
    """What a trial has cost, in what the frontier's cost is."""
    return float({"dollars": trial.dollars, "seconds": trial.seconds}.get(cost, trial.ran))


def _space(description: Mapping[str, Any], name: str) -> Space | None:
    """None where the study was not made with a space."""
    return space_of(description["space"], f"study {name!r}") if description.get("space") else None


def _whole(trials: Sequence[StoredTrial], steps: int | None) -> tuple[int, str]:
    if steps is not None:
        return steps, "as it was given"
    ends = [each.steps[-1] for each in trials if each.state == COMPLETED and each.steps]
    if ends:
        return max(ends), "the last step of the longest completed trial"
    ends = [each.steps[-1] for each in trials if each.steps]
    return (max(ends), "the last step that any trial reported; none is completed") if ends else (0, "")


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _line(trial: StoredTrial, began: int, space: Space | None) -> TrialLine:
    point: tuple[float | None, ...] = ()
    if space is not None and space.fits(trial.setting):
        point = tuple(_finite(float(each)) for each in space.point(trial.setting))
    return TrialLine(
        number=trial.number,
        setting=trial.setting,
        state=trial.state,
        steps=trial.steps,
        values=tuple(map(_finite, trial.values)),
        final=_finite(trial.final),
        began=began,
        parent=trial.parent,
        dollars=_finite(trial.dollars) or 0.0,
        seconds=_finite(trial.seconds) or 0.0,
        reason=trial.reason,
        attempts=trial.attempt,
        revocations=trial.revocations,
        failures=trial.failures,
        moves=trial.moves,
        gone=trial.releases,
        machine=trial.offer,
        point=point,
    )


def _foretold(lines: tuple[TrialLine, ...], sign: float, whole: int) -> tuple[TrialLine, ...]:
    """The lines, with what is expected of those that are not at their end."""
    open_ = [
        each
        for each in lines
        if each.state not in (COMPLETED, FAILED) and each.steps and each.steps[-1] < whole
    ]
    curves = [
        (each.steps, [math.nan if value is None else sign * value for value in each.values]) for each in open_
    ]
    found = list(lines)
    for each, one in zip(open_, forecasts(curves, whole, level=LEVEL), strict=True):
        if math.isfinite(one.expected):
            bounds = sorted((sign * one.low, sign * one.high))
            low, high = (_finite(bound) for bound in bounds)
            told = Predicted(low, sign * one.expected, high)
            found[each.number] = replace(each, predicted=told)
    return tuple(found)


def _best(lines: Sequence[TrialLine], sign: float) -> int | None:
    done = [each for each in lines if each.state == COMPLETED and each.final is not None]
    return min(done, key=lambda each: (sign * (each.final or 0.0), each.number)).number if done else None


def _told(ending: Ending, known: StudyRecord) -> Ending:
    """With whether the trial went on as another."""
    heir = ending.by == RULE and ending.number in known.heirs
    return replace(ending, by=BECAME) if heir else ending


def _priced(ending: Ending, line: TrialLine, whole: int) -> Ending:
    """With what the trial had left, at its own price of a step."""
    if ending.by == BECAME or not line.steps:
        return ending
    left = max(whole - line.steps[-1], 0)
    price = line.dollars / line.ran if line.ran and line.dollars > 0 else None
    return replace(ending, saved_steps=left, saved_dollars=None if price is None else price * left)


def _cost(lines: Sequence[TrialLine]) -> str:
    if any(each.dollars > 0 for each in lines):
        return "dollars"
    return "seconds" if any(each.seconds > 0 for each in lines) else "steps"


def _frontier(lines: Sequence[TrialLine], sign: float, cost: str) -> tuple[int, ...]:
    done = [each for each in lines if each.state == COMPLETED and each.final is not None]
    found: list[int] = []
    least = math.inf
    for each in sorted(done, key=lambda each: (cost_of(each, cost), sign * (each.final or 0.0), each.number)):
        if sign * (each.final or 0.0) < least:
            least = sign * (each.final or 0.0)
            found.append(each.number)
    return tuple(found)


def _progress(lines: Sequence[TrialLine], sign: float, events: Sequence[Event]) -> tuple[Progress, ...]:
    """What had been spent, in all, each time that a value was the best so far."""
    dollars: dict[int, float] = {}
    seconds: dict[int, float] = {}
    reached: dict[int, int] = {}
    spent, trained, ran = 0.0, 0.0, 0
    found: list[Progress] = []
    reported = best = math.inf

    def now() -> Progress:
        told = [sign * loss if math.isfinite(loss) else None for loss in (reported, best)]
        return Progress(spent, trained, ran, *told)

    for event in events:
        at = event.number
        if at is None:
            continue
        if event.dollars is not None and event.dollars > dollars.get(at, 0.0):
            spent += event.dollars - dollars.get(at, 0.0)
            dollars[at] = event.dollars
        if event.seconds is not None and event.seconds > seconds.get(at, 0.0):
            trained += event.seconds - seconds.get(at, 0.0)
            seconds[at] = event.seconds
        if event.kind == "reported" and event.step is not None:
            before = reached.get(at, lines[at].began)
            ran += max(event.step - before, 0)
            reached[at] = max(event.step, before)
        done = event.kind == "finished" and lines[at].state == COMPLETED
        value = _finite(event.value) if done or event.kind == "reported" else None
        if value is not None and sign * value < max(reported, best if done else -math.inf):
            reported = min(reported, sign * value)
            best = min(best, sign * value) if done else best
            found.append(now())
    return (*found, now()) if found else ()


def _importance(
    lines: Sequence[TrialLine], sign: float, space: Space | None
) -> tuple[Importance | None, str]:
    """What matters how much in the final values, or in those at a step if too few trials got to the end."""
    if space is None:
        return None, "the study has no space on record"
    fitting = [each for each in lines if each.point]
    done = [each for each in fitting if each.state == COMPLETED and each.final is not None]
    told = [(each.point, each.final or 0.0) for each in done]
    words = f"the final values of the {len(told)} completed trials"
    ends = sorted((each.steps[-1] for each in fitting if each.steps), reverse=True)
    if len(done) < max(LEAST, len(ends) // 2) and len(ends) >= LEAST:
        # Where most are stopped, those that are left say less than all of them at a step they came to.
        step = ends[max(LEAST, len(ends) // 2) - 1]
        at = [
            (each.point, _value_at(each, step))
            for each in fitting
            if each.steps and each.steps[0] <= step <= each.steps[-1]
        ]
        known = [(point, value) for point, value in at if value is not None]
        if len(known) >= max(LEAST, len(told)):
            told = known
            words = f"the values at step {step} of the {len(told)} trials that came so far"
    if len(told) < LEAST:
        return None, f"too few trials have a value, {len(told)} of {LEAST} that it takes"
    points = [[math.nan if each is None else each for each in point] for point, _ in told]
    found = importance(points, sign * np.array([value for _, value in told]), _columns(space))
    return found, words if found is not None else f"{words} are all the same"


def _value_at(line: TrialLine, step: int) -> float | None:
    return [value for at, value in zip(line.steps, line.values, strict=True) if at <= step][-1]


def _columns(space: Space) -> list[Column]:
    names = {each.name: at for at, each in enumerate(space.parameters)}
    found = []
    for each in space.parameters:
        when = tuple(
            (names[name], tuple(_part(space.parameters[names[name]], value) for value in values))
            for name, values in each.when
        )
        found.append(Column(len(each.of.values) if isinstance(each.of, Choice) else 0, when))
    return found


def _part(parameter: Parameter, value: Value) -> tuple[float, float]:
    """The part of the unit interval that means a value."""
    kind = parameter.of
    if isinstance(kind, Choice):
        at = kind.index(value)
        return at / len(kind.values), (at + 1) / len(kind.values)
    assert isinstance(value, int | float)
    if isinstance(kind, Float):
        at_value = _unit(kind, float(value))
        return (0.0, 1.0) if kind.low == kind.high else (at_value, at_value)
    return _unit(kind, value - 0.5), _unit(kind, value + 0.5)


def _unit(kind: Float | Integer, value: float) -> float:
    half = 0.5 if isinstance(kind, Integer) else 0.0
    low, high = kind.low - half, kind.high + half
    if kind.log:
        low, high, value = math.log(low), math.log(high), math.log(value)
    return (value - low) / (high - low) if low < high else 0.5


def _axis(parameter: Parameter) -> Axis:
    kind = parameter.of
    condition = ", ".join(f"{name} = {' or '.join(map(str, values))}" for name, values in parameter.when)
    if isinstance(kind, Choice):
        return Axis(name=parameter.name, labels=tuple(map(str, kind.values)), condition=condition)
    whole = isinstance(kind, Integer)
    half = 0.5 if whole else 0.0
    return Axis(
        name=parameter.name, low=kind.low - half, high=kind.high + half, log=kind.log, whole=whole,
        condition=condition,
    )  # fmt: skip
