"""Python packages in environments of any kind, and this Python's own against importlib.metadata."""

import os
import sysconfig
from importlib import metadata

from inventory_trees import InMemory, OnDisk
from packaging.utils import canonicalize_name

from tradewind.audit.inventory.taking import take_inventory
from tradewind.audit.packages import Requirement

STATUS = "Package: {0}\nStatus: install ok installed\nVersion: 1\nArchitecture: all\n\n"


def dist(folder, name, version="1", *, lists=(), **fields):
    """The files of a dist-info."""
    path = f"{folder}/{name}-{version}.dist-info"
    lines = "".join(f"{key.replace('_', '-')}: {value}\n" for key, value in fields.items())
    listing = "".join(f"{each},,\n" for each in [*lists, f"{name}-{version}.dist-info/METADATA"])
    return {f"{path}/METADATA": f"Name: {name}\nVersion: {version}\n{lines}", f"{path}/RECORD": listing}


def test_debians_python_packages_are_carried_and_provided_not_told_twice():
    site, local = "usr/lib/python3/dist-packages", "usr/local/lib/python3.11/dist-packages"
    debian = dist(site, "numpy", "1.24.2", lists=["numpy/__init__.py"])
    files = InMemory(
        {
            "var/lib/dpkg/status": STATUS.format("python3-numpy"),
            "var/lib/dpkg/info/python3-numpy.list": f"/{site}/numpy-1.24.2.dist-info/METADATA\n"
            f"/{site}/numpy/__init__.py\n",
            **debian,
            **dist(local, "pandas", lists=["pandas.py"], Requires_Dist="numpy"),
            f"{site}/numpy/__init__.py": b"n",
            f"{site}/numpy/__pycache__/__init__.cpython-311.pyc": b"c",
            f"{local}/pandas.py": b"p",
        }
    )
    inventory = take_inventory(files)
    assert list(inventory.packages) == ["apt:python3-numpy", "pip:pandas"]
    numpy = inventory.packages["apt:python3-numpy"]
    assert numpy.carries == ("pip:numpy==1.24.2",) and numpy.provides == ("pip:numpy",)
    assert f"{site}/numpy-1.24.2.dist-info/METADATA" in numpy.records
    assert inventory.owners[f"{site}/numpy/__pycache__/__init__.cpython-311.pyc"] == "apt:python3-numpy"


def test_what_is_copied_into_a_package_is_carried_by_it():
    site = "lib/python3.11/site-packages"
    inner = dist(f"{site}/setuptools/_vendor", "wheel", "0.45", lists=["wheel.py"])
    deeper = dist(f"{site}/setuptools/_vendor/more", "tiny", "2")
    listed = [
        path.removeprefix(site + "/") for path in [*inner, *deeper, f"{site}/setuptools/_vendor/wheel.py"]
    ]
    files = InMemory(
        {
            **dist(site, "setuptools", "80", lists=[*listed, "bundled/pip-23.0-py3-none-any.whl"]),
            **inner,
            **deeper,
            f"{site}/setuptools/_vendor/wheel.py": b"w",
            f"{site}/bundled/pip-23.0-py3-none-any.whl": b"",
        }
    )
    inventory = take_inventory(files)
    assert list(inventory.packages) == ["pip:setuptools"] and not inventory.unowned
    assert inventory.packages["pip:setuptools"].carries == ("pip:pip==23.0", "pip:tiny==2", "pip:wheel==0.45")


def test_two_environments_and_two_versions_keep_all_apart():
    one, two = "a/lib/python3.10/site-packages", "b/lib/python3.12/site-packages"
    needs = 'tomli; python_version < "3.11"'
    files = InMemory(
        {
            **dist(one, "x", lists=["x.py"], Requires_Dist=needs),
            **dist(two, "x", lists=["x.py"], Requires_Dist=needs),
            **dist(two, "x", "2"),
            f"{one}/x.py": b"",
            f"{two}/x.py": b"",
        }
    )
    inventory = take_inventory(files)
    assert list(inventory.packages) == [f"pip:x@{one}", f"pip:x@{two}", f"pip:x@{two}#2"]
    assert inventory.packages[f"pip:x@{one}"].requires == (Requirement(("tomli",)),)
    assert inventory.packages[f"pip:x@{two}"].requires == () and "recorded twice" in inventory.notes[-1]


