"""What is true of every rule of stopping, over any curves, any speeds and any number of workers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from tradewind.tuning.interface import GO_ON, PAUSE, STOP, Stopper, Verdict
from tradewind.tuning.stopping.replay import replay
from tradewind.tuning.trial import COMPLETED, FAILED, PAUSED, RUNNING, STOPPED, Trial

LENGTH = 20
# The suite is inherited on purpose, and nothing is replayed from a database.
FEW = settings(
    max_examples=20,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.differing_executors],
)


@st.composite
def curves(draw: st.DrawFn, nan: bool = True) -> list[list[float]]:
    """Two to nine curves of twenty losses: falling, noisy, some diverged, some with nan; one has none."""
    chance = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    count = draw(st.integers(2, 9))
    start, end = chance.uniform(1, 3, (count, 1)), chance.uniform(0, 1, (count, 1))
    speed = chance.uniform(0.02, 1, (count, 1))
    found = end + (start - end) * np.exp(-speed * np.arange(LENGTH))
    found += chance.normal(0, draw(st.sampled_from([0.0, 0.01, 0.3])), found.shape)
    if draw(st.booleans()):
        found[0, 5:] = 1e12
    if nan and draw(st.booleans()):
        found[1:, draw(st.integers(0, LENGTH - 1))] = math.nan
    return found.tolist()


@st.composite
def speeds_and_workers(draw: st.DrawFn) -> tuple[list[int], int]:
    return draw(st.lists(st.integers(1, 4), min_size=9, max_size=9)), draw(st.integers(1, 9))


def states(
    stopper: Stopper, losses: Sequence[Sequence[float]], speeds: Sequence[int], workers: int
) -> list[str]:
    found = replay(stopper, losses, workers=workers, speeds=speeds[: len(losses)])
    return [each.state for each in found.trials]


def contents(thing: Any) -> Any:
    """All that an object holds, as text."""
    if isinstance(thing, tuple | list):
        return [contents(each) for each in thing]
    return (
        {name: contents(each) for name, each in vars(thing).items()}
        if hasattr(thing, "__dict__")
        else repr(thing)
    )


class StoppingLaws:
    """A suite: subclass it as a test class and give `make`; the flags say what more the rule promises."""

    scale_free = True
    """Losses times a positive number: the same verdicts."""
    shift_free = True
    """Losses plus a number: the same verdicts."""
    order_free = False
    """The same trials finish in whatever order and at whatever speed they come."""

    @staticmethod
    def make() -> Stopper:
        raise NotImplementedError

    def test_it_is_a_stopper(self) -> None:
        rule = self.make()
        assert isinstance(rule, Stopper)
        assert rule.max_steps == LENGTH

    @FEW
    @given(curves(), speeds_and_workers())
    def test_someone_finishes_and_nobody_is_stopped_at_the_end(self, losses, pace) -> None:
        found = replay(self.make(), losses, workers=pace[1], speeds=pace[0][: len(losses)])
        assert any(each.state == COMPLETED for each in found.trials)
        for trial in found.trials:
            assert trial.state in (COMPLETED, STOPPED, PAUSED)
            assert (trial.state == COMPLETED) == (len(trial.steps) == LENGTH)

    @FEW
    @given(curves(), speeds_and_workers())
    def test_it_is_pure(self, losses, pace) -> None:
        rule = self.make()
        before = contents(rule)
        once = replay(rule, losses, workers=pace[1], speeds=pace[0][: len(losses)])
        assert contents(rule) == before
        again = replay(self.make(), losses, workers=pace[1], speeds=pace[0][: len(losses)])
        assert once.order == again.order

    @FEW
    @given(curves(), st.integers(1, LENGTH), st.randoms(use_true_random=False))
    def test_the_sequence_of_trials_says_nothing(self, losses, step, chance) -> None:
        """Trials as a study holds them, at some moment, given in another order."""
        rule = self.make()
        trials = [
            Trial(number, {}, PAUSED if number % 3 == 2 else RUNNING, tuple(range(1, k + 1)), tuple(each[:k]))
            for number, each in enumerate(losses)
            for k in [step if number % 2 else max(1, step - 3)]
        ]
        mixed = list(trials)
        chance.shuffle(mixed)
        for trial in trials:
            assert rule.judge(trial, trials) == rule.judge(trial, mixed)
        for exhausted in (False, True):
            assert rule.resumed(trials, exhausted) == rule.resumed(mixed, exhausted)

    @FEW
    @given(curves(), speeds_and_workers())
    def test_foreign_trials_are_not_compared(self, losses, pace) -> None:
        rule = self.make()
        own = replay(rule, losses, workers=pace[1], speeds=pace[0][: len(losses)]).trials
        steps = tuple(range(1, LENGTH + 1))
        foreign = [Trial(n, {}, COMPLETED, steps, (-9.0,) * LENGTH, -9.0, foreign="before") for n in range(8)]
        for trial in own:
            cut = replace(trial, state=RUNNING, steps=trial.steps[:9], losses=trial.losses[:9], final=None)
            others = [cut if each.number == cut.number else each for each in own]
            assert rule.judge(cut, others) == rule.judge(cut, [*foreign, *others])
        assert rule.resumed(own, True) == rule.resumed([*foreign, *own], True)

    @FEW
    @given(curves(), speeds_and_workers(), st.sampled_from([0.125, 4.0, 1024.0]))
    def test_scale(self, losses, pace, factor) -> None:
        if self.scale_free:
            scaled = (np.array(losses) * factor).tolist()
            assert states(self.make(), losses, *pace) == states(self.make(), scaled, *pace)

    @FEW
    @given(curves(), speeds_and_workers())
    def test_shift(self, losses, pace) -> None:
        """On a lattice on which sums are exact, so that equal losses stay equal."""
        if self.shift_free:
            exact = np.round(np.clip(losses, -64, 64) * 1024) / 1024
            moved = (exact - 128.0).tolist()
            assert states(self.make(), exact.tolist(), *pace) == states(self.make(), moved, *pace)

    @FEW
    @given(curves(), speeds_and_workers(), speeds_and_workers())
    def test_order_of_arrival(self, losses, one, other) -> None:
        if self.order_free:
            assert states(self.make(), losses, *one) == states(self.make(), losses, *other)

    def test_nan_is_worst(self) -> None:
        """Against eight good curves, one that is nan from the third step on does not finish."""
        good = [[1.0 / (k + 1) + 0.01 * n for k in range(LENGTH)] for n in range(8)]
        bad = [0.9, 0.4] + [math.nan] * (LENGTH - 2)
        workers = None if self.order_free else 4
        found = replay(self.make(), [*good, bad], workers=workers)
        assert found.trials[8].state != COMPLETED
        assert found.chosen is not None

    def test_strange_steps_do_no_harm(self) -> None:
        rule = self.make()
        some = [
            Trial(0, {}),
            Trial(1, {}, RUNNING, (5, 3, 8), (1.0, 2.0, 3.0)),
            Trial(2, {}, RUNNING, (4, 4, 4, 4), (1.0, 2.0, 3.0, 4.0)),
            Trial(3, {}, RUNNING, (10, LENGTH + 7), (1.0, 9.0)),
            Trial(4, {}, PAUSED, (LENGTH, 2), (1.0, 2.0)),
            Trial(5, {}, FAILED, (1, 2), (math.nan, math.inf)),
            Trial(6, {}, RUNNING, (1, 2), (-math.inf, math.nan)),
            Trial(7, {}, COMPLETED, (LENGTH,), (0.0,), math.nan),
        ]
        for trial in some:
            assert rule.judge(trial, some).action in (GO_ON, STOP, PAUSE)
        assert rule.judge(some[3], some).action == GO_ON
        assert rule.judge(some[4], some).action == GO_ON
        for exhausted in (False, True):
            assert set(rule.resumed(some, exhausted)) <= {4}
        assert rule.resumed([], True) == ()

    def test_whoever_is_held_back_is_told_why(self) -> None:
        heard: list[str] = []
        rule = self.make()

        class Listening:
            max_steps = LENGTH
            resumed = staticmethod(rule.resumed)

            @staticmethod
            def judge(trial: Trial, trials: Sequence[Trial]) -> Verdict:
                said = rule.judge(trial, trials)
                if said.action != GO_ON:
                    heard.append(said.reason)
                return said

        chance = np.random.default_rng(0)
        losses = chance.uniform(0, 1, (9, 1)) + chance.normal(0, 0.01, (9, LENGTH))
        replay(Listening(), losses.tolist(), workers=4)
        assert heard
        assert all(any(letter.isdigit() for letter in reason) for reason in heard)
