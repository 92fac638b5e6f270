"""A replay: who runs when, and what it refuses."""

import pytest

from tradewind.errors import Misuse
from tradewind.tuning.interface import Verdict
from tradewind.tuning.stopping.last_value import LastValue
from tradewind.tuning.stopping.replay import replay
from tradewind.tuning.trial import COMPLETED


class Never:
    """Stops nothing, and notes what it was shown."""

    max_steps = 4

    def __init__(self) -> None:
        self.seen: list[tuple[int, int, int]] = []

    def judge(self, trial, trials) -> Verdict:
        self.seen.append((trial.number, trial.steps[-1], len(trials)))
        return Verdict()

    def resumed(self, trials, exhausted) -> tuple[int, ...]:
        return ()


def test_two_workers_in_turn() -> None:
    rule = Never()
    found = replay(rule, [[4.0, 3.0, 2.0, 1.0]] * 3, workers=2, speeds=[1, 2, 4])
    assert [each.state for each in found.trials] == [COMPLETED] * 3
    assert found.order[:5] == tuple((n, k, "go_on") for n, k in [(0, 1), (1, 1), (1, 2), (0, 2), (1, 3)])
    assert found.reports == 12
    assert rule.seen[0] == (0, 1, 2)
    assert rule.seen[-1][2] == 3


def test_the_first_of_equal_finals_is_chosen_and_nan_never() -> None:
    nan = float("nan")
    assert replay(Never(), [[1, 1, 1, nan], [1, 1, 1, 1.0], [1, 1, 1, 1.0]]).chosen == 1


def test_steps_of_their_own() -> None:
    found = replay(LastValue(100, share=0.3, top=1), [[3.0, 2.0, 1.0], [2.5, 1.0, 2.0]], steps=[10, 50, 100])
    assert found.trials[1].steps == (10, 50, 100)
    assert found.trials[0].steps == (10, 50)


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"curves": []}, "curves"),
        ({"curves": [[1, 2, 3, 4], [1, 2, 3]]}, "curves"),
        ({"curves": [[1, 2, 3]]}, "steps"),
        ({"curves": [[1, 2, 3, 4]], "speeds": [0]}, "speeds"),
        ({"curves": [[1, 2, 3, 4]], "workers": 0}, "workers"),
    ],
)
def test_what_it_refuses(arguments, field) -> None:
    with pytest.raises(Misuse, match=field):
        replay(Never(), **arguments)
