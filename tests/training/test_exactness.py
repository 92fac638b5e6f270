"""What the market does leaves no trace in what is learned: bit for bit, over random schedules of evictions.

Everything but the machines is real: engine, server, client, worker, placement, learner. The machines are
threads of which one moves at a time, and only when the schedule says so, at a message; so a run is decided by
its schedule alone, no real time passes, and an instance can be lost between any two messages.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tradewind.algorithms.batch import Batch
from tradewind.algorithms.interface import Algorithm
from tradewind.algorithms.linear.learner import LinearLearner
from tradewind.data.streams import open_data
from tradewind.market.leases import LeaseId
from tradewind.state.engine import Engine, Receipt
from tradewind.state.messages import Message
from tradewind.state.server import Server
from tradewind.state.snapshot import Snapshot, snapshot_of
from tradewind.training.elastic.placement import place
from tradewind.training.in_process import learn_here
from tradewind.training.job import Job, build_algorithm, learner_of
from tradewind.training.state_host import fresh_state
from tradewind.training.worker import learn

ROWS, FEATURES, PARTS, EPOCHS = 90, 12, 4, 2


def rows() -> Any:
    chance = np.random.default_rng(5)
    features = chance.normal(size=(ROWS, FEATURES)).astype(np.float32)
    features[chance.random(features.shape) < 0.6] = 0.0
    labels = (features @ chance.normal(size=FEATURES) + chance.normal(size=ROWS) > 0).astype(float)
    return open_data(features, labels)


DATA = rows()


def job_of(optimizer: str, consistency: str = "bulk_synchronous", staleness: int = 0) -> Job:
    return Job(
        learner=learner_of(LinearLearner(optimizer=optimizer)),
        data={},
        parts=PARTS,
        batch=7,  # so that blocks and rows do not come out even
        epochs=EPOCHS,
        consistency=consistency,
        staleness=staleness,
    )


class Lost(BaseException):
    """The instance that the thread was on is gone."""


class Host:
    """A thread that hosts one worker on one instance, and moves when told."""

    def __init__(self, world: World, worker: int, instance: LeaseId) -> None:
        self.world, self.worker, self.instance = world, worker, instance
        self.inbox: list[Message] = []
        self.waits = self.lost = self.done = False
        self.problem: BaseException | None = None
        self._go, self._stopped = threading.Semaphore(0), threading.Semaphore(0)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        self._go.acquire()
        try:
            if not self.lost:
                learn(self.world.algorithm, self.world.part(self.worker), self.worker, self, self._leaving)
        except Lost:
            pass
        except BaseException as problem:
            self.problem = problem
        self.done = True
        self._stopped.release()

    def _leaving(self) -> bool:
        return self.instance in self.world.warned

    def _pause(self) -> None:
        if self.lost:
            raise Lost
        self._stopped.release()
        self._go.acquire()
        if self.lost:
            raise Lost

    def move(self) -> None:
        """On the schedule's thread: let it run to its next message."""
        self._go.release()
        self._stopped.acquire()
        if self.problem is not None:
            raise self.problem

    def lose(self) -> None:
        self.lost = True
        while not self.done:
            self.move()
        self._thread.join()

    # a channel to whichever server there is

    def send(self, message: Message) -> None:
        self._pause()  # lost before it was sent
        self.world.deliver(self, [bytes(frame) for frame in message])
        self._pause()  # lost before the answer was read

    def receive(self, timeout: float) -> Message | None:
        if not self.inbox:
            self.waits = True
            self._pause()
            self.waits = False
        return self.inbox.pop(0) if self.inbox else None

    def reconnect(self) -> None:
        self.inbox.clear()

    def close(self) -> None:
        return None


