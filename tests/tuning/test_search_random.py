"""Random search: drawn by the seed and the number alone."""

import numpy as np

from tradewind.tuning.search.random import RandomSearch
from tradewind.tuning.space import Space
from tradewind.tuning.trial import Trial

SPACE = Space.of({"x": {"low": 0.0, "high": 1.0}, "c": ["a", "b"]})


def test_the_number_and_the_seed_say_all():
    search = RandomSearch(4)
    found = [search.propose(SPACE, (), n) for n in range(200)]
    seen = tuple(Trial(n, each) for n, each in enumerate(found[:5]))
    assert [RandomSearch(4).propose(SPACE, seen, n) for n in range(200)] == found
    assert RandomSearch(5).propose(SPACE, (), 0) != found[0]
    assert abs(np.mean([each["x"] for each in found]) - 0.5) < 0.1
    assert 70 < sum(each["c"] == "a" for each in found) < 130
