import numpy as np
import pytest

from tradewind.data.measured_runs.reading import measured_runs
from tradewind.errors import Misuse
from tradewind.estimates.scale_out.ernest import ernest
from tradewind.estimates.scale_out.run_time_model import run_time_model
from tradewind.estimates.scale_out.timings import Timings

GIVEN, ASKED = np.array([2.0, 4, 6, 8]), np.array([10.0, 12])


def amdahl(machines, serial=40.0, parallel=900.0):
    return serial + parallel / machines


def test_a_job_as_amdahl_has_it_is_foretold() -> None:
    model = run_time_model(Timings.of(GIVEN, amdahl(GIVEN)))
    assert model.predict(ASKED) == pytest.approx(amdahl(ASKED), rel=0.01)


def test_a_cluster_that_did_not_fit_memory_misleads_ernest_and_not_ours() -> None:
    seconds = amdahl(GIVEN)
    seconds[0] *= 6
    timings = Timings.of(GIVEN, seconds)
    ours = np.abs(run_time_model(timings).predict(ASKED) / amdahl(ASKED) - 1)
    theirs = np.abs(ernest(timings).predict(ASKED) / amdahl(ASKED) - 1)
    assert ours.max() < 0.2 < 0.5 < theirs.min()


def test_where_memory_is_crossed_what_crossed_it_is_heard() -> None:
    seconds = amdahl(GIVEN)
    seconds[0] *= 6
    model = run_time_model(Timings.of(GIVEN, seconds))
    assert model.predict([2, 1]) == pytest.approx([seconds[0], 2 * seconds[0]])
    assert model.guard.warning(0.5) and not model.guard.warning(0.1)


def test_like_jobs_correct_what_the_readings_get_wrong() -> None:
    def slowing(machines, work):  # messages that grow with the square of machines, which no term has
        return 30 + work / machines + 1.2 * machines**2 / 4

    every = np.concatenate([GIVEN, ASKED])
    given = Timings.of(GIVEN, slowing(GIVEN, 800.0))
    corpus = [Timings.of(every, slowing(every, work)) for work in (600.0, 700.0, 900.0, 1000.0)]
    truth = slowing(ASKED, 800.0)
    alone = np.abs(run_time_model(given).predict(ASKED) / truth - 1)
    helped = np.abs(run_time_model(given, corpus).predict(ASKED) / truth - 1)
    assert helped.mean() < 0.6 * alone.mean()


def test_a_corpus_of_which_nothing_is_to_be_learned_changes_nothing() -> None:
    given = Timings.of(GIVEN, amdahl(GIVEN))
    others = [Timings.of(GIVEN, amdahl(GIVEN)), Timings.of([8, 12], [100, 90])]
    assert (
        run_time_model(given, others).predict(ASKED).tolist() == run_time_model(given).predict(ASKED).tolist()
    )


def test_bounds_hold_what_is_expected_and_widen_with_reach() -> None:
    model = run_time_model(Timings.of(GIVEN, amdahl(GIVEN) * [1.02, 0.99, 1.01, 0.98]))
    near, far = model.seconds(8), model.seconds(64)
    for each in (near, far):
        assert 0 < each.low < each.expected < each.high
    assert far.high / far.expected > 1.3 * near.high / near.expected
    assert model.deviation([8, 64])[1] > model.deviation([8, 64])[0]


def test_scale_is_part_of_it() -> None:
    counts, scales = np.array([2.0, 4, 8, 2, 4, 8]), np.array([1.0, 1, 1, 3, 3, 3])
    model = run_time_model(Timings.of(counts, 20 + 100 * scales / counts, scales))
    assert model.predict([4], 2.0)[0] == pytest.approx(70, rel=0.02)


def test_a_single_size_is_refused() -> None:
    with pytest.raises(Misuse, match="as many machines"):
        run_time_model(Timings.of([4, 4], [10, 11]))


@pytest.mark.parametrize(("job", "machine_type"), [("kmeans", "r4.2xlarge"), ("grep", "m4.2xlarge")])
def test_on_recorded_jobs_it_is_nearer_than_ernest(bench_data, job, machine_type) -> None:
    groups = {}
    for run in measured_runs(bench_data(f"config/c3o/{job}.tsv")):
        if run.configuration.endswith(machine_type):
            groups.setdefault(run.workload, []).append((run.features["machines"], run.seconds))
    ours, theirs = [], []
    for rows in list(groups.values())[:8]:
        every = Timings.of(*zip(*rows, strict=True))
        given, asked = every.where(every.machines <= 8), every.where(every.machines > 8)
        for found, model in ((ours, run_time_model(given)), (theirs, ernest(given))):
            found.append(np.mean(np.abs(model.predict(asked.machines) / asked.seconds - 1)))
    assert len(ours) == 8 and np.mean(ours) < 0.15 and np.mean(ours) < 0.8 * np.mean(theirs)
