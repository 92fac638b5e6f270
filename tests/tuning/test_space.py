"""Spaces: documents, points and settings, conditions, grids."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tradewind.errors import Misuse
from tradewind.tuning.space import Choice, Float, Integer, Space

NETWORK = Space.of(
    {
        "optimizer": ["sgd", "adam"],
        "momentum": {"low": 0.0, "high": 0.99, "when": {"optimizer": "sgd"}},
        "nesterov": {"values": [True, False], "when": {"optimizer": ["sgd"]}},
        "warmup": {"low": 1, "high": 1000, "log": True, "when": {"nesterov": True}},
        "rate": {"low": 1e-5, "high": 1.0, "log": True},
        "layers": {"low": 1, "high": 4},
    }
)

FINITE = {"allow_nan": False, "allow_infinity": False}


@st.composite
def dimensions(draw):
    kind = draw(st.sampled_from(["float", "log", "integer", "log integer", "choice"]))
    if kind == "choice":
        return {
            "values": draw(
                st.lists(
                    st.sampled_from([None, True, False, 1, 0, 2.5, "a", "b"]),
                    min_size=1,
                    unique_by=lambda v: (isinstance(v, bool), v),
                )
            )
        }
    if "integer" in kind:
        low = draw(st.integers(1, 50))
        return {"low": low, "high": low + draw(st.integers(0, 500)), "log": "log" in kind}
    low = draw(st.floats(1e-8, 1e3, **FINITE))
    return {"low": low, "high": low * draw(st.floats(1.0, 1e4)), "log": kind == "log"}


@given(st.lists(dimensions(), min_size=1, max_size=5), st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_a_setting_leads_to_a_point_that_leads_back(kinds, seed):
    space = Space.of({f"p{i}": kind for i, kind in enumerate(kinds)})
    drawn = np.random.default_rng(seed).random(len(space))
    setting = space.setting(drawn)
    assert space.check(setting) == setting
    again = space.setting(space.point(setting))
    for name, value in setting.items():
        assert type(again[name]) is type(value)
        assert again[name] == (pytest.approx(value, rel=1e-9) if isinstance(value, float) else value)


@given(st.lists(st.floats(0, 1), min_size=6, max_size=6))
@settings(max_examples=80, deadline=None)
def test_conditions_hold_in_every_setting(units):
    setting = NETWORK.setting(units)
    assert ("momentum" in setting) == (setting["optimizer"] == "sgd") == ("nesterov" in setting)
    assert ("warmup" in setting) == (setting.get("nesterov") is True)
    assert NETWORK.check(setting) == setting
    missing = [math.isnan(each) for each in NETWORK.point(setting)]
    assert missing == [name not in setting for name in NETWORK.names]
    assert NETWORK.fits(setting)


@given(st.integers(1, 40), st.integers(0, 60))
@settings(max_examples=40, deadline=None)
def test_every_whole_number_has_its_share(low, more):
    space = Space.of({"n": {"low": low, "high": low + more}})
    found = [space.setting([(i + 0.5) / (100 * (more + 1))])["n"] for i in range(100 * (more + 1))]
    assert {found.count(n) for n in range(low, low + more + 1)} == {100}


def test_the_corners_are_the_bounds():
    space = Space.of(
        {
            "a": {"low": -2.0, "high": 3.0},
            "b": {"low": 1e-4, "high": 10.0, "log": True},
            "c": {"low": 2, "high": 9, "log": True},
            "d": [1, 2],
        }
    )
    assert space.setting([0, 0, 0, 0]) == {"a": -2.0, "b": pytest.approx(1e-4), "c": 2, "d": 1}
    assert space.setting([1, 1, 1, 1]) == {"a": 3.0, "b": pytest.approx(10.0), "c": 9, "d": 2}
    assert space.setting([-5, 7, 2, 3]) == space.setting([0, 1, 1, 1])
    assert Space.of({"a": Float(1.0, 1.0)}).setting([0.3]) == {"a": 1.0}


def test_logarithms_are_even_in_the_exponent():
    space = Space.of({"rate": {"low": 1e-4, "high": 1.0, "log": True}})
    assert space.setting([0.25])["rate"] == pytest.approx(1e-3)
    assert space.point({"rate": 1e-2}) == pytest.approx([0.5])


def test_true_is_not_one():
    space = Space.of({"x": [1, True, 0, False], "y": {"low": 0.0, "high": 1.0, "when": {"x": True}}})
    assert [type(space.setting([u, 0.5])["x"]) for u in (0.1, 0.3, 0.6, 0.9)] == [int, bool, int, bool]
    assert "y" not in space.setting([0.1, 0.5]) and "y" in space.setting([0.3, 0.5])
    assert space.point({"x": True, "y": 0.0})[0] == 0.375
    assert Choice((1, True)).index(True) == 1
    with pytest.raises(ValueError):
        Choice((1, 2)).index(True)


def test_a_grid_has_every_combination_once():
    settings_ = list(NETWORK.grid(3))
    keys = [tuple((n, type(v), v) for n, v in each.items()) for each in settings_]
    assert len(set(keys)) == len(keys)
    for each in settings_:
        assert NETWORK.check(each) == each
    # adam: 3 rates x 3 layers; sgd: times 3 momenta, and 1 + 3 of nesterov and warmup.
    layers = len({each["layers"] for each in settings_})
    assert len(settings_) == 3 * layers * (1 + 3 * (1 + 3))


def test_a_space_without_reals_is_gone_through_whole_and_counted():
    space = Space.of(
        {"a": ["x", "y"], "n": {"low": 1, "high": 7}, "b": {"values": [1, 2], "when": {"a": "x"}}}
    )
    assert len(list(space.grid(1))) == space.size == 7 * 2 + 7
    assert Space.of({"r": {"low": 0.0, "high": 1.0}}).size is None
    assert Space.of({"r": Float(2.0, 2.0), "c": [1, 2, 3]}).size == 3
    assert Space.of({f"n{i}": {"low": 1, "high": 1000} for i in range(4)}).size is None


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({}, "nothing to search"),
        ({"a": 3}, "a: 3 is no range"),
        ({"a": "text"}, "a: 'text' is no range"),
        ({"a": {"low": 1}}, "no range"),
        ({"a": {"low": 1, "hihg": 2}}, "Did you mean 'high'"),
        ({"a": {"low": 2, "high": 1}}, "lower bound first"),
        ({"a": {"low": 0.0, "high": math.inf}}, "both finite"),
        ({"a": {"low": math.nan, "high": 1.0}}, "both finite"),
        ({"a": {"low": True, "high": 3}}, "no bounds"),
        ({"a": {"low": "1", "high": 3}}, "no bounds"),
        ({"a": {"low": 0.0, "high": 1.0, "log": True}}, "no logarithm of 0.0"),
        ({"a": []}, "nothing to choose"),
        ({"a": [1, 1.0]}, "twice"),
        ({"a": [[1], [2]]}, "cannot be a choice"),
        ({"a": {"values": 5}}, "is no list"),
        ({"a": {"values": "text"}}, "is no list"),
        ({"a": [math.nan]}, "cannot be a choice"),
        ({"a": {"low": 0, "high": 1, "log": "yes"}}, "log"),
        ({"a": [1, 2], "b": {"values": [1], "when": {"c": 1}}}, "Known: a"),
        ({"a": [1, 2], "b": {"values": [1], "when": {"a": 3}}}, "never holds"),
        ({"a": [1, 2], "b": {"values": [1], "when": {"a": []}}}, "never holds"),
        ({"b": {"values": [1], "when": {"a": 1}}, "a": [1]}, "Name that one first"),
        ({"a": {"values": [1], "when": "a"}}, "names no parameter"),
    ],
)
def test_a_bad_document_is_told(document, said):
    with pytest.raises(Misuse, match=said.replace("(", r"\(")) as caught:
        Space.of(document, "study.toml")
    assert caught.value.source == "study.toml"


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"optimiser": "sgd"}, "Did you mean 'optimizer'"),
        ({"optimizer": "adam", "momentum": 0.5, "rate": 0.1, "layers": 2}, "has no place here"),
        ({"optimizer": "adam", "layers": 2}, "rate: is missing"),
        ({"optimizer": "adam", "rate": 2.0, "layers": 2}, "2.0 is outside"),
        ({"optimizer": "adam", "rate": math.nan, "layers": 2}, "nan is outside"),
        ({"optimizer": "adam", "rate": 0.1, "layers": 2.0}, "a whole number from 1 to 4"),
        ({"optimizer": "adam", "rate": True, "layers": 2}, "True is outside"),
        ({"optimizer": "lion", "rate": 0.1, "layers": 2}, "one of 'sgd', 'adam'"),
    ],
)
def test_a_bad_setting_is_told(setting, said):
    with pytest.raises(Misuse, match=said):
        NETWORK.check(setting)
    assert not NETWORK.fits(setting)


def test_dimensions_may_be_given_as_they_are():
    space = Space.of({"a": Integer(1, 3), "b": Choice(("x",)), "c": np.array([1, 2])})
    assert space.setting([0.5, 0.5, 0.9]) == {"a": 2, "b": "x", "c": 2}
    assert type(space.setting([0.5, 0.5, 0.9])["c"]) is int


def test_a_check_puts_in_the_spaces_order():
    found = NETWORK.check({"layers": 1, "rate": 0.1, "optimizer": "adam"})
    assert list(found) == ["optimizer", "rate", "layers"]
    assert NETWORK.has("rate", {}) and NETWORK.has("momentum", {"optimizer": "sgd"})
    assert not NETWORK.has("momentum", {"optimizer": "adam"})
