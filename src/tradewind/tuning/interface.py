"""What a rule of search and a rule of stopping are. Both are pure: arguments in, a decision out.

Whatever a rule needs to know is in the trials, which a study keeps; so a driver that is killed and started
again decides as the one before would have, and nothing of a rule has to be saved.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from msgspec import Struct

from tradewind.tuning.space import Space
from tradewind.tuning.trial import Setting, Trial

GO_ON, STOP, PAUSE, BECOME = "go_on", "stop", "pause", "become"
"""What may be done with a trial: `pause` keeps its checkpoint for later, `become` makes it another trial's
copy with a setting of its own."""


class Verdict(Struct, frozen=True):
    """What is to be done with a running trial, and why, in words."""

    action: str = GO_ON
    reason: str = ""
    parent: int | None = None
    """For `become`: the trial from whose checkpoint it goes on."""
    setting: Setting | None = None
    """For `become`: with which setting."""


class Searcher(Protocol):
    """A rule for what is tried next.

    1. `propose` is a function of its arguments and of the searcher's own, `seed` among them: called again
       with the same, it gives the same.
    2. `trials` come by their number, running ones among them, and foreign ones of earlier studies before
       them all. The rule takes what is not finished into account, so that parallel trials differ.
    3. None says that there is nothing more to try.
    """

    def propose(self, space: Space, trials: Sequence[Trial], number: int) -> Setting | None:
        """The setting of trial `number`."""
        ...


@runtime_checkable
class Stopper(Protocol):
    """A rule for what is stopped early.

    1. Both methods are functions of their arguments and of the stopper's own.
    2. A loss that is nan is worse than any other.
    3. The last step of a trial is `max_steps`; nothing is said about a trial that got there.
    """

    max_steps: int

    def judge(self, trial: Trial, trials: Sequence[Trial]) -> Verdict:
        """What to do with a running trial that has just reported; `trials` are all, itself among them."""
        ...

    def resumed(self, trials: Sequence[Trial], exhausted: bool) -> tuple[int, ...]:
        """The paused trials that should go on now, the most urgent first.

        `exhausted` says that nothing runs and that nothing new will be tried.
        """
        ...


def copies(rule: Stopper | None) -> bool:
    """Whether a rule has trials go on from checkpoints of others, as population-based training does."""
    return bool(getattr(rule, "copies", False))
