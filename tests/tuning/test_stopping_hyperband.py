"""Hyperband: the laws, and how trials fall into brackets."""

from collections import Counter

import pytest
from stopping_laws import LENGTH, StoppingLaws

from tradewind.errors import Misuse
from tradewind.tuning.stopping.asha import PROMOTION
from tradewind.tuning.stopping.hyperband import Hyperband
from tradewind.tuning.trial import PAUSED, RUNNING, Trial


class TestStopping(StoppingLaws):
    @staticmethod
    def make() -> Hyperband:
        return Hyperband(LENGTH, eta=3)

    def test_nan_is_worst(self) -> None:
        """One bracket never stops; which trials are in the others follows from their numbers."""
        rule = self.make()
        bad = Trial(0, {}, RUNNING, tuple(range(1, 8)), (float("nan"),) * 7)
        assert rule.bracket(0) == 0
        assert rule.brackets[0].judge(Trial(0, {}, RUNNING, (2, 3), (1.0, float("nan"))), [bad]).reason


class TestPromotion(TestStopping):
    @staticmethod
    def make() -> Hyperband:
        return Hyperband(LENGTH, eta=3, variant=PROMOTION)


def test_brackets_of_the_paper() -> None:
    """Table 1 of the paper: R = 81, eta = 3, and 81, 34, 15, 8, 5 trials."""
    rule = Hyperband(81)
    assert [each.rungs for each in rule.brackets] == [(1, 3, 9, 27), (3, 9, 27), (9, 27), (27,), ()]
    counts = Counter(rule.bracket(number) for number in range(143))
    assert [counts[place] for place in range(5)] == [81, 34, 15, 8, 5]
    assert rule.bracket(143) == rule.bracket(0)


def test_shares_are_even_all_along() -> None:
    rule = Hyperband(81)
    counts = [0] * 5
    for number in range(143):
        counts[rule.bracket(number)] += 1
        for have, share in zip(counts, (81, 34, 15, 8, 5), strict=True):
            assert abs(have - share * (number + 1) / 143) <= 1.5


def test_brackets_do_not_see_each_other() -> None:
    rule = Hyperband(81, variant=PROMOTION)
    first = [number for number in range(40) if rule.bracket(number) == 0][:3]
    other = next(number for number in range(40) if rule.bracket(number) == 1)
    trials = [Trial(number, {}, PAUSED, (1,), (0.1 * at,)) for at, number in enumerate(first)]
    assert rule.resumed(trials, False) == (first[0],)
    assert rule.resumed([*trials[:2], Trial(other, {}, PAUSED, (1,), (0.3,))], False) == ()


def test_bad_arguments() -> None:
    with pytest.raises(Misuse, match="least"):
        Hyperband(10, least=0)
    with pytest.raises(Misuse, match="eta"):
        Hyperband(10, eta=1)