class World:
    """Instances, a server, and what happens to them.

    An event is (steps until it happens, what, a number that says to whom). `warned` instances are lost when
    their workers have left, or after `notice` steps if that is earlier.
    """

    def __init__(self, job: Job, seed: int, instances: int, notice: int = 10**9) -> None:
        self.job, self.notice = job, notice
        self.algorithm = _Counting(build_algorithm(job.learner))
        self.chance = random.Random(seed)
        self.server = Server(fresh_state(job, self.algorithm, DATA))
        self.saved = self._snapshot()
        self.instances = [LeaseId(f"i{n:03d}") for n in range(instances)]
        self.named = instances
        self.warned: dict[LeaseId, int] = {}
        self.hosts: dict[int, Host] = {}
        self.threads: list[Host] = []
        self.servers_lost = self.started = 0

    def part(self, worker: int) -> Any:
        return DATA.part(worker, self.job.parts, self.job.batch, self.job.epochs, self.job.seed)

    def deliver(self, host: Host, message: Message) -> None:
        for peer, frames in self.server.handle(host, message):
            assert isinstance(peer, Host)
            peer.inbox.append([bytes(frame) for frame in frames])

    def run(self, events: list[tuple[int, str, int]]) -> Engine:
        """Until all parts are learned; the engine as it then is."""
        agenda, after = list(events), 0
        try:
            for _ in range(30_000):
                if self.server.engine.finished:
                    return self.server.engine
                after += 1
                if agenda and after >= agenda[0][0]:
                    _, what, whom = agenda.pop(0)
                    after = 0
                    self._happen(what, whom)
                self._end_notices()
                self._arrange()
                self._move()
            raise AssertionError("the workers hang")
        finally:
            for thread in self.threads:
                thread.lose()

    def _move(self) -> None:
        living = [each for each in self.threads if not each.done]
        ready = [each for each in living if not each.waits or each.inbox]
        # Who waits in vain asks again, as after a second's silence.
        able = living if not ready or self.chance.random() < 0.02 else ready
        if able:
            self.chance.choice(able).move()
        self.threads = [each for each in self.threads if not each.done]

    def _arrange(self) -> None:
        usable = [each for each in self.instances if each not in self.warned]
        working = [n for n, each in enumerate(self.server.engine.workers()) if not each["left"]]
        current: dict[LeaseId, list[int]] = {}
        for worker, host in self.hosts.items():
            if not host.done and host.instance in usable:
                current.setdefault(host.instance, []).append(worker)
        for instance, workers in place(current, dict.fromkeys(usable, 1.0), working).items():
            for worker in workers:
                host = self.hosts.get(worker)
                if host is None or host.done or host.instance != instance:
                    # The former host, where there is one, finds out that it was replaced.
                    self.hosts[worker] = fresh = Host(self, worker, instance)
                    self.started += 1
                    self.threads.append(fresh)

    def _happen(self, what: str, whom: int) -> None:
        some = self.instances[whom % len(self.instances)] if self.instances else None
        match what:
            case "warn" if some is not None:
                self.warned.setdefault(some, self.notice)
            case "lose" if some is not None:
                self._lose(some)
            case "lose all":
                for each in list(self.instances):
                    self._lose(each)
            case "warn all":
                for each in self.instances:
                    self.warned.setdefault(each, self.notice)
            case "join":
                self._join()
            case "save":
                self.saved = self._snapshot()
            case "lose a worker":
                host = self.hosts.get(whom % self.job.parts)
                if host is not None:
                    host.lose()
            case "lose the server":
                self._lose_server()
            case "lose everything":
                for each in list(self.instances):
                    self._lose(each)
                self._lose_server()
                for _ in range(whom % 3):
                    self._join()

    def _lose(self, instance: LeaseId) -> None:
        for thread in self.threads:
            if thread.instance == instance:
                thread.lose()
        self.instances.remove(instance)
        self.warned.pop(instance, None)

    def _lose_server(self) -> None:
        """Another goes on from the last snapshot; the workers that live on notice by themselves."""
        self.servers_lost += 1
        self.server = Server(Engine.restore(self.saved))
        for thread in self.threads:
            thread.inbox.clear()

    def _end_notices(self) -> None:
        for instance, left in list(self.warned.items()):
            busy = any(each.instance == instance and not each.done for each in self.threads)
            if left <= 0 or not busy:
                self._lose(instance)
            else:
                self.warned[instance] = left - 1
        if len(self.instances) == len(self.warned) and self.chance.random() < 0.05:
            self._join()  # a revoked market comes back

    def _join(self) -> None:
        self.instances.append(LeaseId(f"i{self.named:03d}"))
        self.named += 1

    def _snapshot(self) -> Snapshot:
        arrays, header = self.server.engine.snapshot().plain()
        return snapshot_of({name: array.copy() for name, array in arrays.items()}, header)


class _Counting:
    """An algorithm that counts the batches that were begun."""

    def __init__(self, algorithm: Algorithm) -> None:
        self._algorithm = algorithm
        self.batches = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._algorithm, name)

    def update(self, state: Any, stream: Iterator[Batch], synchronized: bool) -> None:
        def counted() -> Iterator[Batch]:
            for batch in stream:
                self.batches += 1
                yield batch

        self._algorithm.update(state, counted(), synchronized)


def arrays_of(engine: Engine) -> dict[str, bytes]:
    arrays, _ = engine.snapshot().plain()
    return {name: array.tobytes() for name, array in arrays.items()}


_undisturbed: dict[str, dict[str, bytes]] = {}


