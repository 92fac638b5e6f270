"""What scikit-learn's searches take, as a space: each form of it, and the way back to parameters."""

from __future__ import annotations

import doctest

import numpy as np
import pytest
import scipy.stats
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import ParameterGrid
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.svm import SVC

from tradewind.errors import Misuse
from tradewind.session import search_cv_space as module
from tradewind.session.search_cv_space import DRAWS, GRID, Listed, Searched, WrongSearch, check_names
from tradewind.tuning.space import Choice, Float, Integer, Space


def test_its_examples_hold():
    assert doctest.testmod(module).failed == 0


@pytest.mark.parametrize(
    "grid",
    [
        {"b": [1, 2, 3], "a": ["x", "y"]},
        {"a": np.array([0.5, 1.5]), "b": (True, 1, 1.0, None), "c": range(2)},
        [{"b": [1, 2], "a": [0]}, {}, {"a": [3, 3], "c": [[1], (2, 3)]}],
        {},
    ],
)
def test_lists_are_gone_through_as_parameter_grid_does(grid):
    searched, expected = Searched(grid), list(ParameterGrid(grid))
    assert searched.size == len(expected)
    settings = [searched.at(index) for index in range(len(expected))]
    assert [searched.params(each) for each in settings] == expected
    for setting, params in zip(settings, expected, strict=True):
        assert searched.space.check(setting) == setting
        assert [type(value) for value in searched.params(setting).values()] == [
            type(value) for value in params.values()
        ]
    assert len({str(sorted(each.items(), key=str)) for each in settings}) == len(expected)
    search = Listed(searched, range(len(expected)))
    assert [search.propose(searched.space, (), at) for at in range(len(expected) + 1)] == [*settings, None]


def test_what_is_no_plain_value_has_a_name_that_every_process_gives_it():
    scalers = [
        StandardScaler(),
        MinMaxScaler(),
        StandardScaler(with_mean=False),
        "passthrough",
        (1, 2),
        np.sum,
    ]
    searched = Searched({"scale": scalers})
    (parameter,) = searched.space.parameters
    assert parameter.of == Choice(
        (
            "0: StandardScaler",
            "1: MinMaxScaler",
            "2: StandardScaler",
            "3: 'passthrough'",
            "4: (1, 2)",
            "5: sum",
        )
    )
    assert [searched.params({"scale": each})["scale"] for each in parameter.of.values] == scalers
    assert searched.objects == scalers
    assert not Searched({"C": [0.1, "a", None]}).objects


@pytest.mark.parametrize(
    ("given", "dimension"),
    [
        ({"low": 0.1, "high": 2.0, "log": True}, Float(0.1, 2.0, True)),
        ({"low": 1, "high": 9}, Integer(1, 9)),
        ({"values": ["a", "b"]}, Choice(("a", "b"))),
        (Float(0.0, 1.0), Float(0.0, 1.0)),
        (Integer(1, 64, True), Integer(1, 64, True)),
        (Choice((1, 2)), Choice((1, 2))),
        (scipy.stats.uniform(1, 2), Float(1.0, 3.0)),
        (scipy.stats.loguniform(1e-3, 10), Float(1e-3, 10.0, True)),
        (scipy.stats.randint(1, 9, loc=2), Integer(3, 10)),
    ],
)
def test_a_range_is_a_dimension_of_its_own(given, dimension):
    searched = Searched({"p": given})
    (parameter,) = searched.space.parameters
    assert (parameter.name, parameter.of) == ("p", dimension)
    setting = searched.space.setting([0.3])
    assert searched.params(setting) == setting
    assert (searched.size is None) == (not isinstance(dimension, Choice))


@pytest.mark.parametrize(
    ("given", "kind", "ends"),
    [
        (scipy.stats.expon(scale=3.0), float, (0.0, 3.0 * np.log(1000.0))),
        (scipy.stats.norm(1.0, 2.0), float, (1.0 - 2.0 * 3.0902, 1.0 + 2.0 * 3.0902)),
        (scipy.stats.beta(2, 2), float, (0.0, 1.0)),
        (scipy.stats.poisson(4.0), int, (0, 11)),
        (scipy.stats.loguniform(1.0, 10.0, loc=5.0), float, (6.0, 15.0)),
    ],
)
def test_of_other_distributions_the_space_has_the_quantile(given, kind, ends):
    searched = Searched({"p": given})
    assert searched.space.names == ("p quantile",) and not searched.random_only
    values = [searched.params(searched.space.setting([unit]))["p"] for unit in np.linspace(0, 1, 201)]
    assert all(type(value) is kind for value in values) and np.all(np.diff(values) >= 0)
    np.testing.assert_allclose((values[0], values[-1]), ends, atol=1e-3)
    assert values[100] == pytest.approx(given.median(), rel=2e-3)


