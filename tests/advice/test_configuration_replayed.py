"""A search on recorded runs."""

import pytest
from configurations import SPACE, measured, view, world
from msgspec import Struct

from tradewind.advice.configuration.interface import Probe
from tradewind.advice.configuration.replayed import cut, replayed
from tradewind.advice.configuration.rules.random import Random
from tradewind.errors import Misuse


class Stubborn(Struct, frozen=True):
    """Always proposes the same."""

    recommends_unmeasured: bool = False

    def next(self, view):
        return Probe(2, "again", limit=50.0)

    def predict(self, view):
        raise AssertionError


def test_probes_are_looked_up_until_the_advisor_stops():
    seen = []
    found, why = replayed(Random(5), view(seed=1), world(), on=seen.append)
    assert len(found.runs) == 5 and why.startswith("5 probes") and seen[-1] == found
    assert all(run == world()[run.configuration] for run in found.runs)
    assert len(replayed(Random(5), view(seed=1), world(), most=2)[0].runs) == 2


def test_a_repeated_proposal_is_an_error():
    with pytest.raises(Misuse, match="tried already"):
        replayed(Stubborn(), view(), world())


def test_a_run_is_cut_at_the_limit_of_its_probe():
    run = measured(4, 200.0)
    assert cut(run, None) is run and cut(run, 200.0) is run
    short = cut(run, 50.0)
    assert (short.seconds, short.status) == (50.0, "stopped") and short.dollars == pytest.approx(
        run.dollars / 4
    )
    assert cut(measured(4, 30.0, "failed"), 50.0).status == "failed"
    assert cut(measured(4, 90.0, "failed"), 50.0).status == "stopped"
    assert len(SPACE) == 12
