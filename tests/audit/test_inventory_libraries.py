"""The loader's search inside a tree, against its rules and against the loader itself."""

import os
import re
import shutil
import subprocess
import sys

import pytest
from inventory_trees import InMemory, OnDisk, elf_file

from tradewind.audit.inventory.libraries import LibrarySearch


def found(files, path, **given):
    return {each.name: each.path for each in LibrarySearch(files, **given).needed(path)}


def test_its_own_folders_come_before_the_systems():
    files = InMemory(
        {
            "app/bin/run": elf_file(needed=["liba.so", "libb.so"], runpath="$ORIGIN/../lib"),
            "app/lib/liba.so": elf_file(),
            "usr/lib/liba.so": elf_file(),
            "usr/lib/libb.so": "-> libb.so.1.2",
            "usr/lib/libb.so.1.2": elf_file(),
        }
    )
    search = LibrarySearch(files)
    first, second = search.needed("app/bin/run")
    assert first.path == first.found == "app/lib/liba.so"
    assert (second.path, second.found, second.hops) == (
        "usr/lib/libb.so.1.2",
        "usr/lib/libb.so",
        ("usr/lib/libb.so",),
    )
    assert found(files, "app/bin/run", library_path=["/usr/lib"])["liba.so"] == "usr/lib/liba.so"


def test_the_configuration_names_folders_and_other_files_of_it():
    files = InMemory(
        {
            "etc/ld.so.conf": "# ours\ninclude ld.so.conf.d/*.conf\n/last\n",
            "etc/ld.so.conf.d/a.conf": "/opt/a # a folder\n",
            "etc/ld.so.conf.d/b.other": "/opt/b\n",
            "opt/a/libx.so": elf_file(),
            "opt/b/liby.so": elf_file(),
            "last/libx.so": elf_file(),
            "last/libz.so": elf_file(),
            "run": elf_file(needed=["libx.so", "liby.so", "libz.so"]),
        }
    )
    assert found(files, "run") == {"libx.so": "opt/a/libx.so", "liby.so": "", "libz.so": "last/libz.so"}


def test_a_configuration_that_includes_itself_ends():
    files = InMemory(
        {
            "etc/ld.so.conf": "include /etc/*.conf\n/a\n",
            "a/libx.so": elf_file(),
            "run": elf_file(needed=["libx.so"]),
        }
    )
    assert found(files, "run") == {"libx.so": "a/libx.so"}


def test_a_library_for_another_processor_is_passed_over():
    files = InMemory(
        {
            "lib/libx.so": elf_file(machine=183),
            "usr/lib/libx.so": elf_file(bits=32),
            "lib64/libx.so": elf_file(),
            "lib64/liby.so": "no library",
            "run": elf_file(needed=["libx.so", "liby.so"]),
        }
    )
    assert found(files, "run") == {"libx.so": "lib64/libx.so", "liby.so": ""}


def test_the_old_search_path_holds_for_libraries_of_libraries_and_the_new_does_not():
    def files(**path):
        return InMemory(
            {
                "app/run": elf_file(needed=["liba.so"], **path),
                "app/own/liba.so": elf_file(needed=["libb.so"]),
                "app/own/libb.so": elf_file(),
            }
        )

    old = LibrarySearch(files(rpath="$ORIGIN/own")).closure(["app/run"])
    new = LibrarySearch(files(runpath="${ORIGIN}/own")).closure(["app/run"])
    assert old["app/own/liba.so"][0].path == "app/own/libb.so"
    assert new["app/own/liba.so"][0].path == ""
    assert set(old) == {"app/run", "app/own/liba.so", "app/own/libb.so"}


def test_libraries_that_need_each_other_end():
    files = InMemory(
        {"lib/liba.so": elf_file(needed=["libb.so"]), "lib/libb.so": elf_file(needed=["liba.so"])}
    )
    assert set(LibrarySearch(files).closure(["lib/liba.so"])) == {"lib/liba.so", "lib/libb.so"}


def test_debians_folders_are_built_in_and_musl_has_its_own():
    files = InMemory(
        {
            "usr/lib/x86_64-linux-gnu/libx.so": elf_file(),
            "usr/local/lib/libm.so": elf_file(),
            "run": elf_file(needed=["libx.so", "libm.so"]),
            "small": elf_file(interpreter="/lib/ld-musl-x86_64.so.1", needed=["libx.so", "libm.so"]),
        }
    )
    assert found(files, "run") == {"libx.so": "usr/lib/x86_64-linux-gnu/libx.so", "libm.so": ""}
    assert found(files, "small")["libm.so"] == "usr/local/lib/libm.so"


@pytest.mark.skipif(not shutil.which("ldd"), reason="ldd is not installed")
def test_the_loader_finds_the_same():
    program = os.path.realpath(sys.executable).lstrip("/")
    told = subprocess.run(["ldd", "/" + program], capture_output=True, text=True, check=True).stdout
    loaded = {name: path for name, path in re.findall(r"^\s*(\S+) => (/\S+)", told, re.MULTILINE)}
    paths = {program, "lib", "lib64", "etc/ld.so.conf"}
    for folder in ("etc/ld.so.conf.d", *{os.path.dirname(path).lstrip("/") for path in loaded.values()}):
        paths |= {f"{folder}/{name}" for name in os.listdir("/" + folder) if "lib" in name or "conf" in name}
        paths |= {os.path.realpath("/" + path).lstrip("/") for path in list(paths)}
    files = OnDisk("/", sorted(paths))
    closure = LibrarySearch(files).closure([program])
    ours = {each.name: each.path for libraries in closure.values() for each in libraries}
    assert (
        loaded
        and {name: os.path.realpath(path).lstrip("/") for name, path in loaded.items()}.items()
        <= ours.items()
    )
