"""An advisor on recorded runs: each probe is looked up in a table instead of being made. A simulation."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from msgspec.structs import replace

from tradewind.advice.configuration.interface import AdvisingView, Advisor, Stop
from tradewind.advice.configuration.runs import Run
from tradewind.errors import Misuse
from tradewind.market.measured_runs import STOPPED


def replayed(
    advisor: Advisor,
    view: AdvisingView,
    recorded: Mapping[int, Run],
    *,
    most: int | None = None,
    on: Callable[[AdvisingView], None] | None = None,
) -> tuple[AdvisingView, str]:
    """The search as it would have gone: all that is known at its end, and why it ended.

    `recorded` has one run of each configuration. A run longer than a probe's limit ends there as `stopped`,
    unless it failed before. `most` probes are made, the advisor's own stop aside; `on` hears of each.
    Raises Misuse if the advisor proposes what it has tried.
    """
    while most is None or len(view.runs) < most:
        said = advisor.next(view)
        if isinstance(said, Stop):
            return view, said.reason
        if said.configuration in view.probed:
            raise Misuse(
                f"{view.space[said.configuration].name} was tried already", source="advisor", field="next"
            )
        view = replace(view, runs=(*view.runs, cut(recorded[said.configuration], said.limit)))
        if on is not None:
            on(view)
    return view, f"{most} probes were made."


def cut(run: Run, limit: float | None) -> Run:
    """The same run, ended at `limit` seconds if it lasted longer; it has cost its share."""
    if limit is None or run.seconds <= limit:
        return run
    return replace(run, seconds=limit, dollars=run.dollars * limit / run.seconds, status=STOPPED)
