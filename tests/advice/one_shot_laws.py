"""What holds for every advisor that goes by a few reference runs and other workloads."""

import numpy as np
from configurations import SPACE, view, world

from tradewind.advice.configuration.recommendation import recommended
from tradewind.advice.configuration.replayed import replayed
from tradewind.advice.configuration.runs import Corpus

CORPUS = Corpus({f"w{number}": tuple(world(work=6000.0 * number).values()) for number in range(1, 6)})
TRUTH = world(work=14_000.0)
TELLING = [number for number, run in TRUTH.items() if run.whole]


def searched(advisor, **fields):
    return replayed(advisor, view(**fields), TRUTH)[0]


class OneShotLaws:
    """Subclass it, and say how the advisor is `made`."""

    def made(self):
        raise AssertionError("say which")

    def test_like_workloads_tell_where_it_is_cheap(self) -> None:
        advisor = self.made()
        known = searched(advisor, corpus=CORPUS)
        assert len(known.runs) <= 7 < len(SPACE)
        told = advisor.predict(known)
        truth = np.log([TRUTH[number].seconds for number in TELLING])
        assert np.corrcoef(np.log(told.seconds[TELLING]), truth)[0, 1] > 0.9
        said = recommended(known, advisor)
        least = min(run.dollars for run in TRUTH.values() if run.whole)
        assert said is not None and TRUTH[said.configuration].whole
        assert TRUTH[said.configuration].dollars < 1.25 * least

    def test_what_was_measured_is_believed_and_equal_questions_have_equal_answers(self) -> None:
        advisor = self.made()
        known = searched(advisor, corpus=CORPUS, seed=3)
        one, other = advisor.predict(known), advisor.predict(known)
        assert (one.logs == other.logs).all() and (one.feasible == other.feasible).all()
        for run in known.runs:
            assert one.feasible[run.configuration] == float(run.whole)
            assert not run.whole or one.seconds[run.configuration] == run.seconds
        assert np.isfinite(one.logs).all() and (one.deviations > 0).all()

    def test_with_no_other_workloads_the_best_reference_is_recommended(self) -> None:
        advisor = self.made()
        known = searched(advisor)
        said = recommended(known, advisor)
        assert said is not None and said.measured
        best = known.best
        assert best is not None and abs(said.dollars / best.dollars - 1) < 1e-9

    def test_before_any_run_it_believes_something(self) -> None:
        told = self.made().predict(view(corpus=CORPUS))
        assert told.logs.shape == (len(SPACE),) and np.isfinite(told.logs).all()
