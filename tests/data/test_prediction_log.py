import os
import signal
import subprocess
import sys

import pytest

from tradewind.data.prediction_log import FEASIBILITY, RUN_TIME, PredictionLog
from tradewind.data.runs import RunIndex
from tradewind.errors import Corrupt, Misuse
from tradewind.estimates.run_time import Interval

TEN = Interval(8.0, 10.0, 12.0)

DRIVER = """
import sys
from tradewind.data.prediction_log import RUN_TIME, PredictionLog
from tradewind.estimates.run_time import Interval
log = PredictionLog(sys.argv[1])
for number in range(10_000):
    key = log.predict(RUN_TIME, "job", Interval(1.0, 2.0, 3.0), {"number": number})
    log.came(key, 2.5)
    print(key, flush=True)
"""


def test_what_was_predicted_and_came_reads_back(tmp_path) -> None:
    log = PredictionLog(tmp_path / "deep" / "index.sqlite")
    first = log.predict(RUN_TIME, "job", TEN, {"machine_type": "m5.large", "machines": 4})
    second = log.predict(RUN_TIME, "job", TEN, {})
    log.came(second, 20.0)
    log.came(second, 99.0)  # the first that is said stands
    open_, done = PredictionLog(log.path).rows(RUN_TIME, "job")
    assert (open_.id, open_.came, open_.expected, open_.details["machines"]) == (first, None, TEN, 4)
    assert (done.id, done.came) == (second, 20.0) and done.ended >= done.predicted
    assert [row.id for row in log.rows(RUN_TIME, "job", latest=5)] == [second]
    assert log.rows(RUN_TIME, "other") == [] and log.workloads(RUN_TIME) == ["job"]


def test_errors_are_tracked_by_kind_and_workload(tmp_path) -> None:
    log = PredictionLog(tmp_path / "index.sqlite")
    assert log.tracked(RUN_TIME) is None
    for workload, came in (("a", 20.0), ("a", 10.0), ("b", 10.0)):
        log.came(log.predict(RUN_TIME, workload, TEN, {}), came)
    log.came(log.predict(FEASIBILITY, "a", Interval(0.5, 0.9, 1.0), {}), 0.0)
    of_a, of_all = log.tracked(RUN_TIME, "a"), log.tracked(RUN_TIME)
    assert (of_a.count, of_a.error, of_a.covered) == (2, 0.25, 0.5)
    assert (of_all.count, of_all.error) == (3, pytest.approx(0.5 / 3))
    assert log.tracked(FEASIBILITY, "a").error == pytest.approx(0.81)
    assert log.tracked(RUN_TIME, "a", latest=1).error == 0.0


def test_it_lies_beside_the_record_of_runs(tmp_path) -> None:
    index = RunIndex(tmp_path)
    run = index.begin("train", "{}", tmp_path / "run")
    log = PredictionLog(tmp_path / "index.sqlite")
    log.came(log.predict(RUN_TIME, "job", TEN, {}), 9.0)
    assert index.get(run.id).name == "train" and RunIndex(tmp_path).list()[0].id == run.id


def test_a_kill_takes_nothing_that_was_acknowledged(tmp_path) -> None:
    path = tmp_path / "index.sqlite"
    with subprocess.Popen([sys.executable, "-c", DRIVER, path], stdout=subprocess.PIPE, text=True) as driver:
        assert driver.stdout is not None
        said = [int(driver.stdout.readline()) for _ in range(25)]
        os.kill(driver.pid, signal.SIGKILL)
        said += [int(line) for line in driver.stdout.read().split("\n") if line]
    kept = PredictionLog(path).rows(RUN_TIME, "job")
    assert set(said) <= {row.id for row in kept if row.came == 2.5}
    assert len(kept) - len(said) <= 1  # at most the one that was under way
    assert [row.details["number"] for row in kept] == list(range(len(kept)))


def test_what_cannot_be_kept_is_refused(tmp_path) -> None:
    log = PredictionLog(tmp_path / "index.sqlite")
    with pytest.raises(Misuse, match="expected"):
        log.predict(RUN_TIME, "job", Interval(0.0, float("nan"), 1.0), {})
    with pytest.raises(Misuse, match="workload"):
        log.predict(RUN_TIME, "", TEN, {})
    with pytest.raises(Misuse, match="no prediction 7"):
        log.came(7, 1.0)
    with pytest.raises(Misuse, match="came"):
        log.came(log.predict(RUN_TIME, "job", TEN, {}), float("inf"))
    (tmp_path / "text").write_text("no database, but long enough to be looked at as one" * 20)
    with pytest.raises(Corrupt):
        PredictionLog(tmp_path / "text")


def test_what_nobody_foretold_is_known_and_judges_nobody(tmp_path) -> None:
    log = PredictionLog(tmp_path / "index.sqlite")
    log.predict(RUN_TIME, "job", TEN, {})  # stays open
    log.outcome(RUN_TIME, "job", 7.0, {"rows": 1}, None)
    log.outcome(RUN_TIME, "job", 20.0, {"rows": 2}, TEN)
    log.outcome(FEASIBILITY, "job", 0.0, {}, None)
    assert [(row.came, row.details["rows"]) for row in log.outcomes(RUN_TIME, "job")] == [(7.0, 1), (20.0, 2)]
    assert [row.came for row in log.outcomes(RUN_TIME, latest=1)] == [20.0]
    assert log.outcomes(RUN_TIME, "other") == []
    tracked = log.tracked(RUN_TIME, "job")
    assert tracked.count == 1 and tracked.error == pytest.approx(0.5)
    assert log.tracked(FEASIBILITY, "job") is None
    with pytest.raises(Misuse, match="finite"):
        log.outcome(RUN_TIME, "job", float("nan"), {}, None)
