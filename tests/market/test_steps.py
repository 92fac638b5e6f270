from __future__ import annotations

import numpy as np
import pytest

from tradewind.errors import Misuse
from tradewind.market.steps import steps_of


def test_a_step_holds_until_the_next():
    steps = steps_of([0.0, 10.0, 20.0, 30.0], np.array([5, 5, 7, 5]), None, "here", "data")
    assert steps.times.tolist() == [0, 20, 30]
    assert [steps.index(moment) for moment in (-1, 0, 19.9, 20, 99)] == [-1, 0, 0, 1, 2]
    assert steps.next_change(20) == 30
    assert steps.next_change(30) is None
    assert steps.first(6, 0, 100, above=True) == 20
    assert steps.first(6, 20, 100, above=True) is None
    assert steps.first(6, 0, 100, above=False) == 30
    assert steps.first(6, 0, 19, above=True) is None


@pytest.mark.parametrize("where", [0, 255, 256, 700, 767, 768, 999])
def test_a_lone_peak_is_found_in_whatever_block_it_lies(where):
    values = np.zeros(1000)
    values[::2] = 0.5
    values[where] = 9.0
    steps = steps_of(np.arange(1000.0), values, None, "here", "data")
    assert steps.first(1.0, -1.0, 2000.0, above=True) == where
    assert steps.first(1.0, where - 0.5, 2000.0, above=True) == where
    assert steps.first(1.0, where, 2000.0, above=True) is None
    assert steps.first(1.0, -1.0, where - 0.5, above=True) is None


@pytest.mark.parametrize(
    ("times", "end", "field"),
    [
        ([0.0, 0.0], None, "time"),
        ([1.0, 0.0], None, "time"),
        ([0.0, np.inf], None, "time"),
        ([0.0, 5.0], 4.0, "end"),
    ],
)
def test_wrong_records_are_refused(times, end, field):
    with pytest.raises(Misuse) as caught:
        steps_of(times, np.array([1, 2]), end, "here", "data")
    assert (caught.value.source, caught.value.field) == ("here", field)
