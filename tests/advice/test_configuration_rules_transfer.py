from one_shot_laws import OneShotLaws

from tradewind.advice.configuration.rules.transfer import Transfer
from tradewind.testing.advisors import AdvisorLaws


class TestReferences(OneShotLaws):
    def made(self):
        return Transfer()


class TestLaws(AdvisorLaws):
    def advisor(self):
        return Transfer(rounds=20)