def test_the_environment_says_which_python_it_has():
    given = dist("v/lib/site-packages", "x", Requires_Dist='y; python_full_version < "3.9.5"')

    def asks(more):
        return bool(take_inventory(InMemory({**given, **more})).packages["pip:x"].requires)

    assert asks({"v/pyvenv.cfg": "home = /usr/bin\nversion = 3.9.2\n"})
    assert not asks({"v/pyvenv.cfg": "version_info = 3.9.7.final.0\n"})
    assert asks({"usr/bin/python3": "-> python3.8", "usr/bin/python3.8": b""})
    assert asks({"usr/lib/python3.7/os.py": b""}) and not asks({})


def test_namespaces_share_a_folder_and_each_owns_its_part():
    site = "lib/python3.11/site-packages"
    files = InMemory(
        {
            **dist(site, "google-a", lists=["google/a.py"]),
            **dist(site, "google-b", lists=["google/b.py"]),
            f"{site}/google/a.py": b"",
            f"{site}/google/b.py": b"",
            f"{site}/google/__pycache__/b.cpython-311.opt-1.pyc": b"",
            f"{site}/google/__pycache__/c.cpython-311.pyc": b"",
        }
    )
    inventory = take_inventory(files)
    assert inventory.owners[f"{site}/google/__pycache__/b.cpython-311.opt-1.pyc"] == "pip:google-b"
    assert inventory.unowned == (f"{site}/google/__pycache__/c.cpython-311.pyc",)


def test_licences_in_every_place_they_are_written_to():
    def license_of(**fields):
        return take_inventory(InMemory(dist("s", "x", **fields))).packages["pip:x"].license

    assert license_of(License_Expression="MIT OR Apache-2.0", License="x") == "MIT OR Apache-2.0"
    assert license_of(License="BSD-3-Clause\n  Copyright") == "BSD-3-Clause"
    classifier = "License :: OSI Approved :: MIT License"
    assert license_of(License="Copyright 2001 Somebody", Classifier=classifier) == "MIT License"


def test_editable_packages_are_told():
    path = "s/x-1.dist-info/direct_url.json"
    told = '{"url": "file:///app", "dir_info": {"editable": true}}'
    notes = take_inventory(InMemory({**dist("s", "x"), path: told})).notes
    assert any("editable" in note and "file:///app" in note for note in notes)


def test_this_pythons_packages_are_importlibs():
    site = sysconfig.get_path("purelib")
    root = os.path.dirname(os.path.dirname(os.path.dirname(site)))
    found = sorted(metadata.distributions(path=[site]), key=lambda each: each.metadata["Name"].lower())
    sample = [
        each for at, each in enumerate(found) if at % 15 == 0 or each.metadata["Name"] in ("pip", "packaging")
    ]
    expected, paths = {}, set()
    for each in sample:
        name = canonicalize_name(each.metadata["Name"])
        there = {os.path.normpath(os.path.join(site, str(path))) for path in each.files or ()}
        expected[name] = {os.path.relpath(path, root) for path in there if os.path.isfile(path)}
        paths |= expected[name]
        info = os.path.dirname(next(path for path in expected[name] if path.endswith("/METADATA")))
        paths |= {os.path.join(info, name) for name in os.listdir(os.path.join(root, info))}
    inventory = take_inventory(OnDisk(root, sorted(paths)))
    packages = {p.name: p for p in inventory.packages.values()}
    assert len(sample) > 5
    for each in sample:
        name = canonicalize_name(each.metadata["Name"])
        mine = packages[name]
        assert mine.version == each.version and mine.summary == (each.metadata["Summary"] or "").strip()
        assert {path for path in mine.files if "dist-info" not in path and not path.endswith(".pyc")} == {
            path for path in expected[name] if "dist-info" not in path and not path.endswith(".pyc")
        }
        assert expected[name] <= set(mine.files), name
