"""The queue in steps against closed forms and an exact simulation of events, and what it does by hand."""

import heapq
import math

import numpy as np
import pytest

from tradewind.errors import Misuse
from tradewind.serving.objective import Objective
from tradewind.serving.provisioning.interface import FunctionProfile, Profile
from tradewind.serving.provisioning.modelled_queue import (
    CALLS,
    COLD,
    IN_TIME,
    LATE,
    ONGOING,
    REFUSED,
    RETRIED,
    ModelledQueue,
    step_for,
)


def queue_of(profiles, latency=1.0, step=0.05, steps=2000, **given):
    return ModelledQueue(
        Objective(latency), profiles, step=step, interval=100, intervals=steps // 100, **given
    )


def exact_misses(rate, servers, service, latency, seconds, seed):
    """M/D/c, first come first served, where whoever could not be in time is not served: event by event."""
    chance = np.random.default_rng(seed)
    arrivals = np.cumsum(chance.exponential(1 / rate, int(rate * seconds * 1.1)))
    free = [0.0] * servers
    missed = total = 0
    for at in arrivals[arrivals < seconds]:
        total += 1
        start = max(at, free[0])
        if start + service > at + latency:
            missed += 1
            continue
        heapq.heapreplace(free, start + service)
    return missed / total


@pytest.mark.parametrize(
    ("rate", "servers", "latency"),
    [(38.0, 10, 1.0), (45.0, 10, 0.6), (60.0, 10, 1.0), (4.4, 1, 1.0), (190.0, 40, 0.5)],
)
def test_misses_are_those_of_an_exact_simulation(rate, servers, latency):
    service, seconds = 0.2, 4000.0
    expected = exact_misses(rate, servers, service, latency, seconds, 1)
    queue = queue_of([Profile("a", 1 / service, service, 1.0)], latency, 0.02, 200_000)
    queue.add(0, servers)
    chance = np.random.default_rng(2)
    queue.run(chance.poisson(rate * 0.02, int(seconds / 0.02)))
    found = queue.counts.sum(axis=0)
    missed = (found[LATE] + found[REFUSED]) / (found[IN_TIME] + found[LATE] + found[REFUSED])
    assert found[LATE] == 0
    assert missed == pytest.approx(expected, abs=0.012)


def test_requests_in_hand_obey_littles_law():
    profile = Profile("a", 5.0, 0.2, 1.0)
    queue = queue_of([profile], step=0.02, steps=200_000)
    queue.add(0, 20)
    queue.run(np.random.default_rng(3).poisson(50.0 * 0.02, 200_000))
    ongoing = queue.counts[:, ONGOING].sum() / 200_000
    assert ongoing == pytest.approx(50.0 * 0.2, rel=0.02)  # hardly anything waits at half load


def test_a_step_longer_than_a_request_keeps_throughput_and_requests_in_hand():
    queue = queue_of([Profile("a", 400.0, 0.02, 8.0)], step=0.1, steps=10_000)
    queue.add(0, 1)
    queue.run(np.full(10_000, 30))
    found = queue.counts.sum(axis=0)
    assert found[IN_TIME] == 300_000
    assert found[ONGOING] / 10_000 == pytest.approx(300 * 0.02)


def test_by_hand():
    """Two places for one second each, five at once, a latency of 2 s: two at once, two a second later."""
    queue = queue_of([Profile("a", 1.0, 1.0, 1.0)], 2.0, 0.25, 100)
    queue.add(0, 2)
    queue.run(np.array([5] + [0] * 15))
    assert queue.counts[0].tolist()[:3] == [4.0, 0.0, 1.0]
    assert queue.waiting == 0.0


def test_the_quickest_goes_first_and_the_slow_is_not_given_what_it_could_not_end_in_time():
    slow, quick = Profile("slow", 1.0, 1.0, 1.0), Profile("quick", 4.0, 0.25, 1.0)
    queue = queue_of([slow, quick], 1.0, 0.25, 100)
    queue.add(0, 10)
    queue.run(np.array([3] + [0] * 9))
    assert queue.counts[0, IN_TIME] == 3  # the slow ones, at once
    queue = queue_of([slow, quick], 1.0, 0.25, 100)
    queue.add(1, 1)
    queue.run(np.array([6, 0]))
    queue.add(0, 10)
    queue.run(np.zeros(9, np.int64))
    # One a step on the quick one, four within the slack of 3 steps; the slow ones came too late for all.
    assert queue.counts[0, IN_TIME] == 4
    assert queue.counts[0, REFUSED] == 2


