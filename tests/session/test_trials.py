"""Runs in virtual time: one after another on one market, and many over processes."""

import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from tradewind.data.catalogs import aws_catalog
from tradewind.data.recorded_histories import demo_history
from tradewind.errors import MissingExtra, Misuse, Temporary
from tradewind.market.demands import Demand
from tradewind.market.recorded import RecordedMarket
from tradewind.market.resources import Resources
from tradewind.session.trials import completed, trial, trials
from tradewind.training.elastic.bidding.cheapest_spot import CheapestSpot
from tradewind.training.elastic.bidding.on_demand import OnDemand
from tradewind.training.elastic.modelled_work import ModelledWork
from tradewind.training.view import Goal


class Rejected(Exception):
    """An exception whose constructor cannot be called with its own arguments."""

    def __init__(self, first, second):
        super().__init__(f"{first} and {second}")
        self.second = second


class Unsendable(Exception):
    def __init__(self):
        super().__init__("holds a function")
        self.held = lambda: None


@pytest.mark.parametrize("jobs", [1, 2, 3, 50])
def test_results_come_in_the_order_of_the_cases(jobs):
    told = []
    cases = [0.03, 0.0, 0.02, 0.0, 0.01]

    def run(case):
        time.sleep(case)  # noqa: TID251  (the later cases are done first)
        return case, os.getpid()

    found = trials(cases, run, jobs=jobs, told=told.append)
    assert [case for case, _ in found] == cases
    assert told == [1, 2, 3, 4, 5]
    workers = {pid for _, pid in found}
    assert (os.getpid() in workers) == (jobs == 1)
    assert len(workers) <= jobs


def test_no_case_is_no_result():
    assert trials([], lambda case: case) == []


def test_cases_and_results_may_be_large():
    assert trials([200_000, 300_000], lambda count: b"x" * count) == [b"x" * 200_000, b"x" * 300_000]


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize(
    "problem",
    [
        Misuse("too dear", source="spec", field="limit", fix="Pay."),
        MissingExtra("ray", "ray", "A cluster"),
        Temporary("later", delay=7.0),
        Rejected("this", "that"),
        KeyError("missing"),
    ],
    ids=lambda problem: type(problem).__name__,
)
def test_an_exception_comes_back_whole_with_its_case_named(jobs, problem):
    def run(case):
        if case == "c":
            raise problem
        return case

    with pytest.raises(type(problem)) as caught:
        trials(["a", "b", "c"], run, jobs=jobs)
    assert str(caught.value) == str(problem)
    fields = {name: value for name, value in vars(problem).items() if name != "__notes__"}
    assert fields.items() <= vars(caught.value).items()
    assert "case 3 of 3: 'c'" in caught.value.__notes__
    if jobs > 1:
        assert "in run" in caught.value.__notes__[-1]


def test_what_cannot_travel_is_told_in_words():
    def run(case):
        raise Unsendable

    with pytest.raises(RuntimeError, match="Unsendable: holds a function") as caught:
        trials([1, 2], run)
    assert caught.value.__notes__[0].endswith(" of 2: 1") or caught.value.__notes__[0].endswith(" of 2: 2")
    with pytest.raises(Exception, match="pickle"):
        trials([1, 2], lambda case: lambda: case)


def test_a_worker_that_dies_names_its_case():
    def run(case):
        if case == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return case

    with pytest.raises(RuntimeError, match="exit code -9") as caught:
        trials([0, 1, 2, 3], run)
    assert caught.value.__notes__ == ["case 2 of 4: 1"]


def test_what_is_done_is_there_when_the_rest_is_given_up(tmp_path):
    started = tmp_path / "pid"

    def run(case):
        if case == "slow":
            started.write_text(str(os.getpid()))
            time.sleep(60)  # noqa: TID251  (it is killed)
        return case

    results = completed(["quick", "slow", "quick too"], run, jobs=2)
    assert [next(results), next(results)] == [(0, "quick"), (2, "quick too")]
    while not (started.exists() and started.read_text()):
        pass
    results.close()
    with pytest.raises(ProcessLookupError):
        os.kill(int(started.read_text()), 0)


def test_no_jobs_is_misuse():
    with pytest.raises(Misuse, match="jobs"):
        trials([1], str, jobs=0)


def test_an_interrupt_ends_the_workers(tmp_path):
    script = tmp_path / "interrupted.py"
    script.write_text(
        textwrap.dedent(
            """
            import os, sys, time
            from tradewind.session.trials import trials

            def run(case):
                os.write(1, f"{os.getpid()}\\n".encode())  # whole, where print writes twice
                time.sleep(60)

            try:
                trials([1, 2, 3], run, jobs=2)
            except KeyboardInterrupt:
                print("interrupted", flush=True)
            """
        )
    )
    process = subprocess.Popen(
        [sys.executable, str(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    workers = [int(process.stdout.readline()) for _ in range(2)]
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert (out, err, process.returncode) == ("interrupted\n", "", 0)
    for worker in workers:
        with pytest.raises(ProcessLookupError):
            os.kill(worker, 0)


def demo_market():
    return RecordedMarket(demo_history(), aws_catalog(), boot=30.0, on_demand=("us-east-1",))


def demo_trial(market, case):
    policy, hours = case
    goal = Goal(
        workers=Demand(resources=Resources(vcpus=4), count=6, instance_types=("p2.xlarge", "p3.2xlarge")),
        state=Demand(resources=Resources(vcpus=2, memory_gib=8)),
    )
    work = ModelledWork(6 * 4 * 3600.0 * 3, 1.0, startup=120.0)
    return trial(market, goal, policy, work, market.history.start + 3600.0 * hours)


def test_trials_on_one_market_are_those_on_fresh_ones() -> None:
    """Whatever ran on the market before, here or in another process, and of slots that are used up too."""
    cases = [
        (policy, hours)
        for hours in (0.1, 4.0, 2.0)
        for policy in (CheapestSpot(), OnDemand(), CheapestSpot(move_when=0.05))
    ]
    fresh = [demo_trial(demo_market(), case) for case in cases]
    assert sum(result.revocations for result in fresh) > 0
    shared = demo_market()
    assert [demo_trial(shared, case) for case in cases] == fresh
    assert trials(cases, lambda case: demo_trial(shared, case), jobs=2) == fresh