class Dice:
    """Can be drawn from, and nothing else."""

    def rvs(self, random_state):
        return np.random.RandomState(random_state).randint(1, 7)


def test_what_can_only_be_drawn_from_is_drawn_by_a_number():
    searched = Searched({"p": Dice(), "C": [1.0]})
    assert searched.random_only == "p" and searched.space.names == ("C", "p draw")
    found = [searched.params({"C": 1.0, "p draw": seed})["p"] for seed in range(60)]
    assert set(found) == set(range(1, 7)) and all(type(each) is int for each in found)
    assert found[7] == searched.params({"C": 1.0, "p draw": 7})["p"]
    assert searched.space.parameters[1].of == Integer(0, DRAWS)


def test_several_mappings_are_parts_of_one_space():
    searched = Searched([{"C": {"low": 0.1, "high": 1.0}}, {"C": [5.0], "gamma": Float(0.0, 1.0)}])
    assert searched.space.names == (GRID, "C [0]", "C [1]", "gamma [1]")
    chance, seen = np.random.default_rng(1), set()
    for point in chance.random((30, 4)):
        setting = searched.space.setting(point)
        params = searched.params(setting)
        seen.add(setting[GRID])
        assert set(params) == ({"C"} if setting[GRID] == 0 else {"C", "gamma"})
        assert params["C"] <= 1.0 if setting[GRID] == 0 else params["C"] == 5.0
    assert seen == {0, 1}


def test_a_space_and_conditions_are_taken_as_they_are():
    document = {"kernel": ["rbf", "linear"], "gamma": {"low": 0.1, "high": 1.0, "when": {"kernel": "rbf"}}}
    space = Space.of(document)
    assert Searched(space).space is space and Searched(space).params({"kernel": "linear"}) == {
        "kernel": "linear"
    }
    # a mapping goes by its names in their order, as in scikit-learn, so the condition must come first there
    with pytest.raises(WrongSearch, match="does not come before"):
        Searched(document)
    found = Searched(
        {"a_kernel": ["rbf", "linear"], "gamma": {"low": 0.1, "high": 1.0, "when": {"a_kernel": "rbf"}}}
    )
    assert found.params({"a_kernel": "linear"}) == {"a_kernel": "linear"} and found.size is None


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ([], "no mapping"),
        (3, "no mapping"),
        ([{"C": [1]}, 3], "no mapping"),
        ({"C": "rbf"}, "C: 'rbf' is neither a list nor a distribution"),
        ({"C": 1.0}, "C: 1.0 is neither"),
        ({"C": []}, "C: there is no value"),
        ({"C": np.ones((2, 2))}, "C: an array of 2 dimensions"),
        ({"C": {"low": 1.0}}, "C"),
        ({"C": {"low": 0.0, "high": 1.0, "log": True}}, "logarithm"),
        ({"C": {"lo": 1.0, "high": 2.0}}, "Did you mean 'low'"),
    ],
)
def test_what_cannot_be_searched_is_told(given, told):
    with pytest.raises(ValueError, match=told) as caught:
        Searched(given, "param_grid")
    assert isinstance(caught.value, Misuse)


PIPE = Pipeline([("scale", StandardScaler()), ("clf", LogisticRegression())])


@pytest.mark.parametrize(
    ("estimator", "given", "told"),
    [
        (SVC(), {"C": [1], "gama": [1]}, "param_grid: gama: .*SVC. Did you mean 'gamma'"),
        (PIPE, {"clf__c": [1]}, "clf__c.*Did you mean 'clf__C'"),
        (PIPE, {"C": [1]}, "C"),
        (PIPE, [{"clf__C": [1]}, {"scale__with_maen": [True]}], "with_mean'"),
        (PIPE, {"clf": [SVC()], "clf__gama": [1.0]}, "Did you mean 'clf__gamma'"),
        (SVC(), Space.of({"gama": [1.0]}), "gama"),
    ],
)  # fmt: skip
def test_a_misspelt_parameter_is_told(estimator, given, told):
    with pytest.raises(WrongSearch, match=told):
        check_names(estimator, given, "param_grid")


def test_parameters_of_candidates_are_known():
    check_names(
        PIPE, {"clf": [SVC(), LogisticRegression()], "clf__gamma": [1.0], "clf__C": [1.0]}, "param_grid"
    )
    check_names(PIPE, [{"scale": ["passthrough"], "clf__C": [1]}, {}], "param_grid")
    check_names(object(), {"anything": [1]}, "param_grid")
