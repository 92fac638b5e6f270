"""From a journal to what a report tells, with nothing else at hand."""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from tradewind.control.journal import Journal
from tradewind.control.journal_reading import Reading
from tradewind.control.loop import Outcome
from tradewind.control.records import Entry, Header, Sample
from tradewind.errors import Misuse
from tradewind.market.decisions import Action, Take, Use
from tradewind.market.leases import Ending, LeaseId
from tradewind.market.news import Ended, Warned
from tradewind.market.offers import Terms
from tradewind.market.views import View
from tradewind.session.report.data import (
    ComparisonRow,
    DecisionRow,
    EstimateRow,
    LeaseBar,
    PriceLine,
    ReportData,
    Source,
)
from tradewind.training.elastic.controller import Result

_Leases = dict[tuple[int, LeaseId], LeaseBar]
"""Every lease by its stretch of the run and its id."""
JOURNAL = "journal.sqlite"
"""The journal's name in a run's folder."""
MOST_LINES = 6
"""Pools whose prices are drawn: those with the most leases."""


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What the session writes into the header's `details` for the report; everything may be left out."""

    title: str = ""
    facts: tuple[tuple[str, str], ...] = ()
    real: tuple[str, ...] = ()
    simulated: tuple[str, ...] = ()
    sources: tuple[Source, ...] = ()


class RunResult(msgspec.Struct, frozen=True, kw_only=True):
    """What the session records as the result `report` when a run ends; everything may be left out.

    The controller's own result, `run`, is read beside it.
    """

    outcome: str = ""
    """`done`, `paused` or `failed`; empty for what the controller recorded."""
    reason: str = ""
    wall_seconds: float | None = None
    quality: float | None = None
    quality_name: str = ""
    cost_on_demand: float | None = None
    facts: tuple[tuple[str, str], ...] = ()
    estimates: tuple[EstimateRow, ...] = ()
    comparison: tuple[ComparisonRow, ...] = ()


def journal_in(path: str | Path) -> Path:
    """The journal at `path`: the file itself, or the one in a run's folder. Misuse if there is none."""
    path = Path(path)
    found = path / JOURNAL if path.is_dir() else path
    if not found.is_file():
        raise Misuse(
            "there is no journal here", source=str(path), fix=f"Name a run's folder or its {JOURNAL}."
        )
    return found


def report_data(path: str | Path, known: Mapping[str, type] | None = None) -> ReportData:
    """All that the journal at `path` (a file, or a run's folder) tells.

    `known` are view classes of others by their `module:Class`. Raises Misuse where there is no journal and
    Corrupt where it does not read back.
    """
    found = journal_in(path)
    with Journal.read(found, known) as reading:
        return _told(reading, found)


def _told(reading: Reading, path: Path) -> ReportData:
    header, invoice = reading.header, reading.invoice()
    stretches = Stretches(reading)
    samples, before = stretches.samples(reading.samples())
    details = msgspec.convert(
        {name: value for name, value in header.details.items() if name in Told.__struct_fields__}, Told
    )
    result = reading.result("report", RunResult) or RunResult()
    ran = reading.result("run", Result)
    outcome = "running" if ran is None else "done" if ran.done else "paused"
    decisions, leases, lines = _walk(reading.entries(), stretches)
    for moment, news in reading.news():
        _end(leases, stretches.at(moment), news)
    costs: dict[str, float] = {}
    for charge in invoice.charges:
        costs[charge.lease] = costs.get(charge.lease, 0.0) + float(charge.amount)
    # A later stretch numbers its leases anew, and has an invoice of its own.
    told = [
        msgspec.structs.replace(bar, cost=costs.get(bar.id) if stretch == stretches.last else None)
        for (stretch, _), bar in leases.items()
    ]
    bars = tuple(sorted(told, key=lambda bar: (bar.started, bar.id)))
    summary = reading.summary()
    ended = max([summary.last, *(bar.ended for bar in bars if bar.ended is not None)])
    last = samples[-1] if samples else None
    on_demand = result.cost_on_demand
    if on_demand is None and ran is not None and ran.on_demand_cost > 0:
        on_demand = ran.on_demand_cost
    if on_demand is None and last is not None and last.on_demand_spent > 0:
        on_demand = last.on_demand_spent
    return ReportData(
        title=details.title or f"{path.parent.name}: {header.policy}",
        outcome=result.outcome or outcome,
        reason=result.reason or (ran.reason if ran is not None and not ran.done else ""),
        policy=header.policy,
        started=min(header.start or summary.first, summary.first),
        ended=ended,
        wall_seconds=result.wall_seconds,
        cost=before + float(invoice.total) if invoice.charges else (last.spent if last is not None else 0.0),
        cost_on_demand=on_demand,
        revocations=sum(bar.ending == Ending.REVOKED for bar in bars),
        quality=result.quality,
        quality_name=result.quality_name,
        facts=(*details.facts, *result.facts, *_facts(header, summary.decisions, last, summary.digest)),
        prices=_drawn(lines, bars),
        leases=bars,
        samples=samples,
        decisions=tuple(decisions),
        estimates=result.estimates,
        comparison=result.comparison,
        real=details.real,
        simulated=(*details.simulated, *((header.world,) if header.world else ())),
        sources=details.sources,
        notes=summary.notes,
        version=header.version,
    )


