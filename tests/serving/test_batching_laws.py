"""Every batching rule of the table keeps the laws of `testing.batching_rules`."""

from __future__ import annotations

import pytest

from tradewind.serving.batching.interface import BatchingRule
from tradewind.serving.batching.rules import RULES, rule
from tradewind.testing.batching_rules import BatchingRuleLaws


class TestSlack(BatchingRuleLaws):
    work_conserving = True

    def rule(self) -> BatchingRule:
        return rule("slack")


class TestTakeAll(BatchingRuleLaws):
    work_conserving = True

    def rule(self) -> BatchingRule:
        return rule("take_all")


class TestFixedWindow(BatchingRuleLaws):
    def rule(self) -> BatchingRule:
        return rule("fixed_window", window=0.01, size=8)


class TestFixedWindowOfTheWorker(BatchingRuleLaws):
    def rule(self) -> BatchingRule:
        return rule("fixed_window", window=0.01, since="worker")


class TestTriton(BatchingRuleLaws):
    def rule(self) -> BatchingRule:
        return rule("triton", preferred=(4, 16), delay=0.005, timeout=0.03)


class TestMark(BatchingRuleLaws):
    def rule(self) -> BatchingRule:
        return rule("mark", objective=0.05)


class TestMarkWithProfile(BatchingRuleLaws):
    def rule(self) -> BatchingRule:
        return rule("mark", objective=0.05, profile={1: 0.005, 2: 0.0055, 4: 0.0065})


class TestCork(BatchingRuleLaws):
    def rule(self) -> BatchingRule:
        return rule("cork", max_latency=0.05)


class TestCorkWithoutTicks(BatchingRuleLaws):
    def rule(self) -> BatchingRule:
        return rule("cork", tick=0.0)


class TestClipper(BatchingRuleLaws):
    def rule(self) -> BatchingRule:
        return rule("clipper", objective=0.02, delay=0.005)


@pytest.mark.parametrize("name", RULES)
def test_every_rule_of_the_table_has_its_laws(name: str) -> None:
    tested = {each().rule().name for each in BatchingRuleLaws.__subclasses__()}
    assert name in tested
