"""Suggest, observe, recommend, why: as a caller drives it."""

import pytest
from configurations import SPACE, view, world

from tradewind.advice.configuration.advice import Advice
from tradewind.advice.configuration.interface import Stop
from tradewind.advice.configuration.rules.random import Random
from tradewind.errors import Misuse


def driven(probes=4):
    advice, runs = Advice(Random(probes), view(seed=3)), world()
    while not isinstance(said := advice.suggest(), Stop):
        assert advice.suggest() is said and advice.why().startswith(SPACE[said.configuration].name)
        run = runs[said.configuration]
        advice.observe(SPACE[said.configuration].name, run.seconds, status=run.status)
    return advice


def test_a_search_from_beginning_to_end():
    advice = driven()
    assert len(advice.view.runs) == len(advice.view.probed) == 4
    assert advice.why() == "4 probes were made, as many as were asked for."
    best = min((run for run in advice.view.runs if run.whole), key=lambda run: run.dollars)
    assert advice.recommend().configuration == best.configuration


def test_the_record_observed_again_gives_the_same_suggestions():
    first, again = driven(6), Advice(Random(6), view(seed=3))
    for run in first.view.runs:
        assert again.suggest().configuration == run.configuration
        again.observe(SPACE[run.configuration].name, run.seconds, run.dollars, run.status)
    assert again.view == first.view and again.recommend() == first.recommend()


def test_a_run_that_was_not_suggested_may_be_told_too():
    advice = Advice(Random(), view())
    run = advice.observe("2xlarge", 3600.0, metrics={"cpu_user": 0.5})
    assert run.dollars == pytest.approx(0.8) and run.metrics == {"cpu_user": 0.5}
    assert advice.observe("4xlarge", 10.0, dollars=0.0).dollars == 0.0


@pytest.mark.parametrize(
    ("field", "arguments"),
    [
        ("name", ("9xlarge", 1.0)),
        ("seconds", ("2xlarge", 0.0)),
        ("seconds", ("2xlarge", float("nan"))),
        ("dollars", ("2xlarge", 1.0, -0.1)),
        ("status", ("2xlarge", 1.0, 0.1, "ok")),
    ],
)
def test_what_cannot_be_is_refused(field, arguments):
    advice = Advice(Random(), view())
    with pytest.raises(Misuse) as caught:
        advice.observe(*arguments)
    assert caught.value.field == field and advice.view.runs == ()