def undisturbed(optimizer: str) -> dict[str, bytes]:
    """Every table of a run in this process that nothing happened to."""
    if optimizer not in _undisturbed:
        job = job_of(optimizer)
        algorithm = build_algorithm(job.learner)
        engine = fresh_state(job, algorithm, DATA)
        learn_here(job, algorithm, DATA, engine)
        _undisturbed[optimizer] = arrays_of(engine)
    return _undisturbed[optimizer]


def total() -> int:
    job = job_of("sgd")
    return sum(DATA.part(n, PARTS, job.batch, EPOCHS, job.seed).length for n in range(PARTS))


WARNED = ("warn", "warn all", "join", "save")
UNWARNED = (*WARNED, "lose", "lose all", "lose a worker", "lose the server", "lose everything")


def events(kinds: tuple[str, ...]) -> st.SearchStrategy[list[tuple[int, str, int]]]:
    each = st.tuples(st.integers(1, 120), st.sampled_from(kinds), st.integers(0, 7))
    return st.lists(each, max_size=10)


quickly = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
seeds, sizes = st.integers(0, 2**32), st.integers(1, 5)
optimizers = pytest.mark.parametrize("optimizer", ["sgd", "adagrad"])


@optimizers
@quickly
@given(seeds, sizes, events(WARNED))
@example(1, 3, [(10, "warn all", 0), (60, "warn all", 0), (60, "warn all", 0)])
def test_warned_evictions_lose_nothing_and_change_no_bit(optimizer, seed, instances, schedule) -> None:
    world = World(job_of(optimizer), seed, instances)
    engine = world.run(schedule)
    assert arrays_of(engine) == undisturbed(optimizer)
    # Whoever is relieved in the middle of a batch leaves that batch, and no more, to be done again.
    assert total() <= world.algorithm.batches <= total() + world.started - PARTS
    assert engine.counts[Receipt.APPLIED] == total() * 3


@optimizers
@quickly
@given(seeds, sizes, st.integers(0, 25), events(UNWARNED))
@example(2, 2, 0, [(40, "save", 0), (40, "lose everything", 2), (5, "lose everything", 1)])
@example(3, 4, 3, [(30, "lose the server", 0), (30, "lose the server", 0), (30, "lose all", 0)])
def test_unwarned_losses_change_no_bit(optimizer, seed, instances, notice, schedule) -> None:
    """Of instances, workers, the server, and all at once; and notices shorter than the drain."""
    world = World(job_of(optimizer), seed, instances, notice)
    engine = world.run(schedule)
    assert arrays_of(engine) == undisturbed(optimizer)


@quickly
@given(seeds, sizes, events(tuple(each for each in UNWARNED if "server" not in each and "every" not in each)))
@pytest.mark.parametrize(("consistency", "staleness"), [("stale_synchronous", 1), ("asynchronous", 0)])
def test_in_the_other_modes_every_row_counts_once(consistency, staleness, seed, instances, schedule) -> None:
    """As long as the server lives: what a lost host had pushed of its batch is not pushed again."""
    world = World(job_of("sgd", consistency, staleness), seed, instances, notice=5)
    engine = world.run(schedule)
    (_, weight) = engine.table("progress").read(None).sum(axis=1).tolist()
    assert weight == ROWS * EPOCHS


@quickly
@given(seeds, st.integers(1, 300), st.sampled_from([("stale_synchronous", 2), ("asynchronous", 0)]))
def test_a_lost_server_goes_back_to_the_snapshot_and_no_further(seed, when, mode) -> None:
    """In the modes that are not exact: after it, every row since the snapshot is learned again, once."""
    world = World(job_of("sgd", *mode), seed, 3)
    engine = world.run([(when, "save", 0), (20, "lose the server", 0)])
    (_, weight) = engine.table("progress").read(None).sum(axis=1).tolist()
    assert weight == ROWS * EPOCHS


def test_the_schedules_do_what_they_say() -> None:
    """Losses must cost work here, or the tests above would show nothing."""
    world = World(job_of("sgd"), 7, 3)
    engine = world.run(
        [
            (30, "save", 0),
            (40, "lose", 0),
            (40, "lose a worker", 1),
            (40, "lose the server", 0),
            (9, "lose all", 0),
        ]
    )
    assert world.servers_lost == 1 and world.algorithm.batches > total() + 3
    assert world.named > 3 and engine.epoch == 1
    assert arrays_of(engine) == undisturbed("sgd") != undisturbed("adagrad")


def test_the_number_of_instances_does_not_show() -> None:
    for instances in (1, 2, 3, 7):
        assert arrays_of(World(job_of("adagrad"), instances, instances).run([])) == undisturbed("adagrad")
