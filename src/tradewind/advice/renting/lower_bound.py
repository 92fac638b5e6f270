"""What no renter can undercut: the resource-time that the tasks need, bought at the best prices.

A linear programme. Let a task of kind i (what it asks for) need S_i seconds in all, y_ik of them on type k,
and let X_k be the seconds of instances of type k that are paid for. Whatever is done with the tasks, at every
moment an instance has room for all that is on it, so that summed over time

    minimise sum_k price_k X_k,  sum_k y_ik = S_i,  sum_i u(asked_ir / has_kr) y_ik <= X_k

for each resource r and each u, where y_ik is there only if the type has room for the task. With u(x) = x that
is the resource-time; and since tasks are whole, it holds for every dual feasible function u too: one of which
no set that fits together comes to more than 1. Those used are Fekete and Schepers' (Mathematical Programming
91(1), 2001): u_n(x) = x where (n + 1) x is whole, else floor((n + 1) x) / n; u_1 says that two tasks above
one half never share. GPUs are such bins one by one. Launches, waiting, minutes that are billed at least,
moves and the order of arrivals only add to it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import coo_array

from tradewind.advice.renting.room import whole
from tradewind.advice.renting.tasks import Task
from tradewind.errors import Misuse, Permanent
from tradewind.market.instances import InstanceType
from tradewind.market.offers import Offer
from tradewind.market.resources import Resources

_AMOUNTS = ("vcpus", "memory_gib", "gpus")
_FUNCTIONS = 6
"""Dual feasible functions beside x itself."""


def lower_bound(
    tasks: Sequence[Task],
    offers: Sequence[Offer],
    *,
    speed: Callable[[Task, InstanceType], float] | None = None,
) -> float:
    """US dollars that running `tasks` on `offers` costs at least; 0 for no task.

    `speed` as in `simulation.rented_for`; tasks are then kinds of their own. Raises Misuse for a task that no
    offer has room for.
    """
    if not tasks:
        return 0.0
    kinds: dict[object, tuple[Task, float]] = {}
    for task in tasks:
        key = task.id if speed else _key(task.resources)
        first, seconds = kinds.get(key, (task, 0.0))
        kinds[key] = first, seconds + task.run_time
    pairs = [
        (row, column, 1.0 / speed(task, offer.type) if speed else 1.0)
        for row, (task, _) in enumerate(kinds.values())
        for column, offer in enumerate(offers)
        if whole(offer.type.resources).fits(task.resources)
    ]
    homeless = set(range(len(kinds))) - {row for row, _, _ in pairs}
    if homeless:
        raise Misuse(
            f"no offered type has room for {list(kinds.values())[min(homeless)][0].id}", source="tasks",
            field="resources", fix="Leave it out, or offer a larger type.",
        )  # fmt: skip
    listed = list(kinds.values())
    count = len(pairs)
    at, rows, values = [], [], []
    each_type = len(_AMOUNTS) * (1 + _FUNCTIONS)
    for number, (row, column, slower) in enumerate(pairs):
        asked, has = listed[row][0].resources, offers[column].type.resources
        for which, amount in enumerate(_AMOUNTS):
            for function in range(1 + _FUNCTIONS):
                share = _share(getattr(asked, amount), getattr(has, amount), amount == "gpus", function)
                if share:
                    rows.append(each_type * column + (1 + _FUNCTIONS) * which + function)
                    at.append(number)
                    values.append(share * slower)
    for column in range(len(offers)):
        rows += range(each_type * column, each_type * (column + 1))
        at += [count + column] * each_type
        values += [-1.0] * each_type
    held = coo_array((values, (rows, at)), shape=(each_type * len(offers), count + len(offers)))
    work = coo_array(
        (np.ones(count), ([row for row, _, _ in pairs], range(count))),
        shape=(len(kinds), count + len(offers)),
    )
    prices = np.array([0.0] * count + [offer.price.per_hour / 3600 for offer in offers])
    needed = np.array([seconds for _, seconds in listed])
    found = linprog(  # type: ignore[call-overload]  # its stubs know no sparse matrices
        prices,
        A_ub=held.tocsr(),
        b_ub=np.zeros(held.shape[0]),
        A_eq=work.tocsr(),
        b_eq=needed,
        method="highs",
    )
    if not found.success:
        raise Permanent(f"the bound was not found: {found.message}")
    return float(found.fun)


def _share(asked: float, has: float, devices: bool, function: int) -> float:
    """u(asked / has) of a resource; for GPUs of each device, as a share of all of them."""
    if not asked:
        return 0.0
    if devices:
        return asked / has if asked >= 1 else dual_feasible(asked, function) / has
    return dual_feasible(asked / has, function)


def dual_feasible(share: float, number: int) -> float:
    """u_n of a share from 0 to 1; n = 0 for the share itself.

    >>> [dual_feasible(share, 1) for share in (0.4, 0.5, 0.6)]
    [0.0, 0.5, 1.0]
    """
    steps = (number + 1) * share
    if not number or abs(steps - round(steps)) < 1e-9:
        return share
    return math.floor(steps) / number


def _key(resources: Resources) -> object:
    return resources.vcpus, resources.memory_gib, resources.gpus, resources.gpu_kind
