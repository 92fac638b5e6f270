"""A study's trials in words."""

from __future__ import annotations

from tradewind.session.report.study.data import TrialLine
from tradewind.session.report.study.drawing import number


def trial_words(trial: TrialLine, best: int | None) -> str:
    """A trial in one line."""
    value = "" if trial.last is None else f", {number(trial.last)}"
    name = f"trial {trial.number}{' (the best)' if trial.number == best else ''}"
    return f"{name}, {trial.state}{value}: {setting_words(trial)}"


def setting_words(trial: TrialLine) -> str:
    """Its setting in one line."""
    return ", ".join(f"{name} = {value_words(value)}" for name, value in trial.setting.items())


def value_words(value: object) -> str:
    """A hyper-parameter's value as a person writes it."""
    if isinstance(value, bool | None):
        return {True: "true", False: "false", None: "none"}[value]
    return number(value) if isinstance(value, float) else f"{value}"


def many(count: int, name: str) -> str:
    """So many of something, in words."""
    return f"{count:,} {name}{'' if count == 1 else 's'}"


def prediction_words(trial: TrialLine) -> str:
    """What is expected of it, with the interval."""
    found = trial.predicted
    if found is None:
        return ""
    if found.low is None or found.high is None:
        return number(found.expected)
    return f"{number(found.expected)} ({number(found.low)} to {number(found.high)})"
