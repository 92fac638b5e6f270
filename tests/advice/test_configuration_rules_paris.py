import numpy as np
from configurations import SPACE, measured, view, world
from one_shot_laws import OneShotLaws

from tradewind.advice.configuration.rules.paris import Paris
from tradewind.advice.configuration.runs import Corpus
from tradewind.testing.advisors import AdvisorLaws


class TestReferences(OneShotLaws):
    def made(self):
        return Paris()


def test_counters_are_part_of_the_fingerprint() -> None:
    # Two kinds of workloads that are alike at the references; only a counter tells which is which.
    def kind(memory_bound, work):
        found = {}
        for number, run in world(work=work, needs=0.0).items():
            slow = 3.0 if memory_bound and SPACE[number].features["family"] == "small" else 1.0
            seconds = run.seconds * (slow if number not in (0, 7) else 1.0)
            found[number] = measured(number, seconds, memory=float(memory_bound))
        return found

    corpus = Corpus({f"{bound} {work}": tuple(kind(bound, work).values())
                     for bound in (False, True) for work in (8e3, 1.2e4, 1.6e4, 2e4)})  # fmt: skip
    for bound in (False, True):
        truth = kind(bound, 1.4e4)
        known = view(truth[0], truth[7], corpus=corpus)
        seconds = Paris().predict(known).seconds[1]
        other = kind(not bound, 1.4e4)[1].seconds
        assert abs(np.log(seconds / truth[1].seconds)) < abs(np.log(seconds / other))


class TestLaws(AdvisorLaws):
    def advisor(self):
        return Paris(trees=8)
