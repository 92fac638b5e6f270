"""Micky: one configuration for a whole set of workloads, by a bandit.

Hsu, Nair, Menzies and Freeh, "Micky: a cheaper alternative for selecting cloud instances" (CLOUD 2018): an
arm is a configuration; pulling it runs a workload of the set, drawn at random, on it; the arm that pays best
is taken for all. The rule is UCB1 (Auer, Cesa-Bianchi and Fischer, "Finite-time analysis of the multiarmed
bandit problem", Machine Learning 47, 2002, figure 1). Ours: a pull pays the cheapest run of that workload
seen so far over the cost of this one, so that workloads count alike, and nothing where the run fails.
"""

from __future__ import annotations

import math

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from tradewind.advice.configuration.affordable import affordable
from tradewind.advice.configuration.corpus_ranking import ranked_prediction
from tradewind.advice.configuration.interface import AdvisingView, Array, Prediction, Probe, Stop
from tradewind.advice.configuration.objective import Objective
from tradewind.advice.configuration.plain_outlook import outlook
from tradewind.advice.configuration.runs import Corpus, Run

_LEAST = 0.05
"""Standard deviation, at least, of what is predicted."""
_WORST = 1e-3
"""The least that an arm is believed to pay."""
_CHANCE = 3
"""Sets its chance apart from that of others with the same seed."""


class OneForAll(Struct, frozen=True):
    """What came of the pulls."""

    configuration: int
    """The one for all workloads: the most often pulled; of equals, the one that pays best."""
    pulls: NDArray[np.int64]
    """(n,) of each configuration."""
    pays: Array
    """(n,) mean reward of each in [0, 1]; 0 where it was not pulled."""
    deviations: Array
    """(n,) standard deviation of the reward."""
    whole: Array
    """(n,) share of the pulls that ended well, with one more that did and one that did not."""
    spent: float
    """Dollars of all pulls."""


def one_for_all(corpus: Corpus, objective: Objective, n: int, pulls: int, seed: int = 0) -> OneForAll | None:
    """The configuration of n for all workloads of the corpus after so many pulls, drawn from its runs.

    None where the corpus has no run. O(pulls x n).
    """
    names = sorted(corpus.workloads)
    by_arm: dict[int, dict[int, list[Run]]] = {}
    for which, name in enumerate(names):
        for run in corpus.workloads[name]:
            by_arm.setdefault(run.configuration, {}).setdefault(which, []).append(run)
    if not by_arm:
        return None
    chance = np.random.default_rng((seed, _CHANCE))
    arms = sorted(by_arm)
    waiting = [arms[int(at)] for at in chance.permutation(len(arms))]
    pulled, whose = np.zeros(pulls, np.int64), np.zeros(pulls, np.int64)
    values, spent = np.full(pulls, np.inf), 0.0
    cheapest = np.full(len(names), np.inf)
    for pull in range(pulls):
        if waiting:
            arm = waiting.pop()
        else:
            many, pays, _ = _paid(pulled[:pull], whose[:pull], values[:pull], cheapest, n)
            tried = many > 0
            bounds = np.full(n, -np.inf)
            bounds[tried] = pays[tried] + np.sqrt(2 * math.log(pull) / many[tried])
            arm = int(np.argmax(bounds))
        ran = list(by_arm[arm])
        which = ran[int(chance.integers(len(ran)))]
        repeats = by_arm[arm][which]
        run = repeats[int(chance.integers(len(repeats)))]
        pulled[pull], whose[pull] = arm, which
        spent += run.dollars
        if run.whole:
            values[pull] = objective.value(run)
            cheapest[which] = min(cheapest[which], values[pull])
    many, pays, squares = _paid(pulled, whose, values, cheapest, n)
    first = min(arms, key=lambda arm: (-many[arm], -pays[arm], arm))
    ended = np.bincount(pulled[np.isfinite(values)], minlength=n)
    deviations = np.sqrt(np.maximum(squares - pays**2, 0.0))
    return OneForAll(first, many, pays, deviations, (ended + 1) / (many + 2), spent)


def _paid(
    pulled: NDArray[np.int64], whose: NDArray[np.int64], values: Array, cheapest: Array, n: int
) -> tuple[NDArray[np.int64], Array, Array]:
    """Pulls of each arm, the mean of what they pay, and of its square, by the cheapest that is known now."""
    rewards = np.zeros(len(values))
    ended = np.isfinite(values)
    rewards[ended] = cheapest[whose[ended]] / values[ended]
    many = np.bincount(pulled, minlength=n)
    least = np.maximum(many, 1)
    return many, np.bincount(pulled, rewards, n) / least, np.bincount(pulled, rewards**2, n) / least


class Micky(Struct, frozen=True):
    """Tries the one configuration that the bandit takes for all workloads of the corpus, once.

    The pulls are looked up among the corpus's runs; their dollars are the group's, not this workload's.
    Without a corpus it has nothing to say and stops.
    """

    rounds: float = 2.0
    """Pulls for each configuration, on average."""

    @property
    def recommends_unmeasured(self) -> bool:
        """What is good for the group is recommended once it was tried."""
        return False

    def next(self, view: AdvisingView) -> Probe | Stop:
        """The group's configuration; where it does not work, the next that pays best."""
        found = self._found(view)
        open_ = affordable(view, _believed(view, found))
        if isinstance(open_, Stop):
            return open_
        if found is None:
            return Stop("No runs of other workloads are there: there is no group to choose for.")
        if view.best is not None:
            return Stop("What the group runs on was tried, and does what is asked.")
        if found.configuration in open_:
            number = found.configuration
        else:
            number = int(open_[np.argmax(found.pays[open_])])
        return Probe(number, f"pays best for the group, after {int(found.pulls.sum())} pulls")

    def predict(self, view: AdvisingView) -> Prediction:
        """What the arms pay, at the level of this workload."""
        return _believed(view, self._found(view))

    def _found(self, view: AdvisingView) -> OneForAll | None:
        n = len(view.space)
        return one_for_all(view.corpus, view.objective, n, max(1, round(self.rounds * n)), view.seed)


def _believed(view: AdvisingView, found: OneForAll | None) -> Prediction:
    if found is None:
        return outlook(view)
    pays = np.maximum(found.pays, _WORST)
    logs, deviations = -np.log(pays), np.maximum(found.deviations / pays, _LEAST)
    logs[found.pulls == 0] = logs[found.pulls > 0].max()
    return ranked_prediction(view, logs, deviations, found.whole)
