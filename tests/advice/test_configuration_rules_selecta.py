from one_shot_laws import OneShotLaws

from tradewind.advice.configuration.rules.selecta import Selecta
from tradewind.testing.advisors import AdvisorLaws


class TestReferences(OneShotLaws):
    def made(self):
        return Selecta()


class TestLaws(AdvisorLaws):
    def advisor(self):
        return Selecta()
