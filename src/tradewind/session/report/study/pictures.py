"""Pictures of a study: its learning curves, what its trials cost, and where they were."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from tradewind.data.trial_records import COMPLETED, FAILED, PAUSED, RUNNING, STOPPED, WAITING
from tradewind.session.report.study.choice import better_sign, chosen, fenced
from tradewind.session.report.study.data import Stretch, StudyData, TrialLine
from tradewind.session.report.study.drawing import (
    AMBER,
    BLUE,
    GREEN,
    GREY,
    INK,
    LABEL,
    LOST,
    PINK,
    RED,
    SKY,
    VIOLET,
    WIDTH,
    Scale,
    Sheet,
    fitted,
    number,
    thinned,
)
from tradewind.session.report.study.reading import cost_of
from tradewind.session.report.study.words import many, prediction_words, trial_words

MOST_CURVES, MOST_FORETOLD, MOST_DOTS, MOST_LANES = 150, 10, 600, 48
"""Of what more would hide more than it shows."""
STATES = {COMPLETED: BLUE, STOPPED: RED, PAUSED: AMBER, RUNNING: GREEN, FAILED: LOST, WAITING: GREY}
_MACHINES = (SKY, AMBER, GREEN, PINK, VIOLET, BLUE, RED)
COSTS = {"dollars": "US dollars", "seconds": "seconds of training", "steps": "steps"}


def curves(data: StudyData) -> tuple[str, str]:
    """An SVG of the learning curves with what is foretold, and what of it is left out, in words."""
    better = better_sign(data)
    known = [each for each in data.trials if any(value is not None for value in each.values)]
    foretold = _foretold(known, better)
    drawn = chosen(known, MOST_CURVES, better, data.best)
    there = {each.number for each in drawn}
    drawn += [each for each in foretold if each.number not in there]
    told = [value for each in drawn for value in each.values if value is not None]
    fence = _fence_of_curves(drawn, better)
    beyond = sum(better * value > fence for value in told)
    sheet = Sheet(430, f"Learning curves of {len(drawn)} trials")
    steps = [step for each in drawn for step in each.steps]
    # Forecasts stand side by side in a strip of their own, right of the last step.
    apart = 12.0 + 5.5 * max((len(str(each.number)) for each in foretold), default=1)
    strip = apart * len(foretold) + 10 if foretold else 0.0
    x = Scale(min([0, *steps]), max([data.whole, *steps, 1]), 64, WIDTH - 16 - strip)
    y = _upwards([value for value in told if better * value <= fence], foretold)
    sheet.axes(x, y, "steps", "objective")
    for each in sorted(drawn, key=lambda each: (each.number == data.best, each.state == COMPLETED)):
        _curve(sheet, each, x, y, data.best)
    for at, each in enumerate(foretold):
        _forecast(sheet, each, x, y, data.whole, x.end + apart * (at + 0.9))
    if foretold:
        sheet.text(x.end + strip / 2, 385, "foretold ends", anchor="middle", color=LABEL)
    states = {each.state for each in drawn}
    keys = [("line", BLUE, "the best")] if data.best is not None else []
    keys += [("line", SKY, "completed")] if COMPLETED in states else []
    keys += [
        ("cross" if state == FAILED else "dot", color, state)
        for state, color in STATES.items()
        if state in states and state != COMPLETED
    ]
    keys += [("dash", GREY, "foretold end, with its interval")] if foretold else []
    sheet.keys(412, keys)
    words = []
    if len(drawn) < len(known):
        words.append(f"{len(drawn)} of {len(known):,} curves are drawn: the best, and some of every rank")
    left = sum(1 for each in data.trials if each.predicted is not None) - len(foretold)
    if left > 0:
        words.append(
            f"{len(foretold)} forecasts are drawn, of trials that may end best; {left} more are below"
        )
    if beyond:
        words.append(f"drawn at the edge: {many(beyond, 'value')} far worse than the others")
    return str(sheet), "; ".join(words)


def costs(data: StudyData) -> tuple[str, str]:
    """An SVG: trials by what they cost and gave, with the frontier; beside it the best against all spent.

    With it, in words, what is left out.
    """
    better = better_sign(data)
    known = [each for each in data.trials if each.last is not None]
    told = chosen(known, MOST_DOTS, better, data.best)
    told = [*told, *(data.trials[at] for at in data.frontier if data.trials[at] not in told)]
    fence, beyond = fenced([each.last for each in told if each.last is not None], better)
    sheet = Sheet(350, "Objective against cost, trial by trial and in all")
    values = [each.last for each in told if each.last is not None and better * each.last <= fence]
    y = fitted(values, 270, 30)
    x = fitted([cost_of(each, data.cost) for each in told], 64, 500, zero=True)
    sheet.axes(x, y, f"{COSTS[data.cost]} that the trial cost", "objective")
    for each in sorted(told, key=lambda each: each.state == COMPLETED):
        place = x.at(cost_of(each, data.cost)), y.at(each.last or 0.0)
        words = trial_words(each, data.best)
        if each.state == COMPLETED:
            sheet.dot(*place, 3.2, SKY, opacity=0.8, told=words)
        else:
            sheet.dot(*place, 2.6, STATES[each.state], filled=False, opacity=0.7, told=words)
    edge = [data.trials[at] for at in data.frontier]
    corners: list[tuple[float, float]] = []
    for each in edge:
        place = x.at(cost_of(each, data.cost)), y.at(each.final or 0.0)
        if corners:
            corners.append((place[0], corners[-1][1]))
        corners.append(place)
    if corners:
        sheet.line([*corners, (x.end, corners[-1][1])], BLUE, 1.6)
    named = (-math.inf, 0.0)
    for each, (right, low) in zip(edge, corners[::2], strict=True):
        sheet.dot(right, low, 4.2, BLUE, told=trial_words(each, data.best))
        if len(edge) <= 12:
            # Where two would lie on each other, the second is told below.
            crowded = abs(right - named[0]) < 22 and abs(low - named[1]) < 14
            named = (right, low)
            sheet.text(
                right + 6, low + (14 if crowded else -6), str(each.number), size=11, color=INK, halo=True
            )
    spent = [float(getattr(each, data.cost)) for each in data.progress]
    bests = [value for each in data.progress for value in (each.reported, each.best) if value is not None]
    if bests:
        fence_of_bests, _ = fenced(bests, better)
        across = fitted([*spent, 0.0], 580, WIDTH - 12, zero=True)
        beside = fitted([value for value in bests if better * value <= fence_of_bests], 270, 30)
        sheet.axes(across, beside, f"{COSTS[data.cost]} spent on all trials", "best so far")
        for color, dash, heights in (
            (GREY, "4 3", [each.reported for each in data.progress]),
            (BLUE, "", [each.best for each in data.progress]),
        ):
            path: list[tuple[float, float]] = []
            for at, value in zip(spent, heights, strict=True):
                if value is not None:
                    path += [(across.at(at), path[-1][1])] if path else []
                    path.append((across.at(at), beside.at(value)))
            sheet.line(path, color, 2 if not dash else 1.6, dash=dash)
    states = {each.state for each in told} - {COMPLETED}
    keys = [("dot", SKY, "completed"), ("dot", BLUE, "on the frontier")]
    sheet.keys(338, [*keys, *(("ring", STATES[state], state) for state in STATES if state in states)])
    left = []
    if len(told) < len(known):
        left.append(f"{len(told)} of {len(known):,} trials are drawn: the best, and some of every rank")
    if beyond:
        left.append(f"drawn at the edge: {many(beyond, 'objective')} far worse than the others")
    return str(sheet), "; ".join(left)


def timeline(data: StudyData) -> tuple[str, str]:
    """An SVG: a lane for each trial, where it ran, waited and rested, and what interrupted it."""
    lanes: dict[int, list[Stretch]] = {}
    for each in data.stretches:
        lanes.setdefault(each.number, []).append(each)
    kept = _lanes(data, list(lanes))
    machines = _machine_colours(data)
    shown = [each for number in kept for each in lanes[number]]
    longest = max((each.ended for each in data.stretches), default=0.0)
    unit, per = ("minutes", 60.0) if longest < 3 * 3600 else ("hours", 3600.0)
    if longest < 180:
        unit, per = "seconds", 1.0
    unit, per = ("days", 86400.0) if longest > 5 * 86400 else (unit, per)
    tall = 14.0 if len(kept) <= 24 else 10.0
    sheet = Sheet(108 + tall * len(kept), f"Where {len(kept)} trials ran and waited")
    x = Scale(0.0, longest / per or 1.0, 64, WIDTH - 14)
    y = Scale(0.0, 1.0, 16 + tall * len(kept), 8)
    for value in x.ticks(8):
        sheet.line([(x.at(value), y.end), (x.at(value), y.start)], "#E5E7EB", 0.8)
        sheet.text(x.at(value), y.start + 17, number(value), anchor="middle")
    sheet.text(
        (x.start + x.end) / 2, y.start + 35, f"{unit} since the study began", anchor="middle", color=LABEL
    )
    for lane, at in enumerate(kept):
        top = 12 + tall * lane
        best = at == data.best
        sheet.text(
            56, top + tall - 4, f"{at} ★" if best else str(at), anchor="end", size=11 if tall > 12 else 9,
            color=INK if best else LABEL,
        )  # fmt: skip
        for each in lanes[at]:
            _stretch(sheet, each, x, per, top, tall, machines)
        for each in lanes[at]:
            _mark(sheet, each, x.at(each.ended / per), top + tall / 2 - 1)
    sheet.keys(y.start + 58, _timeline_keys(shown, machines))
    words = f"{len(kept)} of {len(lanes):,} trials are drawn: the best, and those that met the most"
    return str(sheet), words if len(kept) < len(lanes) else ""


def _foretold(trials: Sequence[TrialLine], better: float) -> list[TrialLine]:
    """The trials whose forecasts are drawn: what runs, and then what may end best."""
    known = [each for each in trials if each.predicted is not None and each.last is not None]

    def order(each: TrialLine) -> tuple[bool, float]:
        assert each.predicted is not None
        return each.state != RUNNING, better * each.predicted.expected

    return sorted(known, key=order)[:MOST_FORETOLD]


def _bounds(trial: TrialLine) -> tuple[float, ...]:
    found = trial.predicted
    return () if found is None or found.low is None or found.high is None else (found.low, found.high)


def _pieces(trial: TrialLine) -> list[list[tuple[float, float]]]:
    """The curve between values that are not finite."""
    found: list[list[tuple[float, float]]] = [[]]
    for step, value in zip(trial.steps, trial.values, strict=True):
        if value is not None:
            found[-1].append((step, value))
        elif found[-1]:
            found.append([])
    return [each for each in found if each]


def _fence_of_curves(trials: Sequence[TrialLine], better: float) -> float:
    """The loss beyond which curves are drawn at the edge: what is far off where trials begin and end."""
    ends = [each.last for each in trials if each.last is not None]
    fence, beyond = fenced(ends, better)
    if not beyond:
        # A curve may have left for a while and come back.
        fence, beyond = fenced(
            [value for each in trials for value in each.values if value is not None], better
        )
        fence = max([fence, *(better * value for value in ends)])
    begun = sorted(better * next(value for value in each.values if value is not None) for each in trials)
    return max(fence, begun[int(0.9 * len(begun))]) if beyond else math.inf


def _upwards(values: Sequence[float], foretold: Sequence[TrialLine]) -> Scale:
    """The scale of values and of what is foretold; intervals get some room, and end at the edge beyond it."""
    known = [*values, *(each.predicted.expected for each in foretold if each.predicted is not None)]
    scale = fitted(known, 350, 24)
    low, high = min(known), max(known)
    low, high = (low / 2, 2 * high) if scale.log else (low - 0.15 * (high - low), high + 0.15 * (high - low))
    bounds = [min(max(bound, low), high) for each in foretold for bound in _bounds(each)]
    return fitted([*known, *bounds], 350, 24)


def _curve(sheet: Sheet, trial: TrialLine, x: Scale, y: Scale, best: int | None) -> None:
    color = BLUE if trial.number == best else SKY if trial.state == COMPLETED else STATES[trial.state]
    width, opacity = 1.2, 0.75 if trial.state == COMPLETED else 0.6
    if trial.number == best:
        width, opacity = 3.0, 1.0
    # A value that is not finite interrupts its curve.
    for piece in _pieces(trial):
        places = [(x.at(step), y.at(value)) for step, value in thinned(*zip(*piece, strict=True))]
        sheet.line(places, color, width, opacity=opacity, told=trial_words(trial, best))
    if trial.state != COMPLETED and trial.steps and trial.last is not None:
        end = x.at(trial.steps[-1]), y.at(trial.last)
        if trial.state == FAILED:
            sheet.cross(*end, 3.5, LOST)
        else:
            sheet.dot(*end, 2.4, STATES[trial.state], opacity=0.85)


def _forecast(sheet: Sheet, trial: TrialLine, x: Scale, y: Scale, whole: int, place: float) -> None:
    """What is foretold of a trial, at a place of its own."""
    assert trial.predicted is not None and trial.last is not None
    color, middle = STATES[trial.state], y.at(trial.predicted.expected)
    words = f"trial {trial.number}: {prediction_words(trial)} expected at step {whole:,}"
    begin = x.at(trial.steps[-1]), y.at(trial.last)
    sheet.line([begin, (x.end, middle)], color, 1.1, dash="4 3", opacity=0.6, told=words)
    if bounds := _bounds(trial):
        sheet.line([(place, y.at(bounds[0])), (place, y.at(bounds[1]))], color, 2.4, told=words)
    sheet.dot(place, middle, 3.2, color, filled=False, told=words)
    sheet.text(place, 366, str(trial.number), anchor="middle", size=10)


def _lanes(data: StudyData, numbers: Sequence[int]) -> list[int]:
    """The trials that are drawn, in the order in which they began."""
    if len(numbers) <= MOST_LANES:
        return sorted(numbers)

    def order(number: int) -> tuple[float, ...]:
        each = data.trials[number]
        met = each.revocations + each.moves + each.failures + each.gone
        return (number != data.best, -met, -each.attempts, number not in data.frontier, number)

    return sorted(sorted(numbers, key=order)[:MOST_LANES])


def _machine_colours(data: StudyData) -> dict[str, str]:
    """A colour for each machine; those that were used least share grey."""
    return {
        each.name: _MACHINES[at] if at < len(_MACHINES) else GREY for at, each in enumerate(data.machines)
    }


def _stretch(
    sheet: Sheet, each: Stretch, x: Scale, per: float, top: float, tall: float, machines: dict[str, str]
) -> None:
    left, right = x.at(each.started / per), x.at(each.ended / per)
    told = f"trial {each.number} {each.what}{' on ' + each.machine if each.machine else ''}"
    if each.what == RUNNING:
        color = machines.get(each.machine, "#B0B7C3")
        sheet.bar(left, top + 1, right - left, tall - 4, color, told)
    elif right - left >= 1:
        middle = top + tall / 2 - 1
        dash = "1 3" if each.what == PAUSED else ""
        sheet.line([(left, middle), (right, middle)], GREY, 1.6 if dash else 1.1, dash=dash, told=told)


def _mark(sheet: Sheet, each: Stretch, x: float, y: float) -> None:
    words = f"trial {each.number}: {each.ending}"
    match each.ending:
        case "revocation":
            sheet.cross(x, y, 3.2, LOST, words)
        case "failure" | "failed":
            sheet.dot(x, y, 3.2, LOST, told=words)
        case "move":
            sheet.shape([(x - 4, y - 4), (x + 4, y - 4), (x, y + 4)], VIOLET, words)
        case "gone":
            sheet.dot(x, y, 3, INK, filled=False, told=words)
        case "stopped":
            sheet.line([(x, y - 4.5), (x, y + 4.5)], RED, 2.2, told=words)


def _timeline_keys(shown: Iterable[Stretch], machines: dict[str, str]) -> list[tuple[str, str, str]]:
    shown = list(shown)
    used = [name for name in machines if any(each.machine == name for each in shown)]
    named = [name for name in used if machines[name] != GREY]
    keys = [("bar", machines[name], name) for name in named]
    if len(named) < len(used):
        keys.append(("bar", GREY, f"{len(used) - len(named)} other machines"))
    if any(each.what == RUNNING and not each.machine for each in shown):
        keys.append(("bar", "#B0B7C3", "running" if not used else "machine not on record"))
    for what, kind in ((WAITING, "line"), (PAUSED, "dash")):
        if any(each.what == what for each in shown):
            keys.append((kind, GREY, what))
    marks = (
        ("revocation", "cross", LOST, "revoked"), ("failure", "dot", LOST, "broke"),
        ("failed", "dot", LOST, "failed"),
        ("move", "down", VIOLET, "moved"), ("gone", "ring", INK, "its driver was gone"),
        ("stopped", "line", RED, "stopped"),
    )  # fmt: skip
    return keys + [
        (kind, color, words)
        for ending, kind, color, words in marks
        if any(each.ending == ending for each in shown)
    ]
