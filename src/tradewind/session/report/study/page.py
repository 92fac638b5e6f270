"""The study's page: one self-contained HTML file, without a script and without the network."""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tradewind import clock
from tradewind.data.trial_records import COMPLETED, FAILED, PAUSED, RUNNING, STOPPED, WAITING
from tradewind.session import durations
from tradewind.session.report.page import (
    cards_of,
    document,
    dollars,
    moment_text,
    table,
    write_document,
)
from tradewind.session.report.study import pictures, space_pictures
from tradewind.session.report.study.data import BECAME, LEFT, REQUEST, RULE, Ending, StudyData, TrialLine
from tradewind.session.report.study.drawing import number
from tradewind.session.report.study.reading import LEVEL, cost_of
from tradewind.session.report.study.words import many, setting_words

MOST_ROWS = 1000
"""Trials in the table of all."""
_BY = {
    RULE: "the rule of stopping",
    REQUEST: "somebody's request",
    LEFT: "the rule, which left it paused",
    BECAME: "the rule, to go on as another trial",
}
_STYLE = "<style>h1,.wide{overflow-wrap:anywhere}svg path:hover{stroke-opacity:1}</style>"
"""A name or a reason may be long, without a space in it."""
_MOST_LETTERS = 400
"""Of a reason."""
_STATES = (COMPLETED, STOPPED, FAILED, RUNNING, PAUSED, WAITING)


def study_page(data: StudyData) -> str:
    """The whole page as text."""
    parts = [_STYLE, _subtitle(data), cards_of(_cards(data)), _facts(data)]
    parts += [_curves(data), _foretold(data), _endings(data), _settings(data), _importance(data)]
    parts += [_costs(data), _timeline(data), _failures(data), _every_trial(data), _notes(data)]
    footer = f"Made by Tradewind {data.version} from the study's store alone."
    return document(f"Study {data.name}", parts, footer)


def write_study_page(data: StudyData, path: Path) -> None:
    """Write the page to `path`, whole or not at all; Misuse if that is no place for a file."""
    write_document(study_page(data), path)


def _subtitle(data: StudyData) -> str:
    counts = Counter(each.state for each in data.trials)
    told = ", ".join(f"{counts[state]:,} {state}" for state in _STATES if counts[state])
    line = f"{data.direction} the objective · {many(len(data.trials), 'trial')}" + (
        f": {told}" if told else ""
    )
    when = ""
    if data.began is not None and data.ended is not None:
        when = (
            f"{moment_text(data.began)} to {moment_text(data.ended)} (UTC, by the drivers' clocks), "
            f"{durations.text(data.ended - data.began)}"
        )
    return f'<p class="soft">{html.escape(line)}<br><span class="small">{when}</span></p>'


def _cards(data: StudyData) -> list[tuple[str, str, str]]:
    cards = []
    if data.best is None:
        cards.append(("no trial is completed", "–", ""))
    else:
        best = data.trials[data.best].final or 0.0
        cards.append((f"best value, trial {data.best}", number(float(f"{best:.4g}")), "good"))
    if data.dollars > 0:
        cards.append(("spent, as trials told", dollars(data.dollars), ""))
    if data.seconds > 0:
        cards.append(("of training", durations.text(data.seconds), ""))
    cards.append(("steps run", f"{data.steps:,}", ""))
    if data.saved_steps:
        cards.append(("steps saved by stopping, reckoned", f"{data.saved_steps:,}", "good"))
    if data.saved_dollars is not None:
        cards.append(("saved by stopping, reckoned", dollars(data.saved_dollars), "good"))
    met = sum(each.revocations for each in data.trials)
    cards.append(("revocations", f"{met:,}", ""))
    return cards


