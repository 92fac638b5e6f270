"""The greatest welfare that is possible when all jobs are known: a mixed integer programme.

    maximise sum_j (v_j - cost D_j) a_j,  sum_t x_jt = D_j a_j,  x_jt <= parallel_j,  sum_j x_jt <= K,

a_j in {0, 1}; x_jt, tasks of job j in slot t, need not be asked to be whole, for with the a_j fixed they are
a flow, which has a whole solution where it has any.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import coo_array

from tradewind.advice.purchasing.interface import Job, Supply, checked
from tradewind.errors import Misuse, Permanent

_MOST = 50


def offline_optimum(jobs: Sequence[Job], supply: Supply) -> float:
    """US dollars of welfare; 0 for no job. Raises Misuse for more than 50 jobs, and as `checked` does."""
    if len(jobs) > _MOST:
        raise Misuse(
            f"{len(jobs)} jobs", field="jobs", fix=f"Give {_MOST} at most: the programme is exponential."
        )
    known = checked(jobs, supply)
    if not known:
        return 0.0
    pairs = [(at, slot) for at, job in enumerate(known) for slot in range(job.arrival, job.last + 1)]
    count = len(known) + len(pairs)
    gains = np.zeros(count)
    upper = np.ones(count)
    rows, columns, values = [], [], []
    for at, job in enumerate(known):
        gains[at] = supply.cost * job.tasks - job.value
        rows.append(at)
        columns.append(at)
        values.append(-float(job.tasks))
    for number, (at, slot) in enumerate(pairs, len(known)):
        upper[number] = known[at].parallel
        rows += [at, len(known) + slot]
        columns += [number, number]
        values += [1.0, 1.0]
    matrix = coo_array((values, (rows, columns)), shape=(len(known) + supply.slots, count)).tocsr()
    low = np.concatenate([np.zeros(len(known)), np.full(supply.slots, -np.inf)])
    high = np.concatenate([np.zeros(len(known)), np.full(supply.slots, float(supply.capacity))])
    whole = np.concatenate([np.ones(len(known)), np.zeros(len(pairs))])
    found = milp(
        gains, integrality=whole, bounds=Bounds(0.0, upper), constraints=LinearConstraint(matrix, low, high)
    )
    if not found.success:
        raise Permanent(f"the optimum was not found: {found.message}")
    return max(0.0, -float(found.fun))
