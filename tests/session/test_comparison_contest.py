"""The job, the market and the moments that a comparison is made of."""

import pytest
from small_specs import HEADER, spec_of, write_files

from tradewind import clock
from tradewind.errors import Misuse, NoCapacity
from tradewind.market.offers import Terms
from tradewind.market.tariffs import Refund
from tradewind.session.comparison_contest import Contest, contest_of, starts_of
from tradewind.session.spec import TrainSpec, make_spec

HOURS = 3600.0


def job(**changes) -> TrainSpec:
    document = {
        "learner": {"kind": "LinearLearner"},
        "data": "nowhere",
        "deadline": "2h",
        "workers": {"count": 4, "instance_types": ["p2.xlarge"]},
        "provider": {"kind": "simulated", "history": "demo"},
    }
    return make_spec({**document, **changes})


def contest(
    spec: TrainSpec, work: float | None = 5.0, rate: float | None = None, refunds: bool = True
) -> Contest:
    specs = {spec.policy.name: spec}
    return contest_of(specs, forecaster="empirical", work=work, rate=rate, refunds=refunds)


def test_starts_leave_room_before_for_forecasts_and_after_for_the_job() -> None:
    made = contest(job())
    history = made.market.history
    many = starts_of(made, 500)
    assert list(many) == sorted(many) and all(each == int(each) for each in many)
    lead, span = (history.end - made.first) / 4, 2 * HOURS
    assert made.first + lead - 1 <= min(many) < made.first + lead + 300
    assert history.end - span - 300 < max(many) <= history.end - span
    few = starts_of(made, 20)
    assert set(few) < set(many), "fewer starts are some of the same"
    other = starts_of(contest(job(seed=1)), 20)
    assert not set(other) & set(few)


def test_a_longer_job_leaves_more_room() -> None:
    history = contest(job()).market.history
    long = contest(job(deadline="1h"), work=32.0)  # two hours on sixteen vCPUs, and a minute of start-up
    assert max(starts_of(long, 500)) <= history.end - 2 * (2 * HOURS + 60) + 1


def test_starts_begin_where_the_spec_says() -> None:
    start = "2020-02-01T01:00:00Z"
    made = contest(job(provider={"kind": "simulated", "history": "demo", "start": start}))
    begin = clock.moment(start)
    assert begin <= min(starts_of(made, 500)) < begin + 300


def test_a_history_that_is_too_short_is_refused() -> None:
    with pytest.raises(Misuse, match="a smaller job"):
        starts_of(contest(job(), work=900.0), 5)
    with pytest.raises(Misuse, match="a smaller job"):
        starts_of(contest(job(deadline="30h")), 5)


def test_a_job_that_nothing_on_record_fits() -> None:
    with pytest.raises(NoCapacity, match="no offer on record fits"):
        starts_of(contest(job(workers={"count": 2, "vcpus": 4096})), 5)


def test_the_size_of_the_job_is_given_or_that_of_the_data(tmp_path) -> None:
    """400 rows, three times."""
    write_files(tmp_path)
    rows = [f"us-east-1a,p2.xlarge,2020-02-{day:02}T00:00:00Z,0.3" for day in range(1, 29)]
    (tmp_path / "prices.csv").write_text(HEADER + "\n".join(rows) + "\n")
    spec = spec_of(tmp_path, provider={"kind": "simulated", "history": str(tmp_path / "prices.csv")})
    given = contest(spec, work=None, rate=0.01)
    assert (given.measured.total, given.measured.rate) == (1200.0, 0.01) and "was given" in given.how
    measured = contest(spec, work=None)
    assert measured.measured.total == 1200.0 and measured.measured.rate > 100 and "measured" in measured.how
    sized = contest(spec, work=2.0)
    assert sized.measured.total / sized.measured.rate == 2.0 * HOURS and sized.largest == 4.0
    with pytest.raises(Misuse):
        contest(job(), work=None)


def test_a_market_without_refunds_is_otherwise_the_same() -> None:
    plain, free = contest(job(), refunds=False).market, contest(job()).market
    now = free.history.start + HOURS
    assert plain.offers(now) == free.offers(now)
    assert plain.tariffs(now)[Terms.SPOT].refund is Refund.NOTHING
    assert free.tariffs(now)[Terms.SPOT].refund is Refund.FIRST_HOUR
    assert plain.tariffs(now)[Terms.SPOT].unit == free.tariffs(now)[Terms.SPOT].unit
    assert (plain.boot, plain.notice) == (free.boot, free.notice)
