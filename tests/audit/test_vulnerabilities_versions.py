"""The order of versions is PEP 440's, dpkg's and Semantic Versioning's."""

from __future__ import annotations

import itertools
import shutil
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from packaging.version import Version

from tradewind.audit.vulnerabilities.versions import debian, normal_name, order_of, pep440, semantic

parts = st.text("0123456789abzAZ.+~", min_size=1, max_size=6)
debian_versions = st.builds(
    lambda epoch, first, rest, revision: f"{epoch}{first}{rest}{revision}",
    st.sampled_from(["", "0:", "1:", "10:"]),
    st.integers(0, 12),
    parts,
    st.one_of(st.just(""), parts.map(lambda text: f"-{text}")),
)
"""Upstream versions begin with a digit, as dpkg wants them."""


def signs(left: object, right: object) -> tuple[bool, bool]:
    assert left is not None
    assert right is not None
    return left < right, left == right  # type: ignore[operator]


def test_debian_versions_in_the_order_of_its_manual() -> None:
    ordered = [
        "1.0~~",
        "1.0~~a",
        "1.0~",
        "1.0~rc1",
        "1.0",
        "1.0-1~bpo1",
        "1.0-1",
        "1.0-1+b1",
        "1.0-10",
        "1.0a",
        "1.0+b1",
        "1.1",
        "10",
        "1:0.1",
    ]
    keys = [debian(version) for version in ordered]
    assert None not in keys
    assert all(left < right for left, right in itertools.pairwise(keys))  # type: ignore[operator]
    assert signs(debian("1.0~rc1"), debian("1.0")) == (True, False)
    assert signs(debian("2.36-9+deb12u10"), debian("2.36-9+deb12u9")) == (False, False)
    assert signs(debian("1:0.1"), debian("99")) == (False, False)
    assert signs(debian("0:1.00"), debian("1.0-")) == (False, True)
    assert debian("1 0") is None
    assert debian("x:1") is None
    assert debian("") is None


@pytest.mark.skipif(shutil.which("dpkg") is None, reason="dpkg is not installed here")
@settings(max_examples=1, deadline=None)
@given(st.lists(st.tuples(debian_versions, debian_versions), min_size=60, max_size=60))
def test_debian_versions_compare_as_dpkg_compares_them(pairs: list[tuple[str, str]]) -> None:
    # One shell for all pairs: dpkg is asked twice for each, and a process each would take seconds.
    ask = (
        'while read a b; do dpkg --compare-versions "$a" lt "$b"; l=$?;'
        ' dpkg --compare-versions "$a" eq "$b"; echo $l $?; done'
    )
    lines = "".join(f"{left} {right}\n" for left, right in pairs)
    ran = subprocess.run(
        ["sh", "-c", ask], input=lines, capture_output=True, text=True, timeout=60, check=True
    )
    told = [tuple(code == "0" for code in line.split()) for line in ran.stdout.splitlines()]
    assert len(told) == len(pairs)
    for (left, right), expected in zip(pairs, told, strict=True):
        assert signs(debian(left), debian(right)) == expected, (left, right)


@settings(max_examples=30, deadline=None)
@given(st.lists(debian_versions, min_size=3, max_size=3))
def test_debian_order_is_total(versions: list[str]) -> None:
    keys = [debian(version) for version in versions]
    assert sorted(keys) == sorted(reversed(keys))  # type: ignore[type-var]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.from_regex(
            r"([1-9]!)?[0-9]{1,2}(\.[0-9]){0,2}((a|b|rc)[0-9])?(\.post[0-9])?(\.dev[0-9])?", fullmatch=True
        ),
        min_size=2,
        max_size=2,
    )
)
def test_pep440_compares_as_packaging_does(versions: list[str]) -> None:
    left, right = versions
    expected = Version(left) < Version(right), Version(left) == Version(right)
    assert signs(pep440(left), pep440(right)) == expected


def test_pep440_epochs_and_builds() -> None:
    assert signs(pep440("1!0.1"), pep440("2024.1")) == (False, False)
    assert signs(pep440("2.0rc1"), pep440("2.0")) == (True, False)
    assert signs(pep440("2.5.1+cu121"), pep440("2.5.1")) == (False, True)
    assert pep440("trunk") is None


def test_semantic_versions_in_the_order_of_the_specification() -> None:
    ordered = (
        "1.0.0-alpha 1.0.0-alpha.1 1.0.0-alpha.beta 1.0.0-beta 1.0.0-beta.2 1.0.0-beta.11 1.0.0-rc.1 1.0.0"
    )
    keys = [semantic(version) for version in ordered.split()]
    assert None not in keys
    assert keys == sorted(keys)  # type: ignore[type-var]
    assert semantic("v1.2") == semantic("1.2.0+build")
    assert semantic("1.0.0.0") is None


def test_names_and_orders_by_ecosystem() -> None:
    assert normal_name("PyPI", "Llama_CPP.python") == "llama-cpp-python"
    assert normal_name("Debian:12", "LibC6") == "libc6"
    assert order_of("PyPI", "GIT") is None
    assert order_of("npm") is None
    assert order_of("Ubuntu:24.04:LTS") is debian


@pytest.mark.parametrize("order", [pep440, debian, semantic], ids=["pep440", "debian", "semantic"])
def test_a_version_of_very_many_digits_has_no_place(order):
    assert order("1" * 5000) is None
    assert order("1" * 5000 + ":1") is None