def _facts(data: StudyData) -> str:
    rows = []
    if data.best is not None:
        best = data.trials[data.best]
        rows.append(("best setting", setting_words(best)))
        rows.append(("that trial", _spent(data, best)))
    if data.whole:
        rows.append(("a whole trial", f"{data.whole:,} steps: {data.whole_from}"))
    if data.saved_steps:
        counted = [each for each in data.endings if each.by != BECAME and each.step is not None]
        share = data.saved_steps / (data.saved_steps + data.steps)
        words = f"{many(len(counted), 'stopped trial')} had {many(data.saved_steps, 'step')} left, "
        words += f"{share:.0%} of what all would have run; "
        if data.saved_dollars is None:
            words += "what a step cost is not on record"
        else:
            words += f"at what each one's own steps had cost, {dollars(data.saved_dollars)}"
        rows.append(("stopping saved (reckoned)", words))
    met = {
        "revocation": sum(each.revocations for each in data.trials),
        "move": sum(each.moves for each in data.trials),
        "failure": sum(each.failures for each in data.trials),
        "lost driver": sum(each.gone for each in data.trials),
    }
    words = ", ".join(many(count, name) for name, count in met.items())
    if data.again:
        words += f"; at most {data.again:,} steps were done again, from the last checkpoint on"
    rows.append(("interruptions", words))
    rows += [("it began with", each) for each in data.earlier]
    rows.append(("drivers", f"{data.drivers:,}"))
    rows.append(("digest of the study", data.digest))
    return table((), [[html.escape(name), _wide(value)] for name, value in rows])


def _wide(words: str) -> str:
    """Words as HTML that may be broken anywhere, and are cut where there is no end of them."""
    words = words if len(words) <= _MOST_LETTERS else words[: _MOST_LETTERS - 1] + "…"
    return f'<span class="wide">{html.escape(words)}</span>'


def _spent(data: StudyData, trial: TrialLine) -> str:
    told = [f"trial {trial.number}", f"objective {number(trial.final or 0.0)}", many(trial.ran, "step")]
    if trial.dollars > 0:
        told.append(dollars(trial.dollars))
    if trial.seconds > 0:
        told.append(f"{durations.text(trial.seconds)} of training")
    if trial.machine:
        told.append(f"last on {trial.machine}")
    return ", ".join(told)


def _section(head: str, picture: str, words: Sequence[str]) -> str:
    told = " ".join(f"{each[0].upper()}{each[1:]}." for each in words if each)
    return f"<h2>{head}</h2><figure>{picture}<figcaption>{html.escape(told)}</figcaption></figure>"


def _nothing(head: str, words: str) -> str:
    return f'<h2>{head}</h2><p class="soft">{html.escape(words)}</p>'


def _curves(data: StudyData) -> str:
    if not any(value is not None for each in data.trials for value in each.values):
        return _nothing("Learning curves", "No trial has reported a value that is a number.")
    picture, left = pictures.curves(data)
    way = "lower" if data.direction == "minimize" else "higher"
    words = [f"A line is a trial, by its steps; {way} is better", left]
    if any(each.predicted is not None for each in data.trials):
        words.append(
            "a dashed line leads from a trial's last value to the end that is foretold for it; what that is, "
            "the table says"
        )
    return _section("Learning curves", picture, words)


def _foretold(data: StudyData) -> str:
    known = [each for each in data.trials if each.predicted is not None]
    if not known:
        return ""
    sign = 1.0 if data.direction == "minimize" else -1.0

    def order(each: TrialLine) -> float:
        assert each.predicted is not None
        return sign * each.predicted.expected

    best = None if data.best is None else data.trials[data.best].final
    rows = []
    for each in sorted(known, key=order):
        assert each.predicted is not None
        may = ""
        if best is not None:
            edge = each.predicted.low if sign > 0 else each.predicted.high
            may = "" if edge is None else "yes" if sign * edge < sign * best else "no"
        interval = ""
        if each.predicted.low is not None and each.predicted.high is not None:
            interval = f"{number(each.predicted.low)} to {number(each.predicted.high)}"
        rows.append(
            [
                str(each.number),
                each.state,
                f"{each.steps[-1]:,}",
                "" if each.last is None else number(each.last),
                number(each.predicted.expected),
                interval or "–",
                may,
            ]
        )
    heads = (
        "trial",
        "state",
        "at step",
        "value",
        f"expected at {data.whole:,}",
        f"{LEVEL:.0%} interval",
        "may be best",
    )
    return (
        f"<h2>What the others were heading for ({len(rows):,})</h2>"
        "<p class=\"soft small\">Expected by SpotTune's rational curve of a trial's last stage, held in a "
        "band about its best value (EarlyCurve, clipped). The interval is made of how wrong the same "
        "forecast was about these trials at earlier steps; on recorded curves such intervals held half to "
        "nine tenths of the ends. May be best: whether the better bound beats the best completed trial.</p>"
        '<div class="scroll">' + table(heads, rows, numbers=(0, 2, 3, 4, 5)) + "</div>"
    )


