"""Advisors by name."""

import pytest

from tradewind.advice.configuration.advisors import ADVISORS, advisor
from tradewind.advice.configuration.rules.cherrypick import CherryPick
from tradewind.errors import Misuse


@pytest.mark.parametrize("name", sorted(ADVISORS))
def test_each_name_makes_an_advisor(name):
    made = advisor(name)
    assert callable(made.next) and callable(made.predict) and made.recommends_unmeasured in (True, False)
    assert type(made).__module__ == ADVISORS[name].partition(":")[0]


def test_options_are_the_class_s_own():
    assert advisor("CherryPick", least=6, gain=0.1) == CherryPick.published()


@pytest.mark.parametrize(
    ("name", "options", "field", "fix"),
    [
        ("cherrypik", {}, "name", "cherrypick"),
        ("cherrypick", {"leest": 3}, "leest", "least"),
        ("exhaustive", {"probes": 3}, "probes", "none"),
    ],
)
def test_what_is_not_there_is_refused_with_a_suggestion(name, options, field, fix):
    with pytest.raises(Misuse, match=fix) as caught:
        advisor(name, **options)
    assert caught.value.field == field
