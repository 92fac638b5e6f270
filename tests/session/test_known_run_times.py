from pathlib import Path

import msgspec
import numpy as np
import pytest

from tradewind.data.prediction_log import RUN_TIME, PredictionLog
from tradewind.estimates.run_time import Interval
from tradewind.session.estimation import Estimate
from tradewind.session.known_run_times import KnownRunTimes, by_earlier, details_of, log_of
from tradewind.session.spec import make_spec
from tradewind.session.train import estimate, local, train

LEARNER = {"kind": "LinearLearner", "loss": "logistic"}
TOLD = Estimate(
    seconds=Interval(80.0, 100.0, 130.0),
    cost=Interval(0.8, 1.0, 1.3),
    on_demand_cost=Interval(2.0, 2.0, 2.0),
    rows_per_second=Interval(1.0, 1.0, 1.0),
    plan="4 x m5.large",
    machines={"m5.large": 4},
)


def ran(log, seconds, machines=4, rows=1000.0, machine_type="m5.large"):
    details = {"machine_type": machine_type, "machines": machines, "rows": rows}
    log.came(log.predict(RUN_TIME, "job", TOLD.seconds, details), seconds)


@pytest.fixture
def log(tmp_path: Path) -> PredictionLog:
    return PredictionLog(tmp_path / "index.sqlite")


def test_nothing_is_known_of_what_never_ran(log) -> None:
    known = KnownRunTimes(log)
    assert known.seconds("job", "m5.large", 4, 1000) is None
    ran(log, 200.0, machine_type="c5.large")
    ran(log, 200.0, machines=8)
    log.predict(RUN_TIME, "job", TOLD.seconds, {"machine_type": "m5.large", "machines": 4, "rows": 1.0})
    assert known.seconds("job", "m5.large", 4, 1000) is None
    assert by_earlier(TOLD, known, "job", 1000) is TOLD


def test_on_as_many_machines_it_goes_by_the_row(log) -> None:
    ran(log, 200.0)
    known = KnownRunTimes(log).seconds("job", "m5.large", 4, 500)
    assert known is not None and known.expected == pytest.approx(100.0)
    assert known.low < 100 < known.high
    for _ in range(4):
        ran(log, 202.0)
    sure = KnownRunTimes(log).seconds("job", "m5.large", 4, 500)
    assert sure is not None and sure.high / sure.low < known.high / known.low


def test_two_cluster_sizes_tell_of_a_third(log) -> None:
    for machines in (2, 4, 8):
        ran(log, 20 + 800 / machines, machines)
    known = KnownRunTimes(log).seconds("job", "m5.large", 16, 1000)
    assert known is not None and known.expected == pytest.approx(70, rel=0.1)


def test_an_estimate_goes_by_earlier_runs(log) -> None:
    for _ in range(3):
        ran(log, 250.0)
    told = by_earlier(TOLD, KnownRunTimes(log), "job", 1000)
    assert told.by_earlier_runs and told.seconds.expected == pytest.approx(250.0)
    assert told.cost.expected == pytest.approx(2.5) and told.cost.low < 2.5 < told.cost.high
    assert details_of(told, 5.0) == {
        "machine_type": "m5.large", "machines": 4, "rows": 5.0, "by_earlier_runs": True,
    }  # fmt: skip


def test_a_mix_of_types_is_left_as_it_was(log) -> None:
    ran(log, 250.0)
    mixed = msgspec.structs.replace(TOLD, machines={"m5.large": 2, "c5.large": 2})
    assert by_earlier(mixed, KnownRunTimes(log), "job", 1000) is mixed
    assert details_of(mixed, 1.0)["machine_type"] == ""


def test_no_record_is_made_by_looking(tmp_path) -> None:
    assert log_of(tmp_path / "runs") is None and not (tmp_path / "runs").exists()


def test_a_run_on_leases_tells_the_next_one_how_long_it_takes(tmp_path) -> None:
    (tmp_path / "prices.csv").write_text(
        "zone,instance_type,time,price\n"
        "us-east-1a,p2.xlarge,2020-02-01T00:00:00Z,0.3\nus-east-1a,p2.xlarge,2020-02-09T00:00:00Z,0.3\n"
    )
    chance = np.random.default_rng(5)
    rows = chance.normal(size=(400, 4)).round(4)
    lines = [
        ",".join(["a", "b", "c", "d", "y"]),
        *(",".join(map(str, [*row, int(row[0] > 0)])) for row in rows),
    ]
    (tmp_path / "rows.csv").write_text("\n".join(lines) + "\n")

    settings = {
        "epochs": 2, "batch": 50, "parts": 2, "out": str(tmp_path / "runs"),
        "provider": local(history=str(tmp_path / "prices.csv"), boot=1, speed=60),
        "workers": {"count": 1, "instance_types": ["p2.xlarge"]},
    }  # fmt: skip
    data = {"path": str(tmp_path / "rows.csv"), "label": "y"}
    spec = make_spec({**settings, "learner": LEARNER, "data": data}, source="here")
    before = estimate(spec)
    assert not before.by_earlier_runs and not (tmp_path / "runs").exists()
    first = train(spec)
    assert first.outcome == "done" and not first.estimate.by_earlier_runs
    assert first.estimate.machines == {"p2.xlarge": 1}

    log = PredictionLog(tmp_path / "runs" / "index.sqlite")
    (kept,) = log.rows(RUN_TIME)
    assert kept.came == first.seconds and kept.expected == first.estimate.seconds
    error = log.tracked(RUN_TIME, kept.workload)
    assert error is not None
    assert error.error == pytest.approx(abs(first.estimate.seconds.expected / first.seconds - 1))
    after = estimate(spec)
    assert after.by_earlier_runs and after.seconds.expected == pytest.approx(first.seconds)


def told(log, workload, machine_type, seconds):
    log.outcome(RUN_TIME, workload, seconds, {"machine_type": machine_type, "machines": 1, "rows": 1.0}, None)


def test_a_type_that_a_workload_never_ran_on_is_told_by_how_others_fared_there(log) -> None:
    known = KnownRunTimes(log)
    told(log, "tuning a", "slow", 10.0)
    assert known.seconds("tuning a", "fast", 1, 1.0) is None
    told(log, "training b", "slow", 1.0)
    told(log, "training b", "fast", 0.001)
    assert known.seconds("tuning a", "fast", 1, 1.0) is None, "another kind of work"
    told(log, "tuning b", "slow", 4.0)
    told(log, "tuning b", "fast", 2.0)
    one = known.seconds("tuning a", "fast", 1, 3.0)
    assert one is not None and one.expected == pytest.approx(15.0) and one.low < 10 < 25 < one.high
    for name in ("c", "d"):
        told(log, f"tuning {name}", "slow", 6.0)
        told(log, f"tuning {name}", "fast", 3.1)
    more = known.seconds("tuning a", "fast", 1, 3.0)
    assert more is not None and more.high / more.low < one.high / one.low
    told(log, "tuning a", "fast", 7.0)
    own = known.seconds("tuning a", "fast", 1, 1.0)
    assert own is not None and own.expected == pytest.approx(7.0), "its own run says more"
    assert own.high / own.low < more.high / more.low


def test_many_outcomes_on_one_type_do_not_hide_another(log) -> None:
    told(log, "tuning a", "rare", 3.0)
    for _ in range(30):
        told(log, "tuning a", "usual", 1.0)
    rare = KnownRunTimes(log).seconds("tuning a", "rare", 1, 1.0)
    assert rare is not None and rare.expected == 3.0
