"""Advice as a user asks for it: suggest, observe, recommend, why."""

from __future__ import annotations

import math
from collections.abc import Mapping

from msgspec.structs import replace

from tradewind.advice.configuration.interface import AdvisingView, Advisor, Probe, Stop
from tradewind.advice.configuration.recommendation import Recommendation, recommended
from tradewind.advice.configuration.runs import Run
from tradewind.errors import Misuse
from tradewind.market.measured_runs import DONE, ENDS


class Advice:
    """A search that its caller drives: run what `suggest` says, tell `observe`, ask `recommend` at any time.

    Nothing here runs, waits or writes; a record of the runs, observed again in their order, gives the same
    suggestions.
    """

    def __init__(self, advisor: Advisor, view: AdvisingView) -> None:
        self._advisor, self._view = advisor, view
        self._last: Probe | Stop | None = None

    @property
    def view(self) -> AdvisingView:
        """All that is known."""
        return self._view

    def suggest(self) -> Probe | Stop:
        """What to run next, or why nothing more. The same until something is observed."""
        if self._last is None:
            self._last = self._advisor.next(self._view)
        return self._last

    def observe(
        self,
        name: str,
        seconds: float,
        dollars: float | None = None,
        status: str = DONE,
        metrics: Mapping[str, float] | None = None,
    ) -> Run:
        """Tell of a run of the configuration of that name, suggested or not.

        `dollars` are those of its price and time unless given. Raises Misuse on a name, a status or a number
        that cannot be.
        """
        number = self._view.space.number(name)
        if dollars is None:
            dollars = seconds * self._view.space[number].per_hour / 3600
        for field, value in (("seconds", seconds), ("dollars", dollars)):
            if not (0 < value < math.inf or (field == "dollars" and value == 0)):
                raise Misuse(
                    f"{value!r} of {name!r}", source="run", field=field, fix="Give a number above 0."
                )
        if status not in ENDS:
            raise Misuse(
                f"{status!r} is no end of a run", source="run", field="status", fix=f"Name one of {ENDS}."
            )
        run = Run(number, float(seconds), float(dollars), status, dict(metrics or {}))
        self._view = replace(self._view, runs=(*self._view.runs, run))
        self._last = None
        return run

    def recommend(self) -> Recommendation | None:
        """What to run on, as far as is known; None where nothing is likely to work."""
        return recommended(self._view, self._advisor)

    def why(self) -> str:
        """In words: why the next probe is made, or why the search is over."""
        said = self.suggest()
        if isinstance(said, Stop):
            return said.reason
        return f"{self._view.space[said.configuration].name}: {said.reason}"
