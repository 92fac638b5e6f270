"""What another process could import is named, and everything else is told with a way out."""

from __future__ import annotations

import functools
import sys

import numpy as np
import own_estimators
import pytest

from tradewind.algorithms.importable import found_at, home_of, plain_arguments
from tradewind.errors import Misuse


class Outer:
    """Has a class within."""

    class Inner:
        """Can be imported by a name with a dot."""


@pytest.mark.parametrize(
    ("thing", "home"),
    [
        (own_estimators.Steps, "own_estimators:Steps"),
        (Outer.Inner, f"{__name__}:Outer.Inner"),
        (plain_arguments, "tradewind.algorithms.importable:plain_arguments"),
        (np.ndarray, "numpy:ndarray"),
    ],
)
def test_a_name_leads_back_to_the_thing(thing, home):
    assert home_of(thing, "test") == home and found_at(home, "test") is thing


def local():
    def inner():
        """Nobody else can import it."""

    return inner


@pytest.mark.parametrize(
    ("thing", "words"),
    [
        (lambda: 0, "a lambda has no name"),
        (local(), "'inner' is defined inside a function"),
        (functools.partial(local), "a partial function"),
        (own_estimators.Steps(), "a Steps is neither a class nor a function"),
        (type("Net", (), {"__module__": "__main__"}), "the script that runs"),
        (type("Steps", (), {"__module__": "own_estimators"}), "own_estimators:Steps is something else"),
        (type("Gone", (), {"__module__": "own_estimators"}), "cannot be imported: AttributeError"),
    ],
)
def test_what_nobody_could_import_is_told(thing, words):
    with pytest.raises(Misuse, match=words) as told:
        home_of(thing, "TorchLearner")
    assert str(told.value).startswith("TorchLearner: ") and told.value.fix.endswith(".")


@pytest.mark.parametrize("home", ["", "own_estimators", ":Steps", "own_estimators:"])
def test_a_home_without_a_module_or_a_name_is_told(home):
    with pytest.raises(Misuse, match="names nothing"):
        found_at(home, "test")


def test_a_module_that_is_not_there_or_broken_is_told(tmp_path, monkeypatch):
    with pytest.raises(Misuse, match="no_such_module"):
        found_at("no_such_module:Net", "test")
    monkeypatch.syspath_prepend(tmp_path)
    for name, text in (("broken_syntax", "class:"), ("broken_import", "1 / 0")):
        (tmp_path / f"{name}.py").write_text(text)
        with pytest.raises(Misuse, match=r"cannot be imported: (SyntaxError|ZeroDivisionError)"):
            found_at(f"{name}:Net", "test")
        assert name not in sys.modules


def test_arguments_are_plain_values():
    assert plain_arguments({"a": (1, 2), "b": {"c": None, "d": [0.5, "e"]}}, "test") == {
        "a": [1, 2], "b": {"c": None, "d": [0.5, "e"]},
    }  # fmt: skip
    assert plain_arguments(None, "test") == {}


@pytest.mark.parametrize(
    "arguments", [{"a": object()}, {"a": float("nan")}, {"a": np.zeros(2)}, {1: 2}, [3], {"a": lambda: 0}]
)
def test_arguments_that_json_cannot_say_are_told(arguments):
    with pytest.raises(Misuse, match="arguments: they are no plain values"):
        plain_arguments(arguments, "test")
