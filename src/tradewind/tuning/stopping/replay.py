"""What a rule of stopping would have done with trials whose whole curves are known.

For choosing a rule on the trials of the past, and for telling what one has saved.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from tradewind.errors import Misuse
from tradewind.tuning.interface import PAUSE, STOP, Stopper
from tradewind.tuning.trial import COMPLETED, PAUSED, RUNNING, STOPPED, Trial


class Replayed(Struct, frozen=True):
    """The end of a replay."""

    trials: tuple[Trial, ...]
    order: tuple[tuple[int, int, str], ...]
    """Reports as they came: trial, step, and what was said to it."""

    @property
    def chosen(self) -> int | None:
        """The finished trial with the least final loss; None if nobody finished."""
        ended = [(_key(each.final), each.number) for each in self.trials if each.state == COMPLETED]
        return min(ended)[1] if ended else None

    @property
    def reports(self) -> int:
        """How many steps of the curves were run in total."""
        return len(self.order)


def replay(
    stopper: Stopper,
    curves: Sequence[Sequence[float]],
    *,
    steps: Sequence[int] | None = None,
    workers: int | None = None,
    speeds: Sequence[int] | None = None,
) -> Replayed:
    """Run trials with known curves under a rule.

    Args:
        stopper: the rule; its `max_steps` is the last of `steps`.
        curves: the losses of each trial at `steps`, all of one length.
        steps: rising; by default 1, 2 and on.
        workers: how many trials run at a time; by default all.
        speeds: of each trial, how many reports it makes in a round; by default 1 each.

    In a round, each running trial in the order of starting makes its reports. A free worker goes on with a
    paused trial where the rule says so, or else begins the next. A paused trial keeps its curve. Misuse where
    a number does not fit the others.
    """
    length = len(curves[0]) if len(curves) else 0
    at = tuple(range(1, length + 1)) if steps is None else tuple(steps)
    if not length or any(len(each) != len(at) for each in curves):
        raise Misuse(f"not each has {len(at)} losses", field="curves", fix="Give one for each step.")
    if at[-1] != stopper.max_steps:
        raise Misuse(
            f"the curves end at step {at[-1]}, the rule's trials at {stopper.max_steps}", field="steps",
            fix="Make the rule with that max_steps.",
        )  # fmt: skip
    speeds = [1] * len(curves) if speeds is None else speeds
    if len(speeds) != len(curves) or min(speeds) < 1:
        raise Misuse("not one of 1 or more for each curve", field="speeds", fix="Leave it out for 1.")
    workers = len(curves) if workers is None else workers
    if workers < 1:
        raise Misuse(f"{workers} workers do nothing", field="workers", fix="Give 1 or more.")
    losses = [tuple(float(loss) for loss in each) for each in curves]
    trials: list[Trial] = []
    running: list[int] = []
    order: list[tuple[int, int, str]] = []
    while True:
        _begin(stopper, trials, running, workers, len(curves))
        if not running:
            return Replayed(tuple(trials), tuple(order))
        for number in list(running):
            for _ in range(speeds[number]):
                done = len(trials[number].steps) + 1
                trials[number] = trial = replace(
                    trials[number], steps=at[:done], losses=losses[number][:done]
                )
                if done == len(at):
                    order.append((number, at[done - 1], COMPLETED))
                    trials[number] = replace(trial, state=COMPLETED, final=trial.losses[-1])
                    running.remove(number)
                    break
                said = stopper.judge(trial, trials).action
                order.append((number, at[done - 1], said))
                if said in (PAUSE, STOP):
                    trials[number] = replace(trial, state=PAUSED if said == PAUSE else STOPPED)
                    running.remove(number)
                    break


def _begin(stopper: Stopper, trials: list[Trial], running: list[int], workers: int, most: int) -> None:
    """Give free workers something to do."""
    while len(running) < workers:
        exhausted = not running and len(trials) == most
        again = stopper.resumed(trials, exhausted)
        for number in again[: workers - len(running)]:
            trials[number] = replace(trials[number], state=RUNNING)
            running.append(number)
        if len(running) < workers and len(trials) < most:
            trials.append(Trial(len(trials), {}))
            running.append(len(trials) - 1)
        elif not again:
            return


def _key(loss: float | None) -> float:
    return math.inf if loss is None or math.isnan(loss) else loss
