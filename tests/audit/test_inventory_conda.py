"""conda's records in small prefixes written here."""

import json

from inventory_trees import InMemory

from tradewind.audit.inventory.taking import take_inventory
from tradewind.audit.packages import Requirement


def record(name, version="1", **fields):
    return json.dumps({"name": name, "version": version, "build": "py_0", **fields})


def test_a_prefix_with_its_packages_and_what_is_left_in_the_cache():
    files = InMemory(
        {
            "opt/conda/conda-meta/numpy-1.26.json": record(
                "numpy",
                "1.26",
                files=["lib/numpy.py", "lib/numpy-1.26.dist-info/METADATA", "gone"],
                depends=["python >=3.11,<3.12.0a0", "conda-forge::libBLAS 3.*", "__glibc >=2.17"],
                requested_spec="numpy=1.26",
                subdir="linux-64",
                license="BSD-3-Clause",
                sha256="ab" * 32,
            ),
            "opt/conda/conda-meta/history": "==> 2024",
            "opt/conda/conda-meta/bad-1.json": "{",
            "opt/conda/lib/numpy.py": b"12345",
            "opt/conda/lib/numpy-1.26.dist-info/METADATA": "Name: numpy\nVersion: 1.26\n",
            "opt/conda/pkgs/urls.txt": "https://",
            "opt/conda/pkgs/numpy-1.26/lib/numpy.py": b"12345",
            "opt/conda/pkgs/old-1/lib/old.py": b"1234567",
            "opt/conda/lib/__pycache__/numpy.cpython-311.pyc": b"1",
        },
        nodes={"opt/conda/lib/numpy.py": 7, "opt/conda/pkgs/numpy-1.26/lib/numpy.py": 7},
    )
    inventory = take_inventory(files)
    assert list(inventory.packages) == ["conda:numpy"]
    numpy = inventory.packages["conda:numpy"]
    assert numpy.requires == (Requirement(("python",)), Requirement(("libblas",)))
    assert numpy.asked_for and numpy.folder == "opt/conda" and numpy.hashes == (("sha256", "ab" * 32),)
    assert "opt/conda/conda-meta/numpy-1.26.json" in numpy.records
    assert numpy.carries == ("pip:numpy==1.26",) and numpy.category == "ML"
    assert "opt/conda/lib/__pycache__/numpy.cpython-311.pyc" in numpy.files
    # The copy in the cache is the same file: it belongs to the package, and only the rest is left over.
    assert inventory.owners["opt/conda/pkgs/numpy-1.26/lib/numpy.py"] == "conda:numpy"
    left = next(note for note in inventory.notes if "cache" in note)
    assert f"{len('https://') + 7} bytes" in left and any("bad-1.json" in note for note in inventory.notes)


def test_one_package_in_two_prefixes_is_two():
    files = InMemory(
        {
            "a/conda-meta/x.json": record("x", files=["f"]),
            "a/f": b"1",
            "conda-meta/x.json": record("x", "2", files=["f"]),
            "f": b"22",
        }
    )
    inventory = take_inventory(files)
    assert list(inventory.packages) == ["conda:x@", "conda:x@a"]
    assert inventory.owners["f"] == "conda:x@" and inventory.owners["a/f"] == "conda:x@a"
