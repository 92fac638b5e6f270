"""What the page of a search tells, from its records alone."""

from __future__ import annotations

from msgspec import Struct

from tradewind.advice.configuration.interface import Advisor
from tradewind.advice.configuration.recommendation import Recommendation, recommended
from tradewind.advice.measuring.interface import INTERRUPTED
from tradewind.session.advise_outlook import Row, rows_of, toml_of
from tradewind.session.advise_records import Ended, History, Suggested


class ProbeLine(Struct, frozen=True):
    """One attempt, in order."""

    number: int
    """Of the probe, from 1; an interrupted attempt has that of the one that was made again."""
    name: str
    reason: str
    """Why the advisor wanted it."""
    status: str
    seconds: float
    dollars: float
    best: float | None
    """The best objective after it; None before any run met it."""
    words: str
    seen: dict[str, float]


class AdviceData(Struct, frozen=True):
    """A search, as its page tells it."""

    name: str
    version: str
    minimize: str
    deadline: float | None
    advisor: str
    outcome: str
    reason: str
    spent: float
    budget: float | None
    recurrences: float
    recommendation: Recommendation | None
    current: str | None
    rows: tuple[Row, ...]
    probes: tuple[ProbeLine, ...]
    notes: tuple[str, ...]
    snippet: str
    """The tables for other specs, as TOML."""


def advice_data(history: History, chosen: Advisor) -> AdviceData:
    """Everything that the page of a run tells."""
    asked, over = history.asked, history.over
    spec = asked.spec
    best = over.recommendation if over else recommended(history.view, chosen)
    return AdviceData(
        spec.name,
        asked.version,
        spec.objective.minimize,
        spec.objective.deadline,
        spec.advisor.name,
        "paused" if over is None else "done",
        "It goes on when it is resumed." if over is None else over.reason,
        history.spent,
        spec.budget,
        spec.recurrences,
        best,
        spec.current,
        rows_of(history, chosen, best),
        _probes(history),
        (asked.told, *asked.notes),
        toml_of(history, best),
    )


def _probes(history: History) -> tuple[ProbeLine, ...]:
    objective = history.asked.spec.objective
    found: list[ProbeLine] = []
    values = [objective.value(run) for run in history.asked.earlier if objective.met(run)]
    number, reason = 1, ""
    runs = iter(history.view.runs[len(history.asked.earlier) :])
    for record in history.records:
        if isinstance(record, Suggested):
            reason = record.reason
        if not isinstance(record, Ended):
            continue
        if record.status != INTERRUPTED and objective.met(run := next(runs)):
            values.append(objective.value(run))
        found.append(
            ProbeLine(
                number,
                record.configuration,
                reason,
                record.status,
                record.seconds,
                record.dollars,
                min(values, default=None),
                record.words,
                dict(record.seen),
            )
        )
        number += record.status != INTERRUPTED
    return tuple(found)
