"""From the journal of an endpoint to what its report tells, with nothing else at hand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from msgspec.structs import replace

from tradewind.control.journal import Journal
from tradewind.control.journal_reading import Reading
from tradewind.control.records import home_of
from tradewind.errors import Corrupt, Misuse
from tradewind.market.charges import add_up
from tradewind.market.offers import Terms
from tradewind.serving.objective import Objective
from tradewind.serving.provisioning.controller import Result
from tradewind.serving.provisioning.course import (
    BUCKETS,
    FUNCTION_TARIFF,
    FUNCTIONS,
    STANDING,
    FunctionTariff,
    Standing,
    quantile,
)
from tradewind.serving.provisioning.interface import FunctionUse, ServingView
from tradewind.session.report.data import ReportData
from tradewind.session.report.endpoint.data import EndpointData, Fleet, Functions, Peak, Slice
from tradewind.session.report.reading import Told, journal_in, report_data

TOLD = "told"
"""The result under which whoever drives an endpoint records what is to be told besides, a `Told`."""
BUSIEST = 300.0
"""Seconds of the market of the stretch whose load is the peak."""
_FINEST, _COARSEST = 160, 40
"""Into so many slices the time is cut at most, and at least where few are answered."""
_ENOUGH = 100
"""Answers from which a hundredth of them can be told."""
_NOT_ENDED = "no end is on record: it goes on, or was killed"

_Line = tuple[float, Standing]


def is_endpoint(journal: Path) -> bool:
    """Whether a journal is that of an endpoint."""
    with Journal.read(journal) as reading:
        return reading.header.view == home_of(ServingView)


def endpoint_data(path: str | Path) -> EndpointData:
    """All that the journal at `path` (a file, or an endpoint's folder) tells.

    Misuse where there is no journal, or one of something else; Corrupt where it does not read back.
    """
    found = journal_in(path)
    if not is_endpoint(found):
        raise Misuse("it is no journal of an endpoint", source=str(found), fix="Report it as a run.")
    run = report_data(found)
    with Journal.read(found) as reading:
        return _told(reading, run)


def _told(reading: Reading, run: ReportData) -> EndpointData:
    lines: tuple[_Line, ...] = reading.measurements(STANDING, Standing)
    bounds = reading.measurements(BUCKETS, tuple[float, ...])
    buckets: tuple[float, ...] = bounds[0][1] if bounds else ()
    result: Result | None = reading.result("endpoint", Result)
    besides: Told = reading.result(TOLD, Told) or Told()
    speed = float(reading.header.details.get("speed", 1.0))
    view = _last_view(reading)
    last = lines[-1][1] if lines else Standing()
    kinds = tuple(sorted({f"{each.instance_type} {each.terms}" for _, line in lines for each in line.held}))
    promised = view.objective if view is not None else Objective(math.inf)
    started, ended = run.started, max([run.ended, *(at for at, _ in lines[-1:])])
    if result is not None:
        ended = max(result.started + result.seconds, result.started + 1e-3)
    rates = {each.instance_type: each.rate for each in view.profiles} if view is not None else {}
    run = replace(
        run,
        outcome="ended" if result is not None else "running",
        reason=result.reason if result is not None else _NOT_ENDED,
        ended=ended,
        wall_seconds=(ended - started) / speed,
        cost=result.cost if result is not None else max(last.spent, run.cost),
        facts=(*besides.facts, *(each for each in run.facts if each[0] != "rows read")),
        real=(*run.real, *besides.real),
        simulated=(*run.simulated, *besides.simulated),
        sources=(*run.sources, *besides.sources),
    )
    return EndpointData(
        run=run,
        objective=promised,
        speed=speed,
        requests=last.in_time + last.late + last.refused,
        in_time=last.in_time,
        late=last.late,
        refused=last.refused,
        overflowed=last.overflowed,
        retried=last.retried,
        median=quantile(last.stays, buckets, 0.5),
        tail=quantile(last.stays, buckets, promised.share),
        slices=_slices(lines, buckets, promised.share, speed),
        kinds=kinds,
        fleets=tuple(_fleet(at, line, kinds, rates) for at, line in lines),
        spent=tuple((at, line.spent) for at, line in lines),
        functions=_functions(reading),
        spent_on_functions=tuple((at, float(line.functions)) for at, line in lines),
        peak=_peak(lines, view, speed, ended - started),
        lines=len(lines),
    )


def _functions(reading: Reading) -> Functions | None:
    """All charges added up."""
    uses = [use for _, use in reading.measurements(FUNCTIONS, FunctionUse)]
    tariffs = reading.measurements(FUNCTION_TARIFF, FunctionTariff)
    if not uses and not tariffs:
        return None
    return Functions(
        math.fsum(each.requests for each in uses),
        math.fsum(each.calls for each in uses),
        math.fsum(each.gb_seconds for each in uses),
        add_up(each.dollars for each in uses),
        tariffs[0][1] if tariffs else None,
    )


def _last_view(reading: Reading) -> ServingView | None:
    view: ServingView | None = None
    for entry in reading.entries():
        if not isinstance(entry.view, ServingView):
            raise Corrupt(f"{reading.path}: row {entry.row} holds no view of an endpoint")
        view = entry.view
    return view


def _slices(
    lines: Sequence[_Line], buckets: Sequence[float], share: float, speed: float
) -> tuple[Slice, ...]:
    """The time cut where enough were answered to tell how long the slowest took, or where it is long."""
    if len(lines) < 2:
        return ()
    span = lines[-1][0] - lines[0][0]
    found = []
    began, before = lines[0]
    for number, (at, line) in enumerate(lines[1:], 1):
        passed = at - began
        answers = sum(line.stays) - sum(before.stays)
        enough = passed >= span / _FINEST and answers >= _ENOUGH
        if passed > 0 and (enough or passed >= span / _COARSEST or number == len(lines) - 1):
            # A model that was loaded anew is counted from zero.
            stays = [max(now - then, 0) for now, then in zip(line.stays, before.stays, strict=False)]
            missed = line.late + line.refused - before.late - before.refused
            found.append(
                Slice(
                    began, at, max(line.begun - before.begun, 0.0) * speed / passed, max(missed, 0.0),
                    quantile(stays, buckets, 0.5), quantile(stays, buckets, share),
                )
            )  # fmt: skip
            began, before = at, line
    return tuple(found)


def _fleet(at: float, line: Standing, kinds: Sequence[str], rates: dict[str, float]) -> Fleet:
    up = dict.fromkeys(kinds, 0)
    for each in line.held:
        up[f"{each.instance_type} {each.terms}"] = each.up
    capacity = sum(each.up * rates.get(each.instance_type, 0.0) for each in line.held)
    return Fleet(at, tuple(up.values()), sum(each.leases for each in line.held), capacity)


def _busiest(lines: Sequence[_Line], speed: float) -> float:
    """Requests a second of the wall in the busiest `BUSIEST` seconds of the market, or in all if shorter."""
    span = min(BUSIEST, lines[-1][0] - lines[0][0]) if lines else 0.0
    if span <= 0:
        return 0.0
    most, first = 0.0, 0
    for at, line in lines:
        while first + 1 < len(lines) and lines[first + 1][0] <= at - span:
            first += 1
        began, before = lines[first]
        if began <= at - span:
            most = max(most, (line.begun - before.begun) * speed / (at - began))
    return most


def _peak(lines: Sequence[_Line], view: ServingView | None, speed: float, seconds: float) -> Peak | None:
    """Of the machines on demand that the policy was offered last, as many of the cheapest for a request as
    the busiest stretch needs."""
    rate = _busiest(lines, speed)
    if view is None or rate <= 0:
        return None
    ways = []
    for offer in view.market.offers:
        profile = view.profile(offer.type.name)
        if offer.terms is Terms.ON_DEMAND and profile is not None and profile.rate > 0:
            count = max(1, math.ceil(rate / profile.rate))
            ways.append((count * offer.price.per_hour, offer.type.name, count, offer.price.per_hour))
    if not ways:
        return None
    hourly, name, count, price = min(ways)
    return Peak(name, count, price, rate, hourly * seconds / 3600)
