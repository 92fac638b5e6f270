import pytest

from tradewind.estimates.run_time import Interval
from tradewind.serving.batching.interface import Latency
from tradewind.serving.variants.foretelling import foretold, keep_measured, workload_of
from tradewind.serving.variants.variant import Profile, Rated, Variant

TREE = Variant("tree-fast", "digits", "tree", "tree.onnx", "onnxruntime", "c5.large", 0.9)
PROFILE = Profile("tree-fast", (1,), (0.004,), Latency(0.001, 0.003, 0.0), 0.1, 10, 10, 0.05)


class Times:
    def __init__(self, **known):
        self.known, self.told = known, []

    def seconds(self, workload, machine_type, machines, rows):
        assert (workload, machines, rows) == (workload_of(TREE), 1, 1.0)
        return self.known.get(machine_type)

    def took(self, workload, machine_type, machines, rows, seconds, expected):
        self.told.append((workload, machine_type, machines, rows, seconds, expected))


def test_what_is_foretold_says_that_it_was_not_measured():
    found = foretold(TREE, "m5", Times(m5=Interval(0.002, 0.004, 0.009)))
    assert found is not None and found.resource == "m5" and not isinstance(found, Profile)
    assert "4 ms (2 to 9)" in found.words and "not measured there" in found.words
    assert foretold(TREE, "r5", Times(m5=Interval(1.0, 1.0, 1.0))) is None


@pytest.mark.parametrize("before", [None, Interval(0.002, 0.003, 0.009)])
def test_a_profile_is_told_beside_what_was_expected(before):
    times = Times() if before is None else Times(**{"c5.large": before})
    keep_measured(Rated(TREE, PROFILE), foretold(TREE, "c5.large", times), times)
    (told,) = times.told
    assert told == (workload_of(TREE), "c5.large", 1, 1.0, pytest.approx(0.004), before)


def test_an_architecture_at_another_precision_is_other_work():
    other = Variant("t", "digits", "tree", "t.onnx", "onnxruntime", "c5.large", 0.9, precision="int8")
    assert workload_of(other) != workload_of(TREE)
    assert len(workload_of(Variant("t", "d" * 150, "a" * 150, "t", "o", "c", 0.9))) <= 200
