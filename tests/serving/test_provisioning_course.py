"""How an endpoint went, on record: the lines of a simulated stretch, and quantiles by hand."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from serving_worlds import START, endpoint_of, market_of, trace_of

from tradewind import clock
from tradewind.control.journal import Journal
from tradewind.control.records import header_for
from tradewind.providers.simulated import SimulatedProvider
from tradewind.serving.provisioning.controller import run
from tradewind.serving.provisioning.course import STANDING, Held, Standing, quantile
from tradewind.serving.provisioning.fixed import Fixed
from tradewind.serving.provisioning.interface import ServingView
from tradewind.serving.provisioning.modelled_service import ModelledService

MARKET = market_of({("small", "east-1a"): [(0.0, 0.03)]})


@pytest.mark.parametrize(
    ("share", "found"),
    [(0.0, 0.0), (0.25, 0.5), (0.5, 1.0), (0.75, 3.0), (0.875, 4.0), (0.9, math.inf), (1.0, math.inf)],
)
def test_quantiles_lie_evenly_in_their_bucket(share, found) -> None:
    """Four of eight up to 1 s, none up to 2 s, three up to 4 s, one beyond."""
    assert quantile((4, 0, 3, 1), (1.0, 2.0, 4.0), share) == pytest.approx(
        {0.75: 2.0 + 2.0 * 2 / 3}.get(share, found)
    )


def test_nobody_answered_has_no_quantile() -> None:
    assert quantile((0, 0), (1.0,), 0.5) is None and quantile((), (), 0.5) is None


def lines_of(tmp_path, load, every, hours=0.5):
    """The lines on record of a fleet for five requests a second, and its result."""
    endpoint, policy = endpoint_of(), Fixed(5.0, instance_type="small")
    path = tmp_path / "journal.sqlite"
    with Journal(path, header_for(policy, ServingView, start=START), commit_every=64) as journal:
        until = START + 3600 * hours

        async def main():
            service = ModelledService(endpoint, load, start=START, until=until)
            return await run(
                endpoint, policy, SimulatedProvider(MARKET), service, journal, until=until, look_every=every
            )

        result = clock.simulate(main(), start=START)
    with Journal.read(path) as reading:
        return reading.measurements(STANDING, Standing), result


def test_every_so_often_a_line(tmp_path) -> None:
    lines, result = lines_of(tmp_path, trace_of([3.0] * 240), 10.0)
    assert [at - START for at, _ in lines[:4]] == [0.0, 10.0, 20.0, 30.0]
    assert lines[-1][0] == START + 1800 and len(lines) <= 182
    held = {at - START: line.held for at, line in lines}
    assert held[0.0] == () and held[60.0] == (Held("small", "on_demand", 1, 0),)
    assert held[150.0] == (Held("small", "on_demand", 1, 1),)
    begun = [line.begun for _, line in lines]
    assert begun == sorted(begun)
    spent = [line.spent for _, line in lines]
    assert spent == sorted(spent) and spent[-1] == result.cost
    last = lines[-1][1]
    assert (last.in_time, last.late, last.refused) == (result.in_time, result.late, result.refused)
    assert last.held == ()


def test_while_nothing_happens_a_line_a_minute(tmp_path) -> None:
    lines, _ = lines_of(tmp_path, trace_of([0.0] * 240), 10.0)
    gaps = [after - before for (before, _), (after, _) in pairwise(lines)]
    # But for the lease, the replica that answers, and the end.
    assert sum(gap == 60.0 for gap in gaps) >= len(gaps) - 4 and len(lines) < 36


def test_nothing_is_written_where_nobody_asks(tmp_path) -> None:
    lines, _ = lines_of(tmp_path, trace_of([3.0] * 240), math.inf)
    assert lines == ()
