import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tradewind.audit.slimming.policy import Policy, for_config, meaning, read_policy
from tradewind.errors import Misuse


@pytest.mark.parametrize(
    ("pattern", "meant", "not_meant"),
    [
        ("usr/share", ["usr/share", "usr/share/a/b"], ["usr/shared", "x/usr/share"]),
        ("/usr/share/", ["usr/share/a"], ["usr"]),
        ("usr/*.so", ["usr/a.so"], ["usr/b/a.so", "usr/aXso"]),
        ("**/tests", ["tests/x", "a/b/tests/x"], ["a/contests"]),
        ("usr/**/x.txt", ["usr/x.txt", "usr/a/b/x.txt"], ["x.txt"]),
        ("etc/l?c", ["etc/loc"], ["etc/l/c", "etc/locc"]),
        ("a+b[1]", ["a+b[1]"], ["aab1"]),
    ],
)
def test_patterns_mean_paths_and_what_is_below(pattern, meant, not_meant):
    match = meaning((pattern,))
    assert all(match(path) for path in meant)
    assert not any(match(path) for path in not_meant)
    assert not meaning(())("anything")


def test_a_policy_is_read_from_a_table_and_checked():
    assert read_policy({"sources": "sourceless", "keep": ["opt/**"]}) == Policy(
        sources="sourceless", keep=("opt/**",)
    )
    for table, field in (
        ({"sources": "none"}, "sources"),
        ({"zoneinfo": 1}, "zoneinfo"),
        ({"colour": True}, ""),
        ({"keep": ["../etc"]}, "keep[0]"),
        ({"drop": ["usr", "a//b"]}, "drop[1]"),
        ({"writable": [""]}, "writable[0]"),
        ({"whole": ["rm -rf"]}, "whole[0]"),
        ({"keep": ["a"], "drop": ["a"]}, "drop"),
    ):
        with pytest.raises(Misuse) as told:
            read_policy(table, "audit.toml")
        assert told.value.source == "audit.toml" and told.value.field == field and told.value.fix


def test_folders_of_an_images_configuration_must_be_there():
    config = {"config": {"WorkingDir": "/app", "Volumes": {"/data/": {}, "/a/../b": {}}}}
    assert for_config(Policy(writable=("app",)), config).writable == ("app", "data")
    assert for_config(Policy(), {}).writable == ()


@pytest.mark.parametrize("pattern", ["*" * 88 + "r", "*a" * 40 + "r", "**a" * 40 + "r", "**/*a" * 30 + "r"])
def test_no_pattern_makes_matching_slow(pattern):
    path = "a/" * 60 + "a" * 100
    assert not meaning((pattern,))(path)
    assert meaning((pattern,))(f"{path}r") == (not pattern.startswith("*a"))


@given(
    st.lists(st.sampled_from(["a", "b", "ab", "/", "*", "**", "**/", "?"]), min_size=1, max_size=7),
    st.lists(st.text("ab", min_size=1, max_size=3), min_size=1, max_size=3),
)
@settings(max_examples=200, deadline=None)
def test_a_pattern_means_what_plain_backtracking_finds(pieces, names):
    pattern = re.sub(r"\*{3,}", "**", "".join(pieces)).strip("/") or "a"
    meant = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    parts = re.findall(r"(?<![^/])\*\*/|\*\*|\*|\?|[^*?]+", pattern)
    plain = re.compile("".join(meant.get(each) or re.escape(each) for each in parts) + "(?:/.*)?")
    path = "/".join(names)
    assert meaning((pattern,))(path) == (plain.fullmatch(path) is not None)
