import numpy as np
from configurations import SPACE, view, world

from tradewind.advice.configuration.recommendation import recommended
from tradewind.advice.configuration.replayed import replayed
from tradewind.advice.configuration.rules.quasar import Quasar
from tradewind.advice.configuration.runs import Corpus
from tradewind.testing.advisors import AdvisorLaws

CORPUS = Corpus({f"w{number}": tuple(world(work=6000.0 * number).values()) for number in range(1, 6)})
TRUTH = world(work=14_000.0)
TELLING = [number for number, run in TRUTH.items() if run.whole]


def searched(advisor, **fields):
    return replayed(advisor, view(**fields), TRUTH)[0]


def test_like_workloads_tell_where_it_is_cheap() -> None:
    advisor = Quasar()
    known = searched(advisor, corpus=CORPUS)
    assert len(known.runs) <= 7 < len(SPACE)
    told = advisor.predict(known)
    truth = np.log([TRUTH[number].seconds for number in TELLING])
    assert np.corrcoef(np.log(told.seconds[TELLING]), truth)[0, 1] > 0.9
    said = recommended(known, advisor)
    least = min(run.dollars for run in TRUTH.values() if run.whole)
    assert said is not None and TRUTH[said.configuration].whole
    assert TRUTH[said.configuration].dollars < 1.25 * least


def test_what_was_measured_is_believed_and_equal_questions_have_equal_answers() -> None:
    advisor = Quasar()
    known = searched(advisor, corpus=CORPUS, seed=3)
    one, other = advisor.predict(known), advisor.predict(known)
    assert (one.logs == other.logs).all() and (one.feasible == other.feasible).all()
    for run in known.runs:
        assert one.feasible[run.configuration] == float(run.whole)
        assert not run.whole or one.seconds[run.configuration] == run.seconds
    assert np.isfinite(one.logs).all() and (one.deviations > 0).all()


def test_with_no_other_workloads_the_best_reference_is_recommended() -> None:
    advisor = Quasar()
    known = searched(advisor)
    said = recommended(known, advisor)
    assert said is not None and said.measured
    best = known.best
    assert best is not None and abs(said.dollars / best.dollars - 1) < 1e-9


def test_before_any_run_it_believes_something() -> None:
    told = Quasar().predict(view(corpus=CORPUS))
    assert told.logs.shape == (len(SPACE),) and np.isfinite(told.logs).all()


def test_a_profile_changes_one_aspect_at_a_time() -> None:
    known = searched(Quasar(), corpus=CORPUS, seed=1)
    first, *others = [SPACE[run.configuration].features for run in known.runs if run.whole]
    changed = [(each["machines"] != first["machines"], each["vcpus"] != first["vcpus"]) for each in others]
    assert (True, False) in changed


class TestLaws(AdvisorLaws):
    def advisor(self):
        return Quasar()
