"""What packages hold that no run needs, and what only looks like it."""

import pytest
from inventory_trees import InMemory, elf_file

from tradewind.audit.inventory.taking import take_inventory
from tradewind.audit.inventory.wheel_diet import CLASSES, family, wheel_diet

SITE = "lib/python3.11/site-packages"


def diet_of(contents, *, name="pkg", requires=(), **more):
    """The diet of one package with these files, by their paths in site-packages."""
    listed = "".join(f"{path},,\n" for path in contents)
    metadata = f"Name: {name}\nVersion: 1\n" + "".join(f"Requires-Dist: {each}\n" for each in requires)
    files = InMemory(
        {
            **{f"{SITE}/{path}": content for path, content in contents.items()},
            f"{SITE}/{name}-1.dist-info/METADATA": metadata,
            f"{SITE}/{name}-1.dist-info/RECORD": listed,
            **more,
        }
    )
    return wheel_diet(files, take_inventory(files))


def classes(diet):
    return {path.removeprefix(SITE + "/"): each.what for each in diet.unneeded for path in each.paths}


def test_each_class_by_folder_and_by_ending():
    found = diet_of(
        {
            "pkg/__init__.py": b"",
            "pkg/tests/test_a.py": b"12345",
            "pkg/tests/data/x.csv": b"1",
            "pkg/tests/__pycache__/test_a.cpython-311.pyc": b"1",
            "pkg/sub/test/b.h": b"1",
            "pkg/conftest.py": b"1",
            "pkg/doc/guide.rst": b"1",
            "pkg/examples/run.py": b"1",
            "pkg/include/a.h": b"22",
            "pkg/include/complex": b"22",
            "pkg/lib.a": b"333",
            "pkg/x.cmake": b"1",
            "pkg/x.pyi": b"1",
            "pkg/x.pyx": b"1",
            "pkg/x.lib": b"1",
            "pkg/t64.exe": b"1",
            "pkg/x.py": b"needed",
            "pkg/x.so": b"needed",
            "pkg/testing/x.py": b"needed",
            "pkg/latest/x.json": b"needed",
        }
    )
    assert classes(found) == {
        "pkg/tests/test_a.py": "tests",
        "pkg/tests/data/x.csv": "tests",
        "pkg/tests/__pycache__/test_a.cpython-311.pyc": "tests",
        "pkg/sub/test/b.h": "tests",
        "pkg/conftest.py": "tests",
        "pkg/doc/guide.rst": "documents",
        "pkg/examples/run.py": "examples",
        "pkg/include/a.h": "headers",
        "pkg/include/complex": "headers",
        "pkg/lib.a": "static libraries",
        "pkg/x.cmake": "build files",
        "pkg/x.pyi": "type stubs",
        "pkg/x.pyx": "sources",
        "pkg/x.lib": "import libraries",
        "pkg/t64.exe": "other systems",
    }
    told = found.by_class()
    assert tuple(told) == CLASSES and told["headers"] == 4 and told["tests"] == 9
    assert sum(told.values()) == found.bytes


def test_licences_and_records_are_kept():
    assert not diet_of({"pkg/tests/LICENSE.txt": b"1", "pkg/docs/NOTICE": b"1"}).unneeded


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("pkg/run.py", "from pkg.docs.page import x"),
        ("pkg/run.py", "import os, pkg.docs"),
        ("pkg/run.py", "import pkg.docs.page as p"),
        ("pkg/run.py", "def f():\n    from .docs import (\n        page,\n    )"),
        ("pkg/run.py", "from . import docs"),
        ("pkg/run.py", "from pkg import x, docs"),
        ("pkg/sub/run.py", "from ..docs.page import x"),
        ("pkg/__init__.py", "from .docs import page"),
        ("other/run.py", "from pkg.docs import page"),
    ],
)
def test_a_folder_that_modules_import_from_is_code(module, source):
    found = diet_of({module: source, "pkg/docs/__init__.py": b"", "pkg/docs/page.py": b"1"})
    assert not found.unneeded and found.imported == ((f"{SITE}/pkg/docs", f"{SITE}/{module}"),)


