import math

from tradewind.estimates.scale_out.memory_guard import BEYOND, CROSSED, WITHIN, memory_guard
from tradewind.estimates.scale_out.timings import Timings


def test_a_speed_up_that_is_more_than_linear_means_memory_was_crossed() -> None:
    guard = memory_guard(Timings.of([2, 4, 6, 8], [2700, 370, 260, 205], 12.0))
    assert (guard.fits, guard.crossed) == (3.0, 6.0)
    assert [guard.verdict(each) for each in (1, 3, 4, 6, 9)] == [WITHIN, WITHIN, BEYOND, CROSSED, CROSSED]
    assert "no longer fitted memory" in guard.warning(7) and "no more than 3" in guard.warning(4)
    assert guard.warning(2) == ""


def test_repeats_that_differ_a_little_cross_nothing() -> None:
    guard = memory_guard(Timings.of([2, 2, 4, 4], [202, 206, 100, 101]))
    assert guard.crossed == math.inf and guard.verdict(0.5) == WITHIN


def test_other_data_is_another_comparison() -> None:
    # 4 machines are far faster than twice as fast, but with a tenth of the data.
    guard = memory_guard(Timings.of([2, 4], [1000, 60], [10, 1]))
    assert guard.crossed == math.inf


def test_a_run_that_failed_says_so_too() -> None:
    guard = memory_guard(Timings.of([4, 8], [370, 200], 12.0), failed=(5.0,))
    assert guard.verdict(5.5) == CROSSED and guard.verdict(4) == BEYOND and guard.fits == 3.0
