from configurations import SPACE
from one_shot_laws import CORPUS, OneShotLaws, searched

from tradewind.advice.configuration.rules.quasar import Quasar
from tradewind.testing.advisors import AdvisorLaws


class TestReferences(OneShotLaws):
    def made(self):
        return Quasar()


def test_a_profile_changes_one_aspect_at_a_time() -> None:
    known = searched(Quasar(), corpus=CORPUS, seed=1)
    first, *others = [SPACE[run.configuration].features for run in known.runs if run.whole]
    changed = [(each["machines"] != first["machines"], each["vcpus"] != first["vcpus"]) for each in others]
    assert (True, False) in changed


class TestLaws(AdvisorLaws):
    def advisor(self):
        return Quasar()
