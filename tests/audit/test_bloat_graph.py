"""Who needs whom: golden graphs by hand, and laws on random ones."""

import json
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tradewind.audit.bloat.graph import ROOT, DependencyGraph, Edge, dependency_graph
from tradewind.audit.packages import Inventory, Package, Requirement
from tradewind.audit.trees import Tree


def package(key, *requires, asked=False, provides=()):
    named, _, folder = key.partition("@")
    manager, _, name = named.partition(":")
    found = tuple(
        each if isinstance(each, Requirement) else Requirement(tuple(each.split("|"))) for each in requires
    )
    return key, Package(manager, name, "1", requires=found, provides=provides, asked_for=asked, folder=folder)


def graph(*packages, accessed=()):
    return dependency_graph(Inventory(Tree(()), dict(packages)), accessed)


def test_alternatives_virtual_names_and_pre_depends():
    found = graph(
        package("apt:app", "exim|mail-agent", "absent|editor", "gone", Requirement(("libc",), "pre-depends")),
        package("apt:postfix", provides=("mail-agent",)),
        package("apt:nullmailer", provides=("mail-agent",)),
        package("apt:vim", provides=("editor",)),
        package("apt:libc", "app"),
    )
    assert found.needs("apt:app") == ("apt:libc", "apt:nullmailer", "apt:vim")
    assert [(each.user, each.names) for each in found.unmet] == [("apt:app", ("gone",))]
    kinds = {edge.used: edge.kind for edge in found.edges if edge.user == "apt:app"}
    assert kinds["apt:libc"] == "pre-depends" and kinds["apt:vim"] == "depends"
    assert found.ancestors("apt:libc") == {"apt:app"} and found.descendants("apt:libc") >= {
        "apt:app",
        "apt:vim",
    }


def test_an_installed_alternative_of_that_name_comes_first():
    found = graph(package("apt:a", "x|y"), package("apt:y"), package("apt:z", provides=("x",)))
    assert found.needs("apt:a") == ("apt:z",)
    assert graph(package("apt:a", "x|y"), package("apt:y"), package("apt:x")).needs("apt:a") == ("apt:x",)


def test_environments_keep_to_themselves_and_pip_finds_what_others_bring():
    found = graph(
        package("pip:app@opt/b", "numpy"),
        package("pip:numpy"),
        package("pip:numpy@opt/b", "yaml", "torch"),
        package("apt:python3-yaml", provides=("pip:yaml",)),
        package("conda:pytorch", provides=("pip:torch",)),
    )
    assert found.needs("pip:app@opt/b") == ("pip:numpy@opt/b",)
    assert found.needs("pip:numpy@opt/b") == ("apt:python3-yaml", "conda:pytorch")


def test_extras_explain_only_what_nothing_else_does():
    standard = [Requirement((name,), "extra:standard") for name in ("httptools", "uvloop")]
    test = [Requirement((name,), "extra:test") for name in ("pytest", "absent")]
    found = graph(
        package("pip:uvicorn", "click", *standard, *test, asked=True),
        package("pip:click"),
        package("pip:httptools"),
        package("pip:uvloop", asked=True),
        package("pip:pytest"),
    )
    assert found.needs("pip:uvicorn") == ("pip:click", "pip:httptools")
    assert found.chain("pip:httptools") == ("pip:uvicorn", "pip:httptools")
    assert found.chain("pip:pytest") == () and "pip:pytest" not in found.depth


def test_chains_are_shortest_and_the_first_of_their_names():
    found = DependencyGraph(
        ["a:r", "a:x", "a:y", "a:end", "a:lost"],
        [Edge("a:r", "a:y", "depends"), Edge("a:r", "a:x", "depends"), Edge("a:x", "a:end", "depends"),
         Edge("a:y", "a:end", "depends"), Edge("a:end", "a:r", "depends"),
         Edge("a:lost", "a:end", "depends")],
        accessed=["a:y"],
        asked=["a:r"],
    )  # fmt: skip
    assert found.chain("a:end") == ("a:y", "a:end") and found.depth["a:end"] == 2
    assert found.chain("a:x") == ("a:r", "a:x") and found.chain("a:lost") == ()
    assert found.chain_from_used("a:x") == ("a:y", "a:end", "a:r", "a:x")
    assert found.story("a:end") == ("a:r", "a:x", "a:end") and found.story("a:y") == ("a:r", "a:y")
    assert found.reachable == {"a:y", "a:end", "a:r", "a:x"}
    assert found.ancestors("a:x") == {"a:r", "a:y", "a:end", "a:lost"}, "not direct parents only"
    told = json.loads(json.dumps(found.as_json()))
    assert {link["source"] for link in told["links"]} >= {ROOT}
    assert next(node for node in told["nodes"] if node["id"] == "a:lost")["depth"] is None
    with pytest.raises(ValueError, match="no package"):
        DependencyGraph(["a:r"], [Edge("a:r", "a:x", "depends")])


NAMES = tuple(f"p:{letter}" for letter in "abcdefgh")
PAIRS = st.sets(st.tuples(st.sampled_from(NAMES), st.sampled_from(NAMES)), max_size=20)


@settings(max_examples=60, deadline=None)
@given(PAIRS, st.sets(st.sampled_from(NAMES)))
def test_what_needs_is_the_inverse_of_what_is_needed(pairs, accessed):
    found = DependencyGraph(NAMES, [Edge(*pair, "depends") for pair in pairs], accessed)
    for one in NAMES:
        below, above = found.descendants(one), found.ancestors(one)
        assert found.counts[one] == (len(below), len(above))
        for other in NAMES:
            assert (other in below) == (one in found.ancestors(other))
        chain = found.chain(one)
        assert bool(chain) == (one in found.reachable) == (one in found.depth)
        for user, used in pairwise(chain):
            assert used in found.needs(user)
    again = DependencyGraph(reversed(NAMES), [Edge(*pair, "depends") for pair in sorted(pairs)], accessed)
    assert json.dumps(again.as_json()) == json.dumps(found.as_json())