@pytest.mark.parametrize(
    "source", ["# from pkg.docs import x", "import docs", "from .x import docs", "from pkg.docsx import y"]
)
def test_what_only_sounds_like_it_is_no_import(source):
    assert diet_of({"pkg/run.py": source, "pkg/docs/page.py": b"1"}).bytes == 1


def test_tests_that_import_each_other_do_not_count():
    found = diet_of({"pkg/tests/a.py": b"from pkg.tests import b", "pkg/conftest.py": b"import pkg.tests"})
    assert set(classes(found)) == {"pkg/tests/a.py", "pkg/conftest.py"}


def test_an_entry_point_is_an_import():
    path = f"{SITE}/pkg-1.dist-info/entry_points.txt"
    assert not diet_of({"pkg/tests/p.py": b"1"}, **{path: "[pytest11]\nx = pkg.tests.p:main\n"}).unneeded


def test_cautions_leave_the_bytes_out():
    torch = diet_of({"torch/include/a.h": b"12", "torch/tests/a.py": b"1"}, name="torch")
    assert torch.bytes == 1 and {each.what: bool(each.caution) for each in torch.unneeded} == {
        "headers": True,
        "tests": False,
    }
    assert diet_of({"pkg/__init__.pyi": b"1"}, requires=["lazy-loader>=0.1"]).bytes == 0
    assert diet_of({"mypy/typeshed/os.pyi": b"1"}, name="mypy").bytes == 0


def test_libraries_that_are_there_twice():
    fortran = elf_file(soname="libgfortran-040039e1.so.5")
    blas = elf_file(soname="libscipy_openblas-6cdc3b4a.so")
    files = InMemory(
        {
            "a.libs/libopenblas64_p-r0-0cf96a72.3.23.dev.so": elf_file(
                soname="libopenblas64_p-r0-0cf96a72.3.23.dev.so"
            ),
            "b.libs/libscipy_openblas-6cdc3b4a.so": blas,
            "a.libs/libgfortran-040039e1.so.5.0.0": fortran,
            "b.libs/libgfortran-040039e1.so.5.0.0": fortran,
            "usr/lib/libnsl.so.1": elf_file(),
            "usr/lib/libnsl.so.2": elf_file(soname="libnsl.so.2"),
            "usr/lib/libz.so.1.2": elf_file(soname="libz.so.1"),
            "usr/lib/libz.so": "-> libz.so.1.2",
            "a.libs/libz-11111111.so.1.3": elf_file(soname="libz-11111111.so.1") + b"22",
            "usr/lib32/libm.so.6": elf_file(machine=3),
            "usr/lib/libm.so.6": elf_file(),
            "opt/libm.so.6": elf_file() + b"another",
            "x/libtext.so": "INPUT(a)",
            "y/libtext.so": "INPUT(a)",
            "x/libext.cpython-311-x86_64-linux-gnu.so": elf_file(),
            "y/libext.cpython-311-x86_64-linux-gnu.so": elf_file(),
        }
    )
    found = {each.name: each for each in wheel_diet(files, take_inventory(files)).duplicates}
    assert {name: each.alike for name, each in found.items()} == {
        "OpenBLAS": "name",
        "libgfortran": "content",
        "libz": "soname",
        "libm": "name",
    }
    assert found["OpenBLAS"].beyond_one == len(blas) and found["libgfortran"].bytes == 2 * len(fortran)


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("libgomp-a34b3233.so.1.0.0", "OpenMP runtime"),
        ("libiomp5.so", "OpenMP runtime"),
        ("libopenblas.so.0", "OpenBLAS"),
        ("libpng16-e5f8a4c2.so.16.39.0", "libpng16"),
        ("libgfortran-040039e1-0352e75f.so.5.0.0", "libgfortran"),
        ("libfoo-1.2.so", "libfoo"),
        ("libstdc++.so.6", "libstdc++"),
        ("libc10.so", "libc10"),
    ],
)
def test_names_without_hash_and_version(name, stem):
    assert family(name) == stem
