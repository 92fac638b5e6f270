"""Measured throughputs, asked for."""

import pytest

from tradewind.errors import Misuse
from tradewind.market.throughputs import Throughputs

MEASURED = Throughputs(
    "small",
    {"k80": {"lm": 4.0, "resnet": 2.0}},
    {"k80": {("lm", "resnet"): (3.0, 1.5), ("resnet", "lm"): (1.5, 3.0), ("lm", "lm"): (0.0, 0.0)}},
)


def test_alone_and_together() -> None:
    assert MEASURED.devices == ("k80",) and MEASURED.jobs("k80") == ("lm", "resnet")
    assert MEASURED.alone("k80", "lm") == 4.0
    assert MEASURED.together("k80", "lm", "resnet") == (3.0, 1.5)


def test_a_pair_that_does_not_fit_has_no_throughput() -> None:
    assert MEASURED.together("k80", "lm", "lm") is None


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda: MEASURED.alone("k8", "lm"), "Did you mean 'k80'"),
        (lambda: MEASURED.alone("k80", "resnett"), "Did you mean 'resnet'"),
        (lambda: MEASURED.together("k80", "resnet", "resnet"), "beside"),
    ],
)
def test_what_was_not_measured_is_told(ask, words) -> None:
    with pytest.raises(Misuse, match=words):
        ask()
