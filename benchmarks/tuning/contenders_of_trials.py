"""What `tuning/dollars` needs around the rules: a list of settings to search, Optuna's own code, and a plan
that goes on when a rule has spoken its last word.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import optuna
from numpy.typing import NDArray

from tradewind.tuning.interface import PAUSE, STOP, Stopper, Verdict
from tradewind.tuning.space import Space
from tradewind.tuning.trial import COMPLETED, PAUSED, STOPPED, Setting, Trial

optuna.logging.set_verbosity(optuna.logging.ERROR)


class Listed:
    """A `Searcher` that tries the settings of a list in its order."""

    def __init__(self, settings: Sequence[Setting]) -> None:
        self.settings = settings

    def propose(self, space: Space, trials: Sequence[Trial], number: int) -> Setting | None:
        """The setting of that number; None after the last."""
        return dict(self.settings[number]) if number < len(self.settings) else None


class OptunaListed:
    """Optuna's TPE over a list of settings, in a study with its Hyperband: a `Searcher`.

    TPE suggests a point of the whole space; the untried setting of the list that is nearest in the unit cube
    is tried, and told to TPE under its own values (`enqueue_trial`, as Optuna has it for a user's choice).
    """

    def __init__(
        self, space: Space, settings: Sequence[Setting], rows: NDArray[np.float64], max_steps: int,
        seed: int, *, least: int, eta: int,
    ) -> None:  # fmt: skip
        self._space, self._settings, self._rows = space, settings, rows
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.study = optuna.create_study(
                study_name=f"seed {seed}",
                sampler=optuna.samplers.TPESampler(seed=seed, constant_liar=True),
                pruner=optuna.pruners.HyperbandPruner(least, max_steps, eta),
            )
        self.of: dict[int, Any] = {}
        self._tried: list[int] = []

    def propose(self, space: Space, trials: Sequence[Trial], number: int) -> Setting | None:
        """What TPE asks for, as near as the list has it; the same whenever a number is asked again."""
        if number >= len(self._settings):
            return None
        while len(self._tried) <= number:
            asked = self.study.ask()
            point = np.array([self._unit(name, self._suggested(asked, name)) for name in self._names])
            self.study.tell(asked, state=optuna.trial.TrialState.FAIL)
            left = np.setdiff1d(np.arange(len(self._settings)), self._tried)
            nearest = int(left[np.argmin(((self._rows[left] - point) ** 2).sum(1))])
            self.study.enqueue_trial(dict(self._settings[nearest]))
            known = self.study.ask()
            for name in self._names:
                self._suggested(known, name)
            self.of[len(self._tried)] = known
            self._tried.append(nearest)
        return dict(self._settings[self._tried[number]])

    @property
    def _names(self) -> list[str]:
        return [each.name for each in self._space.parameters]

    def _suggested(self, trial: Any, name: str) -> float:
        kind: Any = next(each.of for each in self._space.parameters if each.name == name)
        if type(kind).__name__ == "Integer":
            return float(trial.suggest_int(name, kind.low, kind.high, log=kind.log))
        return float(trial.suggest_float(name, kind.low, kind.high, log=kind.log))

    def _unit(self, name: str, value: float) -> float:
        kind: Any = next(each.of for each in self._space.parameters if each.name == name)
        if kind.log:
            return float(np.log(value / kind.low) / np.log(kind.high / kind.low))
        return float((value - kind.low) / (kind.high - kind.low))


class OptunaHyperband:
    """Optuna's Hyperband over the trials that `OptunaListed` asked it for: a `Stopper`."""

    def __init__(self, listed: OptunaListed, max_steps: int) -> None:
        self.max_steps, self._listed = max_steps, listed
        self._told: set[int] = set()

    def judge(self, trial: Trial, trials: Sequence[Trial]) -> Verdict:
        """What Hyperband says."""
        known = self._listed.of[trial.number]
        known.report(trial.losses[-1], trial.steps[-1])
        if not known.should_prune():
            return Verdict()
        self._listed.study.tell(known, state=optuna.trial.TrialState.PRUNED)
        self._told.add(trial.number)
        return Verdict(STOP, "Hyperband prunes it")

    def finished(self, number: int, value: float) -> None:
        """A trial came to its end."""
        if number not in self._told:
            self._told.add(number)
            self._listed.study.tell(self._listed.of[number], value)

    def resumed(self, trials: Sequence[Trial], exhausted: bool) -> tuple[int, ...]:
        """None: what is pruned is over."""
        return ()


class ToTheEnd:
    """A `Stopper` around another, or around none, that goes on after its last word.

    What the rule stops is paused in truth, so that its checkpoint stays. When the rule has nothing more to
    run, `over` is called once, and those that were left go on, one after the other as machines are free: the
    furthest first, and of those the one with the least last loss.
    """

    def __init__(self, rule: Stopper | None, max_steps: int, over: Callable[[], None]) -> None:
        self.max_steps, self._rule, self._over = max_steps, rule, over
        self._stopped: set[int] = set()
        self._last = False

    def judge(self, trial: Trial, trials: Sequence[Trial]) -> Verdict:
        """What the rule says, a stop being a pause."""
        if self._rule is None or self._last:
            return Verdict()
        said = self._rule.judge(trial, self._seen(trials))
        if said.action == STOP:
            self._stopped.add(trial.number)
            return Verdict(PAUSE, said.reason)
        return said

    def resumed(self, trials: Sequence[Trial], exhausted: bool) -> tuple[int, ...]:
        """What the rule says, and after it the next of those that were left."""
        if self._rule is not None and not self._last:
            found = self._rule.resumed(self._seen(trials), exhausted)
            if found or not exhausted:
                return found
        if exhausted and not self._last:
            self._last = True
            self._over()
        left = [each for each in trials if each.state == PAUSED]
        if not self._last or not left:
            return ()
        best = min(left, key=lambda each: (-max(each.steps), each.losses[-1], each.number))
        return (best.number,)

    def _seen(self, trials: Sequence[Trial]) -> list[Trial]:
        """The trials as the rule left them."""
        return [
            _as(each, STOPPED) if each.number in self._stopped and each.state == PAUSED else each
            for each in trials
        ]


def _as(trial: Trial, state: str) -> Trial:
    return Trial(
        trial.number, trial.setting, state, trial.steps, trial.losses, trial.final, trial.dollars,
        trial.seconds, trial.parent, trial.foreign, trial.identical,
    )  # fmt: skip


def answer(trials: Sequence[Any]) -> int | None:
    """The number of the finished trial with the least final value."""
    done = [each for each in trials if each.state == COMPLETED and each.final is not None]
    return min(done, key=lambda each: (each.final, each.number)).number if done else None
