import inspect
import re

import pytest

from tradewind import errors
from tradewind.errors import MissingExtra, Misuse, Temporary, Unreachable, suggestion


def test_the_tree_at_the_top_is_the_tree_of_the_classes():
    drawn = re.findall(r"^    (?:[│ ]   )*[├└]── (\w+)", errors.__doc__, re.M)
    classes = {
        name
        for name, kind in inspect.getmembers(errors, inspect.isclass)
        if issubclass(kind, errors.TradewindError) and kind is not errors.TradewindError
    }
    assert set(drawn) == classes and len(drawn) == len(classes)
    parents, last = {}, {0: "TradewindError"}
    for line in errors.__doc__.splitlines():
        if match := re.match(r"    ((?:[│ ]   )*)[├└]── (\w+)", line):
            depth = len(match[1]) // 4 + 1
            parents[match[2]], last[depth] = last[depth - 1], match[2]
    for name, parent in parents.items():
        assert getattr(errors, name).__bases__[0].__name__ == parent


def test_a_misuse_names_source_field_problem_and_fix():
    told = Misuse("there is no such field", source="a.toml", field="dedline", fix="Did you mean 'deadline'?")
    assert str(told) == "a.toml: dedline: there is no such field. Did you mean 'deadline'?"
    assert (told.source, told.field, told.fix) == ("a.toml", "dedline", "Did you mean 'deadline'?")
    assert str(Misuse("no")) == "no"
    assert str(Misuse("no", field="x")) == "x: no"


def test_a_missing_extra_says_what_to_install():
    told = MissingExtra("pyarrow", "parquet", "reading Parquet")
    assert isinstance(told, Misuse)
    assert str(told).endswith("pip install 'tradewind[parquet]'") and "reading Parquet" in str(told)


def test_what_may_be_tried_again_says_when():
    assert Temporary("busy", delay=3.0).delay == 3.0
    assert issubclass(Unreachable, Temporary) and Unreachable("gone").delay > 0


@pytest.mark.parametrize(
    ("word", "known", "told"),
    [
        ("dedline", ["deadline", "budget"], "Did you mean 'deadline'?"),
        ("zzz", ["b", "a"], "Known: a, b."),
        ("zzz", {"b": 1, "a": 2}, "Known: a, b."),
    ],
)
def test_suggestions(word, known, told):
    assert suggestion(word, known) == told
