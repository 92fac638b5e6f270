"""What is wanted: dollars, seconds, and by when."""

import pytest
from configurations import measured

from tradewind.advice.configuration.objective import Objective
from tradewind.errors import Misuse


def test_cost_and_time_are_read_off_a_run():
    run = measured(1, 1800.0)  # two small machines for half an hour
    assert Objective().value(run) == pytest.approx(0.1) and Objective("run_time").value(run) == 1800
    assert Objective().of(7200, 0.5) == 1.0 and Objective("run_time").of(7200, 0.5) == 7200


@pytest.mark.parametrize(
    ("status", "seconds", "met"), [("done", 60, True), ("done", 61, False), ("failed", 5, False)]
)
def test_a_deadline_is_met_by_whole_runs_in_time(status, seconds, met):
    assert Objective(deadline=60).met(measured(0, seconds, status)) is met


@pytest.mark.parametrize(
    ("field", "given"), [("minimize", {"minimize": "carbon"}), ("deadline", {"deadline": 0})]
)
def test_what_cannot_be_is_refused(field, given):
    with pytest.raises(Misuse) as caught:
        Objective(**given)
    assert caught.value.field == field
