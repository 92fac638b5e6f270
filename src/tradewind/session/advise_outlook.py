"""What is known or believed of every candidate, and the recommendation as other specs take it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from msgspec import Struct

from tradewind.advice.configuration.interface import Advisor
from tradewind.advice.configuration.recommendation import Recommendation
from tradewind.advice.configuration.space import MACHINES, MEMORY, VCPUS
from tradewind.session import durations
from tradewind.session.advise_records import History

_NINETY = 1.6449
"""Standard deviations to either side that hold nine tenths of a normal distribution."""


class Row(Struct, frozen=True, kw_only=True):
    """One candidate."""

    name: str
    per_hour: float
    probes: tuple[int, ...]
    """Which probes were made of it, counted from 1; empty for none."""
    status: str
    """How its last run ended, `past` for one that was known before, or empty where there was none."""
    seconds: float
    """Of a run: measured, or what is believed."""
    dollars: float
    value: float
    """The objective: US dollars or seconds."""
    low: float
    high: float
    """Between which nine runs of ten are believed to be."""
    works: float
    """The probability that a run comes to its end, and in time."""
    current: bool
    recommended: bool
    words: str = ""
    """What was said of its last run."""


def rows_of(history: History, chosen: Advisor, best: Recommendation | None) -> tuple[Row, ...]:
    """Every candidate: what met the objective first, by its value; then by what is believed."""
    view = history.view
    prediction = chosen.predict(view)
    past = len(history.asked.earlier)
    found = []
    for number, configuration in enumerate(view.space.configurations):
        runs = [(place, run) for place, run in enumerate(view.runs) if run.configuration == number]
        met = [run for _, run in runs if view.objective.met(run)]
        spread = math.exp(min(_NINETY * float(prediction.deviations[number]), 50.0))
        if met:
            seconds = float(np.mean([run.seconds for run in met]))
            dollars = float(np.mean([run.dollars for run in met]))
            value = float(np.mean([view.objective.value(run) for run in met]))
        else:
            seconds = float(prediction.seconds[number])
            dollars = seconds * configuration.per_hour / 3600
            value = math.exp(min(float(prediction.logs[number]), 700.0))
        status = runs[-1][1].status if runs else ""
        made = tuple(place - past + 1 for place, _ in runs if place >= past)
        ended = [each for each in history.probes if each.configuration == configuration.name]
        found.append(
            Row(
                name=configuration.name,
                per_hour=configuration.per_hour,
                probes=made,
                status="past" if runs and not made and met else status,
                seconds=seconds,
                dollars=dollars,
                value=value,
                low=value / spread,
                high=value * spread,
                works=float(prediction.feasible[number]),
                current=number == view.current,
                recommended=best is not None and number == best.configuration,
                words=ended[-1].words if ended else "",
            )
        )
    lost = {"failed", "timed_out", "stopped"}
    return tuple(sorted(found, key=lambda row: (row.status in lost, -round(row.works), row.value, row.name)))


def settings_of(history: History, best: Recommendation | None) -> dict[str, Any]:
    """The recommended machines as fields of a spec that train and tune read; empty without one."""
    if best is None:
        return {}
    view = history.view
    configuration = view.space[best.configuration]
    found: dict[str, Any] = {}
    for field, feature in (("count", MACHINES), ("vcpus", VCPUS), ("memory_gib", MEMORY)):
        value = configuration.features.get(feature)
        if isinstance(value, int | float):
            found[f"workers.{field}"] = int(value) if field == "count" else float(value)
    if kind := history.asked.types.get(configuration.name):
        found["workers.instance_types"] = [kind]
    return found


def toml_of(history: History, best: Recommendation | None) -> str:
    """The table `workers` of a spec, with what it rests on as comments."""
    asked = history.asked
    if best is None:
        return f"# {asked.spec.name}: nothing can be recommended.\n"
    lines = [f"# {asked.spec.name}: {best.name}, {sentence(best, asked.spec.objective.minimize)}"]
    lines += [f"# {each}" for each in best.warnings]
    lines += ["# for train and tune; serve takes instance_types as they are", "[workers]"]
    for field, value in settings_of(history, best).items():
        text = f'["{value[0]}"]' if isinstance(value, list) else f"{value}"
        lines.append(f"{field.removeprefix('workers.')} = {text}")
    return "\n".join(lines) + "\n"


def sentence(best: Recommendation, minimize: str) -> str:
    """The recommendation's figures in words."""
    show = money if minimize == "cost" else durations.text
    how = "measured" if best.measured else "predicted"
    other = durations.text(best.seconds) if minimize == "cost" else money(best.dollars)
    span = f"{show(best.low)} to {show(best.high)}"
    return f"{show(best.value)} a run ({how}; nine of ten within {span}), {other}"


def against_current(best: Recommendation, rows: Sequence[Row], minimize: str) -> str:
    """What it saves or costs beside what runs now, in words."""
    row = next((each for each in rows if each.current), None)
    if row is None:
        return "Nothing was said of what runs now: name it as current, and it is compared."
    current = row.name
    if best.name == current:
        return f"It is what runs now, {current}."
    if best.saving is None and row.status == "stopped":
        return f"A run on {current}, which runs now, was ended early: it could no longer be the best."
    if best.saving is None:
        return f"What runs now, {current}, does not do what is asked, or nothing is known of it."
    less, more = ("cheaper", "dearer") if minimize == "cost" else ("quicker", "slower")
    return (
        f"It is {abs(best.saving):.0%} {less if best.saving >= 0 else more} than {current}, which runs now."
    )


def money(amount: float) -> str:
    """US dollars as people read them; of very few, the first digits."""
    if 0 < amount < 0.01:
        return f"${amount:.3g}"
    return f"${amount:,.4f}" if 0 < amount < 0.1 else f"${amount:,.2f}"