def test_what_is_in_hand_of_a_lost_replica_waits_again():
    queue = queue_of([Profile("a", 1.0, 1.0, 1.0)], 4.0, 0.25, 100)
    queue.add(0, 2)
    queue.run(np.array([2, 0]))
    assert queue.lose(0, 1) == 1.0
    assert queue.waiting == 1.0
    queue.run(np.zeros(20, np.int64))
    assert queue.counts[0, RETRIED] == 1
    assert queue.counts[0, IN_TIME] == 2  # on the other, when it has ended its own


def test_with_none_left_what_was_lost_is_refused():
    queue = queue_of([Profile("a", 1.0, 1.0, 1.0)], 2.0, 0.25, 100)
    queue.add(0, 1)
    queue.run(np.array([1, 0]))
    queue.lose(0, 1)
    queue.run(np.zeros(20, np.int64))
    assert queue.counts[0].tolist()[:3] == [0.0, 0.0, 1.0]


def test_what_drains_is_finished():
    queue = queue_of([Profile("a", 1.0, 1.0, 1.0)], 2.0, 0.25, 100)
    queue.add(0, 1)
    queue.run(np.array([1, 0]))
    queue.add(0, -1)
    queue.run(np.array([1] + [0] * 20))
    assert queue.counts[0].tolist()[:3] == [1.0, 0.0, 1.0]


def test_functions_take_what_replicas_cannot_answer_in_time():
    """Nothing but functions: the first calls are cold, later ones find environments."""
    function = FunctionProfile(per_request=1e-5, warm=0.5, cold=3.0, concurrency=4)
    queue = queue_of([Profile("a", 1.0, 1.0, 1.0)], 2.0, 0.25, 100, function=function)
    queue.run(np.array([3] + [0] * 19))
    assert queue.counts[0, [IN_TIME, LATE, CALLS, COLD]].tolist() == [0.0, 3.0, 3.0, 3.0]
    queue.run(np.array([6] + [0] * 19))
    # Three are warm and in time, the fourth is cold; two wait until the warm ones are done and follow them.
    assert queue.counts[0, [IN_TIME, LATE, CALLS, COLD]].tolist() == [5.0, 4.0, 9.0, 4.0]


def test_idle_environments_end():
    function = FunctionProfile(per_request=1e-5, warm=0.5, cold=1.0, concurrency=100)
    queue = queue_of(
        [Profile("a", 1.0, 1.0, 1.0)], 2.0, 0.25, 1000, function=function, keep_warm=50.0
    )  # 200 steps
    queue.run(np.array([5] + [0] * 399))
    queue.run(np.array([5] + [0] * 20))
    assert queue.counts[:, COLD].sum() == 10


def test_nothing_goes_to_functions_that_replicas_can_answer():
    function = FunctionProfile(per_request=1e-5, warm=0.2, cold=1.0, concurrency=1000)
    queue = queue_of([Profile("a", 5.0, 0.2, 1.0)], 2.0, 0.1, 10_000, function=function)
    queue.add(0, 10)
    queue.run(np.random.default_rng(0).poisson(4.0, 10_000))  # 40 of 50 a second
    assert queue.counts[:, CALLS].sum() == 0
    assert queue.counts[:, REFUSED].sum() == 0


def test_nothing_is_lost_from_the_account():
    chance = np.random.default_rng(5)
    queue = queue_of([Profile("a", 5.0, 0.2, 1.0), Profile("b", 2.0, 0.5, 1.0)], 1.0, 0.05, 5000)
    arrivals = chance.poisson(2.0, 5000)
    for at in range(0, 5000, 50):
        kind = int(chance.integers(0, 2))
        if chance.random() < 0.7:
            queue.add(kind, int(chance.integers(1, 4)))
        else:
            queue.lose(kind, 1)
        queue.run(arrivals[at : at + 50])
    found = queue.counts.sum(axis=0)
    told = found[IN_TIME] + found[LATE] + found[REFUSED] + queue.waiting
    assert told == pytest.approx(arrivals.sum())
    assert found[RETRIED] > 0


def test_steps_are_fine_enough():
    assert step_for(Objective(1.0), [Profile("a", 5.0, 0.2, 1.0)]) == 0.1
    assert step_for(Objective(10.0), [Profile("a", 5.0, 0.2, 1.0)]) == 1.0
    assert step_for(Objective(0.05), [Profile("a", 50.0, 0.02, 1.0)]) == 0.01
    assert math.isclose(1 / step_for(Objective(0.5), [Profile("a", 5.0, 0.1, 1.0)]), 20)


def test_a_latency_that_nobody_keeps_is_refused():
    with pytest.raises(Misuse, match="no type answers"):
        queue_of([Profile("a", 1.0, 3.0, 1.0)])