def _endings(data: StudyData) -> str:
    if not data.endings:
        return ""
    priced = any(each.saved_dollars is not None for each in data.endings)
    heads = ["trial", "when", "at step", "by", "why", "steps left", *(("worth",) if priced else ())]
    rows = []
    for each in data.endings:
        row = [
            str(each.number),
            "" if each.moment is None else moment_text(each.moment),
            "–" if each.step is None else f"{each.step:,}",
            html.escape(_BY[each.by]),
            _wide(each.reason),
            _left(each),
        ]
        if priced:
            row.append("" if each.saved_dollars is None else dollars(each.saved_dollars))
        rows.append(row)
    return (
        f"<h2>Stopped, when, by whom and why ({len(rows):,})</h2>"
        '<p class="soft small">Steps left are reckoned to a whole trial\'s steps, and worth what its '
        "own steps had cost. A trial that went on as another saved nothing.</p>"
        '<div class="scroll">' + table(heads, rows, numbers=(0, 2, 5, 6), times=(1,)) + "</div>"
    )


def _left(ending: Ending) -> str:
    return "" if ending.by == BECAME or ending.step is None else f"{ending.saved_steps:,}"


def _settings(data: StudyData) -> str:
    if not any(each.point and each.state == COMPLETED and each.final is not None for each in data.trials):
        why = "No completed trial has a setting of a space on record."
        return _nothing("Settings", why)
    picture, left = space_pictures.parallel(data)
    words = [
        "A line is a trial, through the values of its hyper-parameters to its objective; the best is drawn "
        "thickest",
        "where a hyper-parameter has no place beside the others, the line is interrupted"
        if any(axis.condition for axis in data.axes)
        else "",
        left,
    ]
    return _section("Settings", picture, words)


def _importance(data: StudyData) -> str:
    found, head = data.importance, "Which hyper-parameters matter"
    if found is None:
        return _nothing(head, f"Not said: {data.importance_of}.")
    fit = f"the forest foretells {max(found.fit, 0.0):.0%} of the variance of trials that it has not seen"
    if found.fit <= 0.1:
        fit += ", next to nothing: do not rely on these shares"
    words = [
        f"how much of the variance of {data.importance_of} each hyper-parameter explains by itself, in a "
        "forest of regression trees (functional analysis of variance); a thin line holds the shares of 80 % "
        "of the resamples",
        f"the {found.together:.0%} that are left are in how they act together, and in noise",
        fit,
        "a share that does not clear what random numbers get may be nothing",
        "one that has its place only beside others counts by how often it has one"
        if any(axis.condition for axis in data.axes)
        else "",
    ]
    return _section(head, space_pictures.importances(data), words)


def _costs(data: StudyData) -> str:
    if not any(each.last is not None for each in data.trials):
        return ""
    name = pictures.COSTS[data.cost]
    picture, left = pictures.costs(data)
    words = [
        f"left: a dot is a trial, by the {name} that it cost; on the line lie the completed ones that no "
        "other beats without costing more",
        "rings are trials that are not completed, with their last value",
        "right: the best so far against what all trials together had cost; the dashed line is the best value "
        "reported, the full one the best that a trial was completed with"
        if data.progress
        else "",
        left,
        "dollars are not on record" if data.cost != "dollars" else "",
    ]
    parts = [_section("What it cost", picture, words)]
    if data.frontier:
        rows = []
        for at in data.frontier:
            each = data.trials[at]
            cost = cost_of(each, data.cost)
            shown = dollars(cost) if data.cost == "dollars" else number(cost)
            rows.append([str(at), shown, number(each.final or 0.0), _wide(setting_words(each))])
        heads = ("trial", name, "objective", "setting")
        told = table(heads, rows, numbers=(0, 1, 2))
        parts.append(f'<p><b>The frontier</b></p><div class="scroll">{told}</div>')
    return "".join(parts)


