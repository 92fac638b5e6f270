"""What becomes of a report: it is new to the trial's curve, or known, or not what was said before.

Steps rise within an attempt. An attempt after the first begins at a checkpoint, so it may do steps again that
an earlier one reported; the values of that one stay in the curve, for decisions were made with them.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from tradewind.data.trial_database import Database
from tradewind.data.trial_records import (
    AGAIN,
    DIFFERS,
    LOST,
    RECORDED,
    REDONE,
    REFUSED,
    REPORTED,
    RUNNING,
    Claim,
    Report,
    same,
)
from tradewind.data.trial_tables import Transaction, line
from tradewind.errors import Misuse

_REMEMBERED = 256
"""Of how many attempts the curves before them are kept in mind."""


class _Mixed(Exception):
    """Some of the reports are not new."""


class Reporting:
    """Puts reports on record."""

    def __init__(self) -> None:
        self._earlier: dict[Claim, dict[int, float]] = {}

    def record(self, database: Database, key: int, reports: Sequence[Report]) -> list[str]:
        """Record reports of one study in their order and in one commit; what became of each is given."""
        steps = [_advance(report) for report in reports]
        lines = [_line(report) for report in reports]

        def together(at: Transaction) -> list[str]:
            at.hold(key)
            if at.advance(steps) != len(steps):
                raise _Mixed
            at.record_many(lines)
            return [RECORDED] * len(steps)

        def one_by_one(at: Transaction) -> list[str]:
            at.hold(key)
            found = []
            for report, step, row in zip(reports, steps, lines, strict=True):
                if at.advance([step]) == 1:
                    at.record_many([row])
                    found.append(RECORDED)
                else:
                    found.append(self._late(at, report, row))
            return found

        if len(reports) > 1:
            try:
                return database.write(together)
            except _Mixed:
                pass
        return database.write(one_by_one)

    def _late(self, at: Transaction, report: Report, row: Mapping[str, Any]) -> str:
        """A report of a step that some attempt got to before, or by somebody who does not run the trial."""
        claim, step = report.claim, report.step
        trial = at.trial(claim.study, claim.number)
        if trial is None or trial.attempt != claim.attempt or trial.state != RUNNING:
            return LOST
        if step <= trial.reached:
            told = [value for where, value in at.reported(claim.study, claim.number) if where == step]
            return AGAIN if any(same(value, report.value) for value in told) else REFUSED
        at.change(claim.study, claim.number, reached=step)
        before = self._before(at, claim).get(step)
        if before is None:
            at.record_many([row])
            return RECORDED
        if same(before, report.value):
            return AGAIN
        at.record_many([{**row, "kind": REDONE}])
        return DIFFERS

    def _before(self, at: Transaction, claim: Claim) -> dict[int, float]:
        """The curve of the attempts before this one, which does not change any more."""
        found = self._earlier.get(claim)
        if found is None:
            found = {}
            for step, value in at.reported(claim.study, claim.number):
                found.setdefault(step, value)  # what this attempt has reported lies before where it is
            if len(self._earlier) >= _REMEMBERED:
                self._earlier.clear()
            self._earlier[claim] = found
        return found


def checked(report: Report) -> Report:
    """A report with a whole step and a float; Misuse for what is neither."""
    step, value = whole_step(report.step), number_of("value", report.value)
    if step is report.step and value is report.value:
        return report
    return replace(report, step=step, value=value)


def whole_step(step: int) -> int:
    """A step as an int; Misuse for what is no whole number from 0."""
    try:
        found = operator.index(step)
    except TypeError:
        raise Misuse(f"{step!r} is no whole number", field="step", fix="Give 0 or more.") from None
    if not 0 <= found < 1 << 62:
        raise Misuse(f"{step} is no step", field="step", fix="Give a whole number from 0.")
    return found


def number_of(field: str, value: float) -> float:
    """A number as a float; Misuse, naming the field, for what is none."""
    try:
        if not isinstance(value, str | bytes):
            return float(value)
    except (TypeError, ValueError):
        pass
    raise Misuse(f"{value!r} is no number", field=field, fix="Give one; nan says that there is none.")


def _advance(report: Report) -> dict[str, Any]:
    claim = report.claim
    where = {"of_study": claim.study, "of_number": claim.number, "of_attempt": claim.attempt}
    return {**where, "to_step": report.step}


def _line(report: Report) -> dict[str, Any]:
    claim = report.claim
    about: dict[str, Any] = {"dollars": report.dollars, "seconds": report.seconds, "moment": report.moment}
    return line(
        claim.study, REPORTED, claim.number, claim.attempt, step=report.step, value=report.value, **about
    )
