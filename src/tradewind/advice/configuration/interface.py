"""What an advisor is: from what is known so far to the next probe, and to what it believes of all."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from tradewind.advice.configuration.objective import Objective
from tradewind.advice.configuration.runs import Corpus, Run
from tradewind.advice.configuration.space import ConfigurationSpace

Array = NDArray[np.float64]


class AdvisingView(Struct, frozen=True):
    """All that an advisor may know at a moment."""

    space: ConfigurationSpace
    objective: Objective
    runs: tuple[Run, ...] = ()
    """Probes of this workload, in the order in which they were made."""
    corpus: Corpus = Corpus()
    """Runs of other workloads, which the user has left or none."""
    current: int | None = None
    """What the user runs now: it is a candidate like the others, and what advice is compared with."""
    recurrences: float = 10.0
    """How often the workload will still be run once the search is over."""
    budget: float | None = None
    """Dollars that all probes together may cost; None for no limit."""
    time_limit: float | None = None
    """Seconds after which a run is ended as `timed_out`, whoever asks."""
    seed: int = 0

    @property
    def spent(self) -> float:
        """Dollars of all probes so far."""
        return sum(run.dollars for run in self.runs)

    @property
    def probed(self) -> frozenset[int]:
        """The configurations that were tried, however that ended."""
        return frozenset(run.configuration for run in self.runs)

    @property
    def unseen(self) -> tuple[int, ...]:
        """Those that were not, by number."""
        probed = self.probed
        return tuple(number for number in range(len(self.space)) if number not in probed)

    @property
    def best(self) -> Run | None:
        """The best run that came to its end in time; the first of equals."""
        met = [run for run in self.runs if self.objective.met(run)]
        return min(met, key=self.objective.value) if met else None


class Probe(Struct, frozen=True):
    """Run the workload there next."""

    configuration: int
    reason: str
    """In words."""
    limit: float | None = None
    """Seconds after which it may be ended as `stopped`, for it can no longer be the best; None for never."""


class Stop(Struct, frozen=True):
    """Look no further."""

    reason: str
    """In words: what was reached, or ran out."""


class Prediction(Struct, frozen=True):
    """What is believed of each of n configurations, measured ones among them."""

    logs: Array
    """(n,) means of the natural logarithm of the objective (dollars or seconds) of a whole run."""
    deviations: Array
    """(n,) standard deviations of the same."""
    feasible: Array
    """(n,) probabilities that a run comes to its end, and in time."""
    seconds: Array
    """(n,) medians of a whole run's time."""


class Advisor(Protocol):
    """A rule for which configuration is tried next, and when that is enough.

    1. Both methods are functions of their arguments and of the advisor's own; chance comes from `view.seed`
       and the number of runs, so that a search can be taken up again from its record.
    2. What was tried, whatever came of it, is never proposed again, and nothing whose probe is believed to
       cost more than is left of the budget.
    3. `predict` works with any number of runs, none among them.
    """

    @property
    def recommends_unmeasured(self) -> bool:
        """Whether its recommendation may be something that it has not tried."""
        ...

    def next(self, view: AdvisingView) -> Probe | Stop:
        """The next probe, or why there is none."""
        ...

    def predict(self, view: AdvisingView) -> Prediction:
        """What is believed of every configuration."""
        ...
