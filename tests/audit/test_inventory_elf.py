"""ELF files: what they ask for in every form, and no damage that raises."""

import sys
from io import BytesIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from inventory_trees import elf_file

from tradewind.audit.inventory.elf import read_elf, read_sections

ASKED = {"interpreter": "/lib/ld.so", "needed": ("libc.so.6", "libm.so.6"), "soname": "libx.so.1"}


@pytest.mark.parametrize("order", ["<", ">"], ids=["little", "big"])
@pytest.mark.parametrize("bits", [32, 64])
def test_both_widths_and_both_orders_are_read(bits, order):
    elf = read_elf(
        BytesIO(elf_file(**ASKED, runpath="$ORIGIN/../lib:/opt", bits=bits, order=order, machine=183))
    )
    assert elf.interpreter == "/lib/ld.so" and elf.needed == ("libc.so.6", "libm.so.6")
    assert elf.runpath == ("$ORIGIN/../lib", "/opt") and not elf.inherited
    assert (elf.soname, elf.machine, elf.bits) == ("libx.so.1", "aarch64", bits)


def test_the_old_search_path_counts_only_without_the_new_one():
    assert read_elf(BytesIO(elf_file(rpath="/old"))).runpath == ("/old",)
    assert read_elf(BytesIO(elf_file(rpath="/old"))).inherited
    both = read_elf(BytesIO(elf_file(rpath="/old", runpath="/new")))
    assert both.runpath == ("/new",) and not both.inherited


def test_a_static_program_asks_for_nothing():
    elf = read_elf(BytesIO(elf_file()))
    assert elf.interpreter == "" and elf.needed == () and elf.machine == "x86_64"
    assert read_elf(BytesIO(elf_file(machine=4711))).machine == "4711"


def test_sections_are_found_with_their_content():
    content = elf_file(sections=[(".one", b"abc"), (".two", b"defgh")])
    found = {each.name: each for each in read_sections(BytesIO(content))}
    assert content[found[".two"].offset :][: found[".two"].size] == b"defgh"
    assert found[".one"].size == 3 and ".shstrtab" in found


@pytest.mark.parametrize("content", [b"", b"#!/bin/sh\n", b"\x7fELF", b"\x7fELF\x09\x01" + bytes(60)])
def test_other_files_are_none(content):
    assert read_elf(BytesIO(content)) is None and read_sections(BytesIO(content)) == ()


def test_a_file_cut_off_anywhere_raises_nothing():
    whole = elf_file(**ASKED, runpath="/x", sections=[(".one", b"abc")])
    for length in range(0, len(whole), 7):
        read_elf(BytesIO(whole[:length]))
        read_sections(BytesIO(whole[:length]))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(4, 700), st.integers(0, 255)), min_size=1, max_size=12))
def test_changed_bytes_raise_nothing_and_take_no_room(changes):
    content = bytearray(elf_file(**ASKED, rpath="/x", sections=[(".one", b"abc")]))
    for at, value in changes:
        content[at % len(content)] = value
    elf = read_elf(BytesIO(bytes(content)))
    assert elf is None or len(elf.needed) < 100
    assert len(read_sections(BytesIO(bytes(content)))) < 100


def test_the_running_python_is_read():
    with open(sys.executable, "rb") as file:
        elf = read_elf(file)
    assert elf.bits == 64 and elf.interpreter.startswith("/lib") and any("libc." in n for n in elf.needed)
