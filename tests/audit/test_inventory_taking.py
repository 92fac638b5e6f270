"""The whole inventory: parts that sum to the tree, one owner a file, and nothing that raises."""

from hypothesis import given, settings
from hypothesis import strategies as st
from inventory_trees import InMemory

from tradewind.audit.inventory.taking import take_inventory

OS_RELEASE = """\
ID=debian
VERSION_ID="12"
# a comment
BROKEN='
PRETTY_NAME="Debian 12 (x)"
"""
NAMES = ["a", "b", "x.py", "__pycache__", "x.cpython-311.pyc", "bin", "etc"]
PATHS = st.lists(st.sampled_from(NAMES), min_size=1, max_size=3).map("/".join)


def test_other_managers_are_told_and_the_system_is_read():
    inventory = take_inventory(
        InMemory(
            {
                "etc/os-release": "-> ../usr/lib/os-release",
                "usr/lib/os-release": OS_RELEASE,
                "lib/apk/db/installed": "P:musl",
                "var/lib/rpm/rpmdb.sqlite": b"",
                "app/node_modules/left/package.json": "{}",
                "app/node_modules/@x/right/package.json": "{}",
                "app/package.json": "{}",
                "lib.jar": b"",
            }
        )
    )
    assert inventory.system["ID"] == "debian" and inventory.system["VERSION_ID"] == "12"
    assert inventory.system["PRETTY_NAME"] == "Debian 12 (x)" and inventory.system["BROKEN"] == "'"
    told = " ".join(inventory.notes)
    assert "apk" in told and "rpm" in told and "2 packages of npm" in told and "1 Java archives" in told
    assert not inventory.packages and inventory.tree.bytes_of(inventory.unowned) == inventory.tree.bytes


def test_an_empty_tree_has_nothing_to_tell():
    inventory = take_inventory(InMemory({}))
    assert not inventory.packages and not inventory.notes and not inventory.system


@st.composite
def claimed_trees(draw):
    """A tree with links and hard links, and packages of three managers that claim what they like."""
    given = {}
    for path in draw(st.lists(PATHS, max_size=12, unique=True)):
        above = path.rpartition("/")[0]
        if not any(other == above or other.startswith(path + "/") for other in given) and all(
            each not in given for each in _above(path)
        ):
            given[path] = draw(st.one_of(st.binary(max_size=9), PATHS.map(lambda each: f"-> /{each}")))
    files = [path for path, content in given.items() if isinstance(content, bytes)]
    nodes = {}
    if len(files) > 1 and draw(st.booleans()):
        given[files[1]] = given[files[0]]
        nodes = {files[0]: 5, files[1]: 5}
    claims = st.lists(st.one_of(PATHS, st.sampled_from(files) if files else PATHS), max_size=6)
    status = ""
    for name in ("p", "q"):
        status += f"Package: {name}\nVersion: 1\n\n"
        given[f"var/lib/dpkg/info/{name}.list"] = "".join(f"/{each}\n" for each in draw(claims))
    given["var/lib/dpkg/status"] = status
    for name in ("r", "s"):
        given[f"site/{name}-1.dist-info/METADATA"] = f"Name: {name}\nVersion: 1\n"
        given[f"site/{name}-1.dist-info/RECORD"] = "".join(f"../{each},,\n" for each in draw(claims))
    listed = ",".join(f'"{each}"' for each in draw(claims))
    given["conda-meta/t.json"] = f'{{"name": "t", "version": "1", "files": [{listed}]}}'
    return InMemory(given, nodes=nodes)


def _above(path):
    while "/" in path:
        path = path.rpartition("/")[0]
        yield path


@settings(max_examples=40, deadline=None)
@given(claimed_trees())
def test_the_parts_sum_to_the_whole_and_each_file_has_one_owner(files):
    inventory = take_inventory(files)
    assert len(inventory.packages) == 5
    whole = sum(inventory.bytes_of(key) for key in inventory.packages)
    assert whole + files.tree.bytes_of(inventory.unowned) == files.tree.bytes
    owned = [path for paths in inventory.owned.values() for path in paths]
    assert len(owned) == len(set(owned)) and not set(owned) & set(inventory.unowned)
    everything = {entry.path for entry in files.tree if entry.kind != "directory"}
    assert set(owned) | set(inventory.unowned) == everything
    for package in inventory.packages.values():
        assert set(package.files) <= everything and list(package.files) == sorted(set(package.files))
        assert set(package.records) <= everything


@settings(max_examples=40, deadline=None)
@given(st.binary(max_size=80), st.binary(max_size=80), st.text(max_size=60))
def test_damaged_records_raise_nothing(one, two, three):
    files = InMemory(
        {
            "var/lib/dpkg/status": b"Package: x\n" + one,
            "var/lib/dpkg/info/x.list": two,
            "var/lib/dpkg/diversions": one,
            "var/lib/apt/extended_states": two,
            "etc/os-release": three.encode("utf-8", "replace"),
            "s/y-1.dist-info/METADATA": b"Name: y\nRequires-Dist: " + one,
            "s/y-1.dist-info/RECORD": two,
            "s/y-1.dist-info/direct_url.json": one,
            "s/z-1.egg-info": two,
            "conda-meta/t.json": one,
        }
    )
    inventory = take_inventory(files)
    assert any(package.manager == "pip" for package in inventory.packages.values())
    assert all(note.encode() for note in inventory.notes)
