import pytest

from tradewind.control.advising import Advised
from tradewind.errors import Temporary
from tradewind.estimates.run_time import Interval
from tradewind.tuning.machines.earlier_runs import EarlierRuns


class Book:
    """All three protocols, over two tables and a list."""

    def __init__(self, seconds=(), chances=()):
        self.times, self.chances, self.told, self.asked = dict(seconds), dict(chances), [], []
        self.broken = False

    def seconds(self, workload, machine_type, machines, rows):
        self.asked.append(machine_type)
        if self.broken:
            raise Temporary("locked")
        value = self.times.get(machine_type)
        return None if value is None else Interval(value / 2, value, value * 2)

    def probability(self, workload, machine_type, machines, rows):
        if self.broken:
            raise Temporary("locked")
        return self.chances.get(machine_type)

    def took(self, workload, machine_type, machines, rows, seconds, expected):
        self.told.append((workload, machine_type, seconds, expected and expected.expected))

    def ended(self, workload, machine_type, machines, rows, whole, expected):
        self.told.append((workload, machine_type, whole, expected))
        self.chances[machine_type] = 0.9 if whole else 0.2


def known(book):
    return EarlierRuns(Advised("job", book, book, book))


def test_without_anybody_to_ask_nothing_is_known():
    nobody = EarlierRuns()
    assert nobody.foretold(["a"]) == {} and nobody.doubted(["a"]) == {}
    nobody.timed("a", 1.0)
    assert not nobody.ended("a", "MemoryError: ")


def test_a_type_is_asked_for_once_and_what_came_is_told_beside_it():
    book = Book({"a": 3.0})
    earlier = known(book)
    assert earlier.foretold(["a", "b"]) == {"a": 3.0} == earlier.foretold(["b", "a"])
    assert book.asked == ["a", "b"]
    earlier.timed("a", 4.0)
    earlier.timed("b", 9.0)
    assert book.told == [("job", "a", 4.0, 3.0), ("job", "b", 9.0, None)]


@pytest.mark.parametrize("reason", ["MemoryError: 3 GiB", "killed by SIGKILL", "CUDA out of memory"])
def test_what_failed_for_memory_is_doubted_from_then_on(reason):
    book = Book(chances={"b": 0.4, "c": 0.5})
    earlier = known(book)
    assert earlier.doubted(["a", "b", "c"]) == {"b": 0.4}
    assert earlier.ended("a", reason)
    assert earlier.doubted(["a", "b", "c"]) == {"a": 0.2, "b": 0.4}
    assert book.told == [("job", "a", False, None)]


def test_other_failures_say_nothing_of_machines_and_a_whole_trial_is_told_once():
    book = Book()
    earlier = known(book)
    assert not earlier.ended("a", "ValueError: no")
    assert earlier.ended("a", "") and not earlier.ended("a", "")
    assert earlier.ended("a", "MemoryError: "), "a failure is told as often as it comes"
    assert [each[2] for each in book.told] == [True, False] and book.told[1][3] == 0.9


def test_a_record_that_does_not_answer_stops_nobody():
    book = Book({"a": 3.0}, {"a": 0.1})
    book.broken = True
    earlier = known(book)
    assert earlier.foretold(["a"]) == {} and earlier.doubted(["a"]) == {}
