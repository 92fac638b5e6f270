"""Rules by their names, and what is misspelt."""

from __future__ import annotations

import pytest

from tradewind.errors import Misuse
from tradewind.serving.batching.rules import DEFAULT, RULES, rule
from tradewind.serving.batching.slack import SlackBatching
from tradewind.serving.batching.triton import TritonBatching


@pytest.mark.parametrize("name", RULES)
def test_each_name_gives_its_rule(name: str) -> None:
    assert rule(name).name == name
    assert type(rule(name.replace("_", "-"))) is RULES[name]


def test_ours_is_the_default_and_options_arrive() -> None:
    assert DEFAULT == "slack"
    assert isinstance(rule(), SlackBatching)
    triton = rule("triton", delay=0.002, preferred=[4, 8])
    assert isinstance(triton, TritonBatching)
    assert (triton.delay, triton.preferred) == (0.002, (8, 4))


def test_what_is_wrong_is_said_with_the_fix() -> None:
    with pytest.raises(Misuse, match=r"no batching rule 'tritn'.*Did you mean 'triton'"):
        rule("tritn")
    with pytest.raises(Misuse, match=r"no option 'dely'.*Did you mean 'delay'"):
        rule("triton", dely=1.0)
    with pytest.raises(Misuse, match=r"no option 'window'.*Leave it out"):
        rule("take_all", window=1.0)
    with pytest.raises(Misuse, match=r"mark: objective: a value does not fit"):
        rule("mark", objective="soon")
    with pytest.raises(Misuse, match=r"triton: delay: -1"):
        rule("triton", delay=-1.0)
