"""The optimum with hindsight, against trying every set of jobs and every schedule."""

import itertools
import random

import pytest

from tradewind.advice.purchasing.accept_all import AcceptAll
from tradewind.advice.purchasing.interface import Job, Supply, sold
from tradewind.advice.purchasing.offline_optimum import offline_optimum
from tradewind.advice.purchasing.online_purchase import OnlinePurchase
from tradewind.advice.purchasing.value_density import ValueDensity
from tradewind.errors import Misuse


def drawn_jobs(seed, count, slots):
    drawn = random.Random(seed)
    jobs = []
    for at in range(count):
        first = drawn.randrange(slots)
        tasks = drawn.randint(1, 4)
        jobs.append(
            Job(
                id=f"j{at}", arrival=first, last=drawn.randint(first, slots - 1), tasks=tasks,
                value=tasks * drawn.uniform(0.2, 5), parallel=drawn.randint(1, 2),
            )
        )  # fmt: skip
    return jobs


def feasible(jobs, supply):
    """Whether all can be done together: by trying every schedule, job after job."""

    def options(job):
        span = range(job.arrival, job.last + 1)
        for counts in itertools.product(range(job.parallel + 1), repeat=len(span)):
            if sum(counts) == job.tasks:
                yield dict(zip(span, counts, strict=True))

    def fits(left, booked):
        if not left:
            return True
        for option in options(left[0]):
            after = [count + option.get(slot, 0) for slot, count in enumerate(booked)]
            if max(after) <= supply.capacity and fits(left[1:], after):
                return True
        return False

    return fits(jobs, [0] * supply.slots)


@pytest.mark.parametrize("seed", range(6))
def test_it_is_the_best_of_all_sets(seed):
    supply = Supply(3, 2, 0.6)
    jobs = drawn_jobs(seed, 5, 3)
    best = 0.0
    for size in range(1, 6):
        for chosen in itertools.combinations(jobs, size):
            worth = sum(job.value - supply.cost * job.tasks for job in chosen)
            if worth > best and feasible(list(chosen), supply):
                best = worth
    assert offline_optimum(jobs, supply) == pytest.approx(best, abs=1e-6)


@pytest.mark.parametrize("seed", range(4))
def test_nothing_online_exceeds_it(seed):
    supply = Supply(10, 3, 0.6)
    jobs = drawn_jobs(seed, 25, 10)
    best = offline_optimum(jobs, supply)
    for purchaser in (OnlinePurchase(0.2, 5.0), AcceptAll(), ValueDensity(1.0)):
        assert sold(jobs, supply, purchaser).welfare <= best + 1e-6


def test_no_job_is_worth_nothing_and_too_many_are_refused():
    assert offline_optimum([], Supply(1, 1, 0.0)) == 0.0
    with pytest.raises(Misuse, match="50 at most"):
        offline_optimum(drawn_jobs(0, 51, 4), Supply(4, 1, 0.0))
