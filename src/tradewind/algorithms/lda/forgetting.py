"""How much more a document counts than those before it.

In online variational inference (Hoffman et al., NIPS 2010, section 2.2) a step's share is
rho_t = (tau + t) ** -kappa, and all that was counted before is multiplied by 1 - rho_t: every step would
touch every word. Here nothing that was counted is touched. A later document counts more instead, by as much
as the earlier ones ought to have faded, and whoever reads the counts divides them by the weight of the
latest. That makes a batch's push one of its own words only, and the pushes of several workers a plain sum.
"""

from __future__ import annotations

import math

UNIT = 256
"""Documents to one step of t, whatever the batches and the number of workers."""
_DOUBLINGS, _FIRST = 145.0, -60.0
"""A float32 holds no more: from then on weights stay, and later documents all count the same. With kappa 0.7
that is after 24 million documents, with 0.5 after 660,000."""


def weight_of(documents: float, kappa: float, tau: float) -> float:
    """What the next document counts, after so many: exp of the sum of rho_t up to it, times a constant.

    The sum is taken as an integral, so that it does not depend on how documents come in batches.
    """
    t = documents / UNIT
    if kappa == 1.0:
        faded = math.log1p(t / tau)
    else:
        faded = ((tau + t) ** (1 - kappa) - tau ** (1 - kappa)) / (1 - kappa)
    return math.exp2(_FIRST + min(faded / math.log(2), _DOUBLINGS))
