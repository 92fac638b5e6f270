"""What package managers record, and programs: an inventory's bytes must always sum to the tree's."""

from __future__ import annotations

import io
import json
import struct

from fuzz_targets.target import Broken, InMemory, Target

from tradewind.audit.inventory.elf import read_elf, read_sections
from tradewind.audit.inventory.gpu_code import read_gpu_code
from tradewind.audit.inventory.libraries import LibrarySearch
from tradewind.audit.inventory.requirements import met_by
from tradewind.audit.inventory.sbom_cyclonedx import cyclonedx
from tradewind.audit.inventory.sbom_spdx import spdx
from tradewind.audit.inventory.taking import take_inventory
from tradewind.audit.slimming.databases import filtered_status
from tradewind.audit.verification.coverage import late_imports

_SITE = "usr/lib/python3.11/site-packages"
_STATUS = b"""Package: libc6
Status: install ok installed
Architecture: amd64
Multi-Arch: same
Source: glibc (2.36-9)
Version: 2.36-9+deb12u1
Provides: libc-virtual (= 1), other
Depends: libgcc-s1 (>= 3), a:any | b [amd64] <!nocheck>
Pre-Depends: c
Description: GNU C Library
 with more

Package: gone
Status: deinstall ok config-files
Architecture: all
Version: 1
"""
_METADATA = b"""Metadata-Version: 2.1
Name: One.Two
Version: 1.0+local
Summary: words
License: MIT
License-Expression: MIT OR Apache-2.0
Classifier: License :: OSI Approved :: MIT License
Requires-Dist: numpy[extra] (>=1.0,<2) ; python_version >= "3.8" and extra == 'all'
Requires-Dist: one-two[all]
Requires-Dist: x @ https://example.org/x.whl ; sys_platform in "linux"
Provides-Extra: all

text
"""
_BASE: dict[str, bytes | str] = {
    "bin": "-> usr/bin",
    "usr/bin/one": b"#!/bin/sh\n",
    "usr/lib/libc.so.6": b"\x7fELF",
    "usr/share/doc/libc6/copyright": b"Format: x\nLicense: GPL-2+\n",
    "var/lib/dpkg/status": _STATUS,
    "var/lib/dpkg/info/libc6:amd64.list": b"/.\n/usr\n/usr/lib\n/usr/lib/libc.so.6\n/bin/one\n",
    "var/lib/dpkg/diversions": b"/usr/bin/one\n/usr/bin/one.real\nlibc6\n",
    f"{_SITE}/one_two/__init__.py": b"",
    f"{_SITE}/one_two/__pycache__/__init__.cpython-311.pyc": b"1234",
    f"{_SITE}/one_two-1.0.dist-info/METADATA": _METADATA,
    f"{_SITE}/one_two-1.0.dist-info/RECORD": b"one_two/__init__.py,sha256=x,0\n../../../bin/one,,\n",
    f"{_SITE}/old-1.egg-info/PKG-INFO": b"Name: old\nVersion: 1\n",
    f"{_SITE}/old-1.egg-info/top_level.txt": b"one_two\n",
    f"{_SITE}/old-1.egg-info/entry_points.txt": b"[console_scripts]\none = a:b\n",
    "opt/conda/conda-meta/a-1-0.json": (
        b'{"name": "a", "version": "1", "files": ["lib/a"], "depends": ["b >=1"]}'
    ),
    "opt/conda/lib/a": b"12",
    "etc/os-release": b'ID=debian\nVERSION_ID="12"\n',
}


def _inventory(**replaced: bytes) -> None:
    files = InMemory({**_BASE, **replaced})
    found = take_inventory(files)
    total = sum(found.bytes_of(key) for key in found.packages) + files.tree.bytes_of(found.unowned)
    if total != files.tree.bytes:
        raise Broken(f"packages and unowned files have {total} bytes, the tree {files.tree.bytes}")
    met_by(found)
    for document in (cyclonedx(found, name="x", now=0.0), spdx(found, name="x", now=0.0)):
        json.loads(document)
    filtered_status(files, found, found.packages)


def _at(path: str, *seeds: bytes) -> Target:
    """A target that puts the bytes at one path of the tree."""
    name = {
        "var/lib/dpkg/status": "dpkg-status",
        "var/lib/dpkg/info/libc6:amd64.list": "dpkg-list",
        "var/lib/dpkg/info/libc6:amd64.md5sums": "dpkg-md5sums",
        "var/lib/dpkg/diversions": "dpkg-diversions",
        "var/lib/apt/extended_states": "apt-extended-states",
        f"{_SITE}/one_two-1.0.dist-info/METADATA": "python-metadata",
        f"{_SITE}/one_two-1.0.dist-info/RECORD": "python-record",
        f"{_SITE}/old-1.egg-info/entry_points.txt": "python-entry-points",
        f"{_SITE}/one_two-1.0.dist-info/direct_url.json": "python-direct-url",
        "opt/conda/conda-meta/a-1-0.json": "conda-record",
        "etc/os-release": "os-release",
    }[path]
    known = _BASE.get(path)
    begun = [*seeds, *([known] if isinstance(known, bytes) else [])]
    return Target(name, lambda content: _inventory(**{path: content}), lambda: begun, ())


