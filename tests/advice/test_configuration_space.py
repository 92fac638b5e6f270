"""The space of configurations: its rows of numbers, its names, and what is refused."""

import numpy as np
import pytest
from configurations import SPACE

from tradewind.advice.configuration.space import Configuration, ConfigurationSpace
from tradewind.errors import Misuse


def configuration(name="a", per_hour=1.0, **features):
    return Configuration(name, per_hour, features)


def test_wide_numbers_become_logarithms_and_words_a_column_each():
    assert SPACE.columns == (
        "machines",
        "vcpus",
        "memory_gib",
        "family=large",
        "family=memory",
        "family=small",
    )
    rows = SPACE.rows[[SPACE.number(name) for name in ("1xsmall", "2xsmall", "4xsmall", "8xsmall")]]
    np.testing.assert_allclose(rows[:, 0], [0, 1 / 3, 2 / 3, 1], atol=1e-12)
    np.testing.assert_array_equal(rows[:, 1:], [[0, 0, 0, 0, 1]] * 4)
    assert SPACE.rows.min() == 0 and SPACE.rows.max() == 1


def test_narrow_numbers_stay_as_they_are_and_two_words_share_a_column():
    space = ConfigurationSpace(
        (
            configuration("a", speed=2.0, disk="ebs", same=3.0),
            configuration("b", speed=3.0, disk="local", same=3.0),
            configuration("c", speed=2.25, disk="ebs", same=3.0),
        )
    )
    assert space.columns == ("speed", "disk=local")
    np.testing.assert_allclose(space.rows, [[0, 0], [1, 1], [0.25, 0]])


def test_a_column_is_given_as_it_was_given():
    np.testing.assert_array_equal(SPACE.column("machines")[:4], [1, 2, 4, 8])
    assert SPACE.column("family") is None and SPACE.column("absent") is None
    assert SPACE.per_hour[SPACE.number("8xlarge")] == pytest.approx(3.2)


def test_without_features_there_are_no_columns():
    space = ConfigurationSpace((configuration("a"), configuration("b")))
    assert space.rows.shape == (2, 0)


@pytest.mark.parametrize(
    ("field", "given"),
    [
        ("configurations", ()),
        ("name", (configuration("a", x=1), configuration("a", x=2))),
        ("per_hour", (configuration("a", 0.0),)),
        ("per_hour", (configuration("a", float("nan")),)),
        ("per_hour", (configuration("a", -1.0),)),
        ("y", (configuration("a", x=1), configuration("b", x=1, y=2))),
        ("x", (configuration("a", x=1), configuration("b", x="1"))),
        ("x", (configuration("a", x=1), configuration("b", x=float("inf")))),
        ("features", (configuration("a", x=1), configuration("b", x=1))),
    ],
)
def test_what_is_wrong_is_refused_by_its_field(field, given):
    with pytest.raises(Misuse) as caught:
        ConfigurationSpace(given, "spec.toml")
    assert (caught.value.source, caught.value.field) == ("spec.toml", field)


def test_a_name_that_is_not_there_gets_a_suggestion():
    with pytest.raises(Misuse, match="2xlarge"):
        SPACE.number("2xlagre")


def test_spaces_are_equal_by_what_is_in_them():
    again = ConfigurationSpace(SPACE.configurations)
    assert (
        again == SPACE
        and hash(again) == hash(SPACE)
        and again != ConfigurationSpace(SPACE.configurations[1:])
    )
