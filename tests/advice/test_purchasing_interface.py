"""What is refused before and after a purchaser answers."""

import pytest
from msgspec.structs import replace

from tradewind.advice.purchasing.interface import Bought, Job, Supply, sold
from tradewind.errors import Misuse

JOB = Job(id="j", arrival=0, last=1, tasks=2, value=1.0)
SUPPLY = Supply(2, 1, 0.1)


class Says:
    name = "says"

    def __init__(self, answer):
        self.said = answer

    def answer(self, job, booked, supply):
        return self.said


@pytest.mark.parametrize(
    "field,value",
    [("last", 2), ("arrival", -1), ("tasks", 0), ("parallel", 0), ("value", 0.0), ("value", float("nan"))],
)
def test_a_job_that_cannot_be_is_refused(field, value):
    with pytest.raises(Misuse, match="job j"):
        sold([replace(JOB, **{field: value})], SUPPLY, Says(Bought("j")))


def test_two_of_one_name_and_a_supply_of_nothing_are_refused():
    with pytest.raises(Misuse, match="one name"):
        sold([JOB, JOB], SUPPLY, Says(Bought("j")))
    with pytest.raises(Misuse, match="no supply"):
        sold([JOB], Supply(2, 0, 0.1), Says(Bought("j")))


@pytest.mark.parametrize(
    "slots", [((0, 1),), ((0, 1), (2, 1)), ((0, 2),), ((0, 1), (0, 1)), ((0, 1), (1, 1), (1, 0))]
)
def test_an_answer_that_cannot_be_done_is_refused(slots):
    with pytest.raises(Misuse, match="cannot run"):
        sold([JOB], SUPPLY, Says(Bought("j", slots, 1.0)))


def test_who_is_refused_pays_nothing():
    with pytest.raises(Misuse, match="refused and pays"):
        sold([JOB], SUPPLY, Says(Bought("j", (), 1.0)))
