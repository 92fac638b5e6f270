"""Opcodes one after the other, as Python's own machine takes them, wherever the window or a run ends."""

import pickle

import pytest

from tradewind.data.model_files.inspection import Allowed, Budget, Source
from tradewind.data.model_files.pickles.machine import Machine, Stopped
from tradewind.data.model_files.pickles.stream import Stream

VALUE = {
    "numbers": [0, -1, 7, 10**17, -(10**30), 0.5, -2.5e-7, float("inf"), True, False, None] * 40,
    "nested": ((1, (2,)), (), [[]], {"k" * 30: ("a",) * 3}, (1, 2, 3, 4)),
    "long": [*range(600), *(index / 3 for index in range(600))],
}


def machine(content):
    return Machine(Stream(Source(content)), Allowed(), Budget(), lambda *each: None)


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("before", [0, 65_500, 65_527, 65_530])
def test_values_are_what_python_makes_of_them(protocol, before):
    content = pickle.dumps(["x" * before, VALUE], protocol)
    assert machine(content).load()[1] == pickle.loads(content)[1]


@pytest.mark.parametrize("limit", [1, 100, 512])
def test_it_stops_within_one_run_of_what_it_may_take(limit):
    stopped = machine(pickle.dumps([*range(5000)], 0))
    with pytest.raises(Stopped):
        stopped.load(limit)
    assert limit <= stopped.opcodes <= limit + 402
