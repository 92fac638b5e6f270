import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tradewind.estimates.scale_out.ernest import AMDAHL, columns, ernest
from tradewind.estimates.scale_out.timings import Timings

TERMS = (20.0, 300.0, 5.0, 1.5)
COUNTS = np.array([1.0, 2, 3, 5, 8, 13])


def seconds(machines, scale=1.0, terms=TERMS):
    a, b, c, d = terms
    return a + b * scale / machines + c * np.log(machines) + d * machines


@given(st.tuples(*[st.floats(0.1, 50)] * 4))
@settings(max_examples=15, deadline=None)
def test_a_job_that_is_as_the_model_has_it_is_found(terms) -> None:
    fitted = ernest(Timings.of(COUNTS, seconds(COUNTS, terms=terms)))
    asked = np.array([4.0, 20, 50])
    assert fitted.predict(asked) == pytest.approx(seconds(asked, terms=terms), rel=1e-5)


def test_scale_divides_the_parallel_part_alone() -> None:
    scales = np.array([1.0, 2, 1, 3, 2, 1])
    fitted = ernest(Timings.of(COUNTS, seconds(COUNTS, scales), scales))
    assert fitted.terms == pytest.approx(TERMS, rel=1e-6)
    assert fitted.predict([10], 4.0) == pytest.approx(seconds(np.array([10.0]), 4.0), rel=1e-6)


def test_no_term_is_negative_though_runs_say_so() -> None:
    fitted = ernest(Timings.of([1, 2, 4, 8], [100, 40, 15, 5]))  # faster than linear
    assert min(fitted.terms) >= 0 and (fitted.predict(COUNTS) > 0).all()


def test_relative_squares_hold_a_slow_run_down() -> None:
    timings = Timings.of([2, 4, 6, 8], [3000, 300, 205, 160])
    plain, relative = ernest(timings), ernest(timings, relative=True)
    assert abs(relative.predict([8])[0] / 160 - 1) < 0.15 < abs(plain.predict([8])[0] / 160 - 1)


def test_terms_that_are_not_named_are_nought() -> None:
    fitted = ernest(Timings.of(COUNTS, seconds(COUNTS)), terms=AMDAHL)
    assert fitted.terms[2:] == (0.0, 0.0) and fitted.terms[0] > 0


def test_columns_by_hand() -> None:
    assert columns([4], 8.0)[0] == pytest.approx([1, 2, np.log(4), 4])