def _timeline(data: StudyData) -> str:
    head = "Where the trials were"
    if not any(each.what == RUNNING for each in data.stretches):
        return _nothing(head, "No moments at which trials ran are on record.")
    picture, left = pictures.timeline(data)
    words = [
        "A lane is a trial, a bar a stretch in which it ran, by the machine; a thin line is a wait, a dotted "
        "one a pause",
        left,
        "which machines is not on record" if not data.machines else "",
    ]
    parts = [_section(head, picture, words)]
    if data.machines:
        rows = [
            [
                html.escape(each.name),
                f"{each.trials:,}",
                durations.text(each.seconds),
                f"{each.revocations:,}",
                "–" if each.seconds_per_step is None else number(each.seconds_per_step),
            ]
            for each in data.machines
        ]
        heads = ("machine", "trials", "time with a trial", "revocations", "seconds a step")
        told = table(heads, rows, numbers=(1, 2, 3, 4))
        parts.append(f'<div class="scroll">{told}</div>')
    return "".join(parts)


def _failures(data: StudyData) -> str:
    failed = [each for each in data.trials if each.state == FAILED]
    if not failed:
        return ""
    rows = [[str(each.number), _wide(each.reason), _wide(setting_words(each))] for each in failed]
    told = table(("trial", "why", "setting"), rows, numbers=(0,))
    return f'<h2>Failed ({len(rows):,})</h2><div class="scroll">{told}</div>'


def _every_trial(data: StudyData) -> str:
    if not data.trials:
        return _nothing("Every trial (0)", "There is none yet.")
    shown = sorted(data.trials[:MOST_ROWS], key=lambda each: each.number)
    money, trained = data.dollars > 0, data.seconds > 0
    heads = ["trial", "state", "objective", "steps", *(("cost",) if money else ())]
    heads += [*(("training",) if trained else ()), "met", "setting"]
    rows = []
    for each in shown:
        met = [
            f"{count} {name}"
            for count, name in (
                (each.revocations, "revoked"),
                (each.moves, "moved"),
                (each.failures, "broke"),
                (each.gone, "driver gone"),
            )
            if count
        ]
        kind = " real" if each.number == data.best else " out" if each.state == FAILED else ""
        name = "best" if each.number == data.best else each.state
        rows.append(
            [
                str(each.number),
                f'<span class="tag{kind}">{html.escape(name)}</span>',
                "–" if each.last is None else number(each.last),
                f"{each.steps[-1]:,}" if each.steps else "0",
                *((dollars(each.dollars),) if money else ()),
                *((durations.text(each.seconds),) if trained else ()),
                ", ".join(met) + (f"; from trial {each.parent}" if each.parent is not None else ""),
                _wide(setting_words(each)),
            ]
        )
    left = f", the first {len(rows):,} of them" if len(rows) < len(data.trials) else ""
    told = table(heads, rows, numbers=range(2, 4 + money + trained))
    numbers = "The objective of a trial that is not completed is its last value."
    return (
        f"<h2>Every trial ({len(data.trials):,}{left})</h2>"
        f'<p class="soft small">{numbers}</p><div class="scroll">{told}</div>'
    )


def _notes(data: StudyData) -> str:
    if not data.notes:
        return ""
    rows = [
        [
            "" if each.moment is None else html.escape(clock.iso(each.moment)),
            "" if each.number is None else str(each.number),
            _wide(each.text),
        ]
        for each in data.notes
    ]
    told = table(("moment", "trial", "note"), rows, numbers=(1,), times=(0,))
    return f'<h2>Notes ({len(rows):,})</h2><div class="scroll">{told}</div>'