def _elf_file(section: bytes = b"", name: bytes = b".nv_fatbin") -> bytes:
    """A 64-bit library that asks for libc.so.6, with one section."""
    strings = b"\0libc.so.6\0$ORIGIN/../lib\0libx.so\0"
    dynamic = struct.pack("<12q", 1, 1, 29, 11, 14, 26, 5, 0x1000 + 176, 10, len(strings), 0, 0)
    names = b"\0" + name + b"\0.shstrtab\0"
    at_dynamic = 176 + len(strings)
    at_section = at_dynamic + len(dynamic)
    at_names = at_section + len(section)
    at_table = at_names + len(names)
    size = at_table + 3 * 64
    header = b"\x7fELF\2\1\1" + bytes(9) + struct.pack(
        "<HHIQQQIHHHHHH", 3, 62, 1, 0, 64, at_table, 0, 64, 56, 2, 64, 3, 2
    )  # fmt: skip
    load = struct.pack("<IIQQQQQQ", 1, 4, 0, 0x1000, 0, size, size, 1)
    dynamics = struct.pack("<IIQQQQQQ", 2, 4, at_dynamic, 0x1000 + at_dynamic, 0, 96, 96, 1)
    rows = [(0, 0, 0, 0), (1, 1, at_section, len(section)), (len(name) + 2, 3, at_names, len(names))]
    table = b"".join(struct.pack("<IIQQQQIIQQ", n, k, 0, 0, o, s, 0, 0, 1, 0) for n, k, o, s in rows)
    return header + load + dynamics + strings + dynamic + section + names + table


def _fat_binary() -> bytes:
    body = b""
    for kind, sm in ((2, 80), (1, 90), (2, 52)):
        body += struct.pack("<HHIQ", kind, 0x101, 64, 16) + bytes(12) + struct.pack("<I", sm) + bytes(32 + 16)
    region = struct.pack("<IHHQ", 0xBA55ED50, 1, 16, len(body)) + body
    return _elf_file(region + bytes(8) + region)


def _elf(content: bytes) -> None:
    file = io.BytesIO(content)
    found = read_elf(file)
    read_sections(file)
    if found is not None and any("\0" in each for each in (*found.needed, found.soname, found.interpreter)):
        raise Broken("a name holds a zero byte")


def _gpu(content: bytes) -> None:
    found = read_gpu_code(io.BytesIO(content))
    if found is None:
        return
    found.by_device()
    found.unneeded(80)
    for region in found.regions:
        for each in region.elements:
            inside = region.offset <= each.offset and each.offset + each.bytes <= region.offset + region.bytes
            if not inside or region.offset + region.bytes > len(content):
                raise Broken(f"{each} is not inside of {region.offset}, {region.bytes}")


class _WithLibraries(InMemory):
    def open(self, path: str) -> io.BytesIO:  # type: ignore[override]
        return io.BytesIO(self.contents[path])


def _loader(content: bytes) -> None:
    files = _WithLibraries({"etc/ld.so.conf": content, "lib/libc.so.6": _elf_file(), "a/x": _elf_file()})
    LibrarySearch(files).closure(["a/x"])


def _late(content: bytes) -> None:
    late_imports(content, "a.b", False)


TARGETS = (
    _at("var/lib/dpkg/status"),
    _at("var/lib/dpkg/info/libc6:amd64.list"),
    _at("var/lib/dpkg/info/libc6:amd64.md5sums", b"d41d8cd98f00b204e9800998ecf8427e  usr/lib/libc.so.6\n"),
    _at("var/lib/dpkg/diversions"),
    _at("var/lib/apt/extended_states", b"Package: libc6\nArchitecture: amd64\nAuto-Installed: 1\n"),
    _at(f"{_SITE}/one_two-1.0.dist-info/METADATA"),
    _at(f"{_SITE}/one_two-1.0.dist-info/RECORD", b'"a,b",sha256=x,1\n/bin/one,,\n'),
    _at(f"{_SITE}/old-1.egg-info/entry_points.txt"),
    _at(
        f"{_SITE}/one_two-1.0.dist-info/direct_url.json",
        b'{"url": "file:///x", "dir_info": {"editable": true}}',
        b'{"url": "https://x", "archive_info": {"hashes": {"sha256": "aa"}}}',
    ),
    _at("opt/conda/conda-meta/a-1-0.json"),
    _at("etc/os-release"),
    Target("elf", _elf, lambda: [_elf_file(), _elf_file(b"1234", b".text")], ()),
    Target("fatbin", _gpu, lambda: [_fat_binary()], ()),
    Target("ld-so-conf", _loader, lambda: [b"include /etc/*.conf\n/usr/local/lib # x\nhwcap 1 a\n"], ()),
    Target(
        "python-source", _late, lambda: [b"import a\ndef f():\n    from ..c import d\n    import e.f\n"], ()
    ),
)
