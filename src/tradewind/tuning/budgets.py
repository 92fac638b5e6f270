"""What a study may spend: trials, US dollars, seconds; and when nothing more is begun with what is left."""

from __future__ import annotations

import math
from collections.abc import Sequence

from msgspec import Struct

from tradewind.errors import Misuse
from tradewind.tuning.trial import RUNNING, WAITING, Trial


class Budget(Struct, frozen=True, kw_only=True):
    """Bounds on a study, None where there is none. They say when nothing new begins.

    What has begun is brought to its end, so a study may cost more than its budget by what its last trials
    still take. With `least` that much is kept back for each that runs, and a trial is begun only where it can
    be paid for: with trials that cost no more than `least`, and none that is paused, the budget holds.
    """

    trials: int | None = None
    dollars: float | None = None
    """US dollars for all trials together."""
    seconds: float | None = None
    """Since the study began, whether or not anybody drove it."""
    least: float | None = None
    """US dollars that a trial is known to cost."""
    least_seconds: float | None = None
    """Seconds that a trial is known to take."""

    def check(self, source: str) -> None:
        """Misuse, naming the field, for a budget that cannot pay for one trial."""
        if self.trials is not None and self.trials < 1:
            raise Misuse(
                f"{self.trials} trials try nothing", source=source, field="trials", fix="Give 1 or more."
            )
        for field, given, unit in (
            ("budget", self.dollars, "US dollars"),
            ("seconds", self.seconds, "seconds"),
            ("least", self.least, "US dollars"),
            ("least_seconds", self.least_seconds, "seconds"),
        ):
            if given is not None and not (given > 0 and math.isfinite(given)):
                raise Misuse(
                    f"{given} buys no trial", source=source, field=field, fix=f"Give {unit} above 0."
                )
        for field, given, least, unit in (
            ("budget", self.dollars, self.least, "US dollars"),
            ("seconds", self.seconds, self.least_seconds, "seconds"),
        ):
            if given is not None and least is not None and given < least:
                raise Misuse(
                    f"{given:g} buys no trial, for one costs {least:g}", source=source, field=field,
                    fix=f"Give {least:g} {unit} or more.",
                )  # fmt: skip

    def closed(self, trials: Sequence[Trial], passed: float) -> str:
        """Why nothing new begins, in words; empty where something may.

        `trials` are the study's own, and `passed` are the seconds since it began.
        """
        if self.trials is not None and len(trials) >= self.trials:
            return f"{self.trials} trials were to be tried"
        if self.dollars is not None:
            return self._unpaid(trials, self.dollars) or self._late(passed)
        return self._late(passed)

    def _unpaid(self, trials: Sequence[Trial], dollars: float) -> str:
        spent = sum(each.dollars for each in trials)
        if spent >= dollars:
            alone = next((each for each in trials if each.dollars > dollars), None)
            if alone is not None:
                return (
                    f"the budget of {dollars:g} US dollars buys no trial: trial {alone.number} alone cost "
                    f"{alone.dollars:.6g}"
                )
            return f"the budget of {dollars:g} US dollars is spent: {spent:.6g}"
        if self.least is None:
            return ""
        kept = sum(max(self.least - each.dollars, 0.0) for each in trials if each.state in (WAITING, RUNNING))
        left = dollars - spent - kept
        # a cent of a cent is no reason, and sums of prices are not exact
        if left >= self.least * (1 - 1e-9):
            return ""
        return f"{max(left, 0.0):.6g} of {dollars:g} US dollars are left, and a trial costs {self.least:g}"

    def _late(self, passed: float) -> str:
        if self.seconds is None:
            return ""
        if passed >= self.seconds:
            return f"the study's {self.seconds:g} seconds are over"
        if self.least_seconds is not None and self.seconds - passed < self.least_seconds:
            left = self.seconds - passed
            return (
                f"{left:.6g} of {self.seconds:g} seconds are left, and a trial takes {self.least_seconds:g}"
            )
        return ""
