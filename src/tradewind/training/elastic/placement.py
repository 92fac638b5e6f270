"""Which instance hosts which logical workers: fair by speed, and moving as few as that allows.

AgileML (Harlap et al., EuroSys 2017), section 3: data goes to whoever is there, and on a loss to the others.
A move is cheap but not free: the new host reads the part's data, so nobody moves without need.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tradewind.market.leases import LeaseId


def place(
    current: Mapping[LeaseId, Sequence[int]],
    speeds: Mapping[LeaseId, float],
    workers: Sequence[int],
    former: Mapping[int, Sequence[LeaseId]] | None = None,
) -> dict[LeaseId, tuple[int, ...]]:
    """Logical `workers` over the instances of `speeds`, from where they are now.

    `current` may name instances that are gone and workers that have finished. An instance of twice the speed
    gets twice the workers, as far as whole numbers go; no move would bring down the time of the slowest
    instance. Empty where there is no instance. `former` names the instances that hosted a worker before, the
    latest last: a worker without a host goes back to one of them, which has its part read, where that makes
    nobody slower than they have to be.
    """
    if not speeds:
        return {}
    wanted = set(workers)
    hosts: dict[LeaseId, list[int]] = {
        lease: [each for each in current.get(lease, ()) if each in wanted] for lease in speeds
    }
    placed = {each for those in hosts.values() for each in those}
    homeless = sorted(wanted - placed)
    bound = _shortest(speeds, len(wanted)) if former and homeless else 0.0
    for worker in homeless:
        again = [
            lease
            for lease in (former or {}).get(worker, ())
            if lease in speeds and (len(hosts[lease]) + 1) / speeds[lease] <= bound
        ]
        if again:
            hosts[again[-1]].append(worker)
            placed.add(worker)
    for worker in sorted(wanted - placed):
        hosts[_next(hosts, speeds)].append(worker)
    while True:
        slowest = max(hosts, key=lambda lease: (len(hosts[lease]) / speeds[lease], lease))
        target = _next(hosts, speeds)
        after = (len(hosts[target]) + 1) / speeds[target]
        if not after < len(hosts[slowest]) / speeds[slowest]:
            return {lease: tuple(sorted(those)) for lease, those in hosts.items()}
        hosts[target].append(hosts[slowest].pop())


def _next(hosts: Mapping[LeaseId, Sequence[int]], speeds: Mapping[LeaseId, float]) -> LeaseId:
    """The instance that one worker more would leave the fastest."""
    return min(hosts, key=lambda lease: ((len(hosts[lease]) + 1) / speeds[lease], lease))


def _shortest(speeds: Mapping[LeaseId, float], workers: int) -> float:
    """The time of the slowest instance where so many workers are shared out as well as can be."""
    counts: dict[LeaseId, list[int]] = {lease: [] for lease in speeds}
    for worker in range(workers):
        counts[_next(counts, speeds)].append(worker)
    return max(len(those) / speeds[lease] for lease, those in counts.items())
