"""One run of a policy on a recorded market in virtual time, kept nowhere: what comparisons are made of."""

from __future__ import annotations

from tradewind import clock
from tradewind.control.loop import Record, Unrecorded
from tradewind.control.policy import AnyPolicy
from tradewind.estimates.outlook import Forecaster
from tradewind.market.recorded import RecordedMarket
from tradewind.providers.simulated import SimulatedProvider
from tradewind.training.elastic import controller
from tradewind.training.elastic.controller import Result
from tradewind.training.elastic.work import Work
from tradewind.training.view import Goal


def trial(
    market: RecordedMarket,
    goal: Goal,
    policy: AnyPolicy,
    work: Work,
    start: float,
    *,
    forecaster: Forecaster | None = None,
    record: Record | None = None,
) -> Result:
    """What the run came to: the same controller and policy as in a real run, from `start` on.

    Everything of the work is a model (`ModelledWork`), the market is recorded, and the job is a price-taker:
    what it takes changes neither prices nor capacity for others. Raises what `controller.run` raises.
    """
    main = controller.run(
        goal,
        policy,
        SimulatedProvider(market),
        work,
        Unrecorded() if record is None else record,
        forecaster=forecaster,
    )
    return clock.simulate(main, start=start)
