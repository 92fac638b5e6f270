"""What is left to try, and can be paid."""

from configurations import SPACE, measured, view

from tradewind.advice.configuration.affordable import affordable
from tradewind.advice.configuration.interface import Stop
from tradewind.advice.configuration.plain_outlook import outlook


def left(*runs, **fields):
    known = view(*runs, **fields)
    return affordable(known, outlook(known))


def test_all_that_was_not_tried_where_there_is_no_budget():
    assert left(measured(3, 900.0)).tolist() == [0, 1, 2, *range(4, 12)]


def test_what_is_expected_to_cost_more_than_is_left_is_not():
    # An hour at the mean everywhere: $0.2 are left, and only what costs $0.2 an hour or less can be paid.
    run = measured(3, 3600.0)
    assert left(run, budget=1.0).tolist() == [n for n in range(12) if SPACE[n].per_hour <= 0.2 + 1e-9]


def test_words_for_each_end():
    assert left(*(measured(n, 1.0) for n in range(12))) == Stop("Every configuration was tried.")
    run = measured(3, 3600.0)
    assert left(run, budget=0.8) == Stop("The budget of 0.80 dollars is spent.")
    assert left(run, budget=0.81) == Stop("No other run is expected to fit what is left of 0.81 dollars.")
