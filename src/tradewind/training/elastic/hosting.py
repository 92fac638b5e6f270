"""Which task hosts which logical worker: hosts start where workers should be, and the former ones leave.

A worker that moves is taken over by its new host at once, so that nothing is agreed between the two: a batch
in hand is computed again. Whoever loses its host goes back, if it can, to an instance that has hosted it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tradewind.market.leases import Lease, LeaseId
from tradewind.runtimes.interface import Task, TaskEnd, TaskState
from tradewind.training.elastic.orders import Orders
from tradewind.training.elastic.placement import place

WORKER = "tradewind.training.worker"


class _Hosting:
    """One task that hosts a logical worker, from the order to start it until its end."""

    def __init__(self, task: str, worker: int, lease: LeaseId, former: _Hosting | None) -> None:
        self.task, self.worker, self.lease = task, worker, lease
        self.former = former
        """Who hosts the worker until this one is accepted."""
        self.accepted = False
        self.leaving = False


class Hostings:
    """The tasks that host a job's logical workers; `arguments` are what each is given besides its number."""

    def __init__(self, orders: Orders, arguments: Mapping[str, Any]) -> None:
        self._orders, self._arguments = orders, dict(arguments)
        self._hostings: dict[str, _Hosting] = {}
        self._host: dict[int, _Hosting] = {}
        """The latest task of each logical worker."""
        self._former: dict[int, list[LeaseId]] = {}
        """The instances that have hosted a worker and are still ours, the latest last."""

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks that run, or are being started."""
        return tuple(self._hostings)

    @property
    def working(self) -> set[LeaseId]:
        """The leases on which a worker was accepted."""
        return {each.lease for each in self._host.values() if each.accepted}

    @property
    def at_work(self) -> dict[str, int]:
        """The worker of each task that has begun and is not asked to leave."""
        return {
            each.task: each.worker
            for each in self._hostings.values()
            if each.accepted and not each.leaving and self._host.get(each.worker) is each
        }

    def on(self, lease: LeaseId) -> list[str]:
        """The tasks on a lease."""
        return [each.task for each in self._hostings.values() if each.lease == lease]

    def arrange(
        self, workers: Iterable[int], leases: Mapping[LeaseId, Lease], speeds: Mapping[LeaseId, float]
    ) -> None:
        """Start a host for every one of `workers` that should be elsewhere than it is."""
        current: dict[LeaseId, list[int]] = {}
        for worker, hosting in self._host.items():
            if hosting.task in self._hostings and not hosting.leaving:
                current.setdefault(hosting.lease, []).append(worker)
        for lease, those in place(current, speeds, sorted(workers), self._former).items():
            for worker in those:
                there = self._host.get(worker)
                if there is not None and there.task in self._hostings and not there.leaving:
                    if there.lease == lease:
                        continue
                    if not there.accepted:
                        continue  # it has only just been sent elsewhere; it may move when it is there
                # Written down at once: whoever arranges next, even before it starts, must know of it.
                hosting = _Hosting(self._orders.name(f"worker-{worker}"), worker, lease, there)
                self._hostings[hosting.task] = self._host[worker] = hosting
                self._orders.keep(self._start(hosting, leases[lease]))

    def leave(self, lease: LeaseId) -> list[str]:
        """Ask every task on a lease to leave; their names."""
        mine = self.on(lease)
        for task in mine:
            self._ask_to_leave(self._hostings[task])
        return mine

    def kill(self, task: str, reason: str) -> bool:
        """End a task that hangs; its worker is to be hosted anew. True if that broke the job."""
        hosting = self._hostings[task]
        hosting.leaving = True
        self._orders.ask_to_leave(task, 0.0)
        return self._orders.failed(f"worker-{hosting.worker}", reason)

    def give_up(self, lease: LeaseId) -> None:
        """Count on no host on a lease any more."""
        for those in self._former.values():
            if lease in those:
                those.remove(lease)
        for hosting in self._hostings.values():
            if hosting.lease == lease:
                hosting.leaving = True
                former = hosting.former
                if former is not None and former.task in self._hostings and not former.leaving:
                    self._host[hosting.worker] = former  # nobody has relieved it, and nobody need

    def ended(self, end: TaskEnd) -> bool:
        """A task has ended; whether it was one of these. A worker that has not finished is hosted again."""
        hosting = self._hostings.pop(end.task, None)
        if hosting is None:
            return False
        if end.state is TaskState.FAILED and not hosting.leaving and not self._orders.over:
            self._orders.failed(f"worker-{hosting.worker}", end.reason)
        return True

    async def _start(self, hosting: _Hosting, lease: Lease) -> None:
        arguments = {**self._arguments, "worker": hosting.worker}
        started = not hosting.leaving and await self._orders.start(
            lease, Task(hosting.task, WORKER, arguments)
        )
        former, hosting.former = hosting.former, None
        if not started:
            self._hostings.pop(hosting.task, None)
            return
        hosting.accepted = True
        if hosting.leaving:
            self._ask_to_leave(hosting)  # its lease was given up while it started
            return
        those = self._former.setdefault(hosting.worker, [])
        those[:] = [*(each for each in those if each != lease.id), lease.id]
        if former is not None and former.task in self._hostings:
            self._ask_to_leave(former)

    def _ask_to_leave(self, hosting: _Hosting) -> None:
        hosting.leaving = True
        self._orders.ask_to_leave(hosting.task)
