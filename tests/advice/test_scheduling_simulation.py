"""The simulated cluster: cases by hand, a queue in closed form, and what must always hold."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tradewind.advice.scheduling.estimation_errors import RunTimeErrors
from tradewind.advice.scheduling.fair import Fair
from tradewind.advice.scheduling.fifo import Fifo
from tradewind.advice.scheduling.interface import Choice
from tradewind.advice.scheduling.jobs import Job, Stage
from tradewind.advice.scheduling.simulation import Cluster, Simulation, simulate
from tradewind.errors import Misuse
from tradewind.testing.schedulers import check_outcome, cluster_of, jobs_of

EXACT = {"spread": 0.0}


class Chosen:
    """Chooses among all that is possible by a number."""

    name = "chosen"

    def __init__(self, number):
        self.rng = np.random.default_rng(number)

    def choose(self, view):
        busy = sum(job.executors for job in view.jobs)
        if busy and self.rng.random() < 0.2:
            return None
        job = self.rng.choice([each for each in view.jobs if each.runnable])
        return Choice(job.number, int(self.rng.choice(job.runnable)), int(self.rng.integers(1, 9)))


def test_waves_and_moves_by_hand():
    # Two executors, three tasks, then one: a move of 2, fresh 7, first 5, later tasks 3.
    job = Job("j", 10.0, (Stage(3, (3.0,), (5.0,), (7.0,)), Stage(1, (3.0,), (5.0,), (7.0,), (0,))))
    outcome = simulate(Fifo(), [job], Cluster(2, **EXACT), 0)
    # Both move until 12 and work until 19; one goes on with the third task until 22, while the other is idle;
    # then the lower number begins the second stage as a first task.
    lines = outcome.timeline
    assert lines.assigned.tolist() == [10, 10, 19, 22]
    assert lines.start.tolist() == [12, 12, 19, 22]
    assert lines.end.tolist() == [19, 19, 22, 27]
    assert lines.wave.tolist() == [0, 0, 2, 1]
    assert outcome.average == 17.0 and outcome.makespan == 27.0
    parts = lines.parts(2, outcome.makespan)
    assert parts["moving"].tolist() == [2, 2] and parts["working"].sum() == 7 + 7 + 3 + 5


def test_a_fresh_task_warms_up_where_the_job_does_not_say():
    job = Job("j", 0.0, (Stage(2, (3.0,), (5.0,)),))
    assert simulate(Fifo(), [job], Cluster(1, **EXACT), 0).makespan == 2 + (5 + 1) + 3
    bare = Job("j", 0.0, (Stage(2, (3.0,)),))
    assert simulate(Fifo(), [bare], Cluster(1, 0.5, 0.25, 0.0), 0).makespan == 0.5 + (3 + 0.25) + 3


def test_tasks_slow_down_with_the_executors_at_their_job():
    job = Job("j", 0.0, (Stage(3, (4.0, 8.0)),), (1, 3))
    outcome = simulate(Fifo(), [job], Cluster(3, 0.0, 0.0, 0.0), 0)
    assert sorted(outcome.timeline.end.tolist()) == [4.0, 6.0, 8.0]


def test_a_limit_keeps_executors_for_others():
    class Limited:
        name = "limited"

        def choose(self, view):
            job = next(each for each in view.jobs if each.runnable)
            return Choice(job.number, 0, 2) if job.executors < 2 else None

    jobs = [Job("a", 0.0, (Stage(8, (1.0,)),)), Job("b", 0.0, (Stage(1, (1.0,)),))]
    outcome = simulate(Limited(), jobs, Cluster(5, 0.0, 0.0, 0.0), 0)
    assert outcome.completions.tolist() == [4.0, 4.0]
    # Until 3, when no task of a waits any more, three executors idle beside b.
    assert outcome.timeline.assigned[outcome.timeline.job == 1].tolist() == [3.0]


def test_two_jobs_first_come_first_served_and_fair():
    jobs = [Job("a", 0.0, (Stage(6, (1.0,)),)), Job("b", 0.0, (Stage(2, (1.0,)),))]
    still = Cluster(2, 0.0, 0.0, 0.0)
    assert simulate(Fifo(), jobs, still, 0).completions.tolist() == [3.0, 4.0]
    # Fair gives one executor each; the one of b is free at 2 and helps a with its last four tasks.
    assert simulate(Fair(), jobs, still, 0).completions.tolist() == [4.0, 2.0]


def test_jobs_may_be_given_in_any_order():
    jobs = [Job("late", 9.0, (Stage(1, (1.0,)),)), Job("soon", 0.0, (Stage(1, (2.0,)),))]
    outcome = simulate(Fifo(), jobs, Cluster(1, 0.0, 0.0, 0.0), 0)
    assert outcome.completions.tolist() == [10.0, 2.0]
    assert outcome.times.tolist() == [1.0, 2.0]
    assert outcome.timeline.job.tolist() == [1, 0]


def test_one_executor_waits_as_in_the_formula_of_pollaczek_and_khinchine():
    rng = np.random.default_rng(8)
    load, count = 0.5, 8000
    service, moments = rng.exponential(1.0, count), np.cumsum(rng.exponential(1.0 / load, count))
    jobs = [Job(str(at), float(moments[at]), (Stage(1, (float(service[at]),)),)) for at in range(count)]
    found = simulate(Fifo(), jobs, Cluster(1, 0.0, 0.0, 0.0), 0)
    assert found.average == pytest.approx(1.0 + load * 2.0 / (2 * (1 - load)), rel=0.1)
    # Lindley's recursion, exactly.
    over = 0.0
    for at in range(count):
        over = max(over, moments[at]) + service[at]
        assert found.completions[at] == pytest.approx(over, rel=1e-12)


@given(number=st.integers(0, 2**20))
@settings(max_examples=25, deadline=None)
def test_any_choices_conserve_work_and_time(number):
    jobs, cluster = jobs_of(number), cluster_of(number)
    run = Simulation(jobs, cluster, number)
    policy, decisions = Chosen(number), 0
    while run.advance():
        run.apply(policy.choose(run.view()))
        decisions += 1
    outcome = run.outcome("chosen", decisions)
    check_outcome(outcome, jobs, cluster)
    assert run.job_seconds == pytest.approx(outcome.times.sum())


@given(number=st.integers(0, 2**20))
@settings(max_examples=10, deadline=None)
def test_a_view_says_what_is_so(number):
    jobs, cluster = jobs_of(number), cluster_of(number)
    run, policy = Simulation(jobs, cluster, number), Chosen(number)
    while run.advance():
        view, board = run.view(), run.board
        assert 1 <= view.free <= cluster.executors and any(job.runnable for job in view.jobs)
        busy = sum(job.executors for job in view.jobs)
        assert busy == np.isfinite(board.until).sum() and view.free <= cluster.executors - busy
        for job in view.jobs:
            own = run.jobs[job.number]
            assert job.arrival <= view.moment and job.parents == own.parents
            assert job.seconds == tuple(stage.rest[0] for stage in own.stages)
            begin = board.first_stage[job.number]
            for at in range(len(own.stages)):
                over = [not job.unfinished[parent] for parent in own.stages[at].parents]
                assert (at in job.runnable) == (job.waiting[at] > 0 and all(over))
                assert job.waiting[at] == board.waiting[begin + at]
            assert job.startable == sum(job.waiting[at] for at in job.runnable)
        run.apply(policy.choose(view))


def test_a_task_has_the_same_luck_under_every_scheduler():
    jobs = [Job(str(at), 0.0, (Stage(20, (1.0,)), Stage(9, (2.0,), parents=(0,)))) for at in range(4)]
    lucky = []
    for policy in (Fifo(), Fair()):
        lines = simulate(policy, jobs, Cluster(3, 2.0, 0.0, 0.5), 11).timeline
        order = np.lexsort((lines.end - lines.start, lines.stage, lines.job))
        lucky.append((lines.end - lines.start)[order])
    assert np.allclose(lucky[0], lucky[1])
    assert lucky[0].std() > 0.1


def test_spread_keeps_the_mean():
    jobs = [Job("j", 0.0, (Stage(20_000, (1.0,)),))]
    lines = simulate(Fifo(), jobs, Cluster(4, 0.0, 0.0, 0.5), 3).timeline
    assert np.mean(lines.end - lines.start) == pytest.approx(1.0, rel=0.02)
    assert np.log(lines.end - lines.start).std() == pytest.approx(0.5, rel=0.03)


@pytest.mark.parametrize(
    ("choice", "told"),
    [
        (Choice(1, 0, 1), "stage 0 of job 1"),
        (Choice(0, 1, 1), "not runnable"),
        (Choice(0, 5, 1), "stage 5"),
        (Choice(-1, 0, 1), "job -1"),
        (Choice(0, 0, 0), "0 executors"),
    ],
)
def test_impossible_choices_are_refused(choice, told):
    jobs = [
        Job("a", 0.0, (Stage(1, (1.0,)), Stage(1, (1.0,), parents=(0,)))),
        Job("b", 9.0, (Stage(1, (1.0,)),)),
    ]
    run = Simulation(jobs, Cluster(2), 0)
    assert run.advance()
    with pytest.raises(Misuse, match=told):
        run.apply(choice)


def test_a_scheduler_that_never_goes_on_is_found_out():
    class Lazy:
        name = "lazy"

        def choose(self, view):
            return None

    with pytest.raises(Misuse, match="left idle"):
        simulate(Lazy(), [Job("a", 0.0, (Stage(1, (1.0,)),))], Cluster(2), 0)


@pytest.mark.parametrize("field", ["executors", "moving", "warm_up", "spread"])
def test_impossible_clusters_are_refused(field):
    with pytest.raises(Misuse, match=field):
        Cluster(**({"executors": 2} | {field: -1}))


def test_estimates_reach_the_view():
    jobs = [Job("a", 0.0, (Stage(1, (4.0, 9.0)), Stage(1, (2.0, 9.0))), (1, 2))]
    run = Simulation(jobs, Cluster(2), 5, RunTimeErrors(1.0))
    run.advance()
    told = run.view().jobs[0].seconds
    assert told != (4.0, 2.0)
    assert told == RunTimeErrors(1.0).estimates(jobs, np.random.default_rng([5, 0xE57]))[0]