def _facts(header: Header, decisions: int, last: Sample | None, digest: str) -> tuple[tuple[str, str], ...]:
    arguments = ", ".join(f"{name}={value}" for name, value in header.arguments.items())
    facts = [
        ("policy", f"{header.policy}({arguments})"),
        ("market", header.history),
        ("seed", str(header.seed)),
        ("rows read", f"{last.done:,.0f} of {last.total:,.0f}" if last is not None else ""),
        ("decisions", f"{decisions:,}"),
        ("digest of the journal", digest),
    ]
    return tuple((name, value) for name, value in facts if value)


class Stretches:
    """The stretches of a run: it began, and was resumed some times.

    A journal that was opened again only to note something has a stretch without a decision; it is none.
    """

    def __init__(self, reading: Reading) -> None:
        ends = [*(row for row, _ in reading.segments[1:]), reading.summary().decisions]
        told = [each for each, end in zip(reading.segments, ends, strict=True) if each[0] < end]
        told = told or list(reading.segments[:1])
        self._rows = [row for row, _ in told]
        self._starts = [header.start for _, header in told]
        self.last = len(self._rows) - 1

    def of_row(self, row: int) -> int:
        """The stretch that a decision was made in."""
        return bisect.bisect_right(self._rows, row) - 1

    def at(self, moment: float) -> int:
        """The stretch of a piece of news; one at the very moment of a resumption is the earlier one's."""
        return max(bisect.bisect_left(self._starts, moment) - 1, 0)

    def begun_by(self, moment: float) -> int:
        """The stretch of a charge from `moment` on; at the moment of a resumption the later one."""
        return max(bisect.bisect_right(self._starts, moment) - 1, 0)

    def owners(self, recorded: Sequence[Sample]) -> list[int]:
        """The stretch of each sample."""
        owners: list[int] = []
        stretch = 0
        for index, sample in enumerate(recorded):
            while stretch < self.last and (
                sample.moment > self._starts[stretch + 1]
                or (sample.moment == self._starts[stretch + 1] and sample.spent == 0 and index)
            ):
                stretch += 1
            owners.append(stretch)
        return owners

    def samples(self, recorded: Sequence[Sample]) -> tuple[tuple[Sample, ...], float]:
        """The samples with their money added up over the stretches, and what was spent before the last."""
        told: list[Sample] = []
        before, stretch = 0.0, 0
        for sample, owner in zip(recorded, self.owners(recorded), strict=True):
            if owner > stretch:
                stretch, before = owner, told[-1].spent if told else 0.0
            told.append(msgspec.structs.replace(sample, spent=before + sample.spent))
        return tuple(told), before


