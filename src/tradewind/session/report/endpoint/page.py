"""The page of an endpoint: one self-contained HTML file, without a script and without the network."""

from __future__ import annotations

import html
from decimal import Decimal
from pathlib import Path

from tradewind.session import durations
from tradewind.session.report.endpoint import pictures
from tradewind.session.report.endpoint.data import EndpointData, shown
from tradewind.session.report.endpoint.reading import BUSIEST
from tradewind.session.report.page import (
    cards_of,
    decisions_section,
    document,
    dollars,
    honesty,
    leases_section,
    moment_text,
    notes_section,
    table,
    timeline_section,
    write_document,
)


def endpoint_page(data: EndpointData) -> str:
    """The whole page as text."""
    run = data.run
    parts = [
        _subtitle(data),
        cards_of(_cards(data)),
        _facts(data),
        _bill(data),
        _course(data),
        timeline_section(run),
    ]
    parts += [leases_section(run), decisions_section(run), notes_section(run)]
    parts.append(honesty(run.real, run.simulated, run.sources))
    return document(run.title, parts, f"Made by Tradewind {run.version} from the endpoint's journal alone.")


def write_endpoint_page(data: EndpointData, path: Path) -> None:
    """Write the page to `path`, whole or not at all; Misuse if that is no place for a file."""
    write_document(endpoint_page(data), path)


def _subtitle(data: EndpointData) -> str:
    run = data.run
    line = " · ".join(each for each in (f"policy {run.policy}", run.outcome, run.reason) if each)
    when = f"{moment_text(run.started)} to {moment_text(run.ended)}, market time (UTC)"
    return f'<p class="soft">{html.escape(line)}<br><span class="small">{when}</span></p>'


def _cards(data: EndpointData) -> list[tuple[str, str, str]]:
    run = data.run
    cards = [(f"in time ({data.objective})", f"{data.share:.2%}", "good" if data.kept else "bad")]
    cards.append((f"p{100 * data.objective.share:g}", shown(data.tail), ""))
    cards.append(("requests", f"{data.requests:,.0f}", ""))
    cards.append(("most machines answering", f"{data.most_up}", ""))
    cards.append(("paid", dollars(run.cost), ""))
    if data.functions is not None:
        cards.append(("of it for functions", _fine(data.functions.dollars), ""))
    if data.peak is not None:
        cards.append(("on demand for the peak (computed)", dollars(data.peak.cost), ""))
        saved = 1 - run.cost / data.peak.cost if data.peak.cost > 0 else 0.0
        cards.append(("saved" if saved >= 0 else "lost", f"{abs(saved):.0%}", "good" if saved > 0 else "bad"))
    cards.append(("machines taken away", str(run.revocations), ""))
    return cards


def _facts(data: EndpointData) -> str:
    run = data.run
    rows = [
        ("promised", f"{data.objective}: of 100 requests {100 * data.objective.share:g}"),
        (
            "requests",
            f"{data.in_time:,.0f} in time, {data.late:,.0f} late, {data.refused:,.0f} refused; "
            f"{data.retried:,.0f} were lost with a machine and run again on another",
        ),
        ("latency in the server", f"p50 {shown(data.median)}, p{100 * data.objective.share:g} "
                                  f"{shown(data.tail)}, within the buckets of its histogram"),
    ]  # fmt: skip
    if data.overflowed or data.functions is not None:
        rows.append(("functions", _functions(data)))
    if data.peak is not None:
        peak = data.peak
        rows.append((
            "on demand for the peak",
            f"computed, not run: {peak.count} {peak.instance_type} at {dollars(peak.price)} an hour, "
            f"for the {peak.rate:,.1f} requests a second of the busiest {durations.text(BUSIEST)}, "
            "known beforehand and with nothing to spare",
        ))  # fmt: skip
    passed = durations.text(run.ended - run.started)
    rows.append(("time", f"{passed} of the market, {data.speed:g} of its seconds in one of the wall's"))
    rows += run.facts
    rows.append(("lines on record", f"{data.lines:,}"))
    return table((), [[html.escape(name), html.escape(value)] for name, value in rows])


def _functions(data: EndpointData) -> str:
    """What went to functions, in words."""
    told = f"{data.overflowed:,.0f} of the requests went to functions"
    found = data.functions
    if found is None:
        return told
    told += f", in {found.calls:,.0f} calls, those that keep environments warm among them"
    if found.tariff is not None:
        told += (
            f"; charged ${found.tariff.per_gb_second:.10f} a GB-second, by {1000 * found.tariff.unit:g} ms, "
            f"and ${found.tariff.per_call:.7f} a call"
        )
    return told


def _bill(data: EndpointData) -> str:
    """Machines and functions side by side, and their sum; empty where there are no functions."""
    found = data.functions
    if found is None:
        return ""
    answered, total = data.in_time + data.late, Decimal(repr(data.run.cost))
    held = len(data.run.leases)
    rows = [
        ["machines", f"{max(answered - found.requests, 0.0):,.0f}", f"{held:,} lease{'s' * (held != 1)}",
         _fine(total - found.dollars)],
        ["functions", f"{found.requests:,.0f}", f"{found.gb_seconds:,.3f} GB-seconds in {found.calls:,.0f} "
         f"call{'s' * (found.calls != 1)}", _fine(found.dollars)],
        ["together", f"{answered:,.0f}", "", _fine(total)],
    ]  # fmt: skip
    return "<h2>Who answered, and for how much</h2>" + table(("", "answered", "used", "US dollars"), rows)


def _fine(amount: Decimal) -> str:
    """Dollars to the hundredth of a cent, or finer where that is nothing: calls are cheap."""
    digits = 4 if not amount or abs(amount) >= Decimal("0.01") else 7
    return f"${amount:,.{digits}f}" if amount >= 0 else f"-${-amount:,.{digits}f}"


def _course(data: EndpointData) -> str:
    if not data.slices:
        return '<h2>Latency over time</h2><p class="soft">How it went is not on record.</p>'
    share = f"{100 * data.objective.share:g}"
    parts = [
        _section(
            "Latency over time", pictures.latency(data),
            f"Half of the requests of each stretch were answered below the lower line, {share} of a hundred "
            "below the upper one; reckoned within the buckets of the server's histogram.",
        ),
        _section(
            "Load and machines over time", pictures.load(data),
            "Above: requests a second of the wall. Below: machines by type and terms, those that answer "
            "filled, all that are rented dashed.",
        ),
        _section("Dollars over time", pictures.money(data), _paid(data)),
    ]  # fmt: skip
    return "".join(parts)


def _paid(data: EndpointData) -> str:
    told = "Leases as they are billed; what the provider pays back brings the line down."
    if data.functions is not None:
        told += " The lower line is what of it goes to functions."
    if data.peak is not None:
        told += " The dashed line was not run: so many machines on demand as the busiest stretch needs."
    return told


def _section(head: str, picture: str, words: str) -> str:
    return f"<h2>{head}</h2><figure>{picture}<figcaption>{html.escape(words)}</figcaption></figure>"
