import random
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from slimming_files import ALL, closed, files_of, run

from tradewind.audit.images.folder import Folder
from tradewind.audit.inventory.taking import take_inventory
from tradewind.audit.slimming.closure import close
from tradewind.audit.slimming.halves import side_car, slim_half
from tradewind.audit.slimming.policy import Policy
from tradewind.audit.tracing.events import Run, RunHeader, Touched
from tradewind.testing.images import random_tree, small_root


def holds(files, found):
    """The laws of a closure over these files."""
    tree, kept = files.tree, found.kept
    assert kept.paths <= tree.entries.keys()
    assert kept.bytes + tree.bytes_of(found.removed) == tree.bytes
    slim = tree.only(kept)
    for entry in slim:
        if entry.kind == "link":
            assert slim.resolve(entry.path)[0] == tree.resolve(entry.path)[0]
    here, beside = slim_half(files, found), side_car(files, found)
    for half in (here, beside):
        for entry in half.tree:
            if (
                entry.kind == "file"
                and entry.path not in found.placeholders
                and entry.path not in found.moved
            ):
                assert half.read(entry.path) == files.read(entry.path)
                assert entry == tree.entries[entry.path]
    stacked = {**here.tree.entries, **beside.tree.entries}
    assert {path: stacked[path] for path in tree.entries} == tree.entries
    assert stacked.keys() - tree.entries.keys() == set(found.moved)
    for path, reason in kept.reasons.items():
        assert kept.chain(path)[0] == (path, reason)


def touched(chance, tree):
    """A run that touched some of a tree, as a tracer would tell it."""
    files = [entry.path for entry in tree if entry.kind == "file"]
    folders = [entry.path for entry in tree if entry.kind == "directory"]
    opened, hops = set(), set()
    for entry in tree:
        if chance.random() < 0.3:
            end, passed = tree.resolve(entry.path)
            hops.update(passed)
            if end in files:
                opened.add(end)
    probed = {path for path in tree.entries if chance.random() < 0.15} - opened
    return Touched(
        opened=frozenset(opened), hops=frozenset(hops), probed=frozenset(probed),
        listed=frozenset(path for path in folders if chance.random() < 0.2),
        written=frozenset([*chance.sample(files, min(2, len(files))), "made/new"]),
    )  # fmt: skip


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32), number=st.integers(0, 60), shape=st.integers(0, 5))
def test_laws_hold_on_any_tree_under_any_policy(seed, number, shape):
    chance = random.Random(seed)
    with (
        tempfile.TemporaryDirectory() as name,
        Folder(random_tree(chance, Path(name) / "t", number)) as files,
    ):
        some = chance.sample(sorted(files.tree.entries), min(2, len(files.tree)))
        names = [path for path in some if "*" not in path and "?" not in path]
        policy = [
            Policy(),
            Policy(probed="placeholder", listings="names"),
            Policy(drop=tuple(names)),
            Policy(keep=tuple(names), sources="sourceless"),
            Policy(libraries=False, late_modules=False, databases=False),
            Policy(probed="placeholder", drop=tuple(names[:1])),
        ][shape]
        header = RunHeader(
            "tradewind-trace-1", "r", "strace", ("x",), "", sees=ALL if shape % 2 else ("open",)
        )
        one, two = (Run(header, touched(chance, files.tree)) for _ in range(2))
        inventory = take_inventory(files)
        found = close(files, [one], inventory, policy)
        holds(files, found)
        assert not found.kept.paths.intersection(policy.drop)
        both = close(files, [one, two], inventory, policy)
        holds(files, both)
        if not policy.drop and policy.sources == "keep":
            assert found.kept.paths <= both.kept.paths, "with more runs it only grows"
        again = close(files, [one], inventory, policy)
        assert again.kept.reasons == found.kept.reasons and again.placeholders == found.placeholders


def test_the_small_root_is_closed_as_it_should(tmp_path):
    with Folder(small_root(tmp_path / "root")) as files:
        pyc = "usr/lib/python3/dist-packages/demo/__pycache__/__init__.cpython-311.pyc"
        first = run(
            "demo", opened=["usr/bin/demo", pyc, "usr/share/demo/one"], probed=["opt/demo/probe_only"],
            hops=["bin"], listed=["usr/lib/python3/dist-packages"],
        )  # fmt: skip
        found = close(files, [first], take_inventory(files))
        holds(files, found)
        kept = {
            path: found.kept.reasons[path].rule
            for path in found.kept
            if files.tree.entries[path].kind != "directory"
        }
        assert kept == {
            "bin": "hop",
            "etc/os-release": "system",
            "etc/passwd": "system",
            "lib": "library",
            "lib64": "interpreter",
            "opt/demo/probe_only": "probed",
            "opt/maze/up": "link",
            "usr/bin/demo": "traced",
            "usr/lib/libdemo.so.1": "library",
            "usr/lib/libdemo.so.1.2": "library",
            "usr/lib/os-release": "system",
            "usr/lib/python3/dist-packages/demo/__init__.py": "source",
            pyc: "traced",
            "usr/lib64/ld-demo.so.2": "interpreter",
            "usr/share/demo/one": "traced",
            "usr/share/demo/two": "hard link",
            "usr/share/doc/demo/copyright": "metadata",
            "usr/share/doc/libdemo1/copyright": "metadata",
            "var/lib/dpkg/info/demo.list": "metadata",
            "var/lib/dpkg/info/libdemo1:amd64.list": "metadata",
        }
        assert found.only_probed == ("opt/demo/probe_only",)


def test_nothing_runs_nothing_is_kept_and_all_is_in_the_side_car():
    files = files_of({"a": "x", "l": "-> a", "d/e": None})
    found = closed(files)
    holds(files, found)
    assert not found.kept.paths and found.removed == {"a", "l"}


def test_dropping_what_a_link_needs_drops_the_link_too():
    files = files_of({"a": "-> d/../b", "d/x": "1", "b": "2", "c": "-> a", "free": "3"})
    found = closed(files, run(opened=["b", "free"], hops=["a", "c"]), drop=("d",))
    holds(files, found)
    assert "free" in found.kept and found.dropped == ("a", "c")
