"""The best single configuration of a corpus."""

from configurations import SPACE, measured, view, world

from tradewind.advice.configuration.interface import Stop
from tradewind.advice.configuration.replayed import replayed
from tradewind.advice.configuration.rules.best_single import BestSingle
from tradewind.advice.configuration.runs import Corpus
from tradewind.testing.advisors import AdvisorLaws

CORPUS = Corpus({str(work): tuple(world(work=work).values()) for work in (5e3, 1e4, 4e4)})


class TestLaws(AdvisorLaws):
    def advisor(self):
        return BestSingle()


class TestLawsDownTheRanking(AdvisorLaws):
    def advisor(self):
        return BestSingle(probes=5)


def test_it_tries_what_was_best_for_others_and_stops():
    truth = world()
    end, why = replayed(BestSingle(), view(corpus=CORPUS), truth)
    best = min((run for run in truth.values() if run.whole), key=lambda run: run.dollars)
    assert end.runs == (best,) and why == "Of the corpus's best 1 were tried, 1 of them with success."


def test_it_goes_down_the_ranking_where_the_first_fails():
    first = BestSingle().next(view(corpus=CORPUS)).configuration
    said = BestSingle().next(view(measured(first, 60.0, "failed"), corpus=CORPUS))
    assert said.configuration != first and said.reason == "number 2 of the corpus, over 3 workloads"
    end, _ = replayed(BestSingle(probes=4), view(corpus=CORPUS), world())
    assert len(end.runs) == 4


def test_without_a_corpus_it_has_nothing_to_say():
    assert isinstance(BestSingle().next(view()), Stop) and len(SPACE) == 12
