"""The best single configuration of a corpus: what a team does that runs everything on what was good before.

Every table of configuration advice has it as the bar to pass: it costs one run. With more than one probe it
goes down the corpus's ranking.
"""

from __future__ import annotations

from msgspec import Struct

from tradewind.advice.configuration.affordable import affordable
from tradewind.advice.configuration.corpus_ranking import corpus_ranking, ranked_prediction
from tradewind.advice.configuration.interface import AdvisingView, Prediction, Probe, Stop
from tradewind.advice.configuration.plain_outlook import outlook


class BestSingle(Struct, frozen=True):
    """Tries what was the best for others, by the mean of the log of cost over each one's optimum.

    Without a corpus it has nothing to say and stops.
    """

    probes: int = 1
    """Configurations of the ranking that are tried, those that fail not counted."""

    @property
    def recommends_unmeasured(self) -> bool:
        """What was good for others is recommended once it was tried."""
        return False

    def next(self, view: AdvisingView) -> Probe | Stop:
        """The best by the ranking that was not tried and can be paid."""
        ranking = corpus_ranking(view.corpus, view.objective, len(view.space))
        open_ = affordable(view, self.predict(view))
        if isinstance(open_, Stop):
            return open_
        if ranking is None:
            return Stop("No run of another workload came to its end: there is no best to go by.")
        if sum(view.objective.met(run) for run in view.runs) >= self.probes:
            return Stop(
                f"Of the corpus's best {len(view.runs)} were tried, {self.probes} of them with success."
            )
        left = set(open_.tolist())
        number = next(each for each in ranking.order if each in left)
        place = ranking.order.index(number) + 1
        return Probe(number, f"number {place} of the corpus, over {len(view.corpus.workloads)} workloads")

    def predict(self, view: AdvisingView) -> Prediction:
        """The corpus's mean course at the level of this workload."""
        ranking = corpus_ranking(view.corpus, view.objective, len(view.space))
        if ranking is None:
            return outlook(view)
        return ranked_prediction(view, ranking.logs, ranking.deviations, ranking.whole)
