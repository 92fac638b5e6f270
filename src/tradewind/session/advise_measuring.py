"""From a spec to where probes are made, and to what they may cost there beside their runs."""

from __future__ import annotations

import glob
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tradewind.advice.configuration.space import MACHINES, Configuration
from tradewind.advice.measuring.ec2 import Ec2Measurer, Plan, Wanted, probe_overhead
from tradewind.advice.measuring.interface import Measurer, Quote
from tradewind.advice.measuring.local import LocalMeasurer
from tradewind.advice.measuring.ray import RayMeasurer
from tradewind.data.catalogs import aws_catalog, read_catalog
from tradewind.errors import Misuse
from tradewind.market.offers import Terms
from tradewind.providers.aws.requests import Settings
from tradewind.session.advise_candidates import Candidates, room_of
from tradewind.session.advise_spec import AdviseSpec, MeasureSpec
from tradewind.session.cleaning import driver_name

Told = Callable[[str], None]
_WORTHWHILE = 60.0
"""Seconds of a run for less than which no machine is rented."""


def measurer_of(
    spec: AdviseSpec,
    configurations: Sequence[Configuration],
    types: Mapping[str, str],
    console: Told | None = None,
) -> Measurer:
    """Where the probes of a spec's candidates are made; `types` are their instance types, by name."""
    if spec.measure.kind == "aws":
        return _ec2(spec, configurations, types, console)
    return RayMeasurer(spec.measure.address) if spec.measure.kind == "ray" else LocalMeasurer()


def quotes_of(spec: AdviseSpec, found: Candidates) -> tuple[Quote, ...]:
    """What would be booked for a probe of each candidate. Raises Misuse where nothing would be."""
    if spec.command is None or spec.measure.kind != "aws":
        raise Misuse(
            "nothing is booked for this",
            field="measure.kind",
            fix="Only a command that is measured on aws is.",
        )
    measurer = _ec2(spec, found.configurations, found.types, None)
    try:
        for each in found.configurations:
            measurer.check(each.name, room_of(each), float(each.features.get(MACHINES, 1)))
        check_budget(spec, found.configurations)
        return tuple(measurer.quote(each.name) for each in found.configurations)
    finally:
        measurer.close()


def overhead_of(measure: MeasureSpec) -> float:
    """Seconds for which a probe may hold its machine beside the run, at most."""
    return probe_overhead(measure.boot_limit) if measure.kind == "aws" else 0.0


def payable(left: float, per_hour: float, spec: AdviseSpec) -> float:
    """Seconds of a run that so many dollars pay for, at this price, with what comes beside it.

    0 where that is too little to rent a machine for: less than a minute, and than the time limit.
    """
    overhead = overhead_of(spec.measure)
    seconds = max(left, 0.0) / per_hour * 3600 - overhead
    return seconds if seconds >= _least(spec) else 0.0


def _least(spec: AdviseSpec) -> float:
    return min(_WORTHWHILE, spec.time_limit or _WORTHWHILE) if overhead_of(spec.measure) else 0.0


def check_budget(spec: AdviseSpec, configurations: Sequence[Configuration]) -> None:
    """Raise Misuse for a budget that pays for no probe at all."""
    cheapest = min(each.per_hour for each in configurations)
    if spec.budget is not None and not payable(spec.budget, cheapest, spec):
        least = cheapest * (overhead_of(spec.measure) + _least(spec)) / 3600
        raise Misuse(
            f"${spec.budget:g} pays for no probe: with booting and ending one may come to ${least:.4g}",
            source="spec",
            field="budget",
            fix="Give more, or a shorter measure.boot_limit.",
        )


def _ec2(
    spec: AdviseSpec,
    configurations: Sequence[Configuration],
    types: Mapping[str, str],
    console: Told | None,
) -> Ec2Measurer:
    measure, asked = spec.measure, spec.types
    region = measure.region or (asked.region if asked is not None else "us-east-1")
    prices = asked.prices if asked is not None else None
    wanted = {
        each.name: Wanted(types[each.name], each.per_hour) for each in configurations if each.name in types
    }
    assert spec.time_limit is not None
    plan = Plan(
        settings=Settings(
            region=region,
            types=tuple(sorted({each.type for each in wanted.values()})),
            image=measure.image,
            zones=measure.zones,
            subnets=measure.subnets,
            security_groups=measure.security_groups,
            instance_profile=measure.instance_profile,
        ),
        store=measure.store,
        terms=Terms(measure.terms),
        time_limit=spec.time_limit,
        boot_limit=measure.boot_limit,
        folder=str(Path(spec.folder).absolute()),
        leave=(*measure.leave, *_inside(spec.out, spec.folder)),
    )
    return Ec2Measurer(
        plan,
        aws_catalog() if prices is None else read_catalog(prices),
        wanted,
        names=driver_name,
        tell=console or (lambda words: None),
    )


def _inside(out: str, folder: str) -> tuple[str, ...]:
    """A pattern of the runs' folder, where it is in the command's."""
    here, root = Path(out).absolute(), Path(folder).absolute()
    if here == root or not here.is_relative_to(root):
        return ()
    return (f"/{glob.escape(here.relative_to(root).as_posix())}",)
