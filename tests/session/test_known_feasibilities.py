import msgspec
import pytest

from tradewind.data.prediction_log import FEASIBILITY, RUN_TIME, PredictionLog
from tradewind.estimates.run_time import Interval
from tradewind.market.instances import InstanceType
from tradewind.market.resources import Resources
from tradewind.session.estimation import Estimate
from tradewind.session.known_feasibilities import KeptOutcomes, KnownFeasibilities, advised, keep_end, weighed

TYPES = [
    InstanceType(name, Resources(vcpus=vcpus, memory_gib=memory))
    for name, vcpus, memory in (("small", 2, 4.0), ("middle", 2, 8.0), ("large", 4, 16.0))
]
TOLD = Estimate(
    seconds=Interval(80.0, 100.0, 130.0), cost=Interval(0.8, 1.0, 1.3),
    on_demand_cost=Interval(2.0, 2.0, 2.0),
    rows_per_second=Interval(1.0, 1.0, 1.0), plan="2 x small", machines={"small": 2},
)  # fmt: skip


@pytest.fixture
def log(tmp_path):
    return PredictionLog(tmp_path / "index.sqlite")


def chances(log, rows=1.0, types=TYPES):
    known = KnownFeasibilities(log, types)
    return {each.name: known.probability("job", each.name, 1, rows) for each in TYPES}


def fill(log, *ends, types=TYPES):
    for name, rows, whole in ends:
        KeptOutcomes(log, types).ended("job", name, 1, rows, whole, None)


def test_nothing_is_known_of_what_never_ended(log):
    KeptOutcomes(log, TYPES).ended("other", "small", 1, 1.0, False, None)
    assert set(chances(log).values()) == {None}


def test_what_failed_for_memory_is_believed_to_fail_there_and_not_where_there_is_more(log):
    fill(log, ("small", 1.0, False))
    once = chances(log)
    assert once["small"] < 0.5 < once["middle"] < once["large"]
    fill(log, ("small", 1.0, False), ("large", 1.0, True))
    again = chances(log)
    assert again["small"] < once["small"] and again["large"] > 0.9


def test_a_run_that_failed_speaks_for_more_rows_and_not_against_fewer(log):
    fill(log, ("middle", 1000.0, False))
    assert chances(log, rows=4000.0)["middle"] < 0.5
    assert chances(log, rows=10.0)["middle"] > 0.5


def test_less_than_what_failed_is_doubted_more(log):
    fill(log, ("middle", 1.0, False), ("middle", 1.0, False), ("large", 1.0, True))
    found = chances(log)
    assert found["small"] <= found["middle"] < 0.5


def test_of_types_without_a_shape_their_own_runs_are_told(log):
    fill(log, ("small", 1.0, False), types=())
    found = chances(log, types=())
    assert found["small"] < 0.5 < found["middle"]


def test_predictions_of_ends_are_tracked_and_what_nobody_foretold_judges_nobody(log):
    fill(log, ("small", 1.0, False))
    assert log.tracked(FEASIBILITY, "job") is None
    chance = chances(log)["small"]
    KeptOutcomes(log, TYPES).ended("job", "small", 1, 1.0, False, chance)
    found = log.tracked(FEASIBILITY, "job")
    assert found.count == 1 and found.error == pytest.approx(chance**2)
    assert log.rows(FEASIBILITY)[0].details["memory_gib"] == 4.0


def test_an_estimate_says_that_its_run_may_fail(log):
    about = advised(log, TYPES, "job")
    assert weighed(TOLD, about, 10.0) is TOLD
    keep_end(about, TOLD, 10.0, "ValueError: no such column")
    assert weighed(TOLD, about, 10.0) is TOLD, "a mistake in the program says nothing of machines"
    keep_end(about, TOLD, 10.0, "10 machines failed; the last reason: MemoryError: ")
    found = weighed(TOLD, about, 10.0)
    assert found.feasible < 0.5 and found.plan.startswith("2 x small; ")
    assert f"probability {found.feasible:.2f} only" in found.plan
    sound = msgspec.structs.replace(TOLD, machines={"large": 4}, plan="4 x large")
    assert weighed(sound, about, 10.0).plan == "4 x large" and weighed(sound, about, 10.0).feasible > 0.5
    for _ in range(3):
        keep_end(about, found, 10.0, "")
    assert weighed(TOLD, about, 10.0).plan == "2 x small", "it was seen to end there since"
    assert log.tracked(FEASIBILITY, "job").count == 3


def test_a_mix_of_types_is_asked_of_each_and_told_of_none(log):
    about = advised(log, TYPES, "job")
    keep_end(about, TOLD, 10.0, "killed by SIGKILL")
    mixed = msgspec.structs.replace(TOLD, machines={"large": 1, "small": 2})
    keep_end(about, mixed, 10.0, "")
    assert len(log.outcomes(FEASIBILITY, "job")) == 1
    assert weighed(mixed, about, 10.0).feasible == weighed(TOLD, about, 10.0).feasible


def test_what_was_timed_is_kept_with_what_was_expected(log):
    kept = KeptOutcomes(log, TYPES)
    kept.took("job", "small", 1, 2.0, 30.0, None)
    kept.took("job", "small", 1, 2.0, 40.0, Interval(10.0, 20.0, 30.0))
    assert [row.came for row in log.outcomes(RUN_TIME, "job")] == [30.0, 40.0]
    assert log.tracked(RUN_TIME, "job").error == pytest.approx(0.5)
    assert log.tracked(RUN_TIME, "job").covered == 0.0
