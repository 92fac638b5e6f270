"""Policies by their names."""

from __future__ import annotations

import pytest

from tradewind.errors import Misuse
from tradewind.serving.provisioning.policies import FORESEEING, POLICIES, provisioning_policy


@pytest.mark.parametrize("name", sorted(POLICIES))
def test_each_is_made_by_its_own_name(name) -> None:
    made = provisioning_policy(name, **({"rate": 2.0} if name == "fixed" else {}))
    assert made.name == name and type(made) is POLICIES[name]


def test_names_and_options_that_there_are_not() -> None:
    assert provisioning_policy("target-tracking", least=3).least == 3
    assert {"tradewind", provisioning_policy("tributary", correlated=True).name} < FORESEEING
    with pytest.raises(Misuse, match="spothedge"):
        provisioning_policy("spot_hedge")
    with pytest.raises(Misuse, match="least"):
        provisioning_policy("knative", leest=2)
    with pytest.raises(Misuse, match="does not fit"):
        provisioning_policy("fixed")