class _Line:
    """The prices of a pool as the views show them, kept where they change."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.prices: list[float] = []
        self.on_demand: float | None = None


def _walk(
    entries: Iterable[Entry], stretches: Stretches
) -> tuple[list[DecisionRow], _Leases, dict[str, _Line]]:
    """The decisions, the leases that they brought, and the prices that they saw."""
    decisions: list[DecisionRow] = []
    leases: _Leases = {}
    lines: dict[str, _Line] = {}
    seen: tuple[Any, ...] = ()
    for entry in entries:
        market: View = getattr(entry.view, "market", entry.view)
        stretch = stretches.of_row(entry.row)
        if market.offers != seen:
            seen = market.offers
            asked = {
                offer.type.name: offer.price.per_hour for offer in seen if offer.terms is Terms.ON_DEMAND
            }
            for offer in seen:
                if offer.terms is Terms.SPOT:
                    line = lines.setdefault(str(offer.pool), _Line())
                    if not line.prices or line.prices[-1] != offer.price.per_hour:
                        line.times.append(market.now)
                        line.prices.append(offer.price.per_hour)
                    line.on_demand = asked.get(offer.type.name, line.on_demand)
        for lease in market.leases:
            known = leases.get((stretch, lease.id))
            if known is None or known.started != lease.started:
                leases[stretch, lease.id] = LeaseBar(
                    id=lease.id,
                    pool=str(lease.pool),
                    terms=lease.terms,
                    purpose=lease.purpose,
                    started=lease.started,
                )
        for notice in market.revocations:
            bar = leases.get((stretch, notice.lease))
            if bar is not None and bar.warned is None:
                leases[stretch, notice.lease] = msgspec.structs.replace(bar, warned=notice.warned)
        outcomes = entry.outcomes or ()
        for action, outcome in zip(entry.decision.actions, outcomes, strict=False):
            if isinstance(action, Take):
                for granted in outcome.granted:
                    leases.setdefault(
                        (stretch, granted),
                        LeaseBar(
                            id=granted,
                            pool=str(action.bid.pool),
                            terms=action.bid.terms,
                            purpose=action.bid.purpose,
                            started=entry.moment,
                        ),
                    )
        decisions.append(
            DecisionRow(
                entry.moment,
                entry.decision.reason,
                tuple(map(_action, entry.decision.actions)),
                "; ".join(
                    _outcome(action, outcome)
                    for action, outcome in zip(entry.decision.actions, outcomes, strict=False)
                )
                if entry.outcomes is not None
                else "not known: the run ended while it was carried out",
            )
        )
    return decisions, leases, lines


def _end(leases: _Leases, stretch: int, news: Any) -> None:
    """Write into the leases what the provider told of them."""
    if isinstance(news, Ended) and (bar := leases.get((stretch, news.lease))) is not None:
        leases[stretch, news.lease] = msgspec.structs.replace(bar, ended=news.at, ending=news.ending.value)
    elif isinstance(news, Warned):
        notice = news.revocation
        if (bar := leases.get((stretch, notice.lease))) is not None:
            leases[stretch, notice.lease] = msgspec.structs.replace(bar, warned=notice.warned)


def _drawn(lines: Mapping[str, _Line], bars: Iterable[LeaseBar]) -> tuple[PriceLine, ...]:
    """The lines of the pools that spot leases came from, those with the most leases first."""
    used: dict[str, int] = {}
    for bar in bars:
        if bar.terms == Terms.SPOT and bar.pool in lines:
            used[bar.pool] = used.get(bar.pool, 0) + 1
    chosen = sorted(used, key=lambda pool: (-used[pool], pool))[:MOST_LINES]
    return tuple(
        PriceLine(pool, tuple(lines[pool].times), tuple(lines[pool].prices), lines[pool].on_demand)
        for pool in sorted(chosen)
    )


def _action(action: Action) -> str:
    if isinstance(action, Take):
        bid = action.bid
        limit = "" if bid.limit is None else f", limit ${bid.limit:g}"
        return f"take {bid.count} {bid.pool} {str(bid.terms).replace('_', ' ')} ({bid.purpose}{limit})"
    if isinstance(action, Use):
        return f"use {action.lease} for {action.purpose}"
    return f"release {action.lease}"


def _outcome(action: Action, outcome: Outcome) -> str:
    if outcome.problem:
        return outcome.problem
    if isinstance(action, Take):
        got = ", ".join(outcome.granted)
        return f"granted {len(outcome.granted)} of {action.bid.count}" + (f": {got}" if got else "")
    return "in use" if isinstance(action, Use) else "released"
